"""The bounded queue between the event loop, which puts, and the lanes' threads, which take.

It has two lines: fresh items, first in, first out, and those that a batch put off. Items put off take at most
half of a batch while fresh ones wait, and among them no entity's second goes before another's first: however
many wait for one entity, the others are served.
"""

import threading
from bisect import insort
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from operator import attrgetter
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

Ties = AbstractSet[Hashable]
"""What holds an item to its place, such as its entity: items that share a tie keep their order."""

_MOST_PASSED = 256
"""How many that may not be taken yet are looked past."""


class _Everything(frozenset[Hashable]):
    """Ties that each item has."""

    def isdisjoint(self, _: Iterable[Hashable]) -> bool:
        return False


_EVERYTHING = _Everything()
_NOTHING: Mapping[int, Ties] = MappingProxyType({})


class _PutOff(NamedTuple, Generic[T]):
    turn: int
    item: T
    ties: Ties


class Taken(NamedTuple, Generic[T]):
    """A batch: first those that were put off before, of which ``turns`` has the turns, then fresh items.

    ``held`` are the ties of what is still put off and not in this batch. It came before the fresh items, so
    those of them that share a tie with it are to be put off, too.
    """

    items: list[T]
    turns: list[int]
    held: Ties

    @property
    def again(self) -> int:
        """How many of the items were put off before."""
        return len(self.turns)


class Claims(NamedTuple):
    """What an item is known to be tied to before it is decided; ``complete`` if that is all."""

    ties: Iterable[Hashable]
    complete: bool


_NO_CLAIMS = Claims((), complete=True)


