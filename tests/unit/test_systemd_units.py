"""The units in deploy/systemd, by systemd's own tool."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from worker.entrypoints.cli import app
from worker.settings import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PROGRAM = "/opt/library/bin/library"
systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian's systemd)"
)


@systemd
def test_systemd_takes_every_unit(tmp_path):
    for unit in UNITS:
        # The tool looks for the program itself, which is not installed where tests run.
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, sys.executable))
    names = [str(tmp_path / unit.name.replace("@", "@1")) for unit in UNITS]
    (tmp_path / "library-worker@1.service").symlink_to(tmp_path / "library-worker@.service")

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *names],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "library-" not in done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_a_command_of_ours_as_nobody(unit):
    text = unit.read_text()
    (command,) = re.findall(rf"^ExecStart={PROGRAM} (\w+)$", text, re.MULTILINE)
    assert command in get_command(app).commands
    assert {"DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes"} <= set(text.splitlines())


def test_every_variable_is_a_setting():
    known = {f"LIBRARY_{name.upper()}" for name in Settings.model_fields}
    known |= {f"{name}_FILE" for name in known}
    texts = [path.read_text() for path in (*UNITS, FOLDER / "library.env")]
    used = {
        name for text in texts for name in re.findall(r"^(?:Environment=)?(LIBRARY_\w+)=", text, re.MULTILINE)
    }
    assert used
    assert used <= known
