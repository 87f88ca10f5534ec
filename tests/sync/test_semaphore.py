"""gossamer.lock: Semaphore, BoundedSemaphore and DummySemaphore."""

import copy
import gc
import pickle
import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from gossamer._core import BlockingSwitchOutError, GreenletExit, GreenThread, get_hub, interrupt, sleep, spawn
from gossamer.lock import BoundedSemaphore, DummySemaphore, Semaphore
from tests.support.runtime import beside, joined, turns
from tests.support.scale import scaled


def test_it_counts_down_and_up() -> None:
    semaphore = Semaphore(2)
    assert semaphore.acquire() is True
    assert semaphore.acquire() is True
    assert semaphore.locked() and not semaphore.ready()
    assert semaphore.acquire(blocking=False) is False
    assert semaphore.acquire(timeout=0.001) is False
    assert semaphore.acquire(timeout=-1) is False
    assert semaphore.release() == 1
    assert semaphore.release() == 2
    assert semaphore.counter == 2


def test_it_refuses_a_negative_start() -> None:
    with pytest.raises(ValueError, match="semaphore initial value must be >= 0"):
        Semaphore(-1)


def test_those_who_wait_get_it_in_the_order_they_came() -> None:
    semaphore, order = Semaphore(0), []

    def take(name: int) -> None:
        with semaphore:
            order.append(name)

    threads = [spawn(take, name) for name in range(5)]
    turns()
    semaphore.release()
    joined(*threads)
    assert order == list(range(5))


def test_a_newcomer_that_is_faster_costs_the_first_its_turn_but_not_its_place() -> None:
    semaphore, order = Semaphore(0), []

    def take(name: str) -> None:
        semaphore.acquire()
        order.append(name)

    threads = [spawn(take, "first"), spawn(take, "second")]
    turns()
    semaphore.release()
    assert semaphore.acquire(blocking=False)
    turns()
    assert order == []
    semaphore.release()
    semaphore.release()
    joined(*threads)
    assert order == ["first", "second"]


@pytest.mark.parametrize("released_first", [True, False])
@pytest.mark.parametrize("how", [GreenletExit(), TimeoutError()])
def test_a_wake_up_that_a_killed_waiter_got_goes_to_the_next(released_first: bool, how: BaseException) -> None:
    semaphore = Semaphore(0)

    def take() -> bool:
        try:
            return semaphore.acquire()
        except BaseException:
            return False

    first, second = spawn(take), spawn(take)
    turns()
    actions: list[Callable[[], object]] = [semaphore.release, lambda: interrupt(first, how)]
    for action in actions if released_first else reversed(actions):
        action()
    assert joined(first, second) == [False, True]
    assert (semaphore.counter, semaphore.linkcount()) == (0, 0)


def test_waiting_for_it_takes_nothing() -> None:
    semaphore = Semaphore(0)
    assert semaphore.wait(0.001) == 0
    watchers = [spawn(semaphore.wait) for _ in range(3)]
    taker = spawn(semaphore.acquire)
    turns()
    semaphore.release()
    assert joined(*watchers, taker) == [1, 1, 1, True]
    assert semaphore.counter == 0


def test_on_the_hub_it_can_be_released_and_tried_but_not_waited_for() -> None:
    semaphore = Semaphore(0)
    answers: list[int] = []
    waiter = spawn(semaphore.acquire)
    turns()

    def in_hub() -> None:
        answers.append(semaphore.acquire(blocking=False))
        with pytest.raises(BlockingSwitchOutError):
            semaphore.acquire()
        answers.append(semaphore.release())

    get_hub().run_callback(in_hub)
    assert joined(waiter) == [True]
    assert answers == [False, 1]


def test_a_link_is_called_when_there_is_one_to_take() -> None:
    semaphore = Semaphore(0)
    calls: list[Semaphore] = []
    semaphore.rawlink(calls.append)
    turns()
    assert calls == []
    semaphore.release()
    turns()
    semaphore.release()
    turns()
    assert calls == [semaphore]


