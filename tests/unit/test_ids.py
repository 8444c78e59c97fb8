from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import id7, id_of, new_id, uuid7

ENTROPY = st.binary(min_size=8, max_size=8)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.timedeltas(timedelta(0), timedelta(days=2_932_000)).map(lambda elapsed: EPOCH + elapsed)


@given(TIMES, ENTROPY)
def test_an_id_says_that_it_is_a_uuid_of_version_7(at, entropy):
    made = uuid7(at, entropy)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 76 & 0xF == 0b0111
    assert made.int >> 62 & 0b11 == 0b10


@given(TIMES, ENTROPY)
def test_its_text_is_the_same_id(at, entropy):
    assert id7(at, entropy) == id_of(uuid7(at, entropy))


@given(TIMES, ENTROPY)
def test_the_first_48_bits_are_the_milliseconds_since_1970(at, entropy):
    assert uuid7(at, entropy).int >> 80 == (at - EPOCH) // timedelta(milliseconds=1)


@given(TIMES, TIMES, ENTROPY, ENTROPY)
def test_ids_of_different_times_sort_as_the_times_do(one, other, entropy, another):
    if one != other:
        assert (uuid7(one, entropy) < uuid7(other, another)) == (one < other)


@given(TIMES, st.integers(1, 2000), ENTROPY, ENTROPY)
def test_even_a_microsecond_sorts(at, microseconds, entropy, another):
    later = at + timedelta(microseconds=microseconds)
    assert uuid7(at, entropy) < uuid7(later, another)
    assert str(uuid7(at, entropy)) < str(uuid7(later, another))


@given(TIMES, ENTROPY, ENTROPY)
def test_ids_of_the_same_time_differ_by_62_random_bits(at, entropy, another):
    mask = (1 << 62) - 1
    bits, other_bits = (int.from_bytes(each, "big") & mask for each in (entropy, another))
    assert uuid7(at, entropy).int & mask == bits
    assert (uuid7(at, entropy) == uuid7(at, another)) == (bits == other_bits)


@given(TIMES, ENTROPY, st.integers(-14, 14))
def test_a_time_is_the_same_moment_in_every_zone(at, entropy, hours):
    elsewhere = at.astimezone(timezone(timedelta(hours=hours)))
    assert uuid7(elsewhere, entropy) == uuid7(at, entropy)


def test_the_example_of_rfc_9562_has_its_time_here():
    at = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    made = uuid7(at, bytes.fromhex("18c4dc0c0c07398f"))
    assert str(made) == "017f22e2-79b0-7000-98c4-dc0c0c07398f"  # its 0xcc3 is random, ours a fraction


def test_a_new_id_is_one_of_now():
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = new_id()
    assert made.version == 7
    assert uuid7(before, bytes(8)) < made < uuid7(datetime.now(UTC) + timedelta(milliseconds=1), bytes(8))
    assert made != new_id()
