"""Random lives of a few entities, one batch of commands after the other, against the model of them."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts import subjects
from contracts.ids import Id
from contracts.values import timestamp
from tests.unit.builders import a_command, a_confirmation, a_lift, a_report, a_setting, an_expiry
from tests.unit.lifecycle_model import Model, ModelEntity
from tests.unit.lifecycle_steps import (
    LEAP,
    MAYBE_STRANGE,
    MOVES,
    PLACES,
    batches,
    environments,
    numbers,
    places,
    ticks,
)
from tests.unit.records import Records


class Lifecycle(RuleBasedStateMachine):
    """Commands go to the rules through batches, and to the model one by one."""

    def __init__(self):
        super().__init__()
        self.records = Records()
        self.model = Model()
        self.statuses: dict[str, str] = {}  # by the events, of each deployment
        self.accepted_at: dict[Id, str] = {}
        self.read = 0

    @property
    def living(self):
        return [entity for entity in self.model.entities if not entity.deleted]

    @initialize(settings=st.tuples(environments, environments))
    def begin(self, settings):
        for place, of_place in zip(PLACES, settings, strict=True):
            self.set_environment(place, of_place)
        self.register()

    @precondition(lambda self: len(self.living) < 3)
    @rule()
    def register(self):
        number = len(self.model.entities)
        config = {"n": number}
        command = a_command(
            subjects.ENTITY_CREATE, name=f"entity-{number}", type="service", version="1", config=config
        )
        (answer,) = self.records.answers(command)
        entity_id = Id(json.loads(answer.body)["entity_id"])
        self.model.entities.append(ModelEntity(entity_id, "registered", config))

    @rule(batch=batches, passed=ticks)
    def do(self, batch, passed):
        self.records.now += timedelta(microseconds=passed)  # a clock may stand still, or be set back
        self.run(batch)

    @rule(batch=batches, passed=ticks)
    def do_at_once(self, batch, passed):
        self.do(batch, passed)

    @rule(before=batches, between=batches, after=batches)
    def do_while_time_passes(self, before, between, after):
        self.run(before)
        self.records.now += timedelta(seconds=LEAP)
        self.model.time_passes(LEAP)
        self.run(between)  # the timers are late
        self.run_the_timers()
        self.run(after)

    @rule(place=places, number=numbers, length=st.integers(2, 4), after=batches)
    def let_a_line_go_at_once(self, place, number, length, after):
        """Several become active by one word, and what was active last is what a rollback goes back to."""
        settings = replace(self.model.environments[place], activation="confirmed", concurrency="queue")
        self.set_environment(place, settings)
        self.run([("deploy", (number, place, {"n": n}, "alice", (False, True))) for n in range(length)])
        self.set_environment(place, replace(settings, activation="instant"))
        self.run([("confirm_deploying", (0, "active", "agent-1"))])
        self.run([("rollback_active", (0, None, "bob")), *after])

    def run(self, batch):
        ready = [prepared for step in batch if (prepared := self.prepare(*step)) is not None]
        expected = []
        for _, told in ready:
            known = len(self.model.deployments)
            code = told()
            expected.append((code, self.model.deployments[known:]))
        answers = self.records.answers_to_all(*(command for command, _ in ready))
        for answer, (code, created) in zip(answers, expected, strict=True):
            assert answer.code == code
            for deployment in created:
                shown = json.loads(answer.body)
                deployment.deployment_id = Id(shown["deployment_id"])
                self.accepted_at[deployment.deployment_id] = shown["deployed_at"]

    @rule(place=places, settings=environments)
    def set_environment(self, place, settings):
        (answer,) = self.records.answers(a_setting(place, **vars(settings)))
        assert answer.code is None
        self.model.environments[place] = settings

    @rule(place=places)
    def switch(self, place):
        """What waits for an agent may find that none is asked any more, and the other way round."""
        settings = self.model.environments[place]
        activation = "instant" if settings.activation == "confirmed" else "confirmed"
        self.set_environment(place, replace(settings, activation=activation))

    @precondition(lambda self: self.model.quarantines)
    @rule(number=numbers)
    def lift(self, number):
        picked = self.model.quarantines[number % len(self.model.quarantines)]
        (answer,) = self.records.answers(a_lift(self.quarantine(picked)))
        assert answer.code is None
        self.model.lift(picked)

    def quarantine(self, picked):
        """The record of a quarantine of the model."""
        turn = [each for each in self.model.quarantines if each.of is picked.of].index(picked)
        of = picked.of.deployment_id
        return [each for each in self.records.quarantines.values() if each.deployment_id == of][turn]

    def run_the_timers(self):
        due = self.records.due()
        assert {each.deployment_id for each in due} == {
            each.deployment_id for each in self.model.deployments if each.late and each.status == "deploying"
        }
        answers = self.records.answers_to_all(*map(an_expiry, due))
        assert {json.loads(answer.body)["status"] for answer in answers} <= {"failed"}
        for each in due:
            self.model.expire(self.known(each.deployment_id))
        assert self.records.due() == []

    def known(self, deployment_id):
        return next(each for each in self.model.deployments if each.deployment_id == deployment_id)

    def prepare(self, kind, picked):
        """The command and how the model is told of it; None where there is nothing yet to ask it of."""
        asked, _, status = kind.partition("_")
        if asked in ("deploy", "update", "delete"):
            return getattr(self, asked)(*picked)
        current = self.deployment(picked[0], lambda each: status in ("", each.status))
        return None if current is None else getattr(self, asked)(current, *picked[1:])

    def record(self, deployment):
        return self.records.deployments[deployment.deployment_id]

    def entity(self, number):
        some = self.model.entities if number == MAYBE_STRANGE else self.living or self.model.entities
        return some[number % len(some)]

    def deployment(self, number, like=lambda _: True):
        """One of the latest of a kind that have an id already."""
        known = [each for each in self.model.deployments if each.deployment_id is not None and like(each)]
        return known[-1 - number % len(known)] if known else None

    def deploy(self, number, environment, override, by, how):
        pushes, insists = how
        entity = self.entity(number)
        command = a_command(
            subjects.DEPLOY_REQUEST,
            entity_id=entity.entity_id,
            environment=environment,
            deployed_by=by,
            config_override=override,
            supersede_pending=pushes,
            override_quarantine=insists,
            reason="all the same",
        )
        return command, lambda: self.model.deploy(
            entity, environment, override, by, pushes=pushes, insists=insists
        )

    def confirm(self, current, outcome, agent):
        command = a_confirmation(self.record(current), outcome=outcome, agent=agent)
        return command, lambda: self.model.confirm(current, outcome, agent)

    def expire(self, current):
        return an_expiry(self.record(current)), lambda: self.model.expire(current)

    def delete(self, number):
        entity = self.entity(number)
        command = a_command(subjects.ENTITY_DELETE, entity_id=entity.entity_id, deleted_by="dora")
        return command, lambda: self.model.delete(entity)

    def report(self, current, health, by):
        command = a_report(self.record(current), status=health, reported_by=by)
        return command, lambda: self.model.report(current, health, by)

    def rollback(self, current, number, by):
        place = (current.entity, current.environment)
        target = None
        if number is not None:
            target = self.deployment(
                number, lambda each: number == MAYBE_STRANGE or (each.entity, each.environment) == place
            )
        command = a_command(
            subjects.DEPLOY_ROLLBACK,
            deployment_id=current.deployment_id,
            rolled_back_by=by,
            reason=f"because of {by}",
            target_deployment_id=target and target.deployment_id,
        )
        return command, lambda: self.model.rollback(current, target, by, f"because of {by}")

    def retire(self, current):
        command = a_command(
            subjects.DEPLOY_RETIRE, deployment_id=current.deployment_id, retired_by="bob", reason="over"
        )
        return command, lambda: self.model.retire(current)

    def update(self, number, status, config):
        entity = self.entity(number)
        command = a_command(subjects.ENTITY_UPDATE, entity_id=entity.entity_id, status=status, config=config)
        return command, lambda: self.model.update(entity, status, config)

    @invariant()
    def deployments_are_as_the_model_says(self):
        assert len(self.records.deployments) == len(self.model.deployments)
        for expected in self.model.deployments:
            found = self.records.deployments[expected.deployment_id]
            previous = expected.previous and expected.previous.deployment_id
            assert found.status == expected.status
            assert found.previous_deployment_id == previous
            assert found.config_snapshot.value == expected.config
            assert (found.rolled_back_by, found.rollback_reason) == (
                expected.rolled_back_by,
                expected.rollback_reason,
            )
            assert [each["status"] for each in found.health_checks.value] == expected.reports
            assert (found.error_logs is not None) == expected.has_error
            assert timestamp(found.deployed_at) == self.accepted_at[found.deployment_id]

    @invariant()
    def at_most_one_is_active(self):
        for entity in self.model.entities:
            for environment in PLACES:
                expected = self.model.active(entity, environment)
                found = self.records.active(entity.entity_id, environment)
                assert (found and found.deployment_id) == (expected and expected.deployment_id)

    @invariant()
    def entities_are_as_the_model_says(self):
        for expected in self.model.entities:
            found = self.records.entities[expected.entity_id]
            config = found.deployment_config and found.deployment_config.value
            assert (found.status, found.declared_status) == (expected.status, expected.declared)
            assert (found.deployed_by, config) == (expected.deployed_by, expected.deployment_config)
            assert found.revision == expected.revision
            assert (found.deleted_at is not None) == expected.deleted

    @invariant()
    def events_are_as_the_model_says_and_numbered_without_a_gap(self):
        for expected in self.model.entities:
            rows = [row for row in self.records.events if row.entity_id == expected.entity_id]
            assert [row.sequence for row in rows] == [*range(1, len(rows) + 1)]
            found = [
                (row.type.split(".")[2], row.subject, json.loads(row.body)["data"]["actor"]) for row in rows
            ]
            assert found == [
                (name, deployment.deployment_id if deployment else expected.entity_id, by)
                for name, deployment, by in expected.events
            ]
            names = [name for name, *_ in found]
            for name, following in zip(names, [*names[1:], None], strict=True):
                assert name != "superseded" or following == "completed"
                assert name != "rolled_back" or following == "reactivated"

    @invariant()
    def what_waits_waits_behind_one_that_is_deploying(self):
        for entity in self.model.entities:
            for environment in PLACES:
                line = self.records.waiting(entity.entity_id, environment)
                expected = self.model.line(entity, environment)
                assert [each.deployment_id for each in line] == [each.deployment_id for each in expected]
                assert [each.status for each in line] == (["deploying"] + ["pending"] * len(line))[
                    : len(line)
                ]

    @invariant()
    def quarantines_are_as_the_model_says(self):
        assert len(self.records.quarantines) == len(self.model.quarantines)
        for each in self.model.quarantines:
            found = self.quarantine(each)
            assert (found.environment, found.lifted_at is not None) == (each.of.environment, each.lifted)

    @invariant()
    def nothing_is_active_twice_at_any_time(self):
        times = {}
        for each in self.records.deployments.values():
            spans = times.setdefault((each.entity_id, each.environment), [])
            if each.activated_at:
                spans.append((each.activated_at, self.ended(each)))
            former = (span for span in self.records.former if span.deployment_id == each.deployment_id)
            spans += [(start, end) for _, start, end in former]
        for spans in times.values():
            spans.sort()
            for (_, end), (start, _) in pairwise(spans):
                assert end <= start

    def ended(self, deployment):
        assert (deployment.status == "active") == (
            deployment.deactivated_at is None or deployment.deactivated_at < deployment.activated_at
        )
        return (
            datetime.max.replace(tzinfo=UTC) if deployment.status == "active" else deployment.deactivated_at
        )

    @invariant()
    def a_status_moves_by_the_table(self):
        for row in self.records.events[self.read :]:
            data = json.loads(row.body)["data"]
            if shown := data.get("deployment"):
                deployment_id, status = shown["deployment_id"], shown["status"]
                move = (self.statuses.get(deployment_id), status)
                assert move in MOVES or (move[0] == move[1] and row.type.split(".")[2] == "health")
                self.statuses[deployment_id] = status
        self.read = len(self.records.events)
        assert {Id(each): status for each, status in self.statuses.items()} == {
            each.deployment_id: each.status for each in self.records.deployments.values()
        }


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
