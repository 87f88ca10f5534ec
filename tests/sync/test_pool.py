"""Group and Pool: who is in, who waits for a place, results in order, ends."""

import queue
from collections.abc import Iterator
from typing import Any

import pytest

import gossamer
from gossamer._core import GreenletExit, getcurrent, sleep, spawn
from gossamer.event import Event
from gossamer.greenlet import Greenlet
from gossamer.pool import Group, Pool, PoolFull
from gossamer.timeout import Timeout
from tests.support.runtime import joined, reported, turns


def nap(hundredths: int) -> int:
    sleep(hundredths / 100)
    return hundredths * 2


def test_a_group_knows_its_green_threads_until_they_end() -> None:
    group = Group()
    green = group.spawn(nap, 1)
    other = Greenlet(nap, 1)
    group.start(other)
    assert (len(group), green in group, set(group)) == (2, True, {green, other})
    assert group.join() is True
    assert (len(group), green.value, other.value) == (0, 2, 2)


def test_a_group_is_made_from_green_threads() -> None:
    greens = [Greenlet.spawn(nap, 1) for _ in range(3)]
    group = Group(greens)
    assert set(group) == set(greens)
    group.add(greens[0])
    assert len(group) == 3
    group.join()
    with pytest.raises(TypeError, match="one iterable"):
        Group([], [])


def test_joining_tells_whether_the_group_became_empty() -> None:
    group = Group()
    group.spawn(sleep, 60)
    assert group.join(timeout=0.01) is False
    group.kill()
    assert group.join() is True


