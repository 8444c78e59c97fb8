"""Replies go to inboxes alone: a request that names another place, or none, is not carried out."""

import json
from uuid import uuid4

import nats
import pytest
from nats.js.errors import NotFoundError

from contracts import headers, subjects
from tests.conftest import Caller
from tests.events import announced, in_stream
from tests.inbox import Inbox
from worker.embedded.nats_server import NatsServer

ELSEWHERE = {
    "no reply subject": "",
    "an event of a deployment": subjects.deployment_event("completed", "staging", uuid4()),
    "an event that there is none of": subjects.EVENTS_WILDCARD.replace(">", "x"),
    "a live configuration": subjects.bucket_subject(
        subjects.ACTIVE_BUCKET, subjects.active_key("staging", uuid4())
    ),
    "the JetStream interface": f"$JS.API.STREAM.PURGE.{subjects.EVENTS_STREAM}",
    "another request": subjects.ENTITY_LIST,
    "a wake-up of the relay": subjects.OUTBOX_WAKE,
    "an inbox in lower case": "_inbox.a.b",
    "an inbox behind something": "x._INBOX.a",
    "an inbox without a name": "_INBOX",
    "a longer word": "_INBOXES.a",
    "the system's": "$SYS.REQ.SERVER.PING",
}


@pytest.fixture
async def inbox(connection):
    async with Inbox(connection) as opened:
        yield opened


def creation():
    return {"name": f"entity-{uuid4()}", "type": "strategy", "version": "1"}


@pytest.mark.parametrize("reply_to", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_a_request_with_a_reply_subject_elsewhere_does_nothing(
    system, caller, connection, inbox, reply_to
):
    announced(system)
    before = (await connection.jetstream().stream_info(subjects.EVENTS_STREAM)).state
    overheard = await connection.subscribe(reply_to) if reply_to else None
    unwanted, wanted = creation(), creation()

    await connection.publish(subjects.ENTITY_CREATE, json.dumps(unwanted).encode(), reply=reply_to)
    await connection.publish(subjects.ENTITY_CREATE, b"no request either", reply=reply_to)
    await connection.publish(subjects.ENTITY_LIST, b"{}", reply=reply_to)
    created = await inbox.only_reply(subjects.ENTITY_CREATE, json.dumps(wanted).encode())

    assert headers.ERROR not in created.headers
    listed = await caller.ask(subjects.ENTITY_LIST, name=unwanted["name"])
    assert listed["total"] == 0
    assert system.sql("SELECT count(*) FROM entities WHERE name = %s", (unwanted["name"],)) == [(0,)]
    announced(system)
    after = (await connection.jetstream().stream_info(subjects.EVENTS_STREAM)).state
    assert after.last_seq == before.last_seq + 1  # that of the entity that was wanted
    assert after.messages == before.messages + 1
    if overheard is not None and reply_to not in (subjects.ENTITY_LIST, subjects.OUTBOX_WAKE):
        assert overheard.pending_msgs == 0


async def test_no_reply_ends_up_in_a_stream_or_a_bucket(system, connection, inbox):
    ghost = subjects.deployment_event("completed", "staging", uuid4())
    key = subjects.active_key("staging", uuid4())
    jetstream = connection.jetstream()

    for place in (ghost, subjects.bucket_subject(subjects.ACTIVE_BUCKET, key)):
        for subject in (
            subjects.ENVIRONMENT_LIST,
            "$SRV.PING",
            "$SRV.INFO",
            f"$SRV.STATS.{subjects.SERVICE}",
        ):
            await connection.publish(subject, b"", reply=place)
    await inbox.nothing_before_the_next_answer()

    announced(system)
    assert await in_stream(connection, ghost) == []
    with pytest.raises(NotFoundError):
        await (await jetstream.key_value(subjects.ACTIVE_BUCKET)).get(key)


class ServerWithAccounts(NatsServer):
    """A nats-server on which callers have an account of their own, which imports the service."""

    def prepare(self) -> None:
        super().prepare()
        self.configuration.write_text(
            self.configuration.read_text()
            + f"""
            accounts {{
              PRODUCT {{
                jetstream: enabled
                users: [{{user: worker, password: secret}}]
                exports: [{{service: "{subjects.SERVICE}.>"}}]
              }}
              CALLERS {{
                users: [{{user: caller, password: secret}}]
                imports: [{{service: {{account: PRODUCT, subject: "{subjects.SERVICE}.>"}}}}]
              }}
            }}
            no_auth_user: worker
            """
        )


async def test_callers_of_another_account_are_answered(own_system):
    own_system.nats = ServerWithAccounts(own_system.directory, output=own_system._log)
    own_system.start_servers()
    own_system.start_worker().wait_for_line("worker_ready")
    connection = await nats.connect(own_system.nats_url, user="caller", password="secret")

    created = await Caller(connection).create()

    assert (await Caller(connection).deploy(created))["status"] == "active"
    await connection.close()


async def test_other_prefixes_are_answered_where_a_setting_names_them(system, connection):
    worker = system.start_worker(LIBRARY_REPLY_PREFIXES="_INBOX.,_R_.,answers.to.")
    worker.wait_for_line("worker_ready")
    subject = f"answers.to.{uuid4().hex}"
    replies = await connection.subscribe(subject)
    try:
        for _ in range(20):  # the other worker of the queue group does not answer there
            await connection.publish(subjects.ENVIRONMENT_LIST, b"", reply=subject)
        assert json.loads((await replies.next_msg(timeout=3)).data)["environments"]
    finally:
        assert worker.stop() == 0
        system.workers.remove(worker)
