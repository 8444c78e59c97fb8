import pytest

from contracts import subjects
from tests.unit.builders import (
    a_command,
    a_deploy,
    an_entity,
    an_environment,
    changed_fields,
    decided,
    facts_of,
)
from worker.domain.errors import Refusal


def setting(**body):
    return a_command(subjects.ENVIRONMENT_SET, **{"environment": "staging", **body})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("activation", "confirmed"),
        ("confirm_timeout_s", 86400),
        ("auto_rollback", True),
        ("unhealthy_after", 1),
        ("concurrency", "supersede"),
        ("concurrency", "queue"),
    ],
)
def test_a_setting_that_is_named_changes_and_no_other(field, value):
    after = decided(setting(**{field: value}), facts_of()).reply
    assert getattr(after, field) == value
    assert changed_fields(an_environment("staging"), after) == {field}


@pytest.mark.parametrize("statuses", [["validated"], [], ["draft", "archived"]])
def test_required_statuses_replace_the_former_ones(statuses):
    after = decided(setting(require_status=statuses), facts_of()).reply
    assert after.require_status == tuple(statuses)
    assert changed_fields(an_environment("staging"), after) == {"require_status"}


def test_a_false_setting_is_set_and_not_left_out():
    automatic = an_environment("staging", auto_rollback=True)
    assert decided(setting(auto_rollback=False), facts_of(automatic)).reply.auto_rollback is False


def test_null_and_absence_leave_settings_as_they_are():
    before = an_environment("staging", activation="confirmed", confirm_timeout_s=9, concurrency="queue")
    nulls = dict.fromkeys(
        [
            "activation",
            "confirm_timeout_s",
            "auto_rollback",
            "unhealthy_after",
            "concurrency",
            "require_status",
        ]
    )
    assert decided(setting(**nulls), facts_of(before)).reply == before
    assert decided(setting(), facts_of(before)).reply == before


def test_the_other_environments_stay_as_they_are():
    decision = decided(setting(environment="production", activation="confirmed"), facts_of())
    (changed,) = decision.records
    assert changed.environment == "production"
    assert changed is decision.reply


def test_a_change_is_announced_by_who_made_it():
    decision = decided(setting(updated_by="ursula", unhealthy_after=5), facts_of())
    (updated,) = decision.events
    assert (updated.name, updated.actor) == ("updated", "ursula")
    assert updated.about is decision.reply


def test_what_an_environment_requires_holds_for_the_next_deploy():
    entity = an_entity()
    facts = facts_of(entity)
    facts.absorb(decided(setting(require_status=["validated"]), facts).records)
    with pytest.raises(Refusal) as caught:
        decided(a_deploy(entity), facts)
    assert caught.value.code == "validation_failed"
    assert decided(a_deploy(entity, environment="testing"), facts).reply.status == "active"
