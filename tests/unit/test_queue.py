import threading

from tests.system import eventually
from worker.dispatch.queue import Claims, CommandQueue


def filled(*items, size=100):
    queue = CommandQueue(size)
    for item in items:
        assert queue.put(item)
    return queue


def with_put_off(*waiting):
    """A queue in which these wait, each a name and its ties, put off all at once."""
    queue = filled(*(item for item, *_ in waiting))
    taken = queue.take(len(waiting))
    queue.settle(taken, {place: set(ties) for place, (_, *ties) in enumerate(waiting)})
    return queue


def take(queue, most):
    """A batch, decided at once and tied to nothing."""
    taken = queue.take(most)
    queue.decided(taken, set())
    return taken


def batch(queue, most):
    """The items, how many of them were put off before, and what is held."""
    taken = take(queue, most)
    return taken.items, taken.again, taken.held


def test_items_come_out_in_their_order_in_batches():
    queue = filled(*"abcde")
    assert batch(queue, 3) == (["a", "b", "c"], 0, set())
    assert batch(queue, 3) == (["d", "e"], 0, set())


def test_what_was_put_off_has_at_most_half_of_a_batch_while_fresh_ones_wait():
    queue = with_put_off(*((f"hot-{number}", "hot") for number in range(6)))
    for item in "abcdef":
        queue.put(item)
    assert batch(queue, 4) == (["hot-0", "hot-1", "a", "b"], 2, {"hot"})


def test_fresh_ones_have_what_those_put_off_leave():
    queue = with_put_off(("first", "hot"))
    for item in "abcd":
        queue.put(item)
    assert batch(queue, 4) == (["first", "a", "b", "c"], 1, set())


def test_where_no_fresh_one_waits_the_batch_is_for_those_put_off():
    queue = with_put_off(*((f"hot-{number}", "hot") for number in range(6)))
    assert take(queue, 4).items == ["hot-0", "hot-1", "hot-2", "hot-3"]


def test_in_batches_of_one_those_put_off_come_first():
    queue = with_put_off(("first", "hot"))
    queue.put("fresh")
    assert take(queue, 1).items == ["first"]
    assert take(queue, 1).items == ["fresh"]


def test_what_was_put_off_again_comes_to_the_front_and_what_was_fresh_to_the_end():
    queue = with_put_off(*((f"hot-{number}", "hot") for number in range(4)))
    queue.put("hot-4")
    queue.put("hot-5")
    taken = queue.take(4)
    assert taken.items == ["hot-0", "hot-1", "hot-4", "hot-5"]

    queue.settle(taken, {1: {"hot"}, 2: {"hot"}, 3: {"hot"}})

    assert batch(queue, 9) == (["hot-1", "hot-2", "hot-3", "hot-4", "hot-5"], 5, set())


def test_of_those_put_off_each_entitys_first_goes_before_anothers_second():
    queue = with_put_off(*((f"hot-{number}", "hot") for number in range(9)), ("x", "x"), ("y", "y"))
    assert batch(queue, 4) == (["hot-0", "x", "y", "hot-1"], 4, {"hot"})


def test_who_is_put_off_later_waits_for_nobodys_hundredth():
    queue = with_put_off(*((f"hot-{number}", "hot") for number in range(99)))
    queue.put("x")
    taken = queue.take(8)
    assert taken.items[4] == "x"

    queue.settle(taken, {place: {item.split("-")[0]} for place, item in enumerate(taken.items) if place})

    assert take(queue, 4).items == ["hot-1", "x", "hot-2", "hot-3"]


def test_those_that_share_any_tie_keep_their_order():
    queue = with_put_off(
        ("hot-0", "hot"), ("hot-1", "hot"), ("hot-2", "hot", "key"), ("x-0", "x", "key"), ("x-1", "x")
    )
    assert batch(queue, 2) == (["hot-0", "hot-1"], 2, {"hot", "key", "x"})
    assert take(queue, 2).items == ["hot-2", "x-0"]


def test_what_is_put_off_counts_for_the_bound():
    queue = filled("a", "b", size=3)
    queue.settle(queue.take(2), {0: {"hot"}, 1: {"hot"}})
    assert len(queue) == 2
    assert queue.put("c")
    assert queue.is_full
    assert not queue.put("d")


def test_drained_is_a_queue_of_which_all_is_answered():
    queue = filled("a", "b")
    assert not queue.drain(0)
    taken = queue.take(2)
    assert not queue.drain(0)
    queue.settle(taken, {1: {"hot"}})
    assert not queue.drain(0)
    taken = queue.take(2)
    assert taken.items == ["b"]
    assert not queue.drain(0)
    queue.settle(taken)
    assert queue.drain(0)


def test_once_closed_it_takes_nothing_more_and_gives_what_it_has():
    queue = with_put_off(("first", "hot"))
    queue.put("fresh")
    queue.close()
    assert not queue.put("late")
    assert take(queue, 9).items == ["first", "fresh"]
    assert take(queue, 9).items == []


def test_closing_wakes_who_waits_for_an_item():
    queue, found = CommandQueue(9), []
    waiter = threading.Thread(target=lambda: found.append(take(queue, 9).items))
    waiter.start()
    queue.close()
    waiter.join(10)
    assert found == [[]]


