"""The transport that a test goes over, each of the three in turn."""

import pytest

from tests.parity.transports import OverCommandLine, OverHttp, OverNats, Transport
from tests.system import System


@pytest.fixture(params=[OverNats, OverHttp], ids=["nats", "http"])
def twin(request: pytest.FixtureRequest, system: System) -> Transport:
    """The two that programs use; what the command line makes of the same is tested by itself."""
    return request.param(system)


@pytest.fixture(params=[OverNats, OverHttp, OverCommandLine], ids=["nats", "http", "command-line"])
def transport(request: pytest.FixtureRequest, system: System) -> Transport:
    return request.param(system)
