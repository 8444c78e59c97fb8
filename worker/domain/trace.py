"""Where a request stands in a trace that spans many programs (W3C Trace Context)."""

import re
from typing import NamedTuple, Self

from contracts import headers

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")
_TRACE_ID = slice(3, 35)


class Trace(NamedTuple):
    """A span of a trace, as it is handed on: the values of the headers ``traceparent`` and ``tracestate``."""

    traceparent: str
    tracestate: str | None = None

    @classmethod
    def read(cls, traceparent: str | None, tracestate: str | None = None) -> Self | None:
        """What a caller hands on; None where it is none. Without a parent the state says nothing (3.3)."""
        if not traceparent or not _TRACEPARENT.fullmatch(traceparent):
            return None
        return cls(traceparent, tracestate if tracestate and _TRACESTATE.fullmatch(tracestate) else None)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that hand it on."""
        carried = {headers.TRACEPARENT: self.traceparent}
        if self.tracestate is not None:
            carried[headers.TRACESTATE] = self.tracestate
        return carried

    @property
    def trace_id(self) -> str:
        """The id that all spans of the trace share, 32 hexadecimal digits."""
        return self.traceparent[_TRACE_ID]
