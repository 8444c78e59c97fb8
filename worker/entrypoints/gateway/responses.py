"""What goes back over HTTP: a worker's reply, or a problem."""

from collections.abc import Mapping

from fastapi import Response
from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from contracts.headers import ERROR_CODE, JSON, PROBLEM_JSON, REPLAYED, REQUEST_ID, RETRY_AFTER
from contracts.problems import RETRY_AFTER_SECONDS, ProblemError

_PASSED_ON = (REQUEST_ID, REPLAYED, RETRY_AFTER)
_ERROR_STATUSES = range(400, 600)


class _Revised(BaseModel):
    """As much of an entity as its ETag needs; the rest is skipped without being built."""

    revision: int


def problem(
    error: ProblemError, request_id: str, further_headers: Mapping[str, str] | None = None
) -> Response:
    """The response for a refusal of the gateway's own."""
    headers = {REQUEST_ID: request_id, **(further_headers or {})}
    seconds = RETRY_AFTER_SECONDS.get(error.code)
    if seconds is not None:
        headers[RETRY_AFTER] = str(seconds)
    return Response(
        to_json(error.body(request_id)), status_code=error.status, headers=headers, media_type=PROBLEM_JSON
    )


def reply(message: Msg, status: int, *, entity: bool) -> Response:
    """The response for a worker's reply: its bytes, with ``status`` or that of the problem it is.

    Raises ``ValueError`` for a reply whose error code is no status.
    """
    given = message.headers or {}
    headers = {name: given[name] for name in _PASSED_ON if name in given}
    if ERROR_CODE in given:
        status = int(given[ERROR_CODE])
        if status not in _ERROR_STATUSES:
            raise ValueError(f"{ERROR_CODE} is no error status")
        return Response(message.data, status_code=status, headers=headers, media_type=PROBLEM_JSON)
    if entity:
        headers |= _etag(message.data)
    return Response(message.data, status_code=status, headers=headers, media_type=JSON)


def _etag(body: bytes) -> dict[str, str]:
    try:
        return {"ETag": f'"{_Revised.model_validate_json(body).revision}"'}
    except ValidationError:
        return {}
