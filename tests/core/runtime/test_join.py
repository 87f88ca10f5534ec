"""Joining: waiting for the end of a green thread, from wherever one can wait."""

from typing import Any

import pytest

from gossamer._core import GreenThread, WaitQueue, getcurrent, greenlet, interrupt, sleep, spawn
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, beside, in_thread, joined, reported, turns, until
from tests.support.scale import patience


def test_join_returns_once_the_other_has_ended() -> None:
    order: list[str] = []

    def body() -> None:
        turns(3)
        order.append("ended")

    it = spawn(body)
    assert it.join() is None
    order.append("joined")
    assert order == ["ended", "joined"] and it.ready()


def test_joining_a_finished_one_returns() -> None:
    it = spawn(int)
    it.join()
    it.join()
    it.join(timeout=0)
    assert it.value == 0


def test_joining_a_failing_one_raises_nothing() -> None:
    def body() -> None:
        raise LookupError("its own")

    with reported():
        it = spawn(body)
        it.join()
    assert isinstance(it.exception, LookupError) and not it.successful() and it.ready()


def test_joiners_go_on_in_the_order_they_came() -> None:
    order: list[int] = []
    queue = WaitQueue()
    it = spawn(queue.park)

    def body(number: int) -> None:
        it.join()
        order.append(number)

    crowd = [spawn(body, number) for number in range(10)]
    sleep(0)
    queue.unpark()
    joined(*crowd)
    assert order == list(range(10))


@pytest.mark.parametrize("seconds", [0, 0.001, -1, 0.0])
def test_a_join_that_times_out_leaves_the_other_waiting_for_its_own(seconds: float) -> None:
    queue = WaitQueue()
    it = spawn(queue.park)
    for _ in range(3):
        it.join(timeout=seconds)
        assert not it.ready()
    it.join(seconds)
    assert not it.ready()
    queue.unpark()
    assert joined(it) == [True]


def test_a_joiner_that_timed_out_is_not_woken_by_the_end() -> None:
    queue, later = WaitQueue(), WaitQueue()
    it = spawn(queue.park)

    def body() -> Any:
        it.join(0.001)
        return later.park()

    joiner = spawn(body)
    while not len(later):
        sleep(0.001)
    queue.unpark()
    joined(it)
    turns()
    assert not joiner.ready()
    later.unpark()
    assert joined(joiner) == [True]


@pytest.mark.parametrize(
    ("values", "named", "error"),
    [
        (("soon",), {}, TypeError),
        ((), {"timeout": []}, TypeError),
        ((float("nan"),), {}, ValueError),
        ((10**400,), {}, OverflowError),
        ((1, 2), {}, TypeError),
        ((), {"seconds": 1}, TypeError),
        ((1,), {"timeout": 1}, TypeError),
    ],
    ids=repr,
)
def test_a_timeout_that_is_none_is_refused(
    values: tuple[Any, ...], named: dict[str, Any], error: type[Exception]
) -> None:
    it = spawn(sleep, 0)
    with pytest.raises(error):
        it.join(*values, **named)
    joined(it)


def test_an_endless_timeout_is_none() -> None:
    for seconds in (None, float("inf"), 1e300, 10**12):
        it = spawn(sleep, 0)
        it.join(timeout=seconds)
        assert it.ready()


def test_a_raw_greenlet_may_join() -> None:
    it = spawn(lambda: turns() or "value")
    raw = greenlet(lambda: it.join() or it.value)
    assert raw.switch() == "value"
    assert raw.dead


def test_a_joined_one_that_was_never_started_can_be_started_later() -> None:
    it = GreenThread(lambda: "value")
    it.join(timeout=0.001)
    assert not it.ready()
    joiner = spawn(it.join)
    turns()
    assert not joiner.ready()
    it.start()
    joined(joiner)
    assert it.value == "value"


def test_joining_one_that_was_never_started_is_waiting_for_ever() -> None:
    out = output_of(
        PRELUDE
        + """
try:
    GreenThread(int).join()
except LoopExit:
    print('LoopExit')
"""
    )
    assert out == "LoopExit\n"


def test_a_chain_of_joins_unwinds_from_its_end() -> None:
    queue = WaitQueue()
    order: list[int] = []
    chain = [spawn(queue.park)]

    def body(number: int) -> None:
        chain[number].join()
        order.append(number)

    for number in range(500):
        chain.append(spawn(body, number))
    turns()
    assert order == []
    queue.unpark()
    joined(*chain)
    assert order == list(range(500))


def test_two_may_not_end_while_they_join_each_other_until_one_is_interrupted() -> None:
    pair: list[GreenThread] = []
    with reported():
        pair.append(spawn(lambda: pair[1].join()))
        pair.append(spawn(lambda: pair[0].join()))
        turns()
        assert not pair[0].ready() and not pair[1].ready()
        assert interrupt(pair[0], LookupError("enough"))
        joined(*pair)
    assert isinstance(pair[0].exception, LookupError) and pair[1].successful()


def test_another_thread_may_join() -> None:
    queue = WaitQueue()
    it = spawn(lambda: queue.park() and "value")
    seen: list[Any] = []
    entered: list[bool] = []
    main = getcurrent()

    def work() -> None:
        entered.append(True)
        it.join(timeout=patience(30))
        seen.append((it.ready(), it.value, getcurrent() is not main))

    with beside(work):
        until(lambda: entered and len(queue))
        turns(10)
        queue.unpark()
    assert seen == [(True, "value", True)]


def test_an_end_while_the_joining_thread_makes_its_hub_is_not_missed() -> None:
    program = """
import threading
from gossamer._core import Hub, set_hub_class, sleep, spawn
it = spawn(sleep, 0.01)
made = []

class SlowToMake(Hub):
    def __init__(self):
        made.append(threading.current_thread())
        while not it.ready():  # busy: nothing here may wait for a hub
            pass

set_hub_class(SlowToMake)
joiner = threading.Thread(target=it.join)
joiner.start()
while joiner.is_alive():
    sleep(0.001)
print(made == [joiner], it.ready())
"""
    assert output_of(program) == "True True\n"


def test_one_of_another_thread_may_be_joined() -> None:
    made: list[GreenThread] = []
    over = WaitQueue()

    def work() -> None:
        made.append(spawn(lambda: over.park() and "value"))
        joined(*made)

    with beside(work):
        until(lambda: made and len(over))
        joiner = spawn(made[0].join)
        turns()
        assert not joiner.ready()
        over.unpark()
        joined(joiner)
    assert made[0].value == "value"


def test_one_that_its_thread_ended_while_it_waited_counts_as_ended() -> None:
    made: list[GreenThread] = []

    def work() -> None:
        made.append(spawn(WaitQueue().park))
        turns()

    in_thread(work)
    joined(*made)
    assert type(made[0].value).__name__ == "GreenletExit"


def test_one_whose_thread_ended_before_it_ran_leaves_no_joiner_waiting() -> None:
    out = output_of(
        PRELUDE
        + """
made, ready, over = [], threading.Event(), threading.Event()
def work():
    get_hub()
    made.append(spawn(int))
    ready.set()
    over.wait()
thread = threading.Thread(target=work)
thread.start()
ready.wait()
early = spawn(made[0].join)
turns()
over.set()
thread.join()
made[0].join(timeout=patience(30))
early.join(timeout=patience(30))
print(made[0].ready(), early.ready())
"""
    )
    assert out == "True True\n"
