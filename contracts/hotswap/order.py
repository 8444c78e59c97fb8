"""In which order a place goes from what runs there to what should: rules alone, without input or output.

Two buckets say what should run, each in its own order and neither in that of the other. A ``Step`` is done by
the program, one at a time; a ``Word`` is said to the library, also beside a step.
"""

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from contracts.deployments import DeploymentStatus
from contracts.hotswap.program import Configuration
from contracts.hotswap.steps import Step, Word

FIRST_DELAY = 0.25
LONGEST_DELAY = 30.0
"""Seconds until something that failed is tried again: the first, doubled each time, up to the longest."""
ANNOUNCEMENT = 2.0
"""Seconds in which the live state should show what was confirmed; then the library is asked."""

_UNDECIDED: frozenset[DeploymentStatus] = frozenset(("pending", "deploying", "active"))


@dataclass(slots=True)
class _Tries:
    """How often in a row something failed, and when it is due again, on the clock of ``now``."""

    failed: int = 0
    due: float = 0.0

    def fail(self, now: float) -> None:
        self.due = now + min(FIRST_DELAY * 2 ** min(self.failed, 16), LONGEST_DELAY)
        self.failed += 1


@dataclass(slots=True, kw_only=True)
class _Held:
    """What was prepared, in part at least, and does not run yet.

    ``waited`` is whether it was deploying when it came; ``spoken`` whether our word on it was answered,
    ``lost`` whether it will not become active.
    """

    what: Configuration
    waited: bool
    stage: Literal["begun", "prepared", "failed"] = "begun"
    error: str | None = None
    spoken: bool = False
    lost: bool = False
    words: _Tries = field(default_factory=_Tries)


