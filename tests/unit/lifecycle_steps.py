"""What happens in the random lives of a few entities: steps, how often each is taken, and settings."""

from hypothesis import strategies as st

from tests.unit.lifecycle_model import LONG, ModelEnvironment

PLACES = ("staging", "production")
STATUSES = ("draft", "registered", "validated", "validated")
SHORT = 100
"""A time to confirm, in seconds, that a leap of the clock ends, and not the batches in between."""
LEAP = 200
# From section 4 of the wire contract.
MOVES = {
    (None, "active"),
    (None, "deploying"),
    (None, "pending"),
    ("pending", "deploying"),
    ("pending", "active"),
    ("pending", "failed"),
    ("deploying", "active"),
    ("deploying", "failed"),
    ("active", "inactive"),
    ("active", "rolled_back"),
    ("inactive", "active"),
    ("rolled_back", "active"),
}

numbers = st.integers(0, 9)
documents = st.none() | st.sampled_from([0, 1, 2, 1.0, 2.0]).map(lambda number: {"n": number})
people = st.sampled_from(["alice", "bob"])
places = st.sampled_from(PLACES)
agents = st.sampled_from(["agent-1", "agent-2"])
outcomes = st.sampled_from(["active", "active", "failed"])
seldom = st.sampled_from([False] * 5 + [True])
healths = st.sampled_from(["unhealthy"] * 3 + ["degraded", "healthy"])
KINDS = {
    "deploy": st.tuples(numbers, places, documents, people, st.tuples(seldom, seldom)),
    "confirm_deploying": st.tuples(numbers, outcomes, agents),
    "confirm": st.tuples(numbers, outcomes, agents),
    "expire": st.tuples(numbers),
    "report_active": st.tuples(numbers, healths, people),
    "report": st.tuples(numbers, healths, people),
    "rollback_active": st.tuples(numbers, st.none() | numbers, people),
    "rollback": st.tuples(numbers, st.none() | numbers, people),
    "retire_active": st.tuples(numbers),
    "retire": st.tuples(numbers),
    "update": st.tuples(numbers, st.none() | st.sampled_from(STATUSES), documents),
    "delete": st.tuples(numbers),
}
HOW_OFTEN = [
    *["deploy"] * 20,
    *["confirm_deploying", "report_active"] * 12,
    *["rollback_active"] * 8,
    *["retire_active", "update"] * 2,
    *KINDS,
]
steps = st.sampled_from(HOW_OFTEN).flatmap(lambda kind: st.tuples(st.just(kind), KINDS[kind]))
batches = st.lists(steps, min_size=2, max_size=8)
ticks = st.sampled_from([-1_000_000, 0, 1, 5_000])
environments = st.builds(
    ModelEnvironment,
    activation=st.sampled_from(["confirmed", "confirmed", "instant"]),
    confirm_timeout_s=st.sampled_from([SHORT, LONG]),
    auto_rollback=st.sampled_from([True, True, False]),
    unhealthy_after=st.integers(1, 3),
    concurrency=st.sampled_from(["queue", "queue", "reject", "supersede"]),
)
MAYBE_STRANGE = 9
"""The number by which also a deleted entity, or a target of elsewhere, is picked."""
