from itertools import product
from typing import get_args

import pytest

from contracts.deployments import DeploymentStatus
from tests.unit.builders import NOW, a_deployment, an_entity, changed_fields
from worker.domain.states import ROLLBACK_TARGETS, TRANSITIONS, IllegalTransition, moved

STATUSES = get_args(DeploymentStatus)
# Section 4 of the wire contract. From pending straight to active: where the environment was made instant.
ALLOWED = {
    ("pending", "deploying"),
    ("pending", "active"),
    ("pending", "failed"),
    ("deploying", "active"),
    ("deploying", "failed"),
    ("active", "inactive"),
    ("active", "rolled_back"),
    ("inactive", "active"),
    ("rolled_back", "active"),
}


def in_state(status):
    return a_deployment(an_entity(), status=status)


def test_the_statuses_are_those_of_the_wire():
    assert set(STATUSES) == {"pending", "deploying", "active", "inactive", "rolled_back", "failed"}
    assert TRANSITIONS.keys() == set(STATUSES)


@pytest.mark.parametrize(("start", "end"), sorted(ALLOWED))
def test_a_transition_of_the_table_gives_the_deployment_in_its_next_state(start, end):
    assert moved(in_state(start), end, NOW).status == end


@pytest.mark.parametrize(("start", "end"), sorted(set(product(STATUSES, STATUSES)) - ALLOWED))
def test_any_other_transition_is_a_fault_of_ours(start, end):
    with pytest.raises(IllegalTransition, match=f"{start} to {end}"):
        moved(in_state(start), end, NOW)


def test_what_failed_stays_failed():
    assert not TRANSITIONS["failed"]


def test_what_was_superseded_retired_or_rolled_back_can_be_rolled_back_to_and_nothing_else():
    assert {"inactive", "rolled_back"} == ROLLBACK_TARGETS
    assert all("active" in TRANSITIONS[status] for status in ROLLBACK_TARGETS)


@pytest.mark.parametrize("start", ["pending", "deploying", "inactive", "rolled_back"])
def test_becoming_active_sets_when_and_nothing_else(start):
    before = in_state(start)
    after = moved(before, "active", NOW)
    assert after.activated_at == after.updated_at == NOW
    assert changed_fields(before, after) == {"status", "activated_at", "updated_at"}


@pytest.mark.parametrize("end", ["inactive", "rolled_back"])
def test_ceasing_to_be_active_sets_when_and_nothing_else(end):
    before = in_state("active")
    after = moved(before, end, NOW)
    assert after.deactivated_at == after.updated_at == NOW
    assert changed_fields(before, after) == {"status", "deactivated_at", "updated_at"}


def test_what_fails_without_having_been_active_gets_no_time_of_activity():
    before = a_deployment(an_entity(), status="deploying", activated_at=None)
    after = moved(before, "failed", NOW)
    assert (after.activated_at, after.deactivated_at, after.updated_at) == (None, None, NOW)


def test_further_changes_go_with_the_transition():
    assert moved(in_state("active"), "rolled_back", NOW, rolled_back_by="bob").rolled_back_by == "bob"


@pytest.mark.parametrize("start", ["pending", "deploying", "inactive", "rolled_back"])
def test_becoming_active_starts_the_count_of_bad_reports_anew(start):
    before = a_deployment(an_entity(), status=start, unhealthy_reports=7, came_back_for_health=True)
    after = moved(before, "active", NOW)
    assert (after.unhealthy_reports, after.came_back_for_health) == (0, False)
    assert moved(before, "active", NOW, came_back_for_health=True).came_back_for_health


@pytest.mark.parametrize("end", ["inactive", "rolled_back"])
def test_ceasing_to_be_active_keeps_the_count_of_bad_reports(end):
    before = a_deployment(an_entity(), unhealthy_reports=7, came_back_for_health=True)
    after = moved(before, end, NOW)
    assert (after.unhealthy_reports, after.came_back_for_health) == (7, True)
