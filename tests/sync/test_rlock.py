"""gossamer.lock.RLock: owned by a greenlet, as often as it likes."""

import threading

import pytest

from gossamer._core import GreenletExit, getcurrent, interrupt, sleep, spawn
from gossamer.lock import RLock
from tests.support.runtime import beside, joined, turns


def test_its_owner_takes_it_again_and_it_is_free_after_as_many_releases() -> None:
    lock = RLock()
    with lock:
        assert lock.acquire() is True
        assert lock._owner is getcurrent()
        lock.release()
        assert lock.locked()
        assert joined(spawn(lock.acquire, False), spawn(lock.acquire, True, 0.001)) == [False, False]
    assert not lock.locked()
    assert lock._owner is None


def test_who_does_not_hold_it_cannot_release_it() -> None:
    lock = RLock()
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        lock.release()
    with lock:
        other = spawn(lock.release)
        joined(other)
        assert isinstance(other.exception, RuntimeError)
        assert lock._is_owned()


def test_those_who_wait_get_it_in_the_order_they_came() -> None:
    lock, order = RLock(), []

    def take(name: int) -> None:
        with lock:
            order.append(name)
            sleep(0)

    with lock:
        threads = [spawn(take, name) for name in range(5)]
        turns()
    joined(*threads)
    assert order == list(range(5))


@pytest.mark.parametrize("released_first", [True, False])
def test_a_wake_up_that_a_killed_waiter_got_goes_to_the_next(released_first: bool) -> None:
    lock = RLock()

    def take() -> None:
        with lock:
            pass

    lock.acquire()
    first, second = spawn(take), spawn(take)
    turns()
    if released_first:
        lock.release()
    interrupt(first, GreenletExit())
    if not released_first:
        lock.release()
    joined(first, second)
    assert second.successful()
    assert not lock.locked()


def test_a_condition_gives_up_every_level_of_it() -> None:
    lock = RLock()
    condition, seen = threading.Condition(lock), []  # type: ignore[arg-type]

    def wait() -> None:
        with condition, condition:
            condition.wait()
            seen.append(lock._count)

    waiter = spawn(wait)
    turns()
    assert not lock.locked()
    with condition:
        condition.notify()
    joined(waiter)
    assert seen == [2]
    assert not lock.locked()


def test_native_and_green_threads_exclude_each_other() -> None:
    lock, inside, most = RLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for turn in range(200):
            with lock, lock:
                inside += 1
                most = max(most, inside)
                if turn % 10 == 0:
                    sleep(0)
                inside -= 1

    with beside(work), beside(work):
        joined(*[spawn(work) for _ in range(3)])
    assert (inside, most, lock.locked()) == (0, 1, False)