class CommandQueue(Generic[T]):
    """Gives batches, one to be decided at a time, and takes back what was put off.

    A batch that is decided, and not settled yet, is under way: what shares a tie with it stays where it is,
    and so does an item whose ties are not all known, with what came after it.
    """

    def __init__(self, size: int, claims: Callable[[T], Claims] = lambda _: _NO_CLAIMS) -> None:
        self._size, self._claims = size, claims
        self._fresh: deque[T] = deque()
        self._put_off = _PutOffLine[T]()
        self._lock = threading.Lock()
        self._takers, self._drainers = _Takers(self._lock), threading.Condition(self._lock)
        self._taken = 0
        self._is_deciding = False
        self._blocked: Ties | None = None
        """What the last look could not get past; None where it got something."""
        self._under_way: dict[int, Ties] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._fresh) + len(self._put_off)

    @property
    def size(self) -> int:
        """How many may wait."""
        return self._size

    @property
    def is_full(self) -> bool:
        """Whether nothing more goes in."""
        return len(self) >= self._size

    def put(self, item: T) -> bool:
        """Put it in; False where the queue is full or closed."""
        with self._lock:
            if self._closed or self.is_full:
                return False
            self._fresh.append(item)
            if not self._is_deciding and self._may_be_taken(item):
                self._takers.wake()
            return True

    def _may_be_taken(self, item: T) -> bool:
        """Whether a look might find this one where the last one found nothing: each costs a lane its time."""
        if self._blocked is None:
            return True
        ties, complete = self._claims(item)
        return complete and self._blocked.isdisjoint(ties)

    def take(self, most: int) -> Taken[T]:
        """Wait for one, and until no other batch is being decided; then take what is there, at most so many.

        Nothing once the queue is closed and empty.
        """
        with self._lock:
            while True:
                if not self._is_deciding:
                    taken = self._next(most)
                    if taken.items or (self._closed and not len(self)):
                        self._is_deciding = bool(taken.items)
                        self._taken += len(taken.items)
                        return taken
                self._takers.wait()

    def _next(self, most: int) -> Taken[T]:
        busy: set[Hashable] = set().union(*self._under_way.values())
        again = self._put_off.take(max(1, most // 2) if self._fresh else most, busy)
        fresh = self._take_fresh(most - len(again), busy)
        items = [waiting.item for waiting in again] + fresh
        return Taken(items, [waiting.turn for waiting in again], self._put_off.ties)

    def _take_fresh(self, most: int, busy: set[Hashable]) -> list[T]:
        self._blocked = None
        if not self._under_way:
            return [self._fresh.popleft() for _ in range(min(most, len(self._fresh)))]
        taken: list[T] = []
        passed: list[T] = []
        while self._fresh and len(taken) < most and len(passed) < _MOST_PASSED:
            ties, complete = self._claims(self._fresh[0])
            if not complete:
                break
            item = self._fresh.popleft()
            if busy.isdisjoint(ties):
                taken.append(item)
            else:
                passed.append(item)
                busy.update(ties)  # nor does anything overtake it
        if not taken:
            self._blocked = _EVERYTHING if self._fresh else busy
        self._fresh.extendleft(reversed(passed))
        return taken

    def decided(self, taken: Taken[T], ties: Ties) -> None:
        """Say that a batch is decided, tied to these: the next one may be taken, of what is not."""
        with self._lock:
            if id(taken) not in self._under_way:
                self._under_way[id(taken)] = ties
                self._is_deciding = False
                if len(self):
                    self._takers.wake()

    def settle(self, taken: Taken[T], put_off: Mapping[int, Ties] = _NOTHING) -> None:
        """Say that what was taken is answered, save what is put off: its ties, by its places, in their order.

        What was put off before keeps its turn; the rest gets one behind all that it is tied to.
        """
        with self._lock:
            for place, ties in put_off.items():
                turn = taken.turns[place] if place < taken.again else self._put_off.next_turn(ties)
                self._put_off.enter(_PutOff(turn, taken.items[place], ties))
            self._taken -= len(taken.items)
            if self._under_way.pop(id(taken), None) is None:
                self._is_deciding = False
            self._blocked = None
            if len(self) or self._closed:
                self._takers.wake_all()
            self._drainers.notify_all()

    def drain(self, timeout: float) -> bool:
        """Wait, at most so many seconds, until everything that was put is answered."""
        with self._lock:
            return self._drainers.wait_for(lambda: not len(self) and not self._taken, timeout)

    def close(self) -> None:
        """Wake those who wait; nothing is taken any more once the queue is empty."""
        with self._lock:
            self._closed = True
            self._takers.wake_all()


class _Takers:
    """Threads that wait for something to take; its methods need the lock.

    The one that came last is woken first: what it last used, its session in the database above all, is still
    in the processor's caches. Woken in turn, as by ``Condition``, they made a lone deploy a tenth slower.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._waiting: list[threading.Condition] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self) -> None:
        """Wait to be woken; the lock is free meanwhile."""
        turn = threading.Condition(self._lock)
        self._waiting.append(turn)
        turn.wait()

    def wake(self) -> None:
        """Wake one, if one waits."""
        if self._waiting:
            self._waiting.pop().notify()

    def wake_all(self) -> None:
        """Wake all that wait."""
        while self._waiting:
            self.wake()


class _PutOffLine(Generic[T]):
    """Items in the order of their turns: of every tie the first, then of every tie the second, and so on."""

    def __init__(self) -> None:
        self._line: list[_PutOff[T]] = []
        self._last: dict[Hashable, tuple[int, int]] = {}
        """How many wait with a tie, and the last one's turn."""

    def __len__(self) -> int:
        return len(self._line)

    @property
    def ties(self) -> Ties:
        """The ties of all that waits."""
        return set(self._last)

    def take(self, most: int, busy: set[Hashable]) -> list[_PutOff[T]]:
        """The first ones that are tied to nothing busy, at most so many; those passed over are busy, too."""
        taken, passed = self._line[:most], []
        if busy:
            looked_at, taken = self._line[: most + _MOST_PASSED], []
            for waiting in looked_at:
                if len(taken) < most and busy.isdisjoint(waiting.ties):
                    taken.append(waiting)
                else:
                    passed.append(waiting)
                    busy.update(waiting.ties)
        self._line[: len(taken) + len(passed)] = passed
        for waiting in taken:
            for tie in waiting.ties:
                count, turn = self._last.pop(tie)
                if count > 1:
                    self._last[tie] = (count - 1, turn)
        return taken

    def next_turn(self, ties: Ties) -> int:
        """The turn of one that comes now: the first one's at the earliest, and behind all it is tied to."""
        first = self._line[0].turn if self._line else 0
        return max([first, *(self._last[tie][1] + 1 for tie in ties if tie in self._last)])

    def enter(self, waiting: _PutOff[T]) -> None:
        """Take it in, behind those of its turn."""
        insort(self._line, waiting, key=attrgetter("turn"))
        for tie in waiting.ties:
            count, turn = self._last.get(tie, (0, 0))
            self._last[tie] = (count + 1, max(turn, waiting.turn))
