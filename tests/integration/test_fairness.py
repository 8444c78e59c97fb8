"""Hundreds of commands of one entity in the queue: the others are answered, and its own keep their order."""

import asyncio

from tests.events import events_of, names
from tests.lane import lane_held

HOT = 300


def rollbacks_to_and_fro(caller, one, other):
    """Rollbacks to each other, asked at once: each is carried out if it comes right behind the former one."""
    turns = [(one, other), (other, one)] * (HOT // 2)
    return [
        asyncio.ensure_future(caller.rollback(current, target_deployment_id=target["deployment_id"]))
        for current, target in turns
    ]


def answered(asking):
    return sum(each.done() for each in asking)


async def test_behind_hundreds_of_one_entity_the_others_are_answered_and_its_own_keep_their_order(
    system, caller
):
    entity = await caller.create()
    former, current = await caller.deploy(entity), await caller.deploy(entity)
    others = [await caller.create() for _ in range(5)]
    bad = [[await caller.deploy(other) for _ in range(2)][-1] for other in others]

    async with lane_held(system, caller) as queued:
        hot = rollbacks_to_and_fro(caller, current, former)
        await queued(HOT)
        deploys = [asyncio.ensure_future(caller.deploy(other, "production")) for other in others]
        rollbacks = [asyncio.ensure_future(caller.rollback(each)) for each in bad]
        await queued(HOT + 10)

    assert {each["status"] for each in await asyncio.gather(*deploys)} == {"active"}
    assert {each["status"] for each in await asyncio.gather(*rollbacks)} == {"rolled_back"}
    assert answered(hot) < HOT / 2

    assert {each["status"] for each in await asyncio.gather(*hot)} == {"rolled_back"}
    events = await events_of(system, caller.connection, entity)
    assert names(events)[4:] == ["rolled_back", "reactivated"] * HOT


async def test_one_who_asks_while_hundreds_of_another_entity_are_put_off_is_answered_among_the_first(
    system, caller
):
    entity, other = await caller.create(), await caller.create()
    former, current = await caller.deploy(entity), await caller.deploy(entity)

    async with lane_held(system, caller) as queued:
        hot = rollbacks_to_and_fro(caller, current, former)
        await queued(HOT)
    await hot[0]
    before = answered(hot)
    for _ in range(5):
        await caller.deploy(other)

    assert answered(hot) - before < HOT / 2
    assert {each["status"] for each in await asyncio.gather(*hot)} == {"rolled_back"}
