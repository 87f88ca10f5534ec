"""What is of a wrong type is refused where it is given, in words that say what was wanted."""

from collections.abc import Callable

import pytest

import gossamer
from gossamer.event import AsyncResult, Event
from gossamer.lock import RLock, Semaphore
from gossamer.pool import Pool
from gossamer.queue import Channel, Queue
from gossamer.threadpool import ThreadPool


def held() -> RLock:
    lock = RLock()
    gossamer.spawn(lock.acquire).join()
    return lock


TIMES: dict[str, Callable[[], object]] = {
    "sleep": lambda: gossamer.sleep("1"),  # type: ignore[arg-type]
    "spawn_later": lambda: gossamer.spawn_later("1", int),  # type: ignore[arg-type]
    "with_timeout": lambda: gossamer.with_timeout("1", int),  # type: ignore[arg-type]
    "Timeout": lambda: gossamer.Timeout("1").start(),  # type: ignore[arg-type]
    "joinall": lambda: gossamer.joinall([gossamer.spawn(int)], timeout="1"),  # type: ignore[arg-type]
    "wait": lambda: gossamer.wait([Event()], timeout="1"),  # type: ignore[arg-type]
    "Greenlet.join": lambda: gossamer.spawn(int).join("1"),  # type: ignore[arg-type]
    "Event": lambda: Event().wait("1"),  # type: ignore[arg-type]
    "AsyncResult": lambda: AsyncResult().get(timeout="1"),  # type: ignore[arg-type]
    "Semaphore": lambda: Semaphore(0).acquire(timeout="1"),  # type: ignore[arg-type]
    "RLock": lambda: held().acquire(timeout="1"),  # type: ignore[arg-type]
    "Queue.get": lambda: Queue().get(timeout="1"),  # type: ignore[arg-type]
    "Queue.put": lambda: Queue(1, [1]).put(2, timeout="1"),  # type: ignore[arg-type]
    "Channel": lambda: Channel().get(timeout="1"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("call", TIMES.values(), ids=TIMES)
def test_a_time_that_is_no_number_is_said_to_be_none(call: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"a time in seconds must be a number( or None)?, not str"):
        call()


@pytest.mark.parametrize("kill", [gossamer.kill, lambda it: gossamer.killall([it])], ids=["kill", "killall"])
def test_what_is_no_greenlet_cannot_be_killed(kill: Callable[[object], None]) -> None:
    with pytest.raises(TypeError, match="kill\\(\\) needs a greenlet, not 3"):
        kill(3)


@pytest.mark.parametrize("make", [Pool, Queue], ids=["Pool", "Queue"])
def test_a_size_is_a_whole_number(make: Callable[[object], object]) -> None:
    for wrong in ("1", 1.5):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            make(wrong)


def test_a_pool_of_threads_takes_what_can_be_called() -> None:
    pool = ThreadPool(1)
    with pytest.raises(TypeError, match="the function to run must be callable, not int"):
        pool.spawn(5)  # type: ignore[arg-type]
    assert pool.apply(int, ["5"]) == 5
    pool.kill()
