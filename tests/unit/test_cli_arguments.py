"""The command line as far as it goes without a server: arguments in, text out."""

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from contracts.problems import ProblemError
from worker.entrypoints.cli import app
from worker.entrypoints.commands.arguments import (
    dependency,
    document,
    entity_or_id,
    login_name,
    point_in_time,
)
from worker.entrypoints.commands.output import (
    Record,
    Table,
    json_text,
    lines,
    printable,
    problem_lines,
    write,
)
from worker.entrypoints.commands.settings import shown


def run(*arguments: str, **environment: str):
    return CliRunner().invoke(app, list(arguments), env=environment)


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("prices", "prices", None),
        ("prices>=1.2,<2", "prices", ">=1.2,<2"),
        ("price list ~= 1.4", "price list", "~= 1.4"),
        ("prices==1.0", "prices", "==1.0"),
        ("prices===1.0-odd", "prices", "===1.0-odd"),
        ("prices!=1.3", "prices", "!=1.3"),
    ],
)
def test_a_dependency_is_a_name_and_what_its_version_may_be(text, name, version):
    read = dependency(text)
    assert (read.name, read.version) == (name, version)


@pytest.mark.parametrize("text", ["", ">=1", "prices>>1", "prices=1", "prices>=", "p" * 256])
def test_what_is_no_dependency_is_a_mistake_in_usage(text):
    with pytest.raises(typer.BadParameter):
        dependency(text)


def test_a_document_is_given_as_json_or_in_a_file(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"größe": 3}', encoding="utf-8")

    assert document('{"replicas": 3, "debug": null}') == {"replicas": 3, "debug": None}
    assert document(f"@{file}") == {"größe": 3}


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"', "null", "@/nowhere/at/all.json", "@/"])
def test_what_is_no_document_is_a_mistake_in_usage(text):
    with pytest.raises(typer.BadParameter):
        document(text)


def test_a_file_that_is_not_utf_8_is_a_mistake_in_usage(tmp_path):
    file = tmp_path / "config.json"
    file.write_bytes(b'{"a": "\xff"}')

    with pytest.raises(typer.BadParameter, match="UTF-8"):
        document(f"@{file}")


def test_an_entity_is_an_id_where_it_reads_as_one_and_a_name_otherwise():
    one = uuid4()
    assert entity_or_id(str(one)) == one
    assert entity_or_id("prices") == "prices"


@pytest.mark.parametrize(
    "text", ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00z", "2026-01-31T13:00:00.000000+01:00"]
)
def test_a_time_is_given_with_its_offset(text):
    assert point_in_time(text) == datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+23:59"],
)
def test_what_is_no_time_or_could_be_several_is_a_mistake_in_usage(text):
    with pytest.raises(typer.BadParameter, match="2026-01-31T12:00:00Z"):
        point_in_time(text)


def test_who_acts_is_who_is_said_or_who_is_logged_in(monkeypatch):
    monkeypatch.setenv("LOGNAME", "alice")
    assert login_name("ci") == "ci"
    assert login_name(None) == "alice"


def test_a_plain_table_has_columns_two_blanks_apart_and_no_blanks_at_the_end():
    table = Table(("NAME", "ID"), [("prices", "1"), ("a", "22")])
    assert list(lines(table)) == ["NAME    ID", "prices  1", "a       22"]


def test_an_empty_table_is_its_headings():
    assert list(lines(Table(("NAME", "ID"), []))) == ["NAME  ID"]


def test_a_record_leaves_out_what_is_empty():
    assert list(lines(Record([("name", "prices"), ("reason", ""), ("id", "1")]))) == [
        "name:  prices",
        "id:    1",
    ]


def test_nothing_from_outside_steers_the_terminal():
    assert printable("a\x1b[2Jb\nc\u202ed é") == "a\\x1b[2Jb\\nc\\u202ed é"
    assert list(lines(Table(("A",), [("\x1b]0;x\x07",)]))) == ["A", "\\x1b]0;x\\x07"]


def test_what_is_written_into_a_file_has_no_colours():
    out = io.StringIO()
    write(Table(("NAME",), [("[red]prices[/red]",)]), to=out)
    assert out.getvalue() == "NAME\n[red]prices[/red]\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_names_as_they_are_and_ids_in_one_piece():
    out = Terminal()
    identifier = str(uuid4())
    write(Table(("NAME", "ID"), [("[red]prices[/red]" * 10, identifier)]), to=out)
    assert "[red]prices[/red]" in out.getvalue()
    assert identifier in out.getvalue()


class Sample(BaseModel):
    at: datetime
    by: UUID


def test_json_has_times_with_microseconds_in_utc():
    identifier = uuid4()
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert json.loads(json_text(Sample(at=at, by=identifier))) == {
        "at": "2026-01-02T01:04:05.000000Z",
        "by": str(identifier),
    }
    assert json.loads(json_text({"at": datetime(2026, 1, 2, tzinfo=UTC)})) == {
        "at": "2026-01-02T00:00:00.000000Z"
    }


def test_a_problem_is_said_once_with_every_fault_and_its_request():
    problem = ProblemError.invalid(("name", "is empty"), ("version", "is too long"))
    problem.request_id = "r-1"
    assert list(problem_lines(problem, "refused")) == [
        "refused: The request is not valid. [invalid_request]",
        "  name: is empty",
        "  version: is too long",
        "  request r-1",
    ]


def test_a_failed_validation_names_the_checks_that_its_detail_does_not():
    problem = ProblemError(
        "validation_failed", "A is off.", validation={"errors": ["A is off.", "B is off."]}
    )
    assert list(problem_lines(problem, "refused")) == [
        "refused: A is off. [validation_failed]",
        "  B is off.",
    ]


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("nats://alice:secret@a,nats://b", "nats://alice:***@a,nats://b"),
        ("nats://s3cr3t@a", "nats://***@a"),
        ("postgresql://u:p@ss/w:rd@h:5432/db", "postgresql://u:***@h:5432/db"),
        (
            "postgresql://h/db?user=u&password=secret&sslmode=require",
            "postgresql://h/db?user=u&password=***&sslmode=require",
        ),
    ],
)
def test_settings_are_shown_without_what_is_secret(value, seen):
    assert shown("database_url", value) == seen


def test_a_setting_that_is_a_secret_is_hidden_whole():
    assert shown("admin_token", "abc") == "***"


def test_config_names_the_variable_of_each_setting_and_hides_passwords():
    table = run("config", LIBRARY_DATABASE_URL="postgresql://u:secret@h/db")
    document_ = json.loads(run("config", "--json", LIBRARY_DATABASE_URL="postgresql://u:secret@h/db").stdout)

    assert table.exit_code == 0
    assert "secret" not in table.output
    assert document_["database_url"]["value"] == "postgresql://u:***@h/db"
    assert document_["batch_size"]["variable"] == "LIBRARY_BATCH_SIZE"


def test_a_setting_that_cannot_be_read_is_a_mistake_in_usage_that_names_it():
    result = run("config", LIBRARY_BATCH_SIZE="many")
    assert result.exit_code == 2
    assert "LIBRARY_BATCH_SIZE" in result.stderr
