"""What a caller is told: a body, or a problem's, and what the headers say of it."""

from typing import NamedTuple

from contracts import headers
from contracts.problems import PROBLEMS, RETRY_AFTER_SECONDS, Code, ProblemError
from worker import rendering


class Answer(NamedTuple):
    """A reply. ``code`` is None for success; ``replayed`` says that it is a stored outcome."""

    body: bytes
    code: Code | None = None
    replayed: bool = False

    @classmethod
    def of_problem(cls, problem: ProblemError, request_id: str) -> "Answer":
        """The answer that carries a problem."""
        return cls(rendering.problem(problem, request_id), problem.code)

    def headers(self, request_id: str) -> dict[str, str]:
        """The headers of the reply over NATS."""
        carried = {headers.REQUEST_ID: request_id}
        if self.code is None:
            carried[headers.CONTENT_TYPE] = headers.JSON
        else:
            carried[headers.CONTENT_TYPE] = headers.PROBLEM_JSON
            carried[headers.ERROR_CODE] = str(PROBLEMS[self.code].status)
            carried[headers.ERROR] = self.code
            if self.code in RETRY_AFTER_SECONDS:
                carried[headers.RETRY_AFTER] = str(RETRY_AFTER_SECONDS[self.code])
        if self.replayed:
            carried[headers.REPLAYED] = "true"
        return carried