def test_an_item_wakes_who_waits_for_one():
    queue, found = CommandQueue(9), []
    waiter = threading.Thread(target=lambda: found.append(take(queue, 9).items))
    waiter.start()
    queue.put("a")
    waiter.join(10)
    assert found == [["a"]]


def test_of_those_who_wait_the_one_that_came_last_is_woken_first_and_in_the_end_all_are():
    queue, served = CommandQueue(9), []

    def wait_for_one(name):
        taken = queue.take(1)
        served.append((name, taken.items))
        queue.settle(taken)

    waiters = [threading.Thread(target=wait_for_one, args=[name]) for name in ("early", "late", "last")]
    for number, waiter in enumerate(waiters):
        waiter.start()
        eventually(lambda: len(queue._takers) == number + 1)  # noqa: B023 - called before it changes
    queue.put("a")
    waiters[2].join(10)
    queue.put("b")
    waiters[1].join(10)
    queue.close()
    waiters[0].join(10)
    assert served == [("last", ["a"]), ("late", ["b"]), ("early", [])]


def of_names(*items):
    """A queue of items that are tied to their first letter; of those in capitals that is not all."""
    queue = CommandQueue(100, lambda item: Claims((item[0].lower(),), complete=item.islower()))
    for item in items:
        queue.put(item)
    return queue


def begun(queue, most, *further):
    """A batch that is decided and under way, tied to what its items are, and further."""
    taken = queue.take(most)
    queue.decided(taken, {*(item[0].lower() for item in taken.items), *further})
    return taken


def test_what_shares_a_tie_with_a_batch_under_way_waits_in_its_place_for_the_end_of_it():
    queue = of_names("a1", "b1", "a2", "c1", "b2")
    first = begun(queue, 2)
    second = begun(queue, 9)
    assert (first.items, second.items) == (["a1", "b1"], ["c1"])
    queue.settle(first)
    assert begun(queue, 9).items == ["a2", "b2"]


def test_nothing_overtakes_what_waits_by_another_of_its_ties():
    queue = CommandQueue(100, lambda item: Claims(item, complete=True))
    for item in ("a", "ak", "k", "b"):
        queue.put(item)
    first = queue.take(1)
    queue.decided(first, {"a"})
    assert begun(queue, 9).items == ["b"]


def test_what_may_be_tied_to_more_than_is_known_overtakes_nothing_and_is_not_overtaken():
    queue = of_names("a1", "b1", "a2", "X1", "c1")
    first = begun(queue, 1)
    second = begun(queue, 9)
    assert second.items == ["b1"]
    queue.settle(first)
    queue.settle(second)
    assert begun(queue, 9).items == ["a2", "X1", "c1"]


def test_what_is_put_off_stays_in_the_line_while_its_tie_is_under_way():
    queue = with_put_off(("hot-0", "hot"), ("hot-1", "hot"), ("x", "x"))
    first = queue.take(1)
    queue.decided(first, {"hot"})
    second = queue.take(9)
    assert (first.items, second.items, second.held) == (["hot-0"], ["x"], {"hot"})
    queue.settle(first)
    queue.settle(second)
    assert take(queue, 9).items == ["hot-1"]


def test_the_next_batch_is_taken_when_the_one_before_is_decided_and_not_sooner():
    queue, found = filled("a", "b"), []
    first = queue.take(1)
    waiter = threading.Thread(target=lambda: found.append(queue.take(9).items))
    waiter.start()
    queue.put("c")
    assert not found
    queue.decided(first, set())
    waiter.join(10)
    assert found == [["b", "c"]]


def test_a_batch_that_fails_before_it_is_decided_gives_its_turn_up_at_its_end():
    queue = filled("a", "b")
    failed = queue.take(1)
    queue.settle(failed)
    assert queue.take(9).items == ["b"]


def test_who_waits_for_a_batch_under_way_is_woken_by_its_end():
    queue, found = of_names("a1", "a2"), []
    first = begun(queue, 1)
    waiter = threading.Thread(target=lambda: found.append(queue.take(9).items))
    waiter.start()
    queue.settle(first)
    waiter.join(10)
    assert found == [["a2"]]


def test_a_closed_queue_ends_only_when_what_waits_for_a_batch_under_way_is_taken_too():
    queue, found = of_names("a1", "a2"), []
    first = begun(queue, 1)
    queue.close()

    def take_all():
        while (taken := queue.take(9)).items:
            found.append(taken.items)
            queue.settle(taken)

    waiter = threading.Thread(target=take_all)
    waiter.start()
    queue.settle(first)
    waiter.join(10)
    assert not waiter.is_alive()
    assert found == [["a2"]]


def test_what_is_tied_to_a_batch_under_way_wakes_nobody_and_what_is_not_does():
    looked_at, has_looked = [], threading.Event()

    def claims(item):
        looked_at.append(item)
        has_looked.set()
        return Claims(item[:1], complete=True)

    queue, found = CommandQueue(1000, claims), []
    queue.put("a-first")
    begun(queue, 1)
    queue.put("a-second")
    waiter = threading.Thread(target=lambda: found.append(queue.take(9).items))
    waiter.start()
    assert has_looked.wait(10)
    for number in range(100):
        queue.put(f"a-{number}")
    queue.put("b")
    waiter.join(10)
    assert found == [["b"]]
    assert looked_at.count("a-second") == 2
