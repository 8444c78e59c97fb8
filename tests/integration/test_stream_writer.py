"""The one writer of a stream: whole batches in order, refused where somebody else has written since."""

from uuid import uuid4

import pytest
from nats.js.api import StorageType, StreamConfig

from contracts import headers
from tests.events import in_stream
from worker.messaging.stream_writer import MAX_MESSAGES, Fenced, InDoubt, Message, Refused, StreamWriter


@pytest.fixture
async def stream(connection):
    """The name of a new stream, whose subjects begin with it."""
    name = f"written-{uuid4().hex}"
    await connection.jetstream().add_stream(
        StreamConfig(name=name, subjects=[f"{name}.>"], storage=StorageType.FILE, allow_atomic=True)
    )
    yield name
    await connection.jetstream().delete_stream(name)


@pytest.fixture
async def writer(connection, stream):
    made = StreamWriter(connection, stream)
    await made.synchronize()
    return made


def messages(stream, count, prefix="m"):
    return [
        Message(
            f"{stream}.{number % 3}", f"{prefix}{number}".encode(), {headers.MESSAGE_ID: f"{prefix}{number}"}
        )
        for number in range(count)
    ]


async def bodies(connection, stream):
    return [message.data.decode() for message in await in_stream(connection, stream=stream)]


@pytest.mark.parametrize("count", [1, 2, 12, 13, MAX_MESSAGES])
async def test_a_batch_is_stored_whole_and_in_order(connection, stream, writer, count):
    await writer.publish(messages(stream, count))

    assert await bodies(connection, stream) == [f"m{number}" for number in range(count)]


async def test_one_batch_follows_the_other(connection, stream, writer):
    for prefix, count in (("a", 5), ("b", 1), ("c", 200)):
        await writer.publish(messages(stream, count, prefix))

    stored = await in_stream(connection, stream=stream)
    assert [message.data[:1] for message in stored] == [b"a"] * 5 + [b"b"] + [b"c"] * 200
    assert [message.headers[headers.MESSAGE_ID] for message in stored[:2]] == ["a0", "a1"]
    assert {message.subject for message in stored} == {f"{stream}.{number}" for number in range(3)}


@pytest.mark.parametrize("count", [1, 50])
async def test_a_stale_writer_is_refused_and_nothing_of_its_batch_is_stored(
    connection, stream, writer, count
):
    stale = StreamWriter(connection, stream)
    await stale.synchronize()
    await writer.publish(messages(stream, 2, "new"))

    with pytest.raises(Fenced):
        await stale.publish(messages(stream, count, "stale"))
    assert await bodies(connection, stream) == ["new0", "new1"]

    await stale.synchronize()
    await stale.publish(messages(stream, count, "again"))
    with pytest.raises(Fenced):
        await writer.publish(messages(stream, 1, "late"))
    assert len(await bodies(connection, stream)) == 2 + count


async def test_a_batch_with_a_known_id_is_refused_whole(connection, stream, writer):
    await writer.publish(messages(stream, 2))

    with pytest.raises(Refused):
        await writer.publish([*messages(stream, 20, "new"), *messages(stream, 1)])

    assert await bodies(connection, stream) == ["m0", "m1"]


async def test_of_a_few_messages_none_is_stored_without_those_before_it(connection, stream, writer):
    await writer.publish(messages(stream, 2))

    with pytest.raises((Refused, Fenced)):
        await writer.publish(
            [*messages(stream, 1, "new"), *messages(stream, 1), *messages(stream, 2, "behind")]
        )

    assert await bodies(connection, stream) == ["m0", "m1", "new0"]
    await writer.synchronize()
    await writer.publish(messages(stream, 1, "next"))
    assert await bodies(connection, stream) == ["m0", "m1", "new0", "next0"]


class Intruder(list):
    """What a client is about to send, in which somebody else's message comes behind the first of ours."""

    def __init__(self, pending, stream):
        super().__init__(pending)
        self.foreign = f"PUB {stream}.foreign 1\r\nx\r\n".encode()

    def append(self, data):
        first, behind, rest = data.removeprefix(b"HPUB").partition(b"HPUB")
        super().append(b"HPUB" + first + self.foreign + behind + rest if behind else data)


@pytest.mark.parametrize("count", [3, 4, 12])
async def test_a_message_of_somebody_elses_between_ours_takes_the_place_of_none(
    connection, stream, writer, count
):
    connection._pending = Intruder(connection._pending, stream)

    with pytest.raises(Fenced):
        await writer.publish(messages(stream, count))

    assert await bodies(connection, stream) == ["m0", "x"]


@pytest.mark.parametrize("count", [1, 3, 20])
async def test_a_message_larger_than_the_server_takes_is_refused_with_what_to_do_and_nothing_is_sent(
    connection, stream, writer, count
):
    *first, last = messages(stream, count)

    with pytest.raises(Refused, match="max_payload"):
        await writer.publish([*first, last._replace(body=b"x" * connection.max_payload)])

    assert await bodies(connection, stream) == []
    assert connection.stats["reconnects"] == 0
    await writer.publish(messages(stream, count))
    assert len(await bodies(connection, stream)) == count


