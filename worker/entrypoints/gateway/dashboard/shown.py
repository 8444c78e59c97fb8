"""What a page gives: a template with its values, or another address."""

from typing import Any, NamedTuple, Self


class Shown(NamedTuple):
    """A template and what stands in it; or, with ``location``, where the browser goes on."""

    template: str
    values: dict[str, Any]
    status: int = 200
    location: str | None = None

    @classmethod
    def elsewhere(cls, location: str) -> Self:
        """Go on there, with GET (303, RFC 9110 15.4.4)."""
        return cls("", {}, 303, location)
