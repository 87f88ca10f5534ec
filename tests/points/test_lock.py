"""threading.Lock and RLock: green threads park, native threads block, and the two exclude each other."""

import _thread
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import spawn
from tests.support.children import output_of


@pytest.fixture(autouse=True)
def _points() -> None:
    _core.get_hub()


def ended(*threads: _core.GreenThread) -> None:
    for thread in threads:
        thread.join(timeout=60)
        assert thread.ready()


@pytest.fixture
def native() -> Iterator[Callable[..., threading.Thread]]:
    """Starts OS threads, and sees to their end without blocking the hub."""
    threads = []

    def start(function: Callable[..., object], *args: Any) -> threading.Thread:
        thread = threading.Thread(target=function, args=args)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    for thread in threads:
        while thread.is_alive():
            _core.sleep(0.001)


@pytest.fixture(params=[threading.Lock, threading.RLock])
def lock(request: pytest.FixtureRequest) -> Any:
    return request.param()


def test_green_threads_get_a_lock_in_the_order_they_asked_for_it(lock: Any) -> None:
    order = []

    def take(name: int) -> None:
        with lock:
            order.append(name)
            _core.sleep(0)

    with lock:
        threads = [spawn(take, name) for name in range(5)]
        _core.sleep(0)
        assert order == []
    ended(*threads)
    assert order == [0, 1, 2, 3, 4]


def test_a_lock_is_held_by_one_green_thread_at_a_time(lock: Any) -> None:
    inside = most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with lock:
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    ended(*[spawn(work) for _ in range(20)])
    assert (inside, most) == (0, 1)


def test_acquire_gives_up_after_its_timeout(lock: Any) -> None:
    got = []
    with lock:
        ended(spawn(lambda: got.append(lock.acquire(timeout=0.01))))
        ended(spawn(lambda: got.append(lock.acquire(True, 0.01))))
        ended(spawn(lambda: got.append(lock.acquire(blocking=False))))
        ended(spawn(lambda: got.append(lock.acquire(False))))
    assert got == [False] * 4


def test_one_that_gave_up_is_not_woken_in_place_of_the_next(lock: Any) -> None:
    got = []
    with lock:
        first = spawn(lambda: got.append(lock.acquire(timeout=0.01)))
        second = spawn(lambda: got.append(lock.acquire(timeout=60)))
        ended(first)
    ended(second)
    assert got == [False, True]