class SwapOrder:
    """What is known of a place and what was done there; says what is to be done next.

    It is told what the buckets show (``see_active``, ``see_pending``) and how each step and word ended.
    ``now`` is any clock that does not go back, in seconds. ``is_known`` is whether it was told what is
    active; before that it does nothing. ``error`` is why what is active could not be run at the last try.
    """

    def __init__(self) -> None:
        self.running: Configuration | None = None
        self.error: str | None = None
        self.is_known = False
        self._active: Configuration | None = None
        self._pending: Configuration | None = None
        self._newest = 0
        self._decided = 0
        self._held: dict[UUID, _Held] = {}
        self._replaced: list[Configuration] = []
        self._tries = _Tries()
        self._missed: _Tries | None = None

    @property
    def is_settled(self) -> bool:
        """Whether ``running`` is worth telling: the first try to run what is active, or nothing, is made."""
        return self.is_known and (self._runs_what_is_active or self._tries.failed > 0)

    @property
    def followed(self) -> Configuration | None:
        """What runs, if it is what is active."""
        return self.running if self._runs_what_is_active else None

    @property
    def _runs_what_is_active(self) -> bool:
        return _id(self.running) == _id(self._active)

    def see_active(self, seen: Configuration | None) -> None:
        """The bucket of live configurations shows this, None for nothing."""
        self.is_known = True
        self._missed = None
        if seen is not None:
            again = self._active is not None and seen.sequence == self._newest
            if again or seen.sequence < self._newest:
                return
            self._newest = seen.sequence
        if _id(seen) != _id(self._active):
            self._tries, self.error = _Tries(), None
        self._active = seen
        if seen is not None and self.running is not None and self._runs_what_is_active:
            self.running = seen  # it went and came back while nobody looked

    def miss_active(self) -> None:
        """The bucket of live configurations shows nothing any more, and no deletion either.

        That may be the bucket's loss: what runs goes on, and the library is asked.
        """
        if self._active is not None:
            self._missed = _Tries()

    def see_pending(self, seen: Configuration | None) -> None:
        """The bucket of what waits shows this, None for nothing."""
        if seen is None or self._pending is None or seen.sequence > self._pending.sequence:
            self._pending = seen

    def next_step(self, now: float) -> Step | None:
        """What the program does next; None while there is nothing to be done, or not yet."""
        if not self.is_known:
            return None  # first what is active, then what waits
        return self._next_activation(now) or self._next_release() or self._next_preparation(now)

    def next_word(self, now: float) -> Word | None:
        """What to tell or to ask the library next; None while there is nothing, or not yet."""
        for held in self._held.values():
            if held.lost or held.words.due > now or self._is_active(held) or self._is_overtaken(held):
                continue
            if self._is_waiting(held) and not held.spoken:
                if held.stage == "prepared":
                    return Word("active", held.what)
                if held.stage == "failed":
                    return Word("failed", held.what, held.error)
            else:
                return Word("what became of it?", held.what)
        if self._active is not None and self._missed is not None and self._missed.due <= now:
            return Word("is anything active?", self._active)
        return None

    def due(self, now: float) -> float | None:
        """When there may be something to do though nothing is seen and nothing ends."""
        tries = [self._tries, *(held.words for held in self._held.values())]
        if self._missed is not None:
            tries.append(self._missed)
        return min((each.due for each in tries if each.due > now), default=None)

    def is_moot(self, step: Step) -> bool:
        """Whether a step under way is to be interrupted: for nothing, or in the way of what is active."""
        held = self._held.get(step.what.deployment_id)
        if not step.can_be_interrupted or held is None or self._is_active(held):
            return False
        is_swap_due = not self._runs_what_is_active and self._tries.failed == 0
        return is_swap_due or held.lost or self._is_overtaken(held)

    def begin(self, step: Step) -> None:
        """The program begins with a step."""
        if step.do == "prepare":
            waited = self._pending is not None and self._pending == step.what
            self._held[step.what.deployment_id] = _Held(what=step.what, waited=waited)

    def done(self, step: Step) -> None:
        """The program did it."""
        match step.do:
            case "prepare":
                self._held[step.what.deployment_id].stage = "prepared"
            case "activate":
                self._activated(step.what)
            case "release":
                self._released(step.what)

    def failed(self, step: Step, error: str, now: float) -> bool:
        """The program could not do it; whether this keeps what is active from running.

        What cannot be released counts as released.
        """
        held = self._held.get(step.what.deployment_id)
        if step.do == "release" or held is None:
            self._released(step.what)
            return False
        if step.do == "prepare":
            held.stage, held.error = "failed", error
        if not self._is_active(held):
            return False
        self._tries.fail(now)
        self.error = error
        return True

    def answered(self, word: Word, status: DeploymentStatus | None, now: float) -> None:
        """The library answered with what the deployment is; None for a refusal."""
        if word.say == "is anything active?":
            if self._missed is not None and status == "inactive":
                self.see_active(None)
            self._missed = None
            return
        held = self._held.get(word.about.deployment_id)
        if held is None:
            return
        if word.say == "what became of it?":
            if status in _UNDECIDED:
                held.words.fail(now)  # the buckets will say it
            else:
                self._lose(held)
            return
        held.spoken, held.words = True, _Tries()
        if word.say == "failed":
            self._lose(held)
        elif status is not None:
            held.words.due = now + ANNOUNCEMENT

    def unanswered(self, word: Word, now: float) -> None:
        """Nobody answered, or the library asked for patience."""
        if word.say == "is anything active?":
            if self._missed is not None:
                self._missed.fail(now)
            return
        held = self._held.get(word.about.deployment_id)
        if held is not None:
            held.words.fail(now)

    def prepared(self) -> list[Configuration]:
        """Everything that was prepared, in part at least, or replaced, and awaits its release."""
        return [*self._replaced, *(held.what for held in self._held.values())]

    def _next_activation(self, now: float) -> Step | None:
        if self._replaced or self._active is None or self._tries.due > now:
            return None
        held = self._held.get(self._active.deployment_id)
        is_prepared = held is not None and held.stage == "prepared"
        return Step("activate", self._active) if is_prepared else None

    def _next_release(self) -> Step | None:
        if self._replaced:
            return Step("release", self._replaced[0])
        for held in self._held.values():
            if self._is_useless(held):
                return Step("release", held.what)
        if self._active is None and self.running is not None:
            return Step("release", self.running)
        return None

    def _next_preparation(self, now: float) -> Step | None:
        active = self._active
        if active is not None and not self._runs_what_is_active and self._tries.due <= now:
            if active.deployment_id not in self._held:
                return Step("prepare", active)
            return None
        waiting = self._pending
        if waiting is None or waiting.sequence <= max(self._newest, self._decided):
            return None
        if any(held.waited for held in self._held.values()):
            return None  # itself, or another one whose fate is open
        return Step("prepare", waiting)

    def _is_active(self, held: _Held) -> bool:
        return held.what.deployment_id == _id(self._active)

    def _is_waiting(self, held: _Held) -> bool:
        return held.what.deployment_id == _id(self._pending)

    def _is_overtaken(self, held: _Held) -> bool:
        """Whatever becomes active in a place decides, before or thereby, what was waiting there."""
        return not self._is_active(held) and (not held.waited or self._newest > held.what.sequence)

    def _is_useless(self, held: _Held) -> bool:
        """Whether it can be released: lost, or so far only broken, with nothing left to say about it."""
        if self._is_active(held):
            return held.stage != "prepared"
        if held.lost or self._is_overtaken(held) or held.stage == "begun":
            return True
        return held.stage == "failed" and not self._is_waiting(held)

    def _lose(self, held: _Held) -> None:
        held.lost = True
        self._decided = max(self._decided, held.what.sequence)

    def _activated(self, new: Configuration) -> None:
        if self.running is not None:
            self._replaced.append(self.running)
        self._held.pop(new.deployment_id, None)
        newer = self._active if _id(self._active) == new.deployment_id else None
        self.running = newer or new
        self._tries, self.error = _Tries(), None

    def _released(self, old: Configuration) -> None:
        if old in self._replaced:
            self._replaced.remove(old)
        elif self._held.pop(old.deployment_id, None) is None and _id(self.running) == old.deployment_id:
            self.running = None


def _id(configuration: Configuration | None) -> UUID | None:
    return None if configuration is None else configuration.deployment_id
