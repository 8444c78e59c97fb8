"""An inbox that sees every reply: a request answered twice, or not at all, shows."""

import json
from typing import Any, Self
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from contracts import headers, subjects
from contracts.endpoints import Endpoint
from contracts.problems import PROBLEMS, Problem

ANSWERED_WITHIN = 3.0
_INNARDS = (
    b"Traceback",
    b'File "',
    b".py",
    b"psycopg",
    b"sqlalchemy",
    b"pydantic",
    b"SELECT ",
    b"INSERT ",
    b"UPDATE ",
    b"pg_",
)


class Inbox:
    """Sends requests with one reply subject and takes what comes to it, in order."""

    def __init__(self, connection: Client) -> None:
        self.connection = connection
        self.subject = connection.new_inbox()
        self._subscription: Subscription

    async def __aenter__(self) -> Self:
        self._subscription = await self.connection.subscribe(self.subject)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._subscription.unsubscribe()

    async def next(self) -> Msg:
        """The next reply, whatever it answers."""
        return await self._subscription.next_msg(timeout=ANSWERED_WITHIN)

    async def only_reply(self, subject: str, body: bytes, carried: dict[str, str] | None = None) -> Msg:
        """The reply to a request; fails if none comes in time, or a second one."""
        await self.connection.publish(subject, body, reply=self.subject, headers=carried)
        reply = await self.next()
        await self.nothing_before_the_next_answer()
        return reply

    async def nothing_before_the_next_answer(self) -> None:
        """Ask something harmless: its answer must be the next thing that comes."""
        mark = str(uuid4())
        await self.connection.publish(
            subjects.ENVIRONMENT_LIST, b"", reply=self.subject, headers={headers.IDEMPOTENCY_KEY: mark}
        )
        following = await self.next()
        assert (following.headers or {})[headers.REQUEST_ID] == mark, following.data


def problem_of(reply: Msg) -> dict[str, Any]:
    """The problem that a reply carries, after a look at all that the contract says of one."""
    carried = reply.headers or {}
    body = json.loads(reply.data)
    problem = Problem.model_validate(body)
    status, title = PROBLEMS[problem.code]
    assert (problem.type, problem.status, problem.title) == (
        f"urn:library:problem:{problem.code}",
        status,
        title,
    )
    assert problem.detail
    assert carried[headers.ERROR_CODE] == str(status)
    assert carried[headers.ERROR] == problem.code
    assert carried[headers.CONTENT_TYPE] == headers.PROBLEM_JSON
    assert carried[headers.REQUEST_ID] == problem.request_id
    assert not [each for each in _INNARDS if each in reply.data], reply.data
    return body


def check(reply: Msg, endpoint: Endpoint) -> str | None:
    """Whether a reply is well-formed: the code of a proper problem, or None for the endpoint's own reply."""
    if headers.ERROR_CODE in (reply.headers or {}):
        return str(problem_of(reply)["code"])
    endpoint.reply.model_validate_json(reply.data)
    assert (reply.headers or {})[headers.CONTENT_TYPE] == headers.JSON
    return None


def fields(problem: dict[str, Any]) -> set[str]:
    """The fields that an ``invalid_request`` names, each once."""
    assert problem["code"] == "invalid_request", problem
    named = [each["field"] for each in problem["errors"]]
    assert all(each["message"] for each in problem["errors"])
    return set(named)
