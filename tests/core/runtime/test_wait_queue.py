"""Wait queues: first come, first served, from any thread, and nobody stays in one after his wait has ended."""

import random
import threading
from typing import Any

import pytest

from gossamer._core import GreenThread, WaitQueue, getcurrent, greenlet, interrupt, sleep, spawn
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, beside, block, in_thread, joined, reported, turns, until
from tests.support.scale import patience, scaled


def crowd_on(queue: WaitQueue, order: list[int], count: int) -> list[GreenThread]:
    """Green threads parked on `queue` that append their number to `order` when unparked."""

    def body(number: int) -> None:
        assert queue.park()
        order.append(number)

    crowd = [spawn(body, number) for number in range(count)]
    sleep(0)
    assert len(queue) == count
    return crowd


def test_unparked_in_the_order_they_came() -> None:
    queue, order = WaitQueue(), list[int]()
    crowd = crowd_on(queue, order, 10)
    for number in range(10):
        assert queue.unpark() == 1
        assert len(queue) == 9 - number
    joined(*crowd)
    assert order == list(range(10))


def test_unpark_ends_as_many_waits_as_asked_for_and_says_how_many() -> None:
    queue, order = WaitQueue(), list[int]()
    crowd = crowd_on(queue, order, 10)
    assert [queue.unpark(count) for count in (0, -1, 3, 1)] == [0, 0, 3, 1]
    turns()
    assert order == [0, 1, 2, 3] and len(queue) == 6
    assert [queue.unpark(1000), queue.unpark(1000), queue.unpark()] == [6, 0, 0]
    joined(*crowd)
    assert order == list(range(10))


def test_unpark_does_not_run_anybody_at_once() -> None:
    queue, order = WaitQueue(), list[int]()
    crowd = crowd_on(queue, order, 3)
    queue.unpark(3)
    assert order == [] and len(queue) == 0
    joined(*crowd)


def test_an_unpark_with_nobody_there_is_not_remembered() -> None:
    queue = WaitQueue()
    queue.unpark(5)
    assert queue.park(timeout=0.001) is False


@pytest.mark.parametrize("seconds", [0, -1, 0.001, float("-inf")])
def test_park_times_out_and_leaves_the_queue(seconds: float) -> None:
    queue = WaitQueue()
    for _ in range(3):
        assert queue.park(timeout=seconds) is False
        assert queue.park(seconds) is False
    assert len(queue) == 0 and queue.unpark() == 0


@pytest.mark.parametrize("seconds", [None, float("inf"), 1e300, 10**12, 3600], ids=repr)
def test_park_returns_true_when_unparked_in_time(seconds: float | None) -> None:
    queue = WaitQueue()
    it = spawn(queue.park, seconds)
    turns()
    queue.unpark()
    assert joined(it) == [True]


def test_one_that_times_out_in_the_middle_leaves_the_others_in_order() -> None:
    queue, order = WaitQueue(), list[Any]()

    def body(number: int) -> None:
        order.append((number, queue.park(timeout=0.001 if number % 2 else None)))

    crowd = [spawn(body, number) for number in range(10)]
    until(lambda: len(order) == 5)
    assert len(queue) == 5
    assert sorted(order) == [(number, False) for number in range(1, 10, 2)]
    order.clear()
    assert queue.unpark(5) == 5
    joined(*crowd)
    assert order == [(number, True) for number in range(0, 10, 2)]


def test_one_that_parks_again_goes_to_the_end() -> None:
    queue, order = WaitQueue(), list[str]()

    def body(name: str) -> None:
        for _ in range(2):
            queue.park()
            order.append(name)

    crowd = [spawn(body, name) for name in "abc"]
    sleep(0)
    for _ in range(6):
        queue.unpark()
        sleep(0)
    joined(*crowd)
    assert order == list("abcabc")


def test_unparked_before_the_deadline_counts_even_when_the_turn_comes_after_it() -> None:
    queue = WaitQueue()
    it = spawn(queue.park, 0.005)
    sleep(0)
    queue.unpark()
    block(0.02)
    assert joined(it) == [True]


