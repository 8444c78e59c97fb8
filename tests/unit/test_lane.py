"""The lane: batches from the queue, what they put off, and batches that fail."""

import random
import threading
import time
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from contracts import subjects
from tests.unit.builders import (
    SECOND,
    a_command,
    a_deploy,
    a_deployment,
    a_former,
    a_rollback,
    a_setting,
    an_entity,
    an_id,
    an_update,
    deployed,
)
from tests.unit.records import Records
from worker.dispatch import batch
from worker.dispatch.dispatcher import Dispatcher, Ticket
from worker.store.unit_of_work import GuardFailed


def running(name="invoices"):
    """An entity, a former deployment of it and the one that is active in staging."""
    entity = deployed(an_entity(name, event_sequence=5))
    former = a_former(entity, version="0.9")
    return entity, former, a_deployment(entity, deployed_at=former.deployed_at + 9 * SECOND)


class Lane(Dispatcher):
    """The dispatcher's lane on records in memory; where ``splits()``, a batch of several fails."""

    def __init__(self, records, *, splits=lambda: False, **settings):
        self.records, self.splits = records, splits
        super().__init__(
            writes=None,
            reads=None,
            sink=None,
            committed=lambda _: None,
            status=lambda _: b"",
            readers=0,
            **settings,
        )

    def _run(self, session, entries, again, held, decided=batch.nobody_waits):
        if len(entries) > 1 and self.splits():
            raise GuardFailed
        facts = self.records.facts(batch._wanted(entries))
        batch_of_these = batch._Batch(facts, dict(self.records.outcomes))
        result = batch_of_these.result(entries, again, held)
        decided(batch_of_these.ties(entries))
        self.records._write(batch_of_these.ledger.changes())
        self.records.outcomes.update(batch_of_these.first_outcomes)
        self.records.now += timedelta(milliseconds=1)
        return result

    def put(self, command):
        self.submit(Ticket(command, None))

    def batch(self):
        """One batch: pairs of a command and its answer."""
        taken = self.write_queue.take(self._batch_size)
        result = self._result(None, taken)
        self.write_queue.settle(taken, result.put_off)
        pairs = zip(taken.items, result.answers, strict=True)
        return [(waiting.ticket.command, answer) for waiting, answer in pairs if answer]

    def rest(self):
        found = []
        while len(self.write_queue):
            answered = self.batch()
            assert answered, "a batch that answers nothing would run for ever"
            found += answered
        return found


class Locks:
    """The locks of entities' rows, as the database has them."""

    def __init__(self):
        self.changed, self.held = threading.Condition(), set()

    def take(self, entities):
        self.changed.wait_for(lambda: self.held.isdisjoint(entities), 10)
        assert self.held.isdisjoint(entities)
        self.held |= entities

    def free(self, entities):
        self.held -= entities
        self.changed.notify_all()


class Lanes(Lane):
    """Both lanes, in their threads; what one decides is written a moment later."""

    def __init__(self, records, dice, **settings):
        super().__init__(records, **settings)
        self.dice, self.locks, self.answered = dice, Locks(), []
        self.together = 0
        self._sink = self.answered.extend

    def _entities(self, entries):
        named = (entry.needs.deployment_id for entry in entries)
        of_deployments = {self.records.deployments[each].entity_id for each in named if each}
        return of_deployments | {entry.needs.entity_id for entry in entries if entry.needs.entity_id}

    def _run(self, session, entries, again, held, decided=batch.nobody_waits):
        with self.locks.changed:
            locked = self._entities(entries)
            self.locks.take(locked)
            self.together = max(self.together, len(self.locks.held) - len(locked))
            these = batch._Batch(self.records.facts(batch._wanted(entries)), dict(self.records.outcomes))
            result = these.result(entries, again, held)
            self.records.now += timedelta(milliseconds=1)
        decided(these.ties(entries))
        time.sleep(self.dice.random() / 1000)
        with self.locks.changed:
            self.records._write(these.ledger.changes())
            self.records.outcomes.update(these.first_outcomes)
            self.locks.free(locked)
        return result


def to_and_fro(active, former, times):
    """Rollbacks to each other that are all carried out, in this order only."""
    turns = ((active, former), (former, active))
    return [
        a_rollback(turns[number % 2][0], target_deployment_id=turns[number % 2][1].deployment_id)
        for number in range(times)
    ]


def elsewhere(entity, former, active):
    """The same in production, too."""
    there = {"environment": "production", "deployment_id": an_id()}
    return former._replace(**there), active._replace(**{**there, "deployment_id": an_id()})


