"""The bounded queue between the event loop, which puts, and a lane's thread, which takes.

It has two lines: fresh items, first in, first out, and those that a batch put off. Items put off take at most
half of a batch while fresh ones wait, and among them no entity's second goes before another's first: however
many wait for one entity, the others are served.
"""

import threading
from bisect import insort
from collections import deque
from collections.abc import Hashable, Mapping
from collections.abc import Set as AbstractSet
from operator import attrgetter
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

Ties = AbstractSet[Hashable]
"""What holds an item to its place, such as its entity: items that share a tie keep their order."""

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


class CommandQueue(Generic[T]):
    """Gives batches, and takes back what was put off. Where anything is put off, only one thread takes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._fresh: deque[T] = deque()
        self._put_off = _PutOffLine[T]()
        self._changed = threading.Condition(threading.Lock())
        self._taken = 0
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
        with self._changed:
            if self._closed or self.is_full:
                return False
            self._fresh.append(item)
            self._changed.notify()
            return True

    def take(self, most: int) -> Taken[T]:
        """Wait for one, then take what is there, at most so many; nothing once the queue is closed."""
        with self._changed:
            while not len(self) and not self._closed:
                self._changed.wait()
            again = self._put_off.take(max(1, most // 2) if self._fresh else most)
            fresh = [self._fresh.popleft() for _ in range(min(most - len(again), len(self._fresh)))]
            self._taken += len(again) + len(fresh)
            items = [waiting.item for waiting in again] + fresh
            return Taken(items, [waiting.turn for waiting in again], self._put_off.ties)

    def settle(self, taken: Taken[T], put_off: Mapping[int, Ties] = _NOTHING) -> None:
        """Say that what was taken is answered, save what is put off: its ties, by its places, in their order.

        What was put off before keeps its turn; the rest gets one behind all that it is tied to.
        """
        with self._changed:
            for place, ties in put_off.items():
                turn = taken.turns[place] if place < taken.again else self._put_off.next_turn(ties)
                self._put_off.enter(_PutOff(turn, taken.items[place], ties))
            self._taken -= len(taken.items)
            self._changed.notify_all()

    def drain(self, timeout: float) -> bool:
        """Wait, at most so many seconds, until everything that was put is answered."""
        with self._changed:
            return self._changed.wait_for(lambda: not len(self) and not self._taken, timeout)

    def close(self) -> None:
        """Wake those who wait; nothing is taken any more once the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


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

    def take(self, most: int) -> list[_PutOff[T]]:
        """The first ones, at most so many."""
        taken, self._line = self._line[:most], self._line[most:]
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
