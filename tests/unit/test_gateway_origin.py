import pytest

from contracts.problems import ProblemError
from worker.entrypoints.gateway.origin import require_own_pages

HOST = (b"host", b"127.0.0.1:8350")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"sec-fetch-site", b"same-origin")],
        [(b"sec-fetch-site", b"none")],
        [(b"origin", b"http://127.0.0.1:8350")],
    ],
)
def test_programs_and_our_own_pages_may_change_things(headers: list[tuple[bytes, bytes]]):
    require_own_pages([HOST, *headers])


@pytest.mark.parametrize(
    "headers",
    [
        [(b"sec-fetch-site", b"cross-site")],
        [(b"sec-fetch-site", b"same-site")],
        [(b"origin", b"https://elsewhere.example")],
        [(b"origin", b"http://127.0.0.1:9999")],
        [(b"origin", b"null")],
        [(b"origin", b"http://[")],
    ],
)
def test_pages_of_other_sites_may_not(headers: list[tuple[bytes, bytes]]):
    with pytest.raises(ProblemError) as refused:
        require_own_pages([HOST, *headers])

    assert refused.value.code == "forbidden"
