"""Pages of other sites: a browser sends their requests here, too, and nobody asked for what they change.

There is no authentication yet, so being reachable is all that it takes; programs send neither header.
"""

from collections.abc import Iterable

from contracts.problems import ProblemError

_OURS = (b"same-origin", b"none")


def require_own_pages(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise ``ProblemError`` (``forbidden``) for a request that a page of another site makes.

    Browsers say so in ``Sec-Fetch-Site`` (W3C Fetch Metadata) and ``Origin`` (RFC 6454).
    """
    given = dict(headers)
    site, origin = given.get(b"sec-fetch-site"), given.get(b"origin")
    if site is not None and site not in _OURS:
        raise _foreign()
    if origin is not None and origin.partition(b"://")[2] != given.get(b"host", b""):
        raise _foreign()


def _foreign() -> ProblemError:
    return ProblemError("forbidden", "Pages of other sites change nothing here; ask from this one.")
