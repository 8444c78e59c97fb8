"""The order in which an agent brings its place along, without a server and without a clock."""

from collections.abc import Iterable
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.hotswap.order import ANNOUNCEMENT, FIRST_DELAY, LONGEST_DELAY, SwapOrder
from contracts.hotswap.program import Configuration
from contracts.hotswap.steps import Step, Word

NAMES = "abcdefghijklmnopqrstuvwxyz"


def deployment(name: str, sequence: int) -> Configuration:
    """A deployment, by a letter, as the event of this sequence brought it."""
    return Configuration(
        deployment_id=UUID(int=NAMES.index(name) + 1),
        entity_id=UUID(int=999),
        entity_name="prices",
        environment="staging",
        version="1.0.0",
        config={"name": name},
        parameters={},
        sequence=sequence,
    )


class Place:
    """A place and its clock; takes down what the program was told to do and what was said."""

    def __init__(self) -> None:
        self.order = SwapOrder()
        self.now = 100.0
        self.done: list[str] = []
        self.said: list[str] = []

    def active(self, name: str | None, sequence: int = 0) -> None:
        self.order.see_active(name and deployment(name, sequence))

    def pending(self, name: str | None, sequence: int = 0) -> None:
        self.order.see_pending(name and deployment(name, sequence))

    def begin(self) -> Step | None:
        step = self.order.next_step(self.now)
        if step is not None:
            self.done.append(f"{step.do} {step.what.config['name']}")
            self.order.begin(step)
        return step

    def work(self, *, failing: Iterable[str] = ()) -> list[str]:
        """Do all that can be done now; what was done since the last time."""
        self.done = []
        while (step := self.begin()) is not None:
            if self.done[-1] in failing:
                self.order.failed(step, f"no {step.do}", self.now)
            else:
                self.order.done(step)
            assert len(self.done) < 50, self.done
        return self.done

    def word(self) -> Word | None:
        return self.order.next_word(self.now)

    def say(self, status: str | None = "active") -> str:
        """Say the word that is due, which is answered with this status, None for a refusal."""
        word = self.word()
        assert word is not None
        self.order.answered(word, status, self.now)
        return f"{word.say} {word.about.config['name']}"

    @property
    def runs(self) -> tuple[str, int] | None:
        running = self.order.running
        return running and (running.config["name"], running.sequence)


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def running(place: Place) -> Place:
    """A place that runs a, of sequence 1."""
    place.active("a", 1)
    place.work()
    return place


def test_nothing_is_done_before_it_is_known_what_is_active(place):
    place.pending("b", 2)
    assert place.work() == []
    assert not place.order.is_settled

    place.active("a", 1)
    assert place.work() == ["prepare a", "activate a", "prepare b"]


def test_what_is_active_is_prepared_and_activated_and_the_old_one_released(running):
    running.active("b", 4)

    assert running.work() == ["prepare b", "activate b", "release a"]
    assert running.word() is None


def test_when_nothing_is_active_the_old_one_is_released(running):
    running.active(None)

    assert running.work() == ["release a"]
    assert running.runs is None
    assert running.order.is_settled


def test_what_is_not_shown_any_more_goes_on_while_the_library_says_that_it_is_active(running):
    running.order.miss_active()

    assert running.work() == []
    assert running.order.is_settled
    assert running.say("active") == "is anything active? a"
    assert running.work() == []
    assert running.word() is None
    assert running.runs == ("a", 1)


def test_what_is_not_shown_any_more_is_released_once_the_library_says_that_nothing_is_active(running):
    running.order.miss_active()
    assert running.say("inactive") == "is anything active? a"

    assert running.work() == ["release a"]
    assert running.order.is_settled


