"""Timeouts end every wait of the greenlet that set them, and nothing else."""

import copy
import pickle
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import gossamer
from gossamer import _core
from gossamer.event import AsyncResult, Event
from gossamer.lock import Semaphore
from gossamer.queue import Channel, Queue
from gossamer.timeout import Timeout, with_timeout


def wait_on_socket() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.recv(1)


def wait_on_lock() -> None:
    lock = threading.Lock()
    with lock:
        lock.acquire()


WAITS: dict[str, Callable[[], object]] = {
    "sleep": lambda: time.sleep(60),
    "socket": wait_on_socket,
    "lock": wait_on_lock,
    "queue": lambda: queue.Queue[int]().get(),
    "join": lambda: _core.spawn(time.sleep, 60).join(),
}


@pytest.mark.parametrize("what", WAITS)
def test_a_timeout_ends_any_wait(what: str) -> None:
    timeout = Timeout(0.02)
    with pytest.raises(Timeout) as caught, timeout:
        WAITS[what]()
    assert caught.value is timeout
    assert not timeout.pending


def test_one_that_is_cancelled_in_time_is_not_raised() -> None:
    with Timeout(0.5):
        time.sleep(0)
    time.sleep(0.6)


def test_false_ends_the_block_silently() -> None:
    with Timeout(0.01, False):
        time.sleep(60)


def test_another_exception_is_raised_instead() -> None:
    with pytest.raises(ValueError, match="late"), Timeout(0.01, ValueError("late")):
        time.sleep(60)
    with pytest.raises(KeyError), Timeout(0.01, KeyError):
        time.sleep(60)


def test_of_two_the_earlier_is_raised_and_the_other_goes_on() -> None:
    with Timeout(0.2) as outer, pytest.raises(Timeout) as caught, Timeout(0.01) as inner:
        time.sleep(60)
    assert caught.value is inner
    assert caught.value is not outer


def test_the_outer_one_passes_through_an_inner_block() -> None:
    inner = Timeout(60, False)
    with pytest.raises(Timeout) as caught, Timeout(0.01) as outer, inner:
        time.sleep(60)
    assert caught.value is outer
    assert not inner.pending


def test_it_is_raised_in_the_green_thread_that_started_it() -> None:
    def limited() -> str:
        try:
            with Timeout(0.02):
                time.sleep(60)
        except Timeout:
            return "timed out"
        return "never"

    limited_one, other = _core.spawn(limited), _core.spawn(time.sleep, 0.1)
    limited_one.join()
    other.join()
    assert (limited_one.value, other.successful()) == ("timed out", True)


def test_none_is_never_raised() -> None:
    timeout = Timeout(None)
    with timeout:
        assert not timeout.pending
        time.sleep(0)


def test_starting_it_twice_is_an_error() -> None:
    with Timeout(60) as timeout, pytest.raises(AssertionError, match="already started"):
        timeout.start()


def test_it_can_be_started_again_after_its_end() -> None:
    timeout = Timeout(0.01)
    for _ in range(2):
        timeout.start()
        with pytest.raises(Timeout):
            time.sleep(60)


def test_start_new_takes_a_timeout_as_it_is() -> None:
    timeout = Timeout(60)
    assert Timeout.start_new(timeout) is timeout
    assert timeout.pending
    assert Timeout.start_new(timeout) is timeout
    timeout.cancel()


def test_its_text_says_how_long() -> None:
    assert str(Timeout(1)) == "1 second"
    assert str(Timeout(2.5)) == "2.5 seconds"
    assert str(Timeout()) == ""
    assert str(Timeout(1, "why")) == "1 second: why"


def test_with_timeout_returns_the_value_or_the_one_for_too_late() -> None:
    assert with_timeout(60, lambda a, b: a + b, 1, b=2) == 3
    assert with_timeout(0.01, time.sleep, 60, timeout_value="late") == "late"
    with pytest.raises(Timeout):
        with_timeout(0.01, time.sleep, 60)


def test_with_timeout_passes_on_a_timeout_that_is_not_its_own() -> None:
    with pytest.raises(Timeout) as caught, Timeout(0.01) as outer:
        with_timeout(60, time.sleep, 60, timeout_value="late")
    assert caught.value is outer


def test_of_two_that_are_over_both_are_raised_in_their_order() -> None:
    def sleep_twice() -> None:
        with Timeout(0.001, False):
            time.sleep(60)
        time.sleep(60)

    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer:
        sleep_twice()
    assert caught.value is outer


def test_one_that_is_over_while_another_is_raised_comes_after_it() -> None:
    seen: list[type[BaseException]] = []
    for error in (KeyError, IndexError):
        Timeout(0.001, error).start()
    for _ in range(2):
        try:
            time.sleep(60)
        except LookupError as error:
            seen.append(type(error))
    assert seen == [KeyError, IndexError]