def test_an_interrupted_waiter_does_not_keep_its_place(lock: Any) -> None:
    got = []

    def wait() -> None:
        with pytest.raises(KeyError):
            lock.acquire()

    with lock:
        first = spawn(wait)
        second = spawn(lambda: got.append(lock.acquire()))
        _core.sleep(0)
        assert _core.interrupt(first, KeyError())
        ended(first)
    ended(second)
    assert got == [True]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((True, -2), {}),
        ((False, 1), {}),
        ((), {"other": 1}),
        ((1, 2, 3), {}),
        ((True, 1e20), {}),
        ((True, "x"), {}),
        ((True,), {"blocking": False}),
        ((), {"timeout": None}),
        ((True, float("nan")), {}),
    ],
)
def test_what_acquire_refuses_is_refused_as_ever(lock: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    name = "LockType" if isinstance(lock, _thread.LockType) else "RLock"
    original = _core.original("_thread", name, "acquire")
    with pytest.raises(Exception) as expected:
        original(lock, *args, **kwargs)
    with pytest.raises(type(expected.value)) as got:
        lock.acquire(*args, **kwargs)
    assert str(got.value) == str(expected.value)


def test_releasing_what_is_not_held_is_refused_as_ever() -> None:
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        threading.Lock().release()
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        threading.RLock().release()


def test_any_green_thread_may_release_a_plain_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    ended(spawn(lock.release))
    assert not lock.locked()


def test_an_rlock_belongs_to_the_green_thread_that_took_it() -> None:
    lock = threading.RLock()
    tried = []

    def other() -> None:
        tried.append(lock.acquire(blocking=False))
        with pytest.raises(RuntimeError):
            lock.release()

    with lock, lock:
        ended(spawn(other))
    assert tried == [False]
    ended(spawn(lambda: tried.append(lock.acquire(blocking=False)) or lock.release()))
    assert tried == [False, True]


def test_an_rlock_is_free_when_it_has_been_released_as_often_as_taken() -> None:
    lock: Any = threading.RLock()
    for _ in range(3):
        lock.acquire()
    for _ in range(2):
        lock.release()
    assert lock._is_owned()
    taken = spawn(lock.acquire)
    _core.sleep(0)
    assert not taken.ready()
    lock.release()
    ended(taken)
    assert not lock._is_owned()


def test_a_raw_greenlet_shares_the_rlock_of_the_thread_it_belongs_to() -> None:
    lock = threading.RLock()
    with lock:
        assert _core.greenlet(lambda: lock.acquire(blocking=False)).switch() is True
        lock.release()


def test_a_native_thread_and_a_green_one_exclude_each_other(lock: Any, native: Callable[..., threading.Thread]) -> None:
    inside = most = 0

    def work(pause: Callable[[float], object]) -> None:
        nonlocal inside, most
        for _ in range(50):
            with lock:
                inside += 1
                most = max(most, inside)
                pause(0)
                inside -= 1

    sleep = _core.original("time", None, "sleep")
    natives = [native(work, sleep) for _ in range(3)]
    ended(*[spawn(work, time.sleep) for _ in range(3)])
    while any(thread.is_alive() for thread in natives):
        _core.sleep(0.001)
    assert (inside, most) == (0, 1)


def test_a_queue_connects_native_and_green_threads_in_both_directions(native: Callable[..., threading.Thread]) -> None:
    there: queue.Queue[int | None] = queue.Queue(2)
    back: queue.Queue[int | None] = queue.Queue(2)

    def echo() -> None:
        while (item := there.get()) is not None:
            back.put(item)
        back.put(None)

    def feed() -> None:
        for item in range(300):
            there.put(item)
        there.put(None)

    for start in (native, spawn):
        seen = []
        start(echo)
        feeder = spawn(feed)
        while (item := back.get()) is not None:
            seen.append(item)
        ended(feeder)
        assert seen == list(range(300))


def test_events_conditions_semaphores_and_barriers_work_among_green_threads() -> None:
    event, semaphore, barrier = threading.Event(), threading.Semaphore(2), threading.Barrier(3)
    log: list[Any] = []

    def work(name: str) -> None:
        event.wait()
        with semaphore:
            _core.sleep(0)
            log.append(name)
        barrier.wait()
        log.append("through")

    threads = [spawn(work, name) for name in "abc"]
    _core.sleep(0)
    assert log == []
    event.set()
    ended(*threads)
    assert log == ["a", "b", "c", "through", "through", "through"]


def test_conditions_give_up_after_their_timeout() -> None:
    condition = threading.Condition()
    got = []

    def wait() -> None:
        with condition:
            got.append(condition.wait(0.01))
            got.append(condition.wait_for(lambda: False, 0.01))

    ended(spawn(wait))
    assert got == [False, False]


def test_everything_parked_on_locks_for_ever_is_reported() -> None:
    out = output_of(
        """
import threading
from gossamer import _core
lock = threading.Lock()
lock.acquire()
_core.get_hub()
try:
    lock.acquire()
except _core.LoopExit as error:
    print('locked _thread.lock' in str(error))
"""
    )
    assert out == "True\n"


def test_a_lock_taken_by_a_parked_green_thread_survives_a_fork() -> None:
    out = output_of(
        """
import os, sys, threading
from gossamer import _core
lock = threading.Lock()
def hold():
    with lock:
        _core.sleep(0.05)
thread = _core.spawn(hold)
_core.sleep(0)
pid = os.fork()
with lock:
    thread.join()
if pid == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    )
    assert out == "7\n"


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_trying_for_a_lock_again_and_again_lets_its_holder_go_on(kind: str) -> None:
    out = output_of(
        f"""
import threading, time
from gossamer import _core
lock = threading.{kind}()
held = []

def hold():
    with lock:
        held.append(True)
        while not tries:
            time.sleep(0.001)

tries = 0
holder = _core.spawn(hold)
while not held:
    time.sleep(0)
while not lock.acquire(blocking=False):
    tries += 1
lock.release()
print(tries > 0, holder.ready() or holder.join())
""",
        seconds=30,
    )
    assert out.startswith("True ")


def test_a_lock_that_is_tried_for_on_the_hub_greenlet_is_refused_at_once() -> None:
    out = output_of(
        """
import threading, time
from gossamer import _core
lock, results = threading.Lock(), []
lock.acquire()

def callback():
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        results.append(lock.acquire(blocking=False))

_core.get_hub().run_callback(callback)
time.sleep(0.1)
print(set(results))
"""
    )
    assert out == "{False}\n"


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_lock_made_anew_in_a_forked_child_goes_to_the_green_threads_that_wait_for_it(kind: str) -> None:
    out = output_of(
        f"""
import gossamer, os, sys, threading
lock, taken = threading.{kind}(), []

def hold():
    lock.acquire()
    gossamer.sleep(60)

def take(number):
    with lock:
        taken.append(number)

gossamer.spawn(hold)
waiters = [gossamer.spawn(take, number) for number in range(3)]
gossamer.sleep(0.01)
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
lock._at_fork_reinit()
gossamer.joinall(waiters)
print(taken, flush=True)
os._exit(0)
"""
    )
    assert out == "[0, 1, 2]\n"