def test_while_nobody_says_whether_anything_is_active_what_runs_goes_on_and_it_is_asked_again(running):
    running.order.miss_active()
    for delay in (FIRST_DELAY, 2 * FIRST_DELAY):
        running.order.unanswered(running.word(), running.now)
        assert running.word() is None
        assert running.work() == []
        assert running.order.due(running.now) == running.now + delay
        running.now += delay

    assert running.say(None) == "is anything active? a"
    assert running.word() is None, "it will not be told"
    assert running.work() == []


def test_what_is_shown_again_meanwhile_counts_and_not_the_answer(running):
    running.order.miss_active()
    word = running.word()
    running.active("b", 4)
    running.order.answered(word, "inactive", running.now)
    running.order.unanswered(word, running.now)

    assert running.work() == ["prepare b", "activate b", "release a"]
    assert running.word() is None


def test_where_nothing_runs_nothing_is_missed(place):
    place.active(None)
    place.order.miss_active()

    assert place.word() is None


def test_what_waits_is_confirmed_once_it_is_prepared_and_activated_once_it_is_active(running):
    running.pending("b", 2)
    assert running.work() == ["prepare b"]
    assert running.say("active") == "active b"

    assert running.work() == [], "the live state has not said so"
    running.active("b", 4)
    assert running.work() == ["activate b", "release a"]
    assert running.runs == ("b", 4)


def test_what_waits_is_not_confirmed_before_it_is_prepared(running):
    running.pending("b", 2)
    running.begin()

    assert running.word() is None


def test_a_deployment_that_cannot_be_prepared_is_refused_then_released(running):
    running.pending("b", 2)
    assert running.work(failing=["prepare b"]) == ["prepare b"]

    assert running.word().error == "no prepare"
    assert running.say("failed") == "failed b"
    assert running.work() == ["release b"]
    running.pending(None)
    assert running.work() == []
    assert running.runs == ("a", 1)


def test_a_refusal_without_an_answer_is_said_again_with_longer_pauses_until_the_key_is_gone(running):
    running.pending("b", 2)
    running.work(failing=["prepare b"])
    pauses = []
    for _ in range(12):
        running.order.unanswered(running.word(), running.now)
        assert running.word() is None
        due = running.order.due(running.now)
        pauses.append(due - running.now)
        running.now = due
    assert pauses[:3] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY]
    assert pauses[-1] == LONGEST_DELAY
    assert running.work() == []

    running.pending(None)
    assert running.word().say != "failed"
    assert running.work() == ["release b"]


def test_a_deployment_that_failed_elsewhere_is_released_once_the_library_says_so(running):
    running.pending("b", 2)
    running.work()
    running.pending(None)

    assert running.work() == [], "it may just as well be active"
    assert running.say("failed") == "what became of it? b"
    assert running.work() == ["release b"]
    assert running.runs == ("a", 1)


def test_a_key_that_is_gone_before_the_live_state_shows_it_releases_nothing(running):
    running.pending("b", 2)
    running.work()
    running.pending(None)
    assert running.say("active") == "what became of it? b"
    assert running.work() == []

    running.active("b", 4)
    assert running.work() == ["activate b", "release a"]


def test_a_confirmation_that_is_refused_is_followed_by_the_question(running):
    running.pending("b", 2)
    running.work()

    assert running.say(None) == "active b"
    assert running.say("failed") == "what became of it? b"
    assert running.work() == ["release b"]
    assert running.word() is None


def test_what_was_confirmed_and_is_never_shown_is_asked_for(running):
    running.pending("b", 2)
    running.work()
    running.say("active")
    running.pending(None)
    assert running.word() is None

    running.now += ANNOUNCEMENT
    assert running.say("inactive") == "what became of it? b"
    assert running.work() == ["release b"]


def test_what_another_agent_confirmed_is_activated_without_a_word(running):
    running.pending("b", 2)
    running.work()
    running.active("b", 4)

    assert running.word() is None
    assert running.work() == ["activate b", "release a"]