def test_a_link_waits_on_when_a_newcomer_was_faster() -> None:
    semaphore = Semaphore(0)
    calls: list[Semaphore] = []
    semaphore.rawlink(calls.append)
    semaphore.release()
    semaphore.acquire()
    turns()
    assert calls == []
    semaphore.release()
    turns()
    assert calls == [semaphore]


def test_a_bounded_semaphore_refuses_one_release_too_many() -> None:
    semaphore = BoundedSemaphore(1)
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()
    with semaphore:
        assert semaphore.locked()
    assert semaphore.counter == 1


def test_a_dummy_semaphore_never_makes_anybody_wait() -> None:
    semaphore = DummySemaphore(0)
    with semaphore:
        assert semaphore.acquire() is True
    assert (semaphore.release(), semaphore.locked(), semaphore.ready(), semaphore.wait()) == (None, False, True, 1)


def test_it_is_the_lock_of_a_condition() -> None:
    condition, seen = threading.Condition(Semaphore(1)), []  # type: ignore[arg-type]

    def wait() -> None:
        with condition:
            condition.wait()
            seen.append(1)

    waiter = spawn(wait)
    turns()
    with condition:
        condition.notify()
    joined(waiter)
    assert seen == [1]


def test_native_and_green_threads_exclude_each_other() -> None:
    semaphore, inside, most, rounds = Semaphore(1), 0, 0, scaled(200)

    def work() -> None:
        nonlocal inside, most
        for _ in range(rounds):
            with semaphore:
                inside += 1
                most = max(most, inside)
                if random.random() < 0.1:
                    sleep(0)
                inside -= 1

    with beside(work), beside(work):
        joined(*[spawn(work) for _ in range(3)])
    assert (inside, most, semaphore.counter) == (0, 1, 1)


def test_it_cannot_be_copied_or_pickled() -> None:
    for refused in (copy.copy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot pickle 'gossamer._sync.lock.Semaphore' object"):
            refused(Semaphore())


def test_a_cycle_through_it_is_collected() -> None:
    class Own(Semaphore):
        pass

    it = Own()
    it.me = it  # type: ignore[attr-defined]
    it.rawlink(it.me.unlink)  # type: ignore[attr-defined]
    gone = weakref.ref(it)
    turns()
    del it
    gc.collect()
    assert gone() is None


def test_random_kills_and_time_outs_lose_and_invent_nothing() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    semaphore, held = Semaphore(3), 0

    def work() -> None:
        nonlocal held
        for _ in range(20):
            try:
                if not semaphore.acquire(timeout=chance.choice([None, 0, 0.0005])):
                    continue
            except TimeoutError:
                continue
            held += 1
            assert held <= 3
            try:
                sleep(0)
            except TimeoutError:
                pass
            finally:
                held -= 1
                semaphore.release()

    threads: list[GreenThread] = [spawn(work) for _ in range(scaled(50, 10))]
    while not all(thread.ready() for thread in threads):
        interrupt(chance.choice(threads), TimeoutError())
        sleep(chance.choice([0, 0, 0.0002]))
    assert all(thread.successful() or isinstance(thread.exception, TimeoutError) for thread in threads)
    assert (held, semaphore.counter, semaphore.linkcount()) == (0, 3, 0)


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore])
def test_a_with_statement_calls_what_a_subclass_has_in_place_of_acquire_and_release(kind: Any) -> None:
    calls: list[str] = []

    class Counting(kind):  # type: ignore[misc]
        def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
            calls.append("acquire")
            return bool(super().acquire(blocking, timeout))

        def release(self) -> int:
            calls.append("release")
            return int(super().release())

    semaphore = Counting()
    with semaphore:
        assert semaphore.locked()
    assert (calls, semaphore.counter) == (["acquire", "release"], 1)
