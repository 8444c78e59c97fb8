"""Random lives of a few entities, one batch of commands after the other, against the model of them."""

import json
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts import subjects
from contracts.ids import Id
from contracts.values import timestamp
from tests.unit.builders import a_command
from tests.unit.lifecycle_model import Model, ModelEntity
from tests.unit.records import Records

PLACES = ("staging", "production")
STATUSES = ("draft", "registered", "validated", "archived")
# From section 4 of the wire contract, as far as instant environments have them.
MOVES = {
    (None, "active"),
    ("active", "inactive"),
    ("active", "rolled_back"),
    ("inactive", "active"),
    ("rolled_back", "active"),
}

numbers = st.integers(0, 9)
documents = st.none() | numbers.map(lambda number: {"n": number})
people = st.sampled_from(["alice", "bob"])
places = st.sampled_from(PLACES)
KINDS = {
    "deploy": st.tuples(numbers, places, documents, people),
    "rollback_active": st.tuples(numbers, st.none() | numbers, people),
    "rollback": st.tuples(numbers, st.none() | numbers, people),
    "retire_active": st.tuples(numbers),
    "retire": st.tuples(numbers),
    "update": st.tuples(numbers, st.none() | st.sampled_from(STATUSES), documents),
    "delete": st.tuples(numbers),
}
HOW_OFTEN = ["deploy"] * 6 + ["rollback_active"] * 5 + ["retire_active", "update"] * 2 + [*KINDS]
steps = st.sampled_from(HOW_OFTEN).flatmap(lambda kind: st.tuples(st.just(kind), KINDS[kind]))
MAYBE_STRANGE = 9
"""The number by which also a deleted entity, or a target of elsewhere, is picked."""


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

    @initialize()
    def register_the_first(self):
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

    @rule(batch=st.lists(steps, min_size=2, max_size=8), passed=st.sampled_from([-1_000_000, 0, 1, 5_000]))
    def do(self, batch, passed):
        self.records.now += timedelta(microseconds=passed)  # a clock may stand still, or be set back
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

    def prepare(self, kind, picked):
        """The command and how the model is told of it; None where there is nothing yet to ask it of."""
        match kind:
            case "deploy":
                return self.deploy(*picked)
            case "update":
                return self.update(*picked)
            case "delete":
                entity = self.entity(picked[0])
                return (
                    a_command(subjects.ENTITY_DELETE, entity_id=entity.entity_id, deleted_by="dora"),
                    lambda: self.model.delete(entity),
                )
            case "rollback_active" | "retire_active":
                current = self.deployment(picked[0], lambda each: each.status == "active")
            case _:
                current = self.deployment(picked[0])
        if current is None:
            return None
        return self.rollback(current, *picked[1:]) if kind.startswith("rollback") else self.retire(current)

    def entity(self, number):
        some = self.model.entities if number == MAYBE_STRANGE else self.living or self.model.entities
        return some[number % len(some)]

    def deployment(self, number, like=lambda _: True):
        """One of the latest of a kind that have an id already."""
        known = [each for each in self.model.deployments if each.deployment_id is not None and like(each)]
        return known[-1 - number % len(known)] if known else None

    def deploy(self, number, environment, override, by):
        entity = self.entity(number)
        command = a_command(
            subjects.DEPLOY_REQUEST,
            entity_id=entity.entity_id,
            environment=environment,
            deployed_by=by,
            config_override=override,
        )
        return command, lambda: self.model.deploy(entity, environment, override, by)

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
            names = [row.type.split(".")[2] for row in rows]
            assert [row.sequence for row in rows] == [*range(1, len(rows) + 1)]
            assert names == expected.events
            for name, following in zip(names, [*names[1:], None], strict=True):
                assert name != "superseded" or following == "completed"
                assert name != "rolled_back" or following == "reactivated"

    @invariant()
    def a_status_moves_by_the_table(self):
        for row in self.records.events[self.read :]:
            data = json.loads(row.body)["data"]
            if shown := data.get("deployment"):
                deployment_id, status = shown["deployment_id"], shown["status"]
                assert (self.statuses.get(deployment_id), status) in MOVES
                self.statuses[deployment_id] = status
        self.read = len(self.records.events)
        assert {Id(each): status for each, status in self.statuses.items()} == {
            each.deployment_id: each.status for each in self.records.deployments.values()
        }


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