def test_zero_and_less_are_over_at_once_and_raised_at_the_next_wait() -> None:
    for seconds in (0, -1):
        timeout = Timeout.start_new(seconds)
        with pytest.raises(Timeout) as caught:
            time.sleep(60)
        assert caught.value is timeout


def test_one_whose_greenlet_has_ended_is_raised_nowhere() -> None:
    _core.spawn(Timeout(0.001).start).join()
    time.sleep(0.005)


def test_a_subclass_may_have_arguments_of_its_own() -> None:
    class Patience(Timeout):
        def __init__(self, name: str) -> None:
            Timeout.__init__(self, 0.001)
            self.name = name

    with pytest.raises(Patience) as caught, Patience("mine"):
        time.sleep(60)
    assert caught.value.name == "mine"
    assert repr(caught.value).startswith("<Patience at 0x")


def test_its_repr_tells_whether_it_is_pending() -> None:
    with Timeout(60, "why") as timeout:
        assert repr(timeout).endswith(" seconds=60 exception='why' pending>")
        assert timeout.timer.pending
    assert repr(timeout).endswith(" seconds=60 exception='why'>")
    assert not timeout.timer.pending


def test_it_is_shorter_than_a_longer_one_and_than_a_number() -> None:
    assert Timeout(0) < 1
    assert Timeout(1) < Timeout(2)
    assert not Timeout(2) < Timeout(1)
    assert Timeout(1) != Timeout(1)


def test_a_time_that_is_no_number_is_refused_at_the_start() -> None:
    with pytest.raises(TypeError):
        Timeout("soon").start()  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no argument"):
        Timeout(minutes=1)  # type: ignore[call-arg]


def test_what_is_no_exception_is_a_type_error_where_it_should_be_raised() -> None:
    Timeout(0, 3).start()  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="that of a timeout is 3"):
        time.sleep(60)


# ---- as the timeout of a wait ----

ENDS_BY_RAISING: dict[str, Callable[[Any], object]] = {
    "AsyncResult.get": lambda timeout: AsyncResult().get(timeout=timeout),
    "Channel.get": lambda timeout: Channel().get(timeout=timeout),
    "Channel.put": lambda timeout: Channel[int]().put(1, timeout=timeout),
    "Greenlet.get": lambda timeout: gossamer.spawn(time.sleep, 1).get(timeout=timeout),
    "Queue.get": lambda timeout: Queue().get(timeout=timeout),
    "Queue.put": lambda timeout: Queue(1, [0]).put(1, timeout=timeout),
}

ENDS_BY_RESULT: dict[str, Callable[[Any], object]] = {
    "AsyncResult.wait": lambda timeout: AsyncResult().wait(timeout=timeout),
    "Event.wait": lambda timeout: Event().wait(timeout=timeout),
    "Greenlet.join": lambda timeout: gossamer.spawn(time.sleep, 1).join(timeout=timeout),
    "Semaphore.acquire": lambda timeout: Semaphore(0).acquire(timeout=timeout),
}


@pytest.mark.parametrize("name", ENDS_BY_RAISING)
def test_as_the_timeout_of_a_wait_it_raises_itself(name: str) -> None:
    timeout = Timeout(0.001)
    with pytest.raises(Timeout) as caught:
        ENDS_BY_RAISING[name](timeout)
    assert caught.value is timeout


@pytest.mark.parametrize("name", ENDS_BY_RAISING)
def test_as_the_timeout_of_a_wait_it_raises_what_it_was_given(name: str) -> None:
    with pytest.raises(LookupError):
        ENDS_BY_RAISING[name](Timeout(0.001, LookupError))


@pytest.mark.parametrize("name", ENDS_BY_RESULT)
def test_as_the_timeout_of_a_wait_that_tells_by_its_result_it_is_like_its_seconds(name: str) -> None:
    assert not ENDS_BY_RESULT[name](Timeout(0.001))


def test_deleting_its_seconds_or_its_exception_is_setting_them_to_none() -> None:
    timeout = Timeout(0.001, LookupError)
    del timeout.exception
    assert timeout.exception is None
    del timeout.seconds
    assert (timeout.seconds, str(timeout)) == (None, "")
    assert "seconds=None" in repr(timeout)
    with timeout:
        time.sleep(0.01)


class WithArguments(Timeout):
    """One that is made in its own way, and has an attribute."""

    def __init__(self, what: str) -> None:
        super().__init__(7, LookupError)
        self.what = what


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_one_of_its_own_with_the_same_time_and_not_started(duplicate: Callable[[Timeout], Timeout]) -> None:
    with WithArguments("this") as timeout:
        same = duplicate(timeout)
        assert (type(same), vars(same)) == (WithArguments, {"what": "this"})
        assert (same.seconds, same.exception) == (7, LookupError)
        assert timeout.pending and not same.pending
    same.seconds = 0.001
    same.start()
    with pytest.raises(LookupError):
        time.sleep(60)