def test_a_rollback_overtakes_what_is_prepared(running):
    running.active("b", 4)
    running.work()
    running.pending("c", 5)
    running.work()
    running.active("a", 8)

    assert running.word() is None
    assert running.work() == ["release c", "prepare a", "activate a", "release b"]


def test_a_rollback_interrupts_a_preparation(running):
    running.active("b", 4)
    running.work()
    running.pending("c", 5)
    step = running.begin()
    assert not running.order.is_moot(step)

    running.active("a", 8)

    assert running.order.is_moot(step)
    assert running.work() == ["release c", "prepare a", "activate a", "release b"]


def test_a_preparation_of_what_was_decided_otherwise_is_interrupted(running):
    running.pending("b", 2)
    step = running.begin()
    running.pending(None)
    assert not running.order.is_moot(step)

    assert running.say("failed") == "what became of it? b"

    assert running.order.is_moot(step)
    assert running.work() == ["release b"]


def test_a_preparation_goes_on_when_it_turns_out_to_be_active(running):
    running.pending("b", 2)
    step = running.begin()
    running.active("b", 4)

    assert not running.order.is_moot(step)
    running.order.done(step)
    assert running.work() == ["activate b", "release a"]


def test_an_activation_is_never_interrupted(running):
    running.active("b", 4)
    running.order.done(running.begin())
    step = running.begin()
    assert step.do == "activate"
    running.active("c", 6)

    assert not running.order.is_moot(step)
    running.order.done(step)
    assert running.work() == ["release a", "prepare c", "activate c", "release b"]


def test_a_swap_that_is_due_interrupts_the_preparation_of_the_next_in_line(running):
    running.pending("c", 5)
    step = running.begin()
    running.active("b", 4)

    assert running.order.is_moot(step)
    assert running.work()[-4:] == ["prepare b", "activate b", "release a", "prepare c"]


def test_what_was_replaced_is_released_before_the_next_swap(running):
    running.pending("c", 5)
    running.work()
    running.active("b", 4)
    running.order.done(running.begin())
    step = running.begin()
    running.active("c", 7)
    running.order.done(step)

    assert running.work() == ["release a", "activate c", "release b"]


def test_the_next_in_line_waits_until_the_fate_of_the_one_before_is_known(running):
    running.pending("b", 2)
    running.work()
    running.say("active")
    running.pending("c", 5)
    assert running.work() == []

    running.active("b", 4)
    assert running.work() == ["activate b", "release a", "prepare c"]


def test_a_lower_sequence_is_never_applied_over_a_higher_one(running):
    running.active("b", 4)
    running.work()

    running.active("a", 1)
    running.active("c", 3)
    assert running.work() == []
    running.active(None)
    running.work()
    running.active("c", 3)
    assert running.work() == []
    assert running.runs is None


def test_the_same_sequence_seen_again_does_nothing(running):
    running.active("a", 1)

    assert running.work() == []
    assert running.runs == ("a", 1)


def test_the_same_sequence_is_applied_again_after_nothing_was_active(running):
    running.active(None)
    running.active("a", 1)
    assert running.work() == [], "it was not released yet"

    running.active(None)
    running.work()
    running.active("a", 1)
    assert running.work() == ["prepare a", "activate a"]


def test_what_went_and_came_back_unnoticed_keeps_running_under_its_new_sequence(running):
    running.active("a", 7)

    assert running.work() == []
    assert running.runs == ("a", 7)


def test_what_waited_before_the_newest_activation_is_not_prepared(running):
    running.active("b", 4)
    running.work()

    running.pending("c", 3)
    assert running.work() == []


def test_an_older_one_that_waits_does_not_replace_a_newer_one(running):
    running.pending("c", 5)
    running.pending("b", 3)

    assert running.work() == ["prepare c"]


