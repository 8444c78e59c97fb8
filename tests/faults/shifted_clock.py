"""``python -m tests.faults.shifted_clock SECONDS worker``: the program with a wall clock that goes wrong.

Shifts what Python itself tells of the time, before anything of the worker is imported.
"""

import ctypes
import gc
import sys
import time
from datetime import datetime, timedelta, tzinfo


def shift(seconds: float) -> None:
    """Have ``time`` and ``datetime`` say what they would so many seconds from now."""
    true_time, true_time_ns, true_now = time.time, time.time_ns, datetime.now

    def now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return true_now(tz) + timedelta(seconds=seconds)

    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_time_ns() + int(seconds * 1e9)
    attributes = gc.get_referents(datetime.__dict__)[0]  # the class is C's: it takes no assignment
    attributes["now"] = classmethod(now)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))


if __name__ == "__main__":
    shift(float(sys.argv.pop(1)))
    from worker.entrypoints.cli import main

    main()
