"""Where a request stands in a trace that spans many programs (W3C Trace Context)."""

import re
from typing import NamedTuple, Self

from contracts import headers

_IDS = "(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_LATER = r"(?!00|ff)[0-9a-f]{2}"
_TRACEPARENT = re.compile(rf"00-{_IDS}|{_LATER}-{_IDS}(-[\x21-\x7e]{{0,200}})?")
_KEY = r"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
_VALUE = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER = re.compile(rf"({_KEY})={_VALUE}")
_MOST_MEMBERS = 32
_MOST_CHARACTERS = 512
_TRACE_ID = slice(3, 35)


class Trace(NamedTuple):
    """A span of a trace, as it is handed on: the values of the headers ``traceparent`` and ``tracestate``."""

    traceparent: str
    tracestate: str | None = None

    @classmethod
    def read(cls, traceparent: str | None, tracestate: str | None = None) -> Self | None:
        """What a caller hands on; None where it is none.

        Both go on into events, so what is no ``traceparent`` (3.2.2) or ``tracestate`` (3.3.1) is nothing,
        however long it is; a later version's may go on behind the flags. Without a parent the state says
        nothing.
        """
        if not traceparent or not _TRACEPARENT.fullmatch(traceparent):
            return None
        return cls(traceparent, tracestate if tracestate and _is_state(tracestate) else None)

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


def _is_state(text: str) -> bool:
    """Whether it is a list of at most 32 members, each key once; members may be empty."""
    if len(text) > _MOST_CHARACTERS:
        return False
    members = [member for each in text.split(",") if (member := each.strip(" \t"))]
    matches = [match for member in members if (match := _MEMBER.fullmatch(member))]
    keys = {match[1] for match in matches}
    return 0 < len(keys) == len(members) <= _MOST_MEMBERS