def of_a_random_mix(dice, count):
    """Four entities, one of them hot, and commands of them; some share a key, also across entities."""
    kept = [running(f"entity-{number}") for number in range(4)]
    kept = [(entity, *there, *elsewhere(entity, *there)) for entity, *there in kept]
    commands = []
    for _ in range(count):
        entity, *deployments = kept[dice.choice([0, 0, 0, 0, 1, 2, 3])]
        former, active = dice.choice([deployments[:2], deployments[2:]])
        envelope = {"key": f"key-{dice.randrange(count // 3)}"} if dice.random() < 0.3 else {}
        one, other = dice.sample([active, former], 2)
        commands.append(
            dice.choice(
                [
                    lambda: a_deploy(entity, envelope, environment="development"),  # noqa: B023 - called at once
                    lambda: an_update(entity, version=str(dice.randrange(99))),  # noqa: B023
                    lambda: a_rollback(one, envelope, target_deployment_id=other.deployment_id),  # noqa: B023
                    lambda: a_rollback(one, envelope, target_deployment_id=other.deployment_id),  # noqa: B023
                ]
            )()
        )
    return [record for records in kept for record in records], commands


def require_as_one_by_one(records, commands, changed, found):
    """Every command has the answer, every entity the events, that they have where each is done by itself."""
    expected = Records(*records)
    answers = [expected.answers_to_all(command)[0] for command in commands]
    told = {command.request_id: (answer.code, answer.replayed) for command, answer in found}
    assert len(found) == len(told) == len(commands)
    assert [told[command.request_id] for command in commands] == [
        (answer.code, answer.replayed) for answer in answers
    ]
    for entity_id in expected.entities:
        here, there = (
            [(row.type, row.sequence) for row in each.events if row.entity_id == entity_id]
            for each in (changed, expected)
        )
        assert here == there


@pytest.mark.parametrize("failing", [0.0, 0.3], ids=["no batch fails", "some batches fail"])
@pytest.mark.parametrize("seed", range(25))
def test_whatever_is_put_off_every_command_finds_its_entity_as_if_they_came_one_by_one(seed, failing):
    dice = random.Random(seed)
    records, commands = of_a_random_mix(dice, 90)

    lane = Lane(Records(*records), splits=lambda: dice.random() < failing, batch_size=8)
    found, arriving = [], iter(commands)
    for command in arriving:
        lane.put(command)
        if dice.random() < 0.15:
            found += lane.batch()
    found += lane.rest()

    require_as_one_by_one(records, commands, lane.records, found)