def test_joining_raises_an_error_of_its_green_threads_if_asked() -> None:
    with reported():
        group = Group()
        group.spawn(nap, 1)
        group.spawn(lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            group.join(raise_error=True)
        group.spawn(lambda: 1 // 0)
        assert group.join() is True


def test_who_is_discarded_goes_on_outside() -> None:
    pool = Pool(1)
    green = pool.spawn(nap, 1)
    pool.discard(green)
    assert (len(pool), pool.free_count()) == (0, 1)
    assert green.get() == 2
    turns()
    assert pool.free_count() == 1


def test_killing_ends_everybody_also_those_that_come_in_meanwhile() -> None:
    group = Group()

    def replaced() -> None:
        try:
            sleep(60)
        finally:
            group.spawn(sleep, 60)

    greens = [group.spawn(replaced) for _ in range(3)]
    sleep(0)
    group.kill()
    assert len(group) == 0
    assert all(isinstance(green.value, GreenletExit) for green in greens)


def test_killing_without_blocking_returns_at_once() -> None:
    group = Group()
    green = group.spawn(sleep, 60)
    sleep(0)
    group.kill(block=False)
    assert len(group) == 1
    group.join()
    assert green.dead


def test_killing_one_leaves_the_others() -> None:
    group = Group()
    one, other = group.spawn(sleep, 60), group.spawn(nap, 5)
    sleep(0)
    group.killone(one)
    assert set(group) == {other}
    group.killone(one)
    group.join()
    assert other.value == 10


def test_a_pool_has_so_many_places() -> None:
    pool = Pool(2)
    done = Event()
    assert (pool.free_count(), pool.full(), pool.size) == (2, False, 2)
    pool.spawn(done.wait)
    pool.spawn(nap, 1)
    assert (pool.free_count(), pool.full()) == (0, True)
    third = pool.spawn(lambda: (done.wait(), 3)[1])
    assert len(pool) == 2
    done.set()
    assert third.get() == 3
    pool.join()
    assert pool.free_count() == 2


def test_a_full_pool_refuses_who_will_not_wait() -> None:
    pool = Pool(1)
    pool.spawn(sleep, 60)
    for arguments in ({"blocking": False}, {"timeout": 0.001}):
        with pytest.raises(PoolFull, match="all 1 places"):
            pool.add(Greenlet(nap, 1), **arguments)
    assert len(pool) == 1
    assert not pool.wait_available(timeout=0.001)
    pool.kill()
    assert pool.wait_available()


def test_who_is_ended_while_it_waits_for_a_place_takes_none() -> None:
    pool = Pool(1)
    pool.spawn(nap, 5)
    waiting = [Greenlet.spawn(pool.spawn, nap, 1) for _ in range(3)]
    sleep(0)
    waiting[0].kill()
    with pytest.raises(Timeout), Timeout(0.001):
        pool.spawn(nap, 1)
    joined(*waiting)
    pool.join()
    assert (len(pool), pool.free_count()) == (0, 1)


def test_a_pool_without_a_size_is_never_full() -> None:
    pool = Pool()
    for _ in range(50):
        pool.spawn(nap, 0)
    assert (pool.full(), pool.free_count()) == (False, 1)
    pool.join()


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 places"):
        Pool(-1)


def test_a_pool_makes_the_class_it_was_given() -> None:
    class Own(Greenlet):
        pass

    pool = Pool(1, greenlet_class=Own)
    assert type(pool.spawn(nap, 0)) is Own
    assert type(Group().spawn(nap, 0)) is Greenlet
    pool.join()


def test_maps_keep_the_order_and_overlap() -> None:
    pool = Pool(3)
    assert pool.map(nap, [3, 1, 2]) == [6, 2, 4]
    assert list(pool.imap(nap, [3, 1, 2])) == [6, 2, 4]
    assert list(pool.imap(lambda a, b: a + b, [1, 2], [3, 4, 5])) == [4, 6]
    assert list(pool.imap_unordered(nap, [6, 1, 3])) == [2, 6, 12]
    assert pool.map(nap, []) == []


@pytest.mark.parametrize("unordered", [False, True])
def test_no_more_calls_than_asked_for_are_ahead_of_the_reader(unordered: bool) -> None:
    begun: list[int] = []
    group = Group()
    results = (group.imap_unordered if unordered else group.imap)(begun.append, range(10), maxsize=2)
    turns(10)
    assert begun == [0, 1]
    next(results)
    turns(10)
    assert begun == [0, 1, 2]
    assert list(results) == [None] * 9
    with pytest.raises(ValueError, match="maxsize is 0"):
        group.imap(nap, [1], maxsize=0)


def test_an_error_comes_in_its_place_and_iterating_may_go_on() -> None:
    with reported():
        results = Group().imap(lambda n: 1 // n, [1, 0, 1])
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == [1]
        with pytest.raises(ZeroDivisionError):
            Group().map(lambda n: 1 // n, [1, 0])


@pytest.mark.parametrize("unordered", [False, True])
def test_an_error_of_what_is_iterated_over_comes_after_the_results(unordered: bool) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise KeyError("of the iterable")

    group = Group()
    results = (group.imap_unordered if unordered else group.imap)(nap, numbers())
    assert next(results) == 2
    with pytest.raises(KeyError, match="of the iterable"):
        next(results)
    assert list(results) == []


def test_who_stops_waiting_for_a_result_loses_none() -> None:
    results = Group().imap(nap, [2])
    with pytest.raises(Timeout), Timeout(0.001):
        next(results)
    assert list(results) == [4]


def test_calls_are_applied_in_the_pool() -> None:
    pool = Pool(1)
    seen: list[Any] = []
    assert pool.apply(lambda a, b: (a, b, getcurrent() in pool), (1,), {"b": 2}) == (1, 2, True)
    assert pool.apply_async(nap, (1,)).get() == 2
    assert pool.apply_cb(nap, (1,), callback=seen.append) == 2
    pool.apply_async(nap, (2,), callback=seen.append).join()
    assert pool.map_cb(nap, [1], callback=seen.append) == [2]
    assert pool.map_async(nap, [1, 2], callback=seen.append).get() == [2, 4]
    turns()
    assert sorted(map(str, seen)) == sorted(["2", "4", "[2]", "[2, 4]"])


def test_a_member_of_a_full_pool_may_apply_in_it() -> None:
    pool = Pool(1)
    assert pool.spawn(pool.apply, nap, (1,)).get() == 2


def test_an_asynchronous_call_to_a_full_pool_returns_at_once() -> None:
    pool = Pool(1)
    pool.spawn(nap, 2)
    later = pool.apply_async(nap, (1,))
    assert not later.ready()
    assert later.get() == 2


def test_green_threads_of_the_core_can_be_members() -> None:
    pool = Pool(1)
    green = spawn(nap, 1)
    pool.add(green)
    assert pool.full()
    joined(green)
    pool.join()
    assert pool.free_count() == 1


def test_one_that_was_told_to_end_is_told_once_and_not_waited_for_again() -> None:
    told: list[str] = []

    def stays() -> None:
        while not told or told[-1] != "enough":
            try:
                sleep(60)
            except GreenletExit:
                told.append("told")
            except LookupError:
                told.append("enough")

    group = Group([gossamer.spawn(stays)])
    (it,) = group
    turns(2)
    group.killone(it, block=False)
    turns(2)
    group.killone(it)
    group.kill(block=False)
    turns(2)
    assert told == ["told"]
    it.kill(LookupError)
    assert len(group) == 0


def test_a_full_pool_is_a_full_queue_for_whoever_catches_that() -> None:
    pool = Pool(1)
    holder = pool.spawn(sleep, 60)
    with pytest.raises(queue.Full):
        pool.add(Greenlet(int), blocking=False)
    holder.kill()


def test_a_subclass_may_take_greenlets_in_with_an_add_of_its_own() -> None:
    taken = []

    class Counting(Pool):
        def add(self, greenlet: Any) -> None:  # type: ignore[override]
            taken.append(greenlet)
            super().add(greenlet)

    it = Counting(1).spawn(int)
    it.join()
    assert taken == [it]
