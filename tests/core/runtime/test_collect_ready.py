"""Green threads that wait for their first turn: the collector need not look at them, and misses none that leaves."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from gossamer._core import (
    GreenletExit,
    GreenThread,
    counts,
    get_hub,
    getcurrent,
    greenlet,
    interrupt,
    sleep,
    spawn,
    throw_into,
)
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, in_thread, joined, reported, turns


class Linked(GreenThread):
    """One that can refer to itself, by its dictionary and by a slot."""

    __slots__ = ("slot",)

    slot: object


def by_spawn(function: Callable[..., object], *args: object) -> GreenThread:
    """A green thread made and started by a call of the core's function."""
    return spawn(function, *args)


def by_start(function: Callable[..., object], *args: object) -> GreenThread:
    """A green thread of a class in Python, made first and started then."""
    made = Linked(function, *args)
    made.start()
    return made


def by_class(function: Callable[..., object], *args: object) -> GreenThread:
    """A green thread of a class in Python, made and started by its method."""
    return Linked.spawn(function, *args)


ways = pytest.mark.parametrize("started", [by_spawn, by_start, by_class])


def tangled(it: greenlet) -> weakref.ref[greenlet]:
    """Have `it` refer to itself, and keep a weak reference."""
    it.kept = [it]  # type: ignore[attr-defined]
    if isinstance(it, Linked):
        it.slot = (it,)
    return weakref.ref(it)


def collected(gone: weakref.ref[Any]) -> bool:
    """Whether it is gone after a collection."""
    gc.collect()
    return gone() is None


@ways
def test_the_collector_does_not_look_at_one_that_waits_for_its_first_turn(started: Callable[..., GreenThread]) -> None:
    seen: list[bool] = []
    it = started(lambda: seen.append(gc.is_tracked(getcurrent())))
    assert not gc.is_tracked(it)
    assert not any(known is it for known in gc.get_objects())
    joined(it)
    assert seen == [True] and gc.is_tracked(it)


@ways
def test_one_that_nobody_refers_to_runs_after_a_collection(started: Callable[..., GreenThread]) -> None:
    order: list[str] = []
    gone = tangled(started(order.append, "ran"))
    gc.collect()
    assert gone() is not None and order == []
    turns()
    assert order == ["ran"] and collected(gone)


@ways
def test_what_it_is_to_run_with_is_kept_and_dropped_with_it(started: Callable[..., GreenThread]) -> None:
    class Thing:
        pass

    things: list[object] = [Thing()]
    gone = weakref.ref(things[0])
    things.append(started(len, things))
    del things
    gc.collect()
    assert gone() is not None
    turns()
    assert collected(gone)


@ways
def test_a_cycle_through_the_result_is_collected_once_it_has_ended(started: Callable[..., GreenThread]) -> None:
    it = started(lambda: [getcurrent()])
    it.rawlink(lambda ended: None)
    gone = weakref.ref(it)
    assert joined(it) == [[it]]
    del it
    turns()
    assert collected(gone)


@ways
def test_one_killed_before_its_start_is_collected(started: Callable[..., GreenThread]) -> None:
    it = started(print, "not run")
    gone = tangled(it)
    assert throw_into(it, GreenletExit())
    assert it.ready() and gc.is_tracked(it)
    del it
    turns()
    assert collected(gone)


@ways
def test_one_interrupted_before_its_first_turn_is_collected(started: Callable[..., GreenThread]) -> None:
    with reported():
        it = started(print, "not run")
        gone = tangled(it)
        assert interrupt(it, KeyError("early"))
        del it
        turns()
        gc.collect()
    assert collected(gone)


@ways
def test_one_that_is_switched_to_before_its_turn_is_collected(started: Callable[..., GreenThread]) -> None:
    main = getcurrent()

    def body() -> None:
        main.switch()

    it = started(body)
    gone = tangled(it)
    it.switch()
    assert gc.is_tracked(it)
    alive = counts()["alive"]
    del it
    turns()
    assert collected(gone) and counts()["alive"] == alive - 1


@ways
def test_one_whose_thread_ends_before_its_turn_is_collected(started: Callable[..., GreenThread]) -> None:
    order: list[str] = []
    assert collected(in_thread(lambda: tangled(started(order.append, "ran"))))
    assert order == []


@ways
def test_one_started_from_another_thread_is_collected(started: Callable[..., GreenThread]) -> None:
    hub = get_hub()
    order: list[str] = []

    def work() -> weakref.ref[greenlet]:
        it = Linked(order.append, "ran")
        it.parent = hub
        it.start()
        return tangled(it)

    gone = in_thread(work)
    gc.collect()
    while not order:
        sleep(0.001)
    turns()
    assert collected(gone)


@ways
def test_one_started_by_a_finalizer_in_a_collection_runs(started: Callable[..., GreenThread]) -> None:
    order: list[object] = []

    class Dying:
        """Garbage, and what starts a green thread that is garbage along with it."""

        def __init__(self) -> None:
            self.green = Linked(order.append, self)

        def __del__(self) -> None:
            self.green.start()
            started(order.append, "another")

    Dying()
    gc.collect()
    turns()
    dying, another = order
    assert isinstance(dying, Dying) and another == "another"
    gone = weakref.ref(dying.green)
    del dying
    order.clear()
    assert collected(gone)


@ways
def test_weak_references_to_it_are_called_back(started: Callable[..., GreenThread]) -> None:
    called: list[object] = []
    gone = weakref.ref(started(int), called.append)
    gc.collect()
    assert called == []
    turns()
    assert called == [gone]


def test_a_finalizer_may_bring_back_one_that_has_ended() -> None:
    back: list[GreenThread] = []

    class Returning(GreenThread):
        def __del__(self) -> None:
            back.append(self)

    tangled(Returning.spawn(int))
    turns()
    gc.collect()
    (it,) = back
    assert it.ready() and gc.is_tracked(it)
    gone = weakref.ref(it)
    del it
    back.clear()
    assert collected(gone)


def test_collections_at_every_moment_of_many_lives_find_all_of_them() -> None:
    refs: list[weakref.ref[greenlet]] = []

    def body(depth: int) -> object:
        refs.append(tangled(getcurrent()))
        if depth:
            for started in (by_spawn, by_start, by_class):
                refs.append(tangled(started(body, depth - 1)))
            sleep(0)
        return [getcurrent()]

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        spawn(body, 4)
        turns(12)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert len(refs) > 200 and [ref for ref in refs if ref() is not None] == []


def test_those_that_a_forked_child_leaves_behind_do_not_run_there() -> None:
    out = output_of(
        PRELUDE
        + """
order = []
it = spawn(order.append, 'ran')
child = os.fork()
if child == 0:
    gc.collect()
    leave(lambda: joined(it))
wait_for(child)
print(order)
"""
    )
    assert out == "['ran']\n"


def test_threads_that_start_and_end_meanwhile_leave_nothing() -> None:
    def work() -> list[weakref.ref[greenlet]]:
        refs = [tangled(spawn(int)) for _ in range(20)]
        raw = greenlet(lambda: refs.extend(tangled(spawn(sleep, 3600)) for _ in range(20)))
        raw.switch()
        sleep(0)
        refs.extend(tangled(spawn(int)) for _ in range(20))
        return refs

    refs = [ref for _ in range(3) for ref in in_thread(work)]
    gc.collect()
    assert [ref for ref in refs if ref() is not None] == []