def test_main_and_raw_greenlets_park_like_others() -> None:
    queue, order = WaitQueue(), list[Any]()
    main = getcurrent()

    def body() -> None:
        assert queue.park(timeout=patience(30))
        order.append(getcurrent())

    raws: list[greenlet] = []

    def outer() -> None:
        raws.append(greenlet(body))
        raws[0].switch()

    it = spawn(outer)
    sleep(0)
    assert len(queue) == 1
    spawn(lambda: queue.unpark(2))
    assert queue.park(timeout=patience(30))
    order.append(main)
    joined(it)
    assert order == [*raws, main]


@pytest.mark.parametrize(
    ("values", "named", "error"),
    [
        (("soon",), {}, TypeError),
        ((float("nan"),), {}, ValueError),
        ((10**400,), {}, OverflowError),
        ((1, 2), {}, TypeError),
        ((), {"seconds": 1}, TypeError),
    ],
    ids=repr,
)
def test_park_refuses_what_is_no_timeout(
    values: tuple[Any, ...], named: dict[str, Any], error: type[Exception]
) -> None:
    queue = WaitQueue()
    with pytest.raises(error):
        queue.park(*values, **named)
    assert len(queue) == 0


def test_bad_arguments_elsewhere_are_refused() -> None:
    queue: Any = WaitQueue(about="thing")
    with pytest.raises(TypeError):
        queue.unpark("all")
    with pytest.raises(TypeError):
        queue.unpark(1.5)
    with pytest.raises(OverflowError):
        queue.unpark(10**30)
    with pytest.raises(TypeError):
        WaitQueue(1, 2)  # type: ignore[call-arg]


def test_a_subclass_is_a_wait_queue() -> None:
    class Gate(WaitQueue):
        def __init__(self, about: object = None) -> None:
            self.passed = 0

        def enter(self) -> None:
            self.park()
            self.passed += 1

    gate = Gate("a gate")
    it = spawn(gate.enter)
    sleep(0)
    gate.unpark()
    joined(it)
    assert gate.passed == 1


def test_another_thread_wakes_a_sleeping_hub() -> None:
    queue = WaitQueue()

    def work() -> None:
        for _ in range(scaled(300)):
            while not queue.unpark():
                threading.Event().wait(0.00001)

    with beside(work):
        for _ in range(scaled(300)):
            assert queue.park(timeout=patience(30))


def test_another_thread_wakes_somebody_while_the_hub_is_busy() -> None:
    queue = WaitQueue()
    over: list[bool] = []

    def busy() -> None:
        while not over:
            sleep(0)

    crowd = [spawn(busy) for _ in range(3)]
    waiter = spawn(queue.park)
    sleep(0)
    with beside(queue.unpark):
        assert joined(waiter) == [True]
        over.append(True)
    joined(*crowd)


