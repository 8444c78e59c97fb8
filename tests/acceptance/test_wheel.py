"""The wheel: what is in it, and that it runs without the repository."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", folder, ROOT], check=True, timeout=120)
    (found,) = folder.glob("library_worker-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The program, installed alone; what it depends on is that of the tests, but for the servers."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    packages = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    install = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet"]
    subprocess.run([*install, "--no-deps", wheel], check=True, timeout=120)
    dependencies = folder / "dependencies"
    dependencies.mkdir()
    without = ("nats_server", "pixeltable", "library_worker", "_editable", "worker", "contracts", "tests")
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not each.name.startswith(without) and each.suffix != ".pth":
            (dependencies / each.name).symlink_to(each)
    (packages / "dependencies.pth").write_text(f"{dependencies}\n")
    return folder / "bin" / "library"


def run(program, *arguments, folder):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [program, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_holds_what_the_product_is_made_of_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    for needed in (
        "contracts/py.typed",
        "worker/store/migrations/env.py",
        "worker/entrypoints/gateway/dashboard/templates/base.html",
        "worker/entrypoints/gateway/dashboard/static/vendor/htmx.min.js",
        "worker/entrypoints/gateway/dashboard/static/vendor/LICENSE.htmx",
    ):
        assert needed in names
    assert {name.partition("/")[0] for name in names} - {"contracts", "worker"} == {
        name.partition("/")[0] for name in names if ".dist-info/" in name
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_runs_where_the_repository_is_not(installed, tmp_path):
    helped = run(installed, "--help", folder=tmp_path)
    configured = run(installed, "config", "--json", folder=tmp_path)

    assert (helped.returncode, configured.returncode) == (0, 0), helped.stderr + configured.stderr
    assert "rollback" in helped.stdout


def test_without_the_servers_it_says_what_installs_them(installed, tmp_path):
    done = run(installed, "up", "--nats-port", "0", "--http-port", "0", folder=tmp_path)

    assert done.returncode == 1
    assert "library-worker[embedded]" in done.stderr
    assert "Traceback" not in done.stderr