async def test_messages_without_ids_are_stored_in_order_as_well(connection, stream, writer):
    await writer.publish([Message(f"{stream}.{number}", b"%d" % number, {}) for number in range(5)])
    await writer.publish([Message(f"{stream}.5", b"5", {})])

    assert await bodies(connection, stream) == [f"{number}" for number in range(6)]


async def test_of_a_stale_writers_messages_without_ids_none_follows_somebody_elses(
    connection, stream, writer
):
    stale = StreamWriter(connection, stream)
    await stale.synchronize()
    await writer.publish(messages(stream, 1, "new"))  # in the place of the first

    with pytest.raises(Fenced):
        await stale.publish([Message(f"{stream}.{number}", b"stale", {}) for number in range(5)])

    assert await bodies(connection, stream) == ["new0"]


async def test_after_a_batch_that_failed_messages_go_one_by_one_and_then_in_batches_again(
    connection, stream, writer
):
    await writer.publish(messages(stream, 1))
    with pytest.raises(Refused):
        await writer.publish([*messages(stream, 20, "whole"), *messages(stream, 1)])

    await writer.synchronize()
    with pytest.raises((Refused, Fenced)):
        await writer.publish([*messages(stream, 100, "part"), *messages(stream, 1)])

    assert await bodies(connection, stream) == ["m0", *(f"part{number}" for number in range(100))]
    await writer.synchronize()
    await writer.publish(messages(stream, 200, "more"))
    with pytest.raises(Refused):
        await writer.publish([*messages(stream, 20, "whole"), *messages(stream, 1)])
    assert len(await bodies(connection, stream)) == 1 + 100 + 200


async def test_a_batch_that_nobody_answers_is_in_doubt(connection, writer, stream):
    nowhere = [Message(f"{uuid4().hex}.x", b"", {}) for _ in range(2)]

    with pytest.raises(InDoubt):
        await writer.publish(nowhere)


async def test_the_tail_names_the_last_messages(connection, stream, writer):
    assert dict(await writer.tail(10)) == {}
    await writer.publish(messages(stream, 600))
    await writer.synchronize()

    assert set(await writer.tail(3)) == {"m597", "m598", "m599"}
    assert (await writer.tail(3))["m599"] == f"{stream}.2"
    assert len(await writer.tail(MAX_MESSAGES)) == 600


async def test_a_batch_that_was_stored_without_an_answer_is_found_in_the_tail(connection, stream, writer):
    lost = StreamWriter(connection, stream)
    await lost.synchronize()
    await lost.publish(messages(stream, 40, "lost"))  # its writer dies here
    successor = StreamWriter(connection, stream)
    await successor.synchronize()

    assert set(await successor.tail(MAX_MESSAGES)) == {f"lost{number}" for number in range(40)}


async def test_the_tail_of_a_stream_that_was_emptied_is_empty(connection, stream, writer):
    await writer.publish(messages(stream, 5))
    await connection.jetstream().purge_stream(stream)
    await writer.synchronize()

    assert dict(await writer.tail(10)) == {}
    await writer.publish(messages(stream, 2, "after"))
    assert await bodies(connection, stream) == ["after0", "after1"]


async def remove(connection, stream, sequences):
    for sequence in sequences:
        await connection.jetstream().delete_msg(stream, sequence)


async def test_the_tail_ends_where_the_last_messages_were_deleted(connection, stream, writer):
    await writer.publish(messages(stream, 600))
    await remove(connection, stream, (300, 599, 600))
    await writer.synchronize()

    assert set(await writer.tail(400)) == {f"m{number}" for number in range(200, 598) if number != 299}
    await writer.publish(messages(stream, 20, "after"))
    assert (await bodies(connection, stream))[-22:] == ["m596", "m597", *(f"after{n}" for n in range(20))]


async def test_a_tail_that_was_deleted_whole_is_empty(connection, stream, writer):
    await writer.publish([Message(f"{stream}.kept", b"kept", {headers.MESSAGE_ID: "kept"})])
    await writer.publish(messages(stream, MAX_MESSAGES))
    for number in range(3):
        await connection.jetstream().purge_stream(stream, subject=f"{stream}.{number}")
    await writer.synchronize()

    assert await writer.tail(MAX_MESSAGES) == {}
    await writer.publish(messages(stream, 1, "after"))
    assert await bodies(connection, stream) == ["kept", "after0"]


async def test_the_tail_is_empty_where_all_was_deleted_since_the_stream_was_asked(connection, stream, writer):
    await writer.publish(messages(stream, 5))
    await writer.synchronize()
    await connection.jetstream().purge_stream(stream)

    assert await writer.tail(10) == {}
