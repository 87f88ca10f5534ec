"""`sys.settrace`, `sys.setprofile`, `sys.monitoring` and cProfile see what greenlets run.

The functions belong to the thread, as with threads and one greenlet: what is set in one greenlet holds in the others
of its thread. The events of one greenlet, taken alone, nest properly.
"""

import cProfile
import pstats
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, Self

import pytest

from gossamer.switching import getcurrent, greenlet
from tests.support.greenlets import parked, to_parent

Event = tuple[str, str]

profiler_leaves_under_parked_frames = pytest.mark.skipif(
    hasattr(sys, "gettotalrefcount") and sys.version_info >= (3, 12),
    reason="a debug build of 3.12 and later aborts: it asserts that whoever removes a profile function has found every"
    " frame in the chains of the threads, and the frames of parked greenlets are in none of them",
)


def leaf() -> int:
    return 42


def outer() -> int:
    value = leaf()
    to_parent()
    return value + leaf()


class Profile:
    """Collects call and return events of functions of this module, per greenlet."""

    def __init__(self) -> None:
        self.events: dict[greenlet, list[Event]] = defaultdict(list)

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "return") and frame.f_code.co_name in ("leaf", "outer"):
            self.events[getcurrent()].append((event, frame.f_code.co_name))

    def __enter__(self) -> Self:
        sys.setprofile(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


@pytest.fixture(autouse=True)
def _nothing_is_traced_before_and_after() -> Iterator[None]:
    tracer, profiler = sys.gettrace(), sys.getprofile()
    yield
    sys.settrace(tracer)
    sys.setprofile(profiler)


def test_a_profile_function_sees_the_calls_of_every_greenlet() -> None:
    with Profile() as profile:
        crowd = [greenlet(outer) for _ in range(3)]
        for _ in range(2):
            for it in crowd:
                it.switch()
    whole = [("call", "outer"), ("call", "leaf"), ("return", "leaf"), ("call", "leaf"), ("return", "leaf")]
    assert [profile.events[it] for it in crowd] == [[*whole, ("return", "outer")]] * 3


def test_a_profile_function_set_before_a_switch_back_into_a_parked_greenlet_holds_there() -> None:
    it = parked(outer)
    with Profile() as profile:
        it.switch()
    assert profile.events[it][:2] == [("call", "leaf"), ("return", "leaf")]


def test_a_profile_function_set_in_a_greenlet_stays_set_for_its_thread() -> None:
    profile = Profile()
    it = greenlet(lambda: profile.__enter__() and leaf())
    it.switch()
    leaf()
    profile.__exit__()
    leaf()
    assert profile.events[it] == [("call", "leaf"), ("return", "leaf")]
    assert profile.events[getcurrent()] == [("call", "leaf"), ("return", "leaf")]


@profiler_leaves_under_parked_frames
def test_a_profile_function_taken_away_in_a_greenlet_is_gone_for_its_thread() -> None:
    profile = Profile()

    def first() -> None:
        to_parent()
        profile.__enter__()
        leaf()
        second_one.switch()
        leaf()

    def second() -> None:
        to_parent()
        leaf()
        profile.__exit__()
        leaf()
        first_one.switch()

    first_one, second_one = parked(first), parked(second)
    first_one.switch()
    leaf()
    assert {it: len(events) for it, events in profile.events.items()} == {first_one: 2, second_one: 2}


@profiler_leaves_under_parked_frames
def test_a_profile_function_that_is_not_set_any_more_stays_away_after_every_switch() -> None:
    it = greenlet(lambda: [to_parent(leaf()) for _ in range(5)])
    profile = Profile()
    for _ in range(2):
        with profile:
            it.switch()
        it.switch()
    assert len(profile.events[it]) == 4


def lines_of(function: Callable[..., object], run: Callable[[], object]) -> list[int]:
    """The line numbers, relative to its first, that a trace function sees `function` execute during `run`."""
    code: CodeType = function.__code__
    seen: list[int] = []

    def tracer(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is not code:
            return None
        if event == "line":
            seen.append(frame.f_lineno - code.co_firstlineno)
        return tracer

    sys.settrace(tracer)
    try:
        run()
    finally:
        sys.settrace(None)
    return seen


def several_lines() -> str:
    first = 1
    to_parent()
    second = first + 1
    to_parent()
    return "x" * second


def test_a_trace_function_sees_the_lines_before_and_after_a_switch() -> None:
    def run() -> None:
        it = greenlet(several_lines)
        it.switch()
        leaf()
        it.switch()
        it.switch()

    assert lines_of(several_lines, run) == [1, 2, 3, 4, 5]


def test_a_trace_function_keeps_following_interleaved_greenlets() -> None:
    def run() -> None:
        crowd = [greenlet(several_lines) for _ in range(3)]
        for _ in range(3):
            for it in crowd:
                it.switch()

    assert sorted(lines_of(several_lines, run)) == sorted([1, 2, 3, 4, 5] * 3)


def test_a_frame_that_is_not_traced_stays_so_when_it_is_resumed_under_a_trace_function() -> None:
    it = parked(several_lines)
    assert lines_of(several_lines, it.switch) == []


def test_a_trace_function_may_switch() -> None:
    order: list[str] = []
    other = parked(lambda: [to_parent(order.append("other")) for _ in range(100)])
    main = getcurrent()

    def tracer(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is leaf.__code__ and event == "call" and getcurrent() is main:
            order.append("trace")
            other.switch()
        return None

    sys.settrace(tracer)
    try:
        assert leaf() == 42
        assert leaf() == 42
    finally:
        sys.settrace(None)
    assert order == ["other", "trace", "other", "trace", "other"]


def test_an_exception_of_a_trace_function_surfaces_in_the_greenlet_it_happens_in() -> None:
    def tracer(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is leaf.__code__:
            raise LookupError("from the trace function")
        return None

    def body() -> str:
        sys.settrace(tracer)
        with pytest.raises(LookupError, match="from the trace function"):
            leaf()
        return "caught inside"

    assert greenlet(body).switch() == "caught inside"
    assert sys.gettrace() is None


def test_a_trace_function_of_one_thread_does_not_see_greenlets_of_another() -> None:
    profile = Profile()
    results: list[object] = []

    def work() -> None:
        it = greenlet(outer)
        it.switch()
        results.append(it.switch())

    with profile:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert results == [84]
    assert not profile.events


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with CPython 3.12")
def test_monitoring_sees_properly_nested_events_in_every_greenlet() -> None:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    tool, names = 4, ("leaf", "outer")
    open_calls: dict[greenlet, list[str]] = defaultdict(list)
    counted: dict[str, int] = defaultdict(int)

    def start(code: CodeType, offset: int) -> None:
        if code.co_name in names:
            open_calls[getcurrent()].append(code.co_name)

    def leave(code: CodeType, offset: int, value: object) -> None:
        if code.co_name in names:
            assert open_calls[getcurrent()].pop() == code.co_name
            counted[code.co_name] += 1

    monitoring.use_tool_id(tool, "switch tests")
    try:
        monitoring.register_callback(tool, monitoring.events.PY_START, start)
        monitoring.register_callback(tool, monitoring.events.PY_RETURN, leave)
        monitoring.register_callback(tool, monitoring.events.PY_UNWIND, leave)
        monitoring.set_events(
            tool, monitoring.events.PY_START | monitoring.events.PY_RETURN | monitoring.events.PY_UNWIND
        )
        crowd = [greenlet(outer) for _ in range(10)]
        for it in crowd:
            it.switch()
        for it in crowd[:5]:
            it.switch()
        for it in crowd[5:]:
            it.throw()
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)
    assert counted == {"leaf": 15, "outer": 10}
    assert not any(open_calls.values())


def test_cprofile_counts_the_calls_made_in_greenlets() -> None:
    profile = cProfile.Profile()
    profile.enable()
    try:
        crowd = [greenlet(outer) for _ in range(10)]
        for _ in range(2):
            for it in crowd:
                it.switch()
    finally:
        profile.disable()
    counts = {key[2]: value[1] for key, value in pstats.Stats(profile).stats.items()}  # type: ignore[attr-defined]
    assert counts["leaf"] == 20
    assert counts["outer"] == 10