def test_an_activation_that_fails_is_tried_again_with_longer_pauses(running):
    running.active("b", 4)
    assert running.work(failing=["activate b"]) == ["prepare b", "activate b"]
    assert running.order.error == "no activate"
    assert running.runs == ("a", 1)
    assert running.order.is_settled

    running.now += FIRST_DELAY
    assert running.work(failing=["activate b"]) == ["activate b"]
    running.now += FIRST_DELAY
    assert running.work() == []
    running.now += FIRST_DELAY
    assert running.work() == ["activate b", "release a"]
    assert running.order.error is None


def test_what_cannot_be_activated_is_released_when_it_is_rolled_back(running):
    running.active("b", 4)
    running.work(failing=["activate b"])
    running.active("a", 7)

    assert running.work() == ["release b"]
    assert running.runs == ("a", 7)
    assert running.order.error is None


def test_what_is_active_and_cannot_be_prepared_is_released_and_tried_again(place):
    place.active("a", 1)
    assert place.work(failing=["prepare a"]) == ["prepare a", "release a"]
    assert place.word() is None
    assert place.order.is_settled

    place.now += FIRST_DELAY
    assert place.work() == ["prepare a", "activate a"]


def test_a_fix_is_prepared_while_what_is_active_cannot_be(place):
    place.active("a", 1)
    place.work(failing=["prepare a"])
    place.pending("b", 2)

    assert place.work() == ["prepare b"]
    assert place.say("active") == "active b"
    place.active("b", 4)
    assert place.work() == ["activate b"]


def test_trying_again_does_not_interrupt_a_fix_that_is_being_prepared(place):
    place.active("a", 1)
    place.work(failing=["prepare a"])
    place.pending("b", 2)
    step = place.begin()

    place.now += LONGEST_DELAY

    assert not place.order.is_moot(step)


def test_what_cannot_be_released_counts_as_released(running):
    running.active("b", 4)

    assert running.work(failing=["release a"]) == ["prepare b", "activate b", "release a"]
    running.active(None)
    assert running.work(failing=["release b"]) == ["release b"]
    assert running.runs is None


def test_nothing_is_due_where_all_is_done(running):
    assert running.order.due(running.now) is None


# A life of a place: what the library does, what of it the two buckets show, and when, and what fails.

moves = st.lists(
    st.sampled_from(["deploy", "confirm", "fail", "roll back", "retire"]), min_size=1, max_size=12
)


class Library:
    """What the buckets come to hold over a life: each in its order, with the status of each deployment."""

    def __init__(self) -> None:
        self.sequence = 0
        self.names = iter(NAMES)
        self.active: str | None = None
        self.before: list[str] = []
        self.waiting: str | None = None
        self.statuses: dict[str, str] = {}
        self.shown: dict[str, list[tuple[str, int] | None]] = {"active": [None], "pending": [None]}

    def move(self, move: str) -> None:
        if move == "deploy" and self.waiting is None:
            self.waiting = next(self.names)
            self.statuses[self.waiting] = "deploying"
            self._show("pending", self.waiting)
        elif move in ("confirm", "fail") and self.waiting:
            self.decide("active" if move == "confirm" else "failed")
        elif move == "roll back" and self.active and self.before:
            if self.waiting:
                self.decide("failed")
            self.statuses[self.active] = "rolled_back"
            self._activate(self.before.pop())
        elif move == "retire" and self.active:
            self.statuses[self.active] = "inactive"
            self.before.append(self.active)
            self.active = None
            self._show("active", None)

    def decide(self, status: str) -> None:
        decided, self.waiting = self.waiting, None
        assert decided is not None
        self.statuses[decided] = status
        self._show("pending", None)
        if status == "active":
            if self.active:
                self.statuses[self.active] = "inactive"
                self.before.append(self.active)
            self._activate(decided)

    def _activate(self, name: str) -> None:
        self.active = name
        self.statuses[name] = "active"
        self._show("active", name)

    def _show(self, bucket: str, name: str | None) -> None:
        self.sequence += 1
        self.shown[bucket].append(name and (name, self.sequence))


