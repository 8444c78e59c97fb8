"""A batch of commands in one transaction: facts, decisions one after the other, writes, answers."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from contracts import subjects
from contracts.environments import ENVIRONMENTS
from contracts.ids import id7
from contracts.problems import NO_OUTCOMES, ProblemError
from worker.dispatch.answer import Answer
from worker.dispatch.ledger import Ledger
from worker.dispatch.queue import Claims, Ties
from worker.dispatch.transitions import Announced
from worker.domain.changes import Moment
from worker.domain.command import Command
from worker.domain.errors import DeadlineExceeded, KeyReused
from worker.domain.facts import Facts
from worker.operations import OPERATIONS, Needs
from worker.store import changes, facts, guards, idempotency, queries
from worker.store.changes import EventRow
from worker.store.facts import Wanted
from worker.store.idempotency import Outcome, OutcomeKey
from worker.store.transaction import Transaction

_TICK = timedelta(microseconds=1)
_MOST_SECONDS = 0.5
"""Deciding goes on no longer; PostgreSQL ends a transaction in which nothing is asked for two seconds."""


class Entry(NamedTuple):
    """A command with what it needs."""

    command: Command[Any]
    needs: Needs
    key: OutcomeKey | None

    @classmethod
    def of(cls, command: Command[Any]) -> "Entry":
        """The entry of a command."""
        if command.durable and command.durable.refused:
            return cls(command, Needs(), None)
        key = command.key and OutcomeKey(command.caller.name, command.operation, command.key)
        return cls(command, OPERATIONS[command.operation].needs(command), key or None)

    @property
    def claims(self) -> Claims:
        """What holds it to its place as far as can be told before its facts say a deployment's entity."""
        needs = self.needs
        known = (needs.entity_id, needs.deployment_id, needs.target_id, self.key, *self.others)
        return Claims([each for each in known if each], complete=needs.deployment_id is None)

    @property
    def others(self) -> Iterator[Hashable]:
        """What it takes or changes that is no entity's: a name, a quarantine, an environment's rules."""
        needs = self.needs
        if needs.name:
            yield "name", needs.name
        if needs.quarantine_id:
            yield needs.quarantine_id
        if self.command.operation == subjects.ENVIRONMENT_SET:
            yield "environment"


@dataclass(slots=True)
class Result:
    """What came of a batch: an answer for each command by its place, None for those put off.

    ``put_off`` says, by their places, what holds those to their order: their entity and their key.
    """

    answers: list[Answer | None]
    put_off: dict[int, Ties] = field(default_factory=dict)
    events: list[EventRow] = field(default_factory=list)
    announced: list[Announced] = field(default_factory=list)


def nobody_waits(_: Ties) -> None:
    """Where no other batch is decided meanwhile."""


def run(
    transaction: Transaction,
    entries: Sequence[Entry],
    *,
    again: int = 0,
    held: Ties = frozenset(),
    decided: Callable[[Ties], None] = nobody_waits,
) -> Result:
    """Decide and write them all.

    A command is put off to a later batch where it reads more of its entity than a former command of this one
    left up to date; so are the later commands of that entity, in their order. So are those whose entity or
    key is ``held`` by a command that waits elsewhere, save the first ``again``, which came before it; and so
    is what is left when deciding has taken half a second. What is ``decided`` is told before it is written,
    with all that it is tied to. Raises what the store raises; what stands against what is written here, the
    commit says.
    """
    loaded = facts.load(transaction, _wanted(entries), lock=True)
    batch = _Batch(loaded.facts, loaded.outcomes, _rejected_before(transaction, entries))
    result = batch.result(entries, again, held)
    decided(batch.ties(entries))
    if batch.ledger.changed:
        changes.write(transaction, batch.ledger.changes())
    idempotency.keep(transaction, batch.first_outcomes.items(), loaded.facts.now)
    if batch.earliest_deadline is not None:
        guards.in_time(transaction, batch.earliest_deadline)
    return result


def _ties(entry: Entry, facts: Facts) -> Ties:
    """What holds a command to its place: none of its entity, or with its key, is decided before its turn."""
    return {tie for tie in (entry.needs.entity_in(facts), entry.key, *entry.others) if tie}


def _rejected_before(transaction: Transaction, entries: Sequence[Entry]) -> set[str]:
    """Those durable commands that come again although their refusal is an event already."""
    again = [each.durable.command_id for each, _, _ in entries if each.durable and each.durable.redelivered]
    return queries.rejected(transaction, again) if again else set()


def _wanted(entries: Sequence[Entry]) -> Wanted:
    needs = [entry.needs for entry in entries]
    everywhere = [each.entity_id for each in needs if each.entity_id and each.everywhere]
    return Wanted(
        entity_ids=[each.entity_id for each in needs if each.entity_id],
        places=[
            *((each.entity_id, each.environment) for each in needs if each.entity_id and each.environment),
            *((entity_id, environment) for entity_id in everywhere for environment in ENVIRONMENTS),
        ],
        neighbours_of=[each.deployment_id for each in needs if each.deployment_id and each.neighbours],
        quarantine_ids=[each.quarantine_id for each in needs if each.quarantine_id],
        deployment_ids=[each.deployment_id for each in needs if each.deployment_id],
        target_ids=[each.target_id for each in needs if each.target_id],
        fallback_of=[each.deployment_id for each in needs if each.deployment_id and each.fallback],
        dependents_of=[each.deployment_id for each in needs if each.deployment_id and each.dependents],
        names=[each.name for each in needs if each.name],
        keys=[entry.key for entry in entries if entry.key],
    )


