"""Nothing is left behind: each operation, done a thousand times more, leaves as many memory blocks as before.

Blocks of the object allocator are counted exactly (`sys.getallocatedblocks`); on a debug build the references too.
What bypasses that allocator is watched in test_stacks_memory through the resident memory.
"""

import contextlib
import functools
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from typing import Any

import pytest

from gossamer import switching
from gossamer.switching import GreenletExit, error, getcurrent, greenlet, settrace
from tests.support.free_threading import IS_FREE_THREADED
from tests.support.greenlets import below, below_c, ended, parked, to_parent
from tests.support.memory import least_growth, total_references

pytestmark = pytest.mark.usefixtures("settled")

VARIABLE: ContextVar[object] = ContextVar("VARIABLE")
ENDLESS = functools.partial(iter, int, 1)


def forward() -> None:
    for _ in ENDLESS():
        to_parent()


def start_and_end() -> None:
    greenlet(int).switch()


def create_only() -> None:
    greenlet(int)


def create_with_parent_and_attributes() -> None:
    it = greenlet(int, parent=greenlet(int))
    it.mark = [it.parent]  # type: ignore[attr-defined]


def park_and_drop() -> None:
    parked()


def park_deep_and_drop() -> None:
    parked(lambda: below(30, to_parent))
    parked(lambda: below_c(10, to_parent))


def arguments_of_every_kind() -> None:
    it = greenlet(lambda *values, **named: to_parent(*values, **named))
    it.switch([1], [2], a=[3])
    it.switch([1])
    it = greenlet(lambda: [to_parent() for _ in range(4)])
    it.switch()
    it.switch([1], [2])
    it.switch(a=[1])
    it.switch([1], b=[2])
    it.switch()


def exceptions_that_leave() -> None:
    def fails() -> None:
        raise LookupError([1])

    with contextlib.suppress(LookupError):
        greenlet(fails).switch()


def exceptions_thrown() -> None:
    for it in (greenlet(int), parked(), ended()):
        with contextlib.suppress(LookupError):
            it.throw(LookupError, [1])
        it.throw(GreenletExit([2]))


def refused_throws() -> None:
    for arguments in (("text",), (LookupError(), LookupError()), (LookupError, None, 5)):
        with contextlib.suppress(TypeError):
            getcurrent().throw(*arguments)


def results_that_start_parents() -> None:
    above = greenlet(lambda value: [value])
    greenlet(lambda: [1], parent=above).switch()


def parents_reassigned() -> None:
    it = greenlet(int)
    it.parent = greenlet(int)
    it.parent = getcurrent()
    with contextlib.suppress(ValueError):
        it.parent = it


def failed_starts() -> None:
    with contextlib.suppress(AttributeError):
        greenlet().switch([1])
    with contextlib.suppress(TypeError):
        greenlet(5).switch([1])  # type: ignore[arg-type]
    with contextlib.suppress(TypeError):
        greenlet(lambda: 1).switch([1])


def refused_constructions() -> None:
    with contextlib.suppress(TypeError):
        greenlet(int, [1])  # type: ignore[arg-type]
    with contextlib.suppress(TypeError):
        greenlet(int, None, [1])  # type: ignore[call-arg]


def contexts() -> None:
    it = greenlet(lambda: (VARIABLE.set([1]), to_parent(), VARIABLE.set([2])))
    it.gr_context = Context()
    it.switch()
    it.gr_context = Context()
    it.switch()
    it.gr_context = None


def introspection() -> None:
    for it in (greenlet(int), parked(), ended()):
        repr(it), it.dead, bool(it), it.parent, it.gr_frame, it.gr_context, it.__dict__, weakref.ref(it)
        with contextlib.suppress(AttributeError):
            it.run


def kept_frames() -> None:
    it = parked(lambda: below(5, to_parent))
    frame = it.gr_frame
    it.switch()
    while frame is not None:
        frame.f_locals
        frame = frame.f_back


def subclasses() -> None:
    class Own(greenlet):
        def __init__(self, value: object) -> None:
            super().__init__()
            self.value = value

        def run(self) -> object:
            return to_parent(self.value)

    it = Own([1])
    it.switch()
    it.switch()


def overridden_lookups() -> None:
    class Own(greenlet):
        def __getattribute__(self, name: str) -> Any:
            return (lambda: [1]) if name == "run" else super().__getattribute__(name)

    Own([2]).switch()  # type: ignore[arg-type]


def traced_switches() -> None:
    settrace(lambda *event: None)
    parked().switch()
    with contextlib.suppress(LookupError):
        parked().throw(LookupError)
    settrace(None)


def failing_tracers() -> None:
    def tracer(*event: object) -> None:
        raise LookupError

    it = parked()
    settrace(tracer)
    with contextlib.suppress(LookupError):
        it.switch()


def generators_left_suspended() -> None:
    def produce() -> Iterator[int]:
        try:
            yield 1
            to_parent()
            yield 2
        finally:
            [1]

    parked(lambda: list(produce()))


def handled_exceptions_left_parked() -> None:
    def body() -> None:
        try:
            raise LookupError([1])
        except LookupError:
            to_parent()

    parked(body)


def resurrections() -> None:
    kept: list[greenlet] = []

    def body() -> None:
        try:
            to_parent()
        except GreenletExit:
            kept.append(getcurrent())
            to_parent()

    parked(body)
    kept.pop().switch()


def unstarted_and_dead_cycles() -> None:
    for it in (greenlet(int), ended()):
        it.me = it  # type: ignore[attr-defined]


