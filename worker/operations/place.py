"""An entity in an environment, as a rule changes it: step after step, to one decision."""

import json
from dataclasses import replace
from datetime import datetime, timedelta

from contracts.events import DeploymentEventName
from contracts.ids import Id
from worker.domain.changes import Decision, Event, Moment
from worker.domain.facts import Deployment, Document, Entity, Environment, Facts, Record, Running
from worker.domain.quarantine import OVERRIDDEN, quarantine_of, with_quarantine
from worker.domain.states import moved
from worker.domain.validation import as_decided, before_deployment

SYSTEM = "system"
_MILLISECOND = timedelta(milliseconds=1)
_LONGEST_MS = 2**31 - 1
"""24 days, which only one that stood in a long line could pass."""


class PlaceUnderChange:
    """What is active and what waits in a place; each step adds records and the events that tell of them.

    A step gives the record as it leaves it. ``active``, ``waiting`` and ``entity`` are as of the last step.
    """

    __slots__ = ("_events", "_facts", "_moment", "_records", "active", "entity", "environment", "waiting")

    def __init__(self, entity: Entity, environment: Environment, facts: Facts, moment: Moment) -> None:
        self._facts, self._moment = facts, moment
        self._records: list[Record] = []
        self._events: list[Event] = []
        self.entity, self.environment = entity, environment
        self.active = facts.active(entity.entity_id, environment.environment)
        self.waiting = facts.waiting_in(entity.entity_id, environment.environment)

    @classmethod
    def of(cls, deployment: Deployment, facts: Facts, moment: Moment) -> "PlaceUnderChange":
        """The place of a deployment."""
        environment = facts.environments[deployment.environment]
        return cls(facts.entities[deployment.entity_id], environment, facts, moment)

    def decision(self, reply: Record) -> Decision:
        """All steps together."""
        entity, now = self.entity, self._moment.now
        if entity.updated_at is not now:
            entity = entity._replace(updated_at=now)
        return Decision(reply=reply, records=(*self._records, entity), events=tuple(self._events))

    def keep(self, record: Record) -> None:
        """A record that no event tells of."""
        self._records.append(record)

    def tell(
        self,
        name: DeploymentEventName,
        deployment: Deployment,
        *,
        actor: str | None,
        reason: str | None,
        target: Id | None = None,
        **data: Document | str | None,
    ) -> Deployment:
        """A record and its event."""
        self._records.append(deployment)
        known = {member: value for member, value in data.items() if value is not None}
        self._events.append(
            Event(
                name=name,
                about=deployment,
                actor=actor,
                reason=reason,
                target_deployment_id=target,
                data=known,
            )
        )
        return deployment

    def arrive(self, deployment: Deployment) -> Deployment:
        """A new deployment takes its first state: in line, before an agent, or active at once."""
        by, reason = deployment.deployed_by, deployment.reason
        if self.waiting:
            queued = deployment._replace(status="pending")
            self.waiting.append(queued)
            return self.tell("queued", queued, actor=by, reason=reason)
        if self.environment.activation == "confirmed":
            started = deployment._replace(status="deploying", confirm_by=self._confirm_by())
            self.waiting.append(started)
            return self.tell("started", started, actor=by, reason=reason)
        active = deployment._replace(
            status="active",
            activated_at=self._moment.now,
            previous_deployment_id=self.active.deployment_id if self.active else None,
        )
        return self._take_over(active, actor=by)

    def activate(
        self, deployment: Deployment, *, actor: str | None, details: Document | None = None
    ) -> Deployment:
        """What waited is active now, in the place of what was."""
        now = self._moment.now
        results = json.loads(deployment.validation_results.text)
        results["post"] = as_decided(deployment.config_snapshot).body()
        active = moved(
            deployment,
            "active",
            now,
            previous_deployment_id=self.active.deployment_id if self.active else None,
            deployment_duration_ms=min((now - deployment.deployed_at) // _MILLISECOND, _LONGEST_MS),
            validation_results=Document.of(results),
        )
        self._leave_line(deployment)
        return self._take_over(active, actor=actor, details=details)

    def fail(
        self, deployment: Deployment, *, actor: str | None, because: str, details: Document | None = None
    ) -> Deployment:
        """What waited never becomes active."""
        self._leave_line(deployment)
        failed = moved(deployment, "failed", self._moment.now, error_logs=because)
        return self.tell("failed", failed, actor=actor, reason=because, details=details)

    def fail_all_waiting(self, *, actor: str | None, because: str) -> None:
        """All that waits never becomes active."""
        for deployment in list(self.waiting):
            self.fail(deployment, actor=actor, because=because)

    def go_back(
        self,
        target: Deployment,
        *,
        actor: str,
        reason: str,
        warnings: Document,
        reports: Document | None = None,
    ) -> Deployment:
        """The active one is rolled back at once, the target is active again, what waits fails.

        ``reports`` are those that a rollback for health comes from.
        """
        assert self.active is not None
        current, now = self.active, self._moment.now
        self.fail_all_waiting(
            actor=actor, because=f"Overtaken by the rollback of deployment {current.deployment_id}."
        )
        rolled_back = moved(
            current,
            "rolled_back",
            now,
            rolled_back_at=now,
            rolled_back_by=actor,
            rollback_reason=reason,
            previous_deployment_id=target.deployment_id,
            warnings=warnings,
        )
        self.active = moved(target, "active", now, came_back_for_health=reports is not None)
        to = target.deployment_id
        self.tell("rolled_back", rolled_back, actor=actor, reason=reason, target=to, reports=reports)
        self.tell("reactivated", self.active, actor=actor, reason=reason, target=to, reports=reports)
        self.entity = self.entity._replace(
            deployed_at=now, deployed_by=actor, deployment_config=target.config_snapshot
        )
        return rolled_back

    def next_turn(self) -> None:
        """Where nothing is deploying any more, the next in line gets its turn, or fails, and so on.

        It is validated as a deploy is. In an environment that was made instant it is active at once, and the
        one behind it has its turn.
        """
        while self.waiting and self.waiting[0].status == "pending":
            deployment = self.waiting[0]
            validation = before_deployment(
                self.entity, self.environment, self._facts_now(), deployment.config_snapshot
            )
            results = json.loads(deployment.validation_results.text)
            if quarantine := quarantine_of(deployment, self._facts):
                overridden = results["pre"]["checks"].get("quarantine") == OVERRIDDEN
                validation = with_quarantine(validation, quarantine, overridden=overridden)
            results |= {"passed": validation.passed, "pre": validation.body()}
            deployment = deployment._replace(validation_results=Document.of(results))
            self.waiting[0] = deployment
            if not validation.passed:
                self.fail(deployment, actor=SYSTEM, because=" ".join(validation.errors))
            elif self.environment.activation == "confirmed":
                self._start(deployment)
            else:
                self.activate(deployment, actor=deployment.deployed_by)

    def _facts_now(self) -> Facts:
        """The facts with what these steps have made active."""
        if self.active is None:
            return self._facts
        place = (self.entity.entity_id, self.environment.environment)
        running = Running(self.active.deployment_id, self.active.version)
        return replace(self._facts, running={**self._facts.running, place: running})

    def _start(self, deployment: Deployment) -> None:
        started = moved(deployment, "deploying", self._moment.now, confirm_by=self._confirm_by())
        self.waiting[0] = started
        self.tell("started", started, actor=deployment.deployed_by, reason=deployment.reason)

    def _take_over(
        self, active: Deployment, *, actor: str | None, details: Document | None = None
    ) -> Deployment:
        by, reason = active.deployed_by, active.reason
        if self.active is not None:
            superseded = moved(self.active, "inactive", self._moment.now)
            self.tell("superseded", superseded, actor=by, reason=reason)
        self.active, now = active, self._moment.now
        self.entity = self.entity._replace(
            status="deployed",
            deployed_at=now,
            deployed_by=by,
            deployment_config=active.config_snapshot,
            updated_at=now,
        )
        return self.tell("completed", active, actor=actor, reason=reason, details=details)

    def _leave_line(self, deployment: Deployment) -> None:
        self.waiting = [each for each in self.waiting if each.deployment_id != deployment.deployment_id]

    def _confirm_by(self) -> datetime:
        return self._moment.now + timedelta(seconds=self.environment.confirm_timeout_s)