def fingerprint(command: Command[Any]) -> bytes:
    """What is compared when a key comes again: the parsed body, with its defaults save the transport's."""
    body = command.request.model_dump(mode="json")
    if body.get("deployment_method") in (None, command.default_method):
        body.pop("deployment_method", None)
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()


@dataclass(slots=True)
class _Batch:
    facts: Facts
    outcomes: dict[OutcomeKey, Outcome]
    rejected_before: set[str] = field(default_factory=set)
    ledger: Ledger = field(init=False)
    first_outcomes: dict[OutcomeKey, Outcome] = field(default_factory=dict)
    earliest_deadline: Any = None
    held: set[Hashable] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.facts)

    def result(self, entries: Sequence[Entry], again: int, held: Ties) -> Result:
        """The answers to all there is time for, at least to one.

        What is held elsewhere holds up only those behind the first ``again``.
        """
        answers: list[Answer | None] = []
        end, is_any_decided = time.monotonic() + _MOST_SECONDS, False
        for place, entry in enumerate(entries):
            if is_any_decided and time.monotonic() > end:
                answers += [None] * (len(entries) - place)
                break
            if place == again:
                self.held |= held
            answer = self.answer(entry)
            is_any_decided = is_any_decided or answer is not None
            answers.append(answer)
        waiting = (place for place, answer in enumerate(answers) if answer is None)
        put_off = {place: _ties(entries[place], self.facts) for place in waiting}
        return Result(answers, put_off, self.ledger.events, self.ledger.announced)

    def ties(self, entries: Iterable[Entry]) -> Ties:
        """What another batch leaves alone until this one is committed."""
        found: set[Hashable] = set(self.facts.deployments)
        for entry in entries:
            found |= _ties(entry, self.facts)
        return found

    def answer(self, entry: Entry) -> Answer | None:
        """The answer to one command, on the facts as the former ones left them."""
        command, _, key = entry
        if command.durable and command.durable.refused:
            self._refuse(entry, command.durable.refused)
            return Answer(b"")
        if command.deadline is not None and self.facts.now > command.deadline:
            return self._refuse(entry, DeadlineExceeded())
        if self._is_put_off(entry):
            return None
        mark = fingerprint(command) if key else b""
        if key and (stored := self.outcomes.get(key)):
            if stored.fingerprint != mark:
                return self._refuse(entry, KeyReused())
            if stored.code:
                self._reject(entry, ProblemError.from_body(json.loads(stored.reply)))
            return Answer(stored.reply, stored.code, replayed=True)  # type: ignore[arg-type]
        try:
            answer = Answer(self._decide(entry))
        except ProblemError as refusal:
            answer = self._refuse(entry, refusal)
        if command.deadline is not None:
            self.earliest_deadline = min(command.deadline, self.earliest_deadline or command.deadline)
        if key and answer.code not in NO_OUTCOMES:
            self.outcomes[key] = self.first_outcomes[key] = Outcome(mark, answer.code, answer.body)
        return answer

    def _refuse(self, entry: Entry, problem: ProblemError) -> Answer:
        """The answer that refuses; for a durable command, which nobody waits for, an event says so, once."""
        self._reject(entry, problem)
        return Answer.of_problem(problem, entry.command.request_id)

    def _reject(self, entry: Entry, problem: ProblemError) -> None:
        command, needs, _ = entry
        if command.durable and command.durable.command_id not in self.rejected_before:
            self.rejected_before.add(command.durable.command_id)
            self.ledger.reject(command, problem, needs.entity_in(self.facts))

    def _decide(self, entry: Entry) -> bytes:
        command, needs, _ = entry
        entity_id = needs.entity_in(self.facts)
        entity = self.facts.entities.get(entity_id) if entity_id else None
        now = self.facts.now if entity is None else max(self.facts.now, entity.updated_at + _TICK)
        elapsed = int((time.monotonic() - command.taken_at) * 1000)
        moment = Moment(now, id7(now, os.urandom(8)), elapsed)
        decision = OPERATIONS[command.operation].decide(command, self.facts, moment)
        return self.ledger.enter(command, decision, now)

    def _is_put_off(self, entry: Entry) -> bool:
        needs = entry.needs
        entity_id = needs.entity_in(self.facts)
        if (
            (self.held and not self.held.isdisjoint(_ties(entry, self.facts)))
            or (needs.reads_history and self.ledger.touched(entity_id))
            or self.ledger.depends_anew(entity_id)
        ):
            self.held |= _ties(entry, self.facts)
            return True
        return False
