import json
from datetime import UTC

import pytest
from pydantic import ValidationError

from contracts import convergence, subjects
from contracts.convergence import Consumer
from contracts.limits import MAX_PAGE_BYTES
from tests.unit.builders import LONG_AGO, NOW, SECOND, a_command, an_id
from worker import rendering
from worker.dispatch.convergence import AppliedThere, answer
from worker.domain.convergence import Applied, Beside, behind_since

SWITCHED = NOW - 60 * SECOND
ENDED = NOW - 90 * SECOND


def an_agent(deployment_id, sequence="7"):
    return Applied(an_id(), "agent-7", deployment_id, sequence)


def test_who_runs_what_is_active_is_not_behind():
    deployment_id = an_id()
    for ended in (None, ENDED):
        beside = Beside(deployment_id, 7, SWITCHED, ended)
        assert behind_since(an_agent(deployment_id), beside, NOW) is None


def test_who_runs_what_is_active_is_not_behind_for_an_older_sequence_of_it():
    deployment_id = an_id()
    assert behind_since(an_agent(deployment_id, "3"), Beside(deployment_id, 9, SWITCHED, None), NOW) is None


def test_who_runs_nothing_where_nothing_is_active_is_not_behind():
    assert behind_since(an_agent(None, None), Beside(None, None, None, None), NOW) is None


def test_who_runs_nothing_is_behind_since_there_is_something_to_run():
    assert behind_since(an_agent(None, None), Beside(an_id(), 9, SWITCHED, None), NOW) == SWITCHED


def test_who_runs_what_was_replaced_is_behind_since_it_ceased_to_be_active():
    assert behind_since(an_agent(an_id()), Beside(an_id(), 9, SWITCHED, ENDED), NOW) == ENDED


def test_who_runs_what_was_retired_is_behind_since_then():
    assert behind_since(an_agent(an_id()), Beside(None, None, None, ENDED), NOW) == ENDED


def test_who_runs_what_never_was_active_is_behind_since_there_is_something_else():
    assert behind_since(an_agent(an_id()), Beside(an_id(), 9, SWITCHED, None), NOW) == SWITCHED


def test_who_runs_what_nobody_knows_where_nothing_is_active_is_behind_as_of_now():
    assert behind_since(an_agent(an_id()), Beside(None, None, None, None), NOW) == NOW


@pytest.mark.parametrize("sequence", [None, 12])
def test_a_consumer_is_rendered_as_the_contracts_consumer_with_sequences_as_decimal_strings(sequence):
    applied = an_agent(an_id(), "7")
    beside = Beside(an_id() if sequence else None, sequence, LONG_AGO, None)
    shown = Consumer.model_validate_json(rendering.consumer(applied, beside, LONG_AGO))
    assert (str(shown.entity_id), shown.agent) == (applied.entity_id, "agent-7")
    assert (str(shown.deployment_id), shown.applied_sequence) == (applied.deployment_id, "7")
    assert shown.active_sequence == (None if sequence is None else "12")
    assert shown.behind_since == LONG_AGO
    assert shown.behind_since.tzinfo == UTC


def test_a_consumer_that_is_not_behind_and_runs_nothing_is_rendered_with_nulls():
    shown = Consumer.model_validate_json(
        rendering.consumer(an_agent(None, None), Beside(None, None, None, None), None)
    )
    assert (shown.deployment_id, shown.applied_sequence, shown.active_sequence) == (None, None, None)
    assert shown.behind_since is None


@pytest.mark.parametrize("sequence", ["", "-1", "1\n", "1.0", "x", "\u0661", "1" * 20, "1" * 5_000_000])
def test_what_is_no_sequence_of_64_bits_is_no_report(sequence):
    report = {"deployment_id": None, "applied_at": "2026-01-01T00:00:00Z"}
    assert convergence.Applied(**report, sequence="9" * 19).sequence == "9" * 19
    with pytest.raises(ValidationError):
        convergence.Applied(**report, sequence=sequence)


def test_an_agent_that_no_page_holds_hides_nobody_behind_it(monkeypatch):
    def nothing_active(transaction, environment, asked):
        return NOW, [Beside(None, None, None, None)] * len(asked)

    monkeypatch.setattr("worker.store.convergence.beside", nothing_active)
    agents = tuple(Applied(an_id(), "agent-7", None, "1" * digits) for digits in (1, MAX_PAGE_BYTES, 1, 1))
    command = a_command(subjects.DEPLOY_CONVERGENCE, environment="staging")
    for applied in (agents, agents[1:], agents[:2]):
        cursor, found = None, []
        while cursor is not None or not found:
            request = AppliedThere(environment="staging", cursor=cursor, applied=applied)
            page = json.loads(answer(command._replace(request=request), None))
            found += [each["entity_id"] for each in page["consumers"]]
            cursor = page["next_cursor"]
            assert page["consumers"]
        assert found == sorted(each.entity_id for each in applied)
