"""The bounded queue between the event loop, which puts, and a lane's thread, which takes."""

import threading
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class CommandQueue(Generic[T]):
    """First in, first out, in batches; what is put off comes back to the front."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._taken = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether nothing more goes in."""
        return len(self._waiting) >= self._size

    def put(self, item: T) -> bool:
        """Put it in; False where the queue is full or closed."""
        with self._changed:
            if self._closed or len(self._waiting) >= self._size:
                return False
            self._waiting.append(item)
            self._changed.notify()
            return True

    def take(self, most: int) -> list[T]:
        """Wait for one, then take what is there, at most so many; nothing once the queue is closed."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._taken += len(taken)
            return taken

    def settle(self, done: int, put_off: Iterable[T] = ()) -> None:
        """Say that so many of those taken are answered; the others come back, in their order."""
        returned = list(put_off)
        with self._changed:
            self._waiting.extendleft(reversed(returned))
            self._taken -= done + len(returned)
            self._changed.notify_all()

    def drain(self, timeout: float) -> bool:
        """Wait, at most so many seconds, until everything that was put is answered."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._taken, timeout)

    def close(self) -> None:
        """Wake those who wait; nothing is taken any more once the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