def test_unparks_from_several_threads_end_each_wait_once_and_in_order() -> None:
    queue, order = WaitQueue(), list[int]()
    count = scaled(2000)
    crowd = crowd_on(queue, order, count)
    ended: list[int] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        while len(queue):
            ended.append(queue.unpark(rng.randrange(1, 4)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    joined(*crowd)
    for thread in threads:
        thread.join()
    assert sum(ended) == count
    assert order == list(range(count))


def test_a_queue_serves_green_threads_of_several_threads() -> None:
    queue = WaitQueue()
    started: list[int] = []
    count = 50

    def work() -> list[Any]:
        crowd = [spawn(queue.park, patience(60)) for _ in range(count)]
        started.append(1)
        return joined(*crowd)

    results: list[list[Any]] = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(3)]
    for thread in threads:
        thread.start()
    own = [spawn(queue.park, patience(60)) for _ in range(count)]
    until(lambda: len(queue) == 4 * count)
    for _ in range(4 * count):
        assert queue.unpark() == 1
    assert joined(*own) == [True] * count
    for thread in threads:
        thread.join(patience(30))
    assert results == [[True] * count] * 3


def test_an_unpark_of_another_thread_and_a_timeout_agree_on_one_outcome() -> None:
    queue = WaitQueue()
    counted = {True: 0, False: 0}
    ended: list[int] = []
    over: list[bool] = []

    def body() -> None:
        for _ in range(scaled(100)):
            counted[queue.park(timeout=0.0002)] += 1

    def work() -> None:
        while not over:
            ended.append(queue.unpark())

    with beside(work):
        joined(*[spawn(body) for _ in range(10)])
        over.append(True)
    assert counted[True] == sum(ended)
    assert counted[True] + counted[False] == 10 * scaled(100) and len(queue) == 0


def test_one_woken_by_another_thread_may_wait_again_before_the_hub_takes_notice() -> None:
    out = output_of(
        PRELUDE
        + """
first, second = WaitQueue(), WaitQueue()
log = []
def body():
    try:
        first.park(timeout=3600)
    except InvalidSwitchError:
        log.append('switched to')
    log.append(second.park(timeout=0.05))
    log.append(second.park(timeout=0.05))
    main.switch('back')
it = spawn(body)
sleep(0)
in_thread(first.unpark)
log.append(it.switch('not what it waits for'))
sleep(0.1)
print(log, len(first), len(second))
"""
    )
    assert out == "['switched to', False, False, 'back'] 0 0\n"


def test_one_woken_by_another_thread_that_goes_on_by_an_older_entry_of_the_ring_leaves_no_timer() -> None:
    out = output_of(
        PRELUDE
        + """
sys.setswitchinterval(1e-5)
first, second = WaitQueue(), WaitQueue()
asked, done, over = [], [], []
def work():
    while not over:
        if asked:
            asked.clear()
            done.append(second.unpark())
threading.Thread(target=work).start()
def has_it_unparked():
    done.clear()
    asked.append(1)
    while not done:
        pass
def body():
    log = []
    try:
        first.park()
    except InvalidSwitchError:
        log.append('switched to')
    log.append(second.park(timeout=0.03))
    log.append(second.park(timeout=0.06))
    main.switch(log)
for _ in range(10):
    it = spawn(body)
    turns(300)  # the hub has polled just now, and need not again for a while
    spawn(has_it_unparked)
    first.unpark()
    log = it.switch('while it has an entry in the ring')
    assert log == ['switched to', True, False], log
over.append(1)
print(len(first), len(second))
"""
    )
    assert out == "0 0\n"


def test_one_woken_by_another_thread_leaves_its_timer_behind_however_it_goes_on() -> None:
    out = output_of(
        PRELUDE
        + """
first = WaitQueue()
def body():
    for _ in range(20):
        try:
            first.park(timeout=0.01)
        except InvalidSwitchError:
            pass
    return 'done'
def switches(it):
    it.switch('explicitly')
crowd = [spawn(body) for _ in range(20)]
sleep(0)
lost = []
while not all(it.ready() for it in crowd):
    in_thread(lambda: first.unpark(10))
    lost += [spawn(switches, it) for it in crowd[:10] if not it.ready()]
    sleep(0)
    sleep(0.002)
print({it.value for it in crowd})
os._exit(0) if sys.stdout.flush() is None else None
"""
    )
    assert out == "{'done'}\n"


def test_a_destructor_that_waits_does_not_disturb_the_wait_it_interrupts() -> None:
    class Slow(GreenThread):
        def __del__(self) -> None:
            sleep(0)

    queue = WaitQueue()
    results: list[bool] = []

    def body() -> None:
        results.append(queue.park(timeout=0.001))

    for _ in range(5):
        waiter = spawn(body)
        sleep(0)
        block(0.02)
        Slow(int).start()  # ends right before the waiter, whose time is over, goes on
        joined(waiter)
        turns()
    assert results == [False] * 5


def test_an_interrupt_reaches_its_target_although_a_destructor_waits_on_the_way() -> None:
    class Slow(GreenThread):
        def __del__(self) -> None:
            sleep(0)

    queue = WaitQueue()
    with reported():
        waiter = spawn(queue.park)
        sleep(0)
        Slow(int).start()
        interrupt(waiter, LookupError("for the waiter"))
        turns(5)
        joined(waiter)
    assert isinstance(waiter.exception, LookupError)


def test_thousands_wait_on_one_queue() -> None:
    queue, order = WaitQueue(), list[int]()
    crowd = crowd_on(queue, order, scaled(5000))
    queue.unpark(len(crowd))
    joined(*crowd)
    assert order == list(range(len(crowd)))


def test_a_thread_that_ends_takes_its_waiters_out_of_the_queue() -> None:
    queue = WaitQueue()

    def work() -> None:
        for _ in range(10):
            spawn(queue.park)
        turns()
        assert len(queue) == 10

    in_thread(work)
    assert len(queue) == 0 and queue.unpark(100) == 0