class Life:
    """A library, an agent's place, and a program that holds what it was told to."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.library = Library()
        self.place = Place()
        self.seen = {"active": -1, "pending": -1}
        self.step: Step | None = None
        self.prepared: set[str] = set()
        self.half: set[str] = set()
        self.sequences: list[int] = []

    def see(self, bucket: str) -> None:
        """Look at a bucket, which shows the latest or, where somebody lags behind, an earlier state."""
        shown = self.library.shown[bucket]
        at = self.data.draw(st.integers(max(self.seen[bucket], 0), len(shown) - 1))
        self.seen[bucket] = at
        getattr(self.place, bucket)(*(shown[at] or (None,)))

    def begin(self) -> None:
        if self.step is None and (step := self.place.begin()) is not None:
            self.step = step
            name = step.what.config["name"]
            if step.do == "prepare":
                assert name not in self.prepared | self.half
                self.half.add(name)
            elif step.do == "activate":
                assert name in self.prepared
                self.sequences.append(step.what.sequence)
            else:
                assert name in self.prepared | self.half

    def end(self, outcome: str) -> None:
        if self.step is None:
            return
        step, self.step = self.step, None
        name = step.what.config["name"]
        if step.do == "release":
            self.prepared.discard(name)
            self.half.discard(name)
        if self.place.order.is_moot(step):
            return  # interrupted: it stays half prepared
        if outcome == "fails":
            self.place.order.failed(step, "no", self.place.now)
            return
        if step.do == "prepare":
            self.half.discard(name)
            self.prepared.add(name)
        self.place.order.done(step)

    def speak(self, outcome: str) -> None:
        word = self.place.word()
        if word is None:
            return
        name = word.about.config["name"]
        if outcome == "fails":
            self.place.order.unanswered(word, self.place.now)
        elif word.say == "what became of it?":
            self.place.order.answered(word, self.library.statuses[name], self.place.now)
        elif word.say == "is anything active?":
            self.place.order.answered(word, "active" if self.library.active else "inactive", self.place.now)
        elif self.library.waiting == name:
            assert name in self.prepared if word.say == "active" else name in self.half
            self.library.decide(word.say)
            self.place.order.answered(word, word.say, self.place.now)
        else:
            self.place.order.answered(word, None, self.place.now)

    def happen(self) -> None:
        what = self.data.draw(
            st.sampled_from(["active", "pending", "lost", "begin", "end", "fails", "speak", "later"])
        )
        match what:
            case "active" | "pending":
                self.see(what)
            case "lost":
                self.place.order.miss_active()
            case "begin":
                self.begin()
            case "end":
                self.end("goes well")
            case "fails":
                self.end("fails")
            case "speak":
                self.speak(self.data.draw(st.sampled_from(["goes well", "fails"])))
            case "later":
                self.place.now += LONGEST_DELAY

    def settle(self) -> None:
        """Let everything go well until nothing is left to be done."""
        for _ in range(60):
            for bucket in ("pending", "active"):
                self.seen[bucket] = len(self.library.shown[bucket]) - 1
                self.see(bucket)
            self.begin()
            self.end("goes well")
            self.speak("goes well")
            self.place.now += LONGEST_DELAY


@settings(max_examples=200, deadline=None)
@given(data=st.data(), life=moves)
def test_whatever_happens_the_place_ends_with_what_is_active_and_holds_nothing_else(data, life):
    lived = Life(data)
    for move in life:
        lived.library.move(move)
        for _ in range(data.draw(st.integers(0, 8))):
            lived.happen()
    lived.settle()

    runs = lived.place.runs
    assert (runs and runs[0]) == lived.library.active
    assert lived.prepared == ({lived.library.active} - {None})
    assert lived.half == set()
    assert lived.library.waiting is None, "what waited was confirmed"
    assert lived.sequences == sorted(lived.sequences)
