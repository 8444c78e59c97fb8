"""Bad messages among good ones."""

import asyncio
import json
import random
from collections.abc import Callable
from uuid import uuid4

import nats
from nats.aio.msg import Msg

from contracts import headers, subjects
from contracts.endpoints import ENDPOINTS
from tests.faults.fault import Fault, Wrong
from tests.faults.observed import Finding
from tests.faults.plant import Plant
from tests.faults.workers import one_worker

_MESSAGES = 5000
_OF_COMMANDS = 500
_AT_ONCE = 50
_ANSWERED_WITHIN = 20.0

_MALFORMED: tuple[Callable[[], bytes], ...] = (
    lambda: b"",
    lambda: random.randbytes(random.randrange(1, 500)),
    lambda: b'{"entity_id": ',
    lambda: b"[" * 100_000,
    lambda: b"1e999999",
    lambda: json.dumps({"entity_id": "no id", "environment": "nowhere"}).encode(),
    lambda: json.dumps({"entity_id": str(uuid4()), "environment": "staging", "deployed_by": 3}).encode(),
    lambda: json.dumps({"entity_id": str(uuid4()), "reason": "a\x00b", "unknown": {}}).encode(),
    lambda: b'{"deployment_id": "\xff\xfe"}',
)
_WRITING = [endpoint.subject for endpoint in ENDPOINTS if endpoint.writes]


async def _malform(plant: Plant, seconds: float) -> None:
    """Spread them over the time, to every subject that changes something, and count the refusals."""
    client = await nats.connect(plant.nats_url)
    refused = 0
    done = asyncio.Event()

    async def count(reply: Msg) -> None:
        nonlocal refused
        if (reply.headers or {}).get(headers.ERROR) == "invalid_request":
            refused += 1
        if refused == _MESSAGES:
            done.set()

    inbox = client.new_inbox()
    await client.subscribe(inbox, cb=count)
    pause = (seconds - 1.0) / (_MESSAGES / _AT_ONCE)
    for number in range(_MESSAGES):
        await client.publish(random.choice(_WRITING), random.choice(_MALFORMED)(), reply=inbox)
        if number % (_MESSAGES // _OF_COMMANDS) == 0:
            await client.publish(
                subjects.COMMAND_DEPLOY,
                random.choice(_MALFORMED)(),
                headers={headers.MESSAGE_ID: str(uuid4())},
            )
        if number % _AT_ONCE == 0:
            await asyncio.sleep(pause)
    try:
        await asyncio.wait_for(done.wait(), _ANSWERED_WITHIN)
    except TimeoutError:
        raise Wrong(Finding("lost", f"of {_MESSAGES} malformed requests {refused} were refused")) from None
    finally:
        await client.close()


FAULTS = (Fault("malformed", "5,000 malformed messages among the good ones", _malform, one_worker),)
