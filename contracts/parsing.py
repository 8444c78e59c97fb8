"""Bytes to a request, or a refusal that names every fault. Everything from outside is hostile until here."""

from typing import TypeVar

from pydantic import ValidationError

from contracts.limits import MAX_BODY_BYTES
from contracts.problems import ProblemError
from contracts.values import TOO_LARGE, Empty, Request

_MAX_MESSAGE = 300
_MAX_FIELD = 200
_MAX_FAULTS = 1000

RequestT = TypeVar("RequestT", bound=Request)


def parse(model: type[RequestT], body: bytes) -> RequestT:
    """The request that ``body`` (UTF-8 JSON) holds.

    Raises ``ProblemError`` with ``payload_too_large`` or ``invalid_request``, which lists every fault.
    """
    if len(body) > MAX_BODY_BYTES:
        raise ProblemError(
            "payload_too_large", f"The body has {len(body)} bytes; at most {MAX_BODY_BYTES} are taken."
        )
    try:
        return model.model_validate_json(body or b"{}" if model is Empty else body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    except (ValueError, RecursionError):
        raise ProblemError.invalid(("body", "is not JSON that can be read")) from None
    for fault in faults:
        if fault["type"] == TOO_LARGE:
            raise ProblemError("payload_too_large", f"{_field(fault['loc'])}: {fault['msg']}")
    listed = ((_field(fault["loc"]), fault["msg"][:_MAX_MESSAGE]) for fault in faults[:_MAX_FAULTS])
    raise ProblemError.invalid(*listed, unlisted=len(faults[_MAX_FAULTS:]))


def _field(location: tuple[int | str, ...]) -> str:
    path = ".".join(str(step) for step in location) or "body"
    return path.replace("\x00", "\\u0000")[:_MAX_FIELD]
