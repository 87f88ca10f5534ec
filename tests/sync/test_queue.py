"""gossamer.queue: what goes in comes out, in order, once."""

import gc
import pickle
import queue as stock
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gossamer._core import GreenletExit, GreenThread, get_hub, interrupt, sleep, spawn
from gossamer.queue import (
    Channel,
    Empty,
    Full,
    JoinableQueue,
    LifoQueue,
    PriorityQueue,
    Queue,
    ShutDown,
    SimpleQueue,
)
from tests.support.memory import instances_of, least_growth
from tests.support.runtime import beside, joined, turns
from tests.support.scale import patience, scaled

KINDS: list[Any] = [Queue, SimpleQueue, PriorityQueue, LifoQueue]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def outcome(call: Callable[..., object], *args: object, **named: object) -> object:
    try:
        return call(*args, **named)
    except BaseException as error:
        return type(error)


def test_the_exceptions_are_the_standard_librarys() -> None:
    assert Empty is stock.Empty
    assert Full is stock.Full
    assert getattr(stock, "ShutDown", ShutDown) is ShutDown
    assert JoinableQueue is Queue


@pytest.mark.parametrize(
    ("made", "order"),
    [(Queue, [3, 1, 2]), (SimpleQueue, [3, 1, 2]), (PriorityQueue, [1, 2, 3]), (LifoQueue, [2, 1, 3])],
)
def test_items_come_out_in_the_order_of_the_kind(made: Any, order: list[int]) -> None:
    given, filled = made(items=[3, 1, 2]), made()
    for item in (3, 1, 2):
        filled.put(item)
    assert given.peek() == filled.peek_nowait() == order[0]
    assert [given.get() for _ in range(3)] == [filled.get_nowait() for _ in range(3)] == order
    assert outcome(given.get_nowait) is outcome(given.peek_nowait) is Empty


def test_its_size_is_what_it_holds_and_it_is_true_when_empty(kind: Any) -> None:
    it = kind(2)
    assert (len(it), it.qsize(), it.empty(), it.full(), bool(it)) == (0, 0, True, False, True)
    it.put(1)
    it.put(2)
    assert (len(it), it.qsize(), it.empty(), it.full()) == (2, 2, False, True)
    assert outcome(it.put_nowait, 3) is Full
    assert outcome(it.put, 3, timeout=0.001) is Full
    assert it.maxsize == 2


@pytest.mark.parametrize("size", [None, -1])
def test_without_a_size_it_is_never_full(kind: Any, size: int | None) -> None:
    it = kind(size)
    for item in range(1000):
        it.put_nowait(item)
    assert (it.full(), it.maxsize) == (False, None)


def test_a_size_of_zero_is_no_limit_and_warned_of() -> None:
    with pytest.warns(DeprecationWarning, match="Channel"):
        assert Queue(0).maxsize is None


