"""docs/tutorial.md, production.md, recovery.md and upgrade.md say nothing that does not run."""

import re
from pathlib import Path

import pytest
import yaml

from tests.shell import shell

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w[\w ]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def said(system, folder, code, status=0):
    """What a block prints and logs."""
    done = shell(system, folder, code, status)
    return done.stdout + done.stderr


def test_the_tutorial_leads_to_a_release_and_back(own_system, tmp_path):
    own_system.start()
    told = [
        (code, said(own_system, tmp_path, code, status=int("refused" in kind)))
        for kind, code in FENCE.findall(page("tutorial.md"))
    ]

    def after(command):
        (found,) = [text for code, text in told if command in code]
        return found

    assert "no_rollback_target" in after("What if")
    back = after("too early")
    assert "rolled_back" in back
    assert re.search(r"1\.0\.0.*active|active.*1\.0\.0", back)
    assert "0.20" in (tmp_path / "release.yaml").read_text()
    assert "everything agrees" in after("library check")


async def test_the_commands_for_recovery_run(own_system, tmp_path):
    own_system.start()
    said(own_system, tmp_path, "library entity create prices --type service --version 1.0.0")
    for _ in range(2):
        said(own_system, tmp_path, "library deploy prices production --reason Release")
    for kind, code in FENCE.findall(page("recovery.md")):
        assert kind == "sh"
        assert said(own_system, tmp_path, code) is not None


def test_the_commands_of_the_list_for_production_run(own_system, tmp_path):
    own_system.start()
    said(own_system, tmp_path, "library entity create prices --type service --version 1.0.0")
    said(own_system, tmp_path, "library deploy prices production --reason First")
    told = ""
    for kind, code in FENCE.findall(page("production.md")):
        assert kind == "sh"
        if "library deploy prices production" in code:  # nobody is there to confirm it
            said(own_system, tmp_path, "library environment set production --activation instant")
        told += said(own_system, tmp_path, code.replace("http://127.0.0.1:8350", own_system.http_url))

    assert "LIBRARY_DATABASE_URL_FILE" in told
    assert "everything agrees" in told
    assert "rolled_back" in told
    assert not (tmp_path / "database-url").exists()


async def test_an_upgrade_goes_step_by_step(own_system, tmp_path):
    own_system.start()
    said(own_system, tmp_path, "library entity create prices --type service --version 1.0.0")
    said(own_system, tmp_path, "library deploy prices production --reason Release")
    told = "".join(said(own_system, tmp_path, code) for _, code in FENCE.findall(page("upgrade.md")))
    assert told.count("everything agrees") == 2
    assert "database at revision" in told
    assert (tmp_path / "before-upgrade.backup").stat().st_size > 0


def test_a_worker_runs_on_the_schema_of_the_next_release_and_its_migrate_refuses(own_system, tmp_path):
    own_system.start_servers()
    own_system.sql("UPDATE alembic_version SET version_num = '9999'")

    own_system.start_worker().wait_for_line("worker_ready")
    refused = said(own_system, tmp_path, "library migrate", status=1)

    assert "newer" in refused


def test_every_alert_has_its_row_and_no_row_is_without_one():
    rules = yaml.safe_load(
        (ROOT / "deploy" / "prometheus" / "library.rules.yaml").read_text(encoding="utf-8")
    )
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    rows = re.findall(r"^\| `(Library\w+)` \|", page("recovery.md"), re.MULTILINE)
    assert sorted(rows) == sorted(alerts)


@pytest.mark.parametrize("name", ["tutorial.md", "recovery.md", "production.md"])
def test_every_command_that_a_page_names_is_in_the_reference(name):
    known = set(re.findall(r"^## (library [a-z -]+)$", page("reference/command-line.md"), re.MULTILINE))
    named = set(re.findall(r"`(library [a-z]+(?: [a-z]+)?)", page(name)))
    assert named
    for each in named:
        assert any(each == command or each.startswith(f"{command} ") for command in known), each


def test_every_log_event_that_recovery_names_is_in_the_table():
    events = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)` in (?:its|the) log", page("recovery.md")))
    assert len(events) >= 4
    assert events <= set(re.findall(r"`(\w+)`", page("logs.md")))