def threads_with_greenlets() -> None:
    kept: list[object] = []

    def work() -> None:
        kept.append(greenlet(int))
        parked().switch()
        parked()
        with contextlib.suppress(error):
            elsewhere.switch()

    elsewhere = parked()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    getcurrent()


def greenlets_dropped_elsewhere() -> None:
    holder = [parked()]
    thread = threading.Thread(target=holder.clear)
    thread.start()
    thread.join()
    getcurrent()


def deep_recursion() -> None:
    def forever() -> None:
        forever()

    with contextlib.suppress(RecursionError):
        greenlet(forever).switch()


OPERATIONS: list[tuple[Callable[[], None], int]] = [
    (start_and_end, 1000),
    (create_only, 1000),
    (create_with_parent_and_attributes, 1000),
    (park_and_drop, 1000),
    (park_deep_and_drop, 300),
    (arguments_of_every_kind, 300),
    (exceptions_that_leave, 500),
    (exceptions_thrown, 300),
    (refused_throws, 300),
    (results_that_start_parents, 500),
    (parents_reassigned, 1000),
    (failed_starts, 300),
    (refused_constructions, 500),
    (contexts, 300),
    (introspection, 300),
    (kept_frames, 300),
    (subclasses, 100),
    (overridden_lookups, 100),
    (traced_switches, 300),
    (failing_tracers, 300),
    (generators_left_suspended, 500),
    (handled_exceptions_left_parked, 500),
    (resurrections, 500),
    (unstarted_and_dead_cycles, 500),
    (threads_with_greenlets, 50),
    (greenlets_dropped_elsewhere, 50),
    (deep_recursion, 20),
]


def grows_with(operation: Callable[[], object], times: int, measure: Callable[[], int]) -> bool:
    """Whether `measure` grows by at least one for every second `operation`."""

    def work() -> None:
        for _ in range(times):
            operation()

    return least_growth(work, measure, warm_up=2, rounds=4) > times // 2


@pytest.mark.parametrize(("operation", "times"), OPERATIONS, ids=[operation.__name__ for operation, _ in OPERATIONS])
def test_no_memory_block_is_left_by(operation: Callable[[], None], times: int) -> None:
    if IS_FREE_THREADED and operation in {subclasses, overridden_lookups}:
        pytest.skip("a free-threaded build frees what belongs to classes later, when no thread can be reading it")
    assert not grows_with(operation, times, sys.getallocatedblocks)


@pytest.mark.skipif(total_references() is None, reason="only a debug build of CPython counts all references")
@pytest.mark.parametrize(("operation", "times"), OPERATIONS, ids=[operation.__name__ for operation, _ in OPERATIONS])
def test_no_reference_is_left_by(operation: Callable[[], None], times: int) -> None:
    assert not grows_with(operation, times, lambda: total_references() or 0)


@pytest.mark.beyond_greenlet
def test_no_memory_block_is_left_by_cycles_through_parked_frames() -> None:
    def body() -> None:
        me = [getcurrent()]
        to_parent()
        assert me

    assert not grows_with(lambda: parked(body), 500, sys.getallocatedblocks)


@pytest.mark.beyond_greenlet
def test_no_memory_block_is_left_by_greenlets_that_outlive_their_thread() -> None:
    def operation() -> None:
        kept: list[greenlet] = []
        thread = threading.Thread(target=lambda: kept.extend(parked() for _ in range(5)))
        thread.start()
        thread.join()

    assert not grows_with(operation, 50, sys.getallocatedblocks)


@pytest.mark.beyond_greenlet
def test_no_memory_block_is_left_by_the_debugging_functions() -> None:
    crowd = [parked() for _ in range(10)]

    def operation() -> None:
        switching.counts()
        switching.stacks()

    assert not grows_with(operation, 100, sys.getallocatedblocks)
    assert all(not it.dead for it in crowd)


@pytest.mark.parametrize("travels", [lambda it, value: it.switch(value), lambda it, value: it.switch(x=value)])
def test_a_value_that_travelled_has_as_many_references_as_before(travels: Callable[[greenlet, object], object]) -> None:
    value = [1]
    it = parked(forward)
    before = sys.getrefcount(value)
    for _ in range(100):
        travels(it, value)
    it.switch()
    assert sys.getrefcount(value) == before


def test_the_type_of_dropped_instances_has_as_many_references_as_before() -> None:
    class Own(greenlet):
        pass

    kept: list[greenlet] = []

    def stays() -> None:
        try:
            to_parent()
        except GreenletExit:
            kept.append(getcurrent())

    before = sys.getrefcount(Own)
    for _ in range(10):
        Own(int)
        Own(int).switch()
        Own(to_parent).switch()
        Own(stays).switch()
    kept.clear()
    gc.collect()
    assert sys.getrefcount(Own) == before


def test_a_function_is_released_when_its_greenlet_ends() -> None:
    class Runs:
        def __call__(self) -> None:
            to_parent()

    runs = Runs()
    reference = weakref.ref(runs)
    it = greenlet(runs)
    del runs
    it.switch()
    assert reference() is not None
    it.switch()
    assert it.dead and reference() is None


def test_a_dead_greenlet_releases_what_it_was_given() -> None:
    class Value:
        pass

    value = Value()
    reference = weakref.ref(value)
    it = greenlet(lambda value: to_parent(value))
    it.switch(value)
    del value
    it.throw()
    gc.collect()
    assert it.dead and reference() is None
