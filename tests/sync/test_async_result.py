"""gossamer.event.AsyncResult: a value or an exception that will be there some day."""

import gc
import pickle
import sys
import weakref
from collections.abc import Callable

import pytest

from gossamer._core import BlockingSwitchOutError, GreenletExit, get_hub, interrupt, spawn
from gossamer.event import AsyncResult
from tests.support.runtime import beside, joined, turns


def test_a_value_is_handed_to_all_who_wait_and_to_all_who_ask_later() -> None:
    result: AsyncResult[int] = AsyncResult()
    getters = [spawn(result.get), spawn(result.wait), spawn(result.result)]
    turns()
    result.set(7)
    assert joined(*getters) == [7, 7, 7]
    assert (result.get(), result.get_nowait(), result.wait(), result.value) == (7, 7, 7, 7)
    assert result.ready() and result.done() and result.successful()
    assert (result.exception, result.exc_info) == (None, ())


def test_none_is_a_value() -> None:
    result: AsyncResult[None] = AsyncResult()
    result.set()
    assert result.ready() and result.successful()
    assert result.get() is None


def test_an_exception_is_raised_by_get_and_not_by_wait() -> None:
    result: AsyncResult[int] = AsyncResult()
    getter, waiter = spawn(result.get), spawn(result.wait)
    turns()
    error = ValueError("no")
    result.set_exception(error)
    joined(getter, waiter)
    assert getter.exception is error
    assert waiter.value is None
    with pytest.raises(ValueError, match="no"):
        result.get()
    assert (result.value, result.exception, result.successful(), result.ready()) == (None, error, False, True)
    assert result.exc_info == (ValueError, error, None)


def test_the_traceback_given_with_an_exception_is_raised_with_it() -> None:
    result: AsyncResult[int] = AsyncResult()
    try:
        1 / 0
    except ZeroDivisionError as error:
        result.set_exception(error, sys.exc_info())  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError) as caught:
        result.get()
    assert caught.traceback[-1].name == "test_the_traceback_given_with_an_exception_is_raised_with_it"


def test_only_an_exception_can_be_set_as_one() -> None:
    with pytest.raises(TypeError, match="an exception is needed, not 1"):
        AsyncResult().set_exception(1)  # type: ignore[arg-type]


def test_get_raises_timeout_when_there_is_nothing_in_time() -> None:
    from gossamer._sync.timeout import Timeout

    result: AsyncResult[int] = AsyncResult()
    calls: list[Callable[[], int]] = [
        lambda: result.get(timeout=0.001),
        lambda: result.get(block=False),
        result.get_nowait,
    ]
    for call in calls:
        with pytest.raises(Timeout):
            call()
    with pytest.raises(Timeout):
        result.result(0.001)
    assert result.wait(0.001) is None
    assert result.linkcount() == 0


def test_a_killed_waiter_takes_nothing_from_the_others() -> None:
    result: AsyncResult[int] = AsyncResult()
    first, second = spawn(result.get), spawn(result.get)
    turns()
    result.set(1)
    interrupt(first, GreenletExit())
    joined(first, second)
    assert second.value == 1


def test_it_serves_as_a_link_of_what_ends() -> None:
    good: AsyncResult[int] = AsyncResult()
    bad: AsyncResult[int] = AsyncResult()
    chained: AsyncResult[int] = AsyncResult()
    spawn(lambda: 5).rawlink(good)
    good.rawlink(chained)
    failing = spawn(lambda: [].pop())
    failing.rawlink(bad)
    assert chained.get(timeout=60) == 5
    with pytest.raises(IndexError):
        bad.get(timeout=60)


def test_on_the_hub_it_can_be_set_and_not_waited_for() -> None:
    result: AsyncResult[int] = AsyncResult()
    missing: AsyncResult[int] = AsyncResult()
    getter = spawn(result.get)
    turns()

    def in_hub() -> None:
        with pytest.raises(BlockingSwitchOutError):
            missing.get()
        result.set(result.linkcount())

    get_hub().run_callback(in_hub)
    assert joined(getter) == [1]


def test_a_native_thread_sets_it() -> None:
    result: AsyncResult[str] = AsyncResult()
    with beside(lambda: result.set_result("there")):
        assert result.get(timeout=60) == "there"


def test_it_cannot_be_cancelled() -> None:
    assert (AsyncResult().cancel(), AsyncResult().cancelled()) == (False, False)


def test_it_can_be_set_again() -> None:
    result: AsyncResult[int] = AsyncResult()
    result.set_exception(ValueError())
    result.set(2)
    assert (result.get(), result.exception) == (2, None)


def test_it_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(AsyncResult())


def test_a_cycle_through_its_value_is_collected() -> None:
    class Own(AsyncResult[object]):
        pass

    result = Own()
    result.set(result)
    gone = weakref.ref(result)
    del result
    gc.collect()
    assert gone() is None


def test_raising_it_again_does_not_make_the_traceback_longer() -> None:
    result: AsyncResult[None] = AsyncResult()
    result.set_exception(LookupError("on purpose"))
    lengths = []
    for _ in range(3):
        with pytest.raises(LookupError) as caught:
            result.get()
        lengths.append(len(caught.traceback))
    assert lengths[0] == lengths[1] == lengths[2]
    assert result.exc_info[2:] == (None,)


def test_parts_of_an_exception_that_are_none_leave_a_result_unset() -> None:
    result: AsyncResult[None] = AsyncResult()
    with pytest.raises(IndexError):
        result.set_exception(ValueError("one"), (1,))  # type: ignore[arg-type]
    assert not result.ready()