def test_a_negative_timeout_is_refused_where_waiting_was_possible(kind: Any) -> None:
    it = kind(1)
    calls: list[Callable[[], object]] = [
        lambda: it.get(timeout=-1),
        lambda: it.peek(timeout=-1),
        lambda: it.put(1, timeout=-1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
            call()
    it.put(1, block=False, timeout=-1)
    with pytest.raises(Full):
        it.put(2, timeout=-1)
    assert it.get(timeout=-1) == 1


def test_getters_get_items_in_the_order_they_came(kind: Any) -> None:
    it, order = kind(), []

    def get(name: int) -> None:
        it.get()
        order.append(name)

    getters = [spawn(get, name) for name in range(5)]
    turns()
    for item in range(5):
        it.put(item)
    joined(*getters)
    assert order == [0, 1, 2, 3, 4]


def test_putters_put_their_items_in_the_order_they_came() -> None:
    it: Queue[int] = Queue(1, items=[0])
    putters = [spawn(it.put, item) for item in range(1, 6)]
    turns()
    assert "putters[5]" in repr(it)
    assert [it.get(timeout=60) for _ in range(6)] == list(range(6))
    joined(*putters)


def test_whoever_peeks_leaves_the_item_for_the_next() -> None:
    it: Queue[int] = Queue()
    peekers = [spawn(it.peek), spawn(it.peek)]
    getter = spawn(it.get)
    turns()
    it.put(9)
    assert joined(*peekers, getter) == [9, 9, 9]
    assert it.empty()


@pytest.mark.parametrize("put_first", [True, False])
@pytest.mark.parametrize("how", [GreenletExit(), TimeoutError()])
def test_an_item_for_a_getter_that_is_killed_goes_to_the_next(kind: Any, put_first: bool, how: BaseException) -> None:
    it = kind()
    first, second = spawn(outcome, it.get), spawn(outcome, it.get)
    turns()
    actions: list[Callable[[], object]] = [lambda: it.put(1), lambda: interrupt(first, how)]
    for action in actions if put_first else reversed(actions):
        action()
    assert joined(first, second) == [type(how), 1]
    assert it.empty()


@pytest.mark.parametrize("got_first", [True, False])
def test_room_for_a_putter_that_is_killed_goes_to_the_next(kind: Any, got_first: bool) -> None:
    it = kind(1, [0])
    first, second = spawn(outcome, it.put, 1), spawn(outcome, it.put, 2)
    turns()
    actions: list[Callable[[], object]] = [lambda: it.get(), lambda: interrupt(first, GreenletExit())]
    for action in actions if got_first else reversed(actions):
        action()
    assert joined(first, second) == [GreenletExit, None]
    assert it.get_nowait() == 2


def test_on_the_hub_nothing_waits(kind: Any) -> None:
    it, answers = kind(1), []
    getter = spawn(it.get)
    turns()

    def in_hub() -> None:
        answers.extend([outcome(it.put, 1), outcome(it.put, 2), outcome(it.put, 2, timeout=1)])

    get_hub().run_callback(in_hub)
    assert joined(getter) == [1]
    get_hub().run_callback(lambda: answers.extend([outcome(it.get), outcome(it.get, timeout=1), outcome(it.peek)]))
    turns()
    assert answers == [None, Full, Full, Empty, Empty, Empty]


def test_a_larger_size_lets_putters_go_on() -> None:
    it: Queue[int] = Queue(1, items=[0])
    putters = [spawn(it.put, item) for item in (1, 2)]
    turns()
    it.maxsize = 3
    joined(*putters)
    assert list(it.queue) == [0, 1, 2]


def test_iterating_ends_at_the_class_stop_iteration(kind: Any) -> None:
    it = kind() if kind is not PriorityQueue else Queue()
    collector = spawn(lambda: list(it))
    turns()
    for item in (StopIteration, 1, 2) if kind is LifoQueue else (1, 2, StopIteration):
        it.put(item)
    assert sorted(joined(collector)[0]) == [1, 2]


def test_a_copy_has_the_same_items_and_goes_its_own_way(kind: Any) -> None:
    it = kind(5, [1, 2])
    other = it.copy()
    it.get()
    assert (type(other), len(other), other.maxsize) == (kind, 2, 5)
    if isinstance(other, Queue):
        assert other.unfinished_tasks == 2


def test_join_waits_until_every_item_is_done() -> None:
    it: Queue[int] = Queue(items=[1, 2])
    assert it.unfinished_tasks == 2
    assert it.join(timeout=0.001) is False
    waiters = [spawn(it.join) for _ in range(2)]
    turns()
    for _ in range(2):
        it.get()
        assert not any(waiter.ready() for waiter in waiters)
        it.task_done()
    assert joined(*waiters) == [True, True]
    assert it.join() is True
    with pytest.raises(ValueError, match="task_done"):
        it.task_done()


@pytest.mark.parametrize("made", [Queue, PriorityQueue, LifoQueue])
def test_after_a_shutdown_what_is_in_comes_out_and_nothing_goes_in(made: Any) -> None:
    it = made(2, [1, 2])
    putter = spawn(outcome, it.put, 3)
    turns()
    it.shutdown()
    assert it.is_shutdown
    assert joined(putter) == [ShutDown]
    assert sorted([it.get(), it.get()]) == [1, 2]
    assert [outcome(call) for call in (it.get, it.peek, it.get_nowait)] == [ShutDown] * 3
    assert outcome(it.put_nowait, 1) is ShutDown


def test_an_immediate_shutdown_drops_the_items_and_wakes_everybody() -> None:
    empty: Queue[int] = Queue()
    getters = [spawn(outcome, empty.get), spawn(outcome, empty.peek)]
    full: Queue[int] = Queue(1, items=[1])
    joiner, putter = spawn(full.join), spawn(outcome, full.put, 2)
    turns()
    empty.shutdown(immediate=True)
    full.shutdown(immediate=True)
    assert joined(*getters, joiner, putter) == [ShutDown, ShutDown, True, ShutDown]
    assert (full.qsize(), full.unfinished_tasks) == (0, 0)


def test_a_subclass_made_for_the_standard_library_works() -> None:
    class Unique(Queue[int]):
        def _init(self, maxsize: int | None, items: Any = ()) -> None:
            self.queue = set(items)

        def _qsize(self) -> int:
            return len(self.queue)

        def _put(self, item: int) -> None:
            self.queue.add(item)

        def _get(self) -> int:
            return self.queue.pop()  # type: ignore[no-any-return]

    it = Unique(2)
    getter = spawn(it.get)
    turns()
    it.put(1)
    assert joined(getter) == [1]
    it.put(5)
    it.put(5)
    assert (it.qsize(), it.get(), it.unfinished_tasks) == (1, 5, 3)


def test_a_hook_that_raises_leaves_the_turn_to_the_next() -> None:
    class Picky(Queue[int]):
        def _put(self, item: int) -> None:
            if item < 0:
                raise ValueError(item)
            super()._put(item)

    it = Picky(1, items=[0])
    bad, good = spawn(outcome, it.put, -1), spawn(outcome, it.put, 1)
    turns()
    it.get()
    assert joined(bad, good) == [ValueError, None]


def test_it_cannot_be_pickled(kind: Any) -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(kind())
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(Channel())


def test_a_cycle_through_an_item_is_collected_and_nothing_leaks(kind: Any) -> None:
    def cycle() -> None:
        it = kind()
        gone = weakref.ref(it)
        it.put((1, it))
        del it
        gc.collect()
        assert gone() is None

    assert least_growth(cycle, lambda: instances_of(kind)) == 0


@pytest.mark.parametrize("size", [None, 1, 3])
def test_native_and_green_threads_share_a_queue_in_both_directions(size: int | None) -> None:
    there: Queue[int] = Queue(size)
    back: Queue[int] = Queue(size)
    count = scaled(500)

    def native() -> None:
        for _ in range(count):
            back.put(there.get(timeout=60) + 1)

    with beside(native):
        feeder = spawn(lambda: [there.put(item) for item in range(count)])
        assert [back.get(timeout=60) for _ in range(count)] == list(range(1, count + 1))
        joined(feeder)


def steps(chance: random.Random) -> Iterator[float | None]:
    while True:
        yield chance.choice([None, None, 0, 0.0003])


@pytest.mark.parametrize("made", [*KINDS, Channel])
def test_random_kills_and_time_outs_lose_and_repeat_no_item(made: Any) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    it = made() if made is Channel else made(2)
    timeouts, put, got, count = steps(chance), set[int](), list[int](), scaled(40, 10)

    def produce(first: int) -> None:
        for item in range(first, first + 20):
            try:
                it.put(item, timeout=next(timeouts))
            except Full:
                continue
            except TimeoutError:
                interrupted.add(item)
                continue
            put.add(item)

    def consume() -> None:
        while True:
            try:
                got.append(it.get(timeout=next(timeouts)))
            except (Empty, TimeoutError):
                continue

    interrupted = set[int]()
    producers: list[GreenThread] = [spawn(produce, 100 * n) for n in range(count)]
    consumers: list[GreenThread] = [spawn(consume) for _ in range(5)]
    while not all(thread.ready() for thread in producers):
        interrupt(chance.choice(producers + consumers), TimeoutError())
        sleep(chance.choice([0, 0, 0.0001]))
    while put - set(got):
        sleep(0.001)
    for thread in consumers:
        interrupt(thread, GreenletExit())
    joined(*consumers)
    assert len(got) == len(set(got))
    # an interrupt may reach the putter of a channel between the handing over and its turn
    assert put <= set(got) <= put | (interrupted if made is Channel else set())
    assert "getters" not in repr(it) and "putters" not in repr(it)


class Asked(SimpleQueue):  # type: ignore[type-arg]
    """Answers for its size with what it was before another OS thread had its turn, the `turn`-th time it is asked."""

    turn = 0

    def _qsize(self) -> int:
        size = len(self.queue)
        self.turn -= 1
        if self.turn == 0:
            native = threading.Thread(target=self.act)
            native.start()
            native.join()
        return size

    def act(self) -> None:
        """What the other thread does."""


class AskedForItems(Asked):
    def act(self) -> None:
        self.put_nowait(5)


class AskedForRoom(Asked):
    def act(self) -> None:
        self.get_nowait()


@pytest.mark.parametrize("turn", [1, 2])
def test_an_item_that_another_thread_puts_while_the_size_is_asked_for_is_not_missed(turn: int) -> None:
    queue = AskedForItems()
    queue.turn = turn
    assert queue.get(timeout=patience(30)) == 5


@pytest.mark.parametrize("turn", [1, 2])
def test_room_that_another_thread_makes_while_the_size_is_asked_for_is_not_missed(turn: int) -> None:
    queue = AskedForRoom(1)
    queue.put(1)
    queue.turn = turn
    queue.put(2, timeout=patience(30))
    assert queue.get() == 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_short_forms_call_what_a_subclass_has_in_their_place(kind: Any) -> None:
    calls: list[str] = []

    class Counting(kind):  # type: ignore[misc]
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            calls.append("put")
            super().put(item, block, timeout)

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            calls.append("get")
            return super().get(block, timeout)

        def peek(self, block: bool = True, timeout: float | None = None) -> Any:
            calls.append("peek")
            return super().peek(block, timeout)

    queue = Counting()
    queue.put_nowait(1)
    queue.put(2)
    assert [queue.peek_nowait() in (1, 2), queue.get_nowait() + next(queue)] == [True, 3]
    assert calls == ["put", "put", "peek", "get", "get"]


def test_a_channels_short_form_calls_the_put_of_a_subclass() -> None:
    taken = []

    class Keeping(Channel):  # type: ignore[type-arg]
        def put(self, item: Any, block: bool = True, timeout: Any = None) -> None:
            taken.append((item, block, timeout))

    Keeping().put_nowait("item")
    assert taken == [("item", False, None)]