@pytest.fixture
def slowly(monkeypatch):
    """Has each decision take so many seconds by the clock that batches look at."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(batch, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def takes(seconds):
        def slow(decide):
            def decided(*facts):
                clock.now += seconds()
                return decide(*facts)

            return decided

        slowed = {name: replace(each, decide=slow(each.decide)) for name, each in batch.OPERATIONS.items()}
        monkeypatch.setattr(batch, "OPERATIONS", slowed)

    return takes


@pytest.mark.parametrize(("seconds", "at_once"), [(0.01, 10), (0.2, 3), (0.49, 2), (5, 1)])
def test_where_decisions_take_long_the_rest_of_a_batch_is_put_off_and_keeps_its_order(
    slowly, seconds, at_once
):
    slowly(lambda: seconds)
    entities = [an_entity(f"entity-{number}") for number in range(5)]
    lane = Lane(Records(*entities))
    commands = [a_deploy(entity, reason=str(place)) for place in range(2) for entity in entities]
    for command in commands:
        lane.put(command)
    first = lane.batch()
    assert [command for command, _ in first] == commands[:at_once]
    for entity in entities:
        lane.put(late := a_deploy(entity))
        commands.append(late)

    answered = first + lane.rest()

    assert {answer.code for _, answer in answered} == {None}
    for entity in entities:
        of_entity = [each for each in commands if str(each.request.entity_id) == entity.entity_id]
        assert [each for each, _ in answered if each in of_entity] == of_entity


@pytest.mark.parametrize("failing", [0.0, 0.3], ids=["no batch fails", "some batches fail"])
@pytest.mark.parametrize("seed", range(15))
def test_where_decisions_take_long_every_command_finds_its_entity_as_if_they_came_one_by_one(
    slowly, seed, failing
):
    dice = random.Random(seed)
    records, commands = of_a_random_mix(dice, 90)
    slowly(lambda: dice.choice([0.0, 0.1, 0.4]))
    lane = Lane(Records(*records), splits=lambda: dice.random() < failing, batch_size=8)
    found = []
    for command in commands:
        lane.put(command)
        if dice.random() < 0.15:
            found += lane.batch()
    found += lane.rest()

    require_as_one_by_one(records, commands, lane.records, found)


def test_what_is_tied_by_a_name_or_by_an_environment_keeps_its_order_when_it_is_put_off(slowly):
    slowly(lambda: 5)
    lane = Lane(Records(), batch_size=4)
    commands = [
        *(a_command(subjects.ENTITY_CREATE, name=name, type="service", version="1") for name in "abcabc"),
        *(a_setting(unhealthy_after=number) for number in (5, 6, 7)),
    ]
    for command in commands:
        lane.put(command)

    answered = lane.batch()
    assert len(answered) == 1
    answered += lane.rest()

    codes = {command.request_id: answer.code for command, answer in answered}
    assert [codes[command.request_id] for command in commands] == [
        *(None, None, None, *["entity_name_taken"] * 3),
        *(None, None, None),
    ]
    assert lane.records.environments["staging"].unhealthy_after == 7


@pytest.mark.parametrize("seed", range(10))
def test_with_both_lanes_at_work_every_command_finds_its_entity_as_if_they_came_one_by_one(seed):
    dice = random.Random(seed)
    records, commands = of_a_random_mix(dice, 90)
    lanes = Lanes(Records(*records), dice, batch_size=8)
    lanes.start()
    for command in commands:
        lanes.submit(Ticket(command, None))
    drained = lanes.drain(20)
    lanes.close()

    assert drained
    found = [(ticket.command, answer) for ticket, answer in lanes.answered]
    require_as_one_by_one(records, commands, lanes.records, found)


def test_while_one_lane_writes_the_other_one_decides():
    entities = [running(f"entity-{number}") for number in range(40)]
    lanes = Lanes(Records(*(record for each in entities for record in each)), random.Random(1), batch_size=4)
    lanes.start()
    for entity, *_ in entities:
        lanes.submit(Ticket(a_deploy(entity), None))
    drained = lanes.drain(20)
    lanes.close()
    assert drained
    assert len(lanes.answered) == len(entities)
    assert lanes.together > 0


def test_behind_a_thousand_of_one_entity_the_others_are_answered_in_their_turn():
    hot, former, active = running("hot")
    others = [running(f"other-{number}") for number in range(5)]
    lane = Lane(Records(hot, former, active, *(record for each in others for record in each)))
    for command in to_and_fro(active, former, 1000):
        lane.put(command)
    patient = [a_deploy(entity, environment="production") for entity, *_ in others for _ in range(2)]
    patient += [a_rollback(current) for _, _, current in others]
    for command in patient:
        lane.put(command)

    answered = lane.rest()

    assert {answer.code for _, answer in answered} == {None}
    places = {command.request_id: place for place, (command, _) in enumerate(answered)}
    assert max(places[command.request_id] for command in patient) < 100


def test_a_command_is_put_off_behind_one_of_its_entity_that_waits_elsewhere():
    entity, former, active = running()
    lane = Lane(Records(entity, former, active), batch_size=2)
    commands = [*to_and_fro(active, former, 4), a_deploy(entity), a_deploy(entity)]
    for command in commands:
        lane.put(command)

    answered = lane.rest()

    assert [command for command, _ in answered] == commands
    assert [answer.code for _, answer in answered] == [None] * 6


def test_where_a_batch_fails_what_is_put_off_behind_another_holds_up_its_own_entity_too():
    entity, former, active = running()
    other, others_former, others = running("other")
    failing = iter([False, True])
    records = Records(entity, former, active, other, others_former, others)
    lane = Lane(records, splits=lambda: next(failing, False), batch_size=4)
    first = to_and_fro(active, former, 3)
    keyed = a_rollback(former, {"key": "release-7"}, target_deployment_id=active.deployment_id)
    reused, behind = a_rollback(others, {"key": "release-7"}), a_deploy(other)
    for command in (*first, keyed, reused, behind):
        lane.put(command)

    answered = lane.rest()

    assert next(failing, None) is None
    assert [command for command, _ in answered] == [*first, keyed, reused, behind]
    assert [answer.code for _, answer in answered] == [None] * 4 + ["idempotency_key_reused", None]


def test_a_command_that_its_rule_cannot_tell_the_needs_of_is_answered_all_the_same():
    lane, answered = Lane(Records()), []
    lane._sink = answered.extend
    command = a_deploy(an_entity())._replace(request=None)

    lane.submit(Ticket(command, None))

    assert [(ticket.command, answer.code) for ticket, answer in answered] == [(command, "internal_error")]
    assert not len(lane.write_queue)
