"""docs/operations.md says nothing that does not run: ``sh`` beside a worker, ``sh stopped`` without one."""

import re
from pathlib import Path

from contracts import subjects
from tests.shell import shell
from tests.upkeep import checked, connected, published
from worker.domain import audit
from worker.store import schema

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w[\w ]*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FINDINGS = re.compile(
    r'"((?:\w+_twice|status_differs|sequence_\w+|entity_missing|event_\w+|outbox_\w+|key_\w+))"'
)


async def lose(connection):
    """What a NATS without its storage has lost."""
    for stream in (subjects.EVENTS_STREAM, subjects.bucket_stream(subjects.ACTIVE_BUCKET)):
        await connection.jetstream().delete_stream(stream)


async def test_its_commands_run_in_their_order_and_help(own_system, tmp_path):
    own_system.start_servers()
    own_system.start_worker().wait_for_line("live_state_compared")
    told = ""
    async with connected(own_system) as caller:
        entity = await caller.create()
        await caller.rollback([await caller.deploy(entity) for _ in range(2)][-1])
        await published(own_system)
        for kind, code in BLOCKS:
            runs = own_system.workers[-1].popen.poll() is None
            if kind == "sh" and not runs:
                own_system.start_worker().wait_for_line("live_state_compared")
            elif kind == "sh stopped" and runs:
                own_system.workers[-1].stop()
            if code == "library migrate\n":
                await lose(caller.connection)
            told += shell(own_system, tmp_path, code).stdout

    assert told.count("everything agrees: 1 entities, 2 deployments, 6 events, 1 keys") == 2
    assert "manifest.json" in told
    assert (tmp_path / "check.json").read_text().startswith('{\n  "holds": true')
    assert "6 events published; 1 keys" in told
    assert (await checked(own_system)).findings == []


def test_every_difference_there_is_stands_in_its_table():
    named = set(re.findall(r"`(\w+)`", PAGE.partition("| line |")[2].partition("## Back up")[0]))
    written = Path(audit.__file__).read_text(encoding="utf-8")
    there = {*FINDINGS.findall(written), "active_twice", "deploying_twice"}
    assert len(there) > 10
    assert there <= named


def test_the_indexes_that_it_has_made_before_an_upgrade_are_those_of_the_migration():
    migration = one_line(Path(schema.__file__).with_name("migrations") / "versions" / "0003_confirmed.py")
    statements = re.findall(r"^    (CREATE INDEX CONCURRENTLY .*?);$", PAGE, re.MULTILINE | re.DOTALL)
    made = [" ".join(each.split()).replace("CONCURRENTLY", "IF NOT EXISTS") for each in statements]
    assert len(made) == migration.count("CREATE INDEX IF NOT EXISTS") > 0
    assert [each for each in made if each not in migration] == []


def one_line(path):
    return " ".join(path.read_text(encoding="utf-8").split())
