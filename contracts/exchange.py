"""One request over NATS, asked again until it is answered or its time is over."""

import asyncio
import random
from collections.abc import Mapping

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    NoRespondersError,
    OutboundBufferLimitError,
)

from contracts.connection import NoAnswerError
from contracts.headers import ERROR, IDEMPOTENCY_KEY, RETRY_AFTER
from contracts.problems import Code, ProblemError

_FIRST_PATIENCE = 2.0
_SHORTEST_SHARE = 0.5
_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_LAST_CALL = 0.1
_ASK_AGAIN = frozenset(("busy", "unavailable"))


class Exchange:
    """A request and its tries.

    A try that stays unanswered past its share of the time is followed by another one with the same headers,
    so with the same idempotency key. It is not given up: whichever is answered first counts, so that a slow
    worker is not asked in vain, and a reply held back on purpose (``wait``) still arrives.
    """

    def __init__(
        self, connection: Client, subject: str, body: bytes, headers: Mapping[str, str], *, timeout: float
    ) -> None:
        self._connection = connection
        self._subject = subject
        self._body = body
        self._headers = dict(headers)
        self._loop = asyncio.get_running_loop()
        self._ends = self._loop.time() + timeout
        self._next_try = 0.0
        self._patience = _FIRST_PATIENCE
        self._tries: set[asyncio.Task[Msg]] = set()
        self._unanswered = False
        self._in_vain = 0
        self._refusal: Msg | None = None

    async def answer(self) -> Msg:
        """The worker's answer, which may be a refusal.

        Raises ``NoAnswerError``, and ``ProblemError`` with ``payload_too_large`` for what the server cannot
        carry.
        """
        try:
            while True:
                self._begin_try()
                answer = await self._first_answer()
                if answer is not None:
                    return answer
                if not self._is_worth_another_try:
                    return self._last_word()
        finally:
            for attempt in self._tries:
                attempt.cancel()
            await asyncio.gather(*self._tries, return_exceptions=True)

    @property
    def _is_worth_another_try(self) -> bool:
        return self._next_try <= self._ends - _LAST_CALL

    def _begin_try(self) -> None:
        now = self._loop.time()
        remaining = self._ends - now
        self._tries.add(asyncio.create_task(self._ask(remaining)))
        self._next_try = now + min(_share(remaining), self._patience)
        self._patience *= 2

    async def _ask(self, within: float) -> Msg:
        return await self._connection.request(
            self._subject, self._body, timeout=within, headers=self._headers
        )

    async def _first_answer(self) -> Msg | None:
        """The first answer; None when the next try is due or, if none is worth while, when all is over."""
        while self._tries:
            due = self._next_try if self._is_worth_another_try else self._ends
            left = due - self._loop.time()
            if left <= 0:
                return None
            done, _ = await asyncio.wait(self._tries, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                self._tries.discard(attempt)
                answer = self._outcome(attempt)
                if answer is not None:
                    return answer
                self._next_try = min(self._next_try, self._loop.time() + self._pause())
        if self._is_worth_another_try:
            await asyncio.sleep(self._next_try - self._loop.time())
        return None

    def _outcome(self, attempt: asyncio.Task[Msg]) -> Msg | None:
        """What a finished try was answered; None if it is worth another one."""
        try:
            answer = attempt.result()
        except TimeoutError:  # nats.errors.TimeoutError is one
            self._unanswered = True
            return None
        except (NoRespondersError, OutboundBufferLimitError):
            self._in_vain += 1
            self._refusal = None
            return None
        except (ConnectionClosedError, ConnectionDrainingError):
            raise self._nobody("The connection to NATS is closed.") from None
        except MaxPayloadError:
            raise ProblemError(
                "payload_too_large", "The request is larger than the NATS server takes."
            ) from None
        if (answer.headers or {}).get(ERROR) in _ASK_AGAIN:
            self._in_vain += 1
            self._refusal = answer
            return None
        return answer

    def _pause(self) -> float:
        """Seconds until the next try: beyond what the refusal asks for, else more each time."""
        asked = (self._refusal.headers or {}).get(RETRY_AFTER, "") if self._refusal else ""
        longest = min(_SHORTEST_PAUSE * 2 ** min(self._in_vain, 10), _LONGEST_PAUSE)
        pause = random.uniform(longest / 2, longest)  # noqa: S311 - spreads callers out, guards nothing
        if asked.isdecimal():
            return pause + int(asked)
        return min(pause, max(self._ends - _LAST_CALL - self._loop.time(), 0))

    def _last_word(self) -> Msg:
        """The refusal that stood to the end; an unanswered try beside it leaves the outcome open."""
        if not (self._unanswered or self._tries):
            if self._refusal is not None:
                return self._refusal
            raise self._nobody(f"No worker listens on {self._subject}; is one running?")
        raise NoAnswerError(
            "no_answer",
            "No answer in time; whether it was done is not known. Asking again with the same key is safe."
            if IDEMPOTENCY_KEY in self._headers
            else "No answer in time.",
            request_id=self._headers.get(IDEMPOTENCY_KEY),
        )

    def _nobody(self, detail: str) -> NoAnswerError:
        code: Code = "no_answer" if self._unanswered or self._tries else "unavailable"
        return NoAnswerError(code, detail, request_id=self._headers.get(IDEMPOTENCY_KEY))


def _share(remaining: float) -> float:
    """How many of the ``remaining`` seconds a try has to itself."""
    return remaining if remaining < 2 * _SHORTEST_SHARE else max(remaining / 3, _SHORTEST_SHARE)
