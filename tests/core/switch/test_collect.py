"""Garbage collection: a parked greenlet that nobody can reach is ended with GreenletExit, and what is reachable stays.

The exception is raised where the greenlet is parked, with whoever runs at that moment as its parent, so that its
`finally` blocks run and its result goes nowhere. A greenlet that refuses to die stays alive. Cycles through frames of
parked greenlets are in test_collect_cycles.py.
"""

import contextlib
import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gossamer import switching
from gossamer.switching import GreenletExit, getcurrent, greenlet
from tests.support.greenlets import Thing, below, below_c, ended, parked, recording, to_parent, whole_end

pytestmark = pytest.mark.usefixtures("settled")


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The exceptions that could not be raised anywhere."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: seen.append(event.exc_value))
    return seen


@pytest.fixture
def _collects_all_the_time() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.set_threshold(*before)


def test_dropping_the_last_reference_ends_a_parked_greenlet_at_once() -> None:
    seen: list[object] = []
    it = parked(recording(seen))
    assert seen == []
    del it
    assert seen == whole_end()


def test_every_finally_block_runs_from_the_inside_out() -> None:
    seen: list[int] = []

    def down(left: int) -> None:
        try:
            if left:
                down(left - 1)
            else:
                to_parent()
        finally:
            seen.append(left)

    it = parked(lambda: below_c(3, lambda: down(20)))
    del it
    assert seen == list(range(21))


def test_an_unstarted_greenlet_goes_without_running() -> None:
    ran: list[int] = []
    it = greenlet(lambda: ran.append(1))
    reference = weakref.ref(it)
    del it
    assert reference() is None and not ran


def test_the_one_who_drops_it_is_the_parent_while_it_ends() -> None:
    seen: list[object] = []
    main = getcurrent()

    def body() -> None:
        try:
            main.switch()
        except GreenletExit:
            seen.append(getcurrent().parent)

    above = greenlet(lambda *_: seen.append("the former parent ran"))
    holder = [greenlet(body, parent=above)]
    holder[0].switch()
    dropper = greenlet(holder.clear)
    dropper.switch()
    assert seen == [dropper]
    assert not above.dead and not above


def test_a_greenlet_that_goes_on_living_has_its_parent_back() -> None:
    main = getcurrent()
    kept: list[greenlet] = []

    def body() -> None:
        try:
            main.switch()
        except GreenletExit:
            kept.append(getcurrent())
            main.switch()

    above = greenlet(lambda *_: None)
    it = greenlet(body, parent=above)
    it.switch()
    del it
    assert len(kept) == 1 and not kept[0].dead
    assert kept[0].parent is above
    kept.pop().throw(GreenletExit)


def test_a_greenlet_that_catches_greenletexit_can_keep_itself_alive_and_go_on() -> None:
    kept: list[greenlet] = []

    def body() -> str:
        try:
            to_parent()
        except GreenletExit:
            kept.append(getcurrent())
            to_parent("ignored")
        return "finished later"

    it = parked(body)
    del it
    assert not kept[0].dead
    assert kept[0].switch() == "finished later"
    assert kept[0].dead


def test_a_greenlet_can_keep_itself_in_memory_and_still_die() -> None:
    kept: list[greenlet] = []

    def body() -> None:
        try:
            to_parent()
        finally:
            kept.append(getcurrent())

    it = parked(body)
    del it
    assert kept[0].dead
    assert kept[0].switch("past it") == "past it"


def test_a_greenlet_that_keeps_itself_alive_is_ended_again_when_dropped_again() -> None:
    kept: list[greenlet] = []
    rounds: list[int] = []

    def body() -> None:
        for number in range(3):
            try:
                to_parent()
            except GreenletExit:
                rounds.append(number)
                kept.append(getcurrent())

    it = parked(body)
    del it
    kept.pop()
    kept.pop()
    assert rounds == [0, 1, 2]
    assert kept.pop().dead


def test_another_exception_while_ending_is_reported_and_goes_nowhere_else(unraisable: list[Any]) -> None:
    def body() -> None:
        try:
            to_parent()
        finally:
            raise LookupError("while ending")

    it = parked(body)
    del it
    assert [type(fault) for fault in unraisable] == [LookupError]


def test_an_exception_being_handled_is_still_handled_after_a_greenlet_was_ended() -> None:
    holder = [parked(recording([]))]
    try:
        raise LookupError("mine")
    except LookupError as mine:
        holder.clear()
        assert sys.exc_info()[1] is mine


def test_an_exception_on_its_way_survives_the_end_of_a_greenlet() -> None:
    seen: list[object] = []

    def fails() -> None:
        local = parked(recording(seen))
        assert local
        raise LookupError("on its way")

    with pytest.raises(LookupError, match="on its way") as caught:
        fails()
    del caught
    gc.collect()
    assert seen == whole_end()


def test_an_ending_greenlet_may_create_and_run_others() -> None:
    seen: list[object] = []

    def body() -> None:
        try:
            to_parent()
        finally:
            seen.append(greenlet(lambda: "run while ending").switch())
            below_c(5, lambda: seen.append("deep"))

    it = parked(body)
    del it
    assert seen == ["run while ending", "deep"]


def test_an_ending_greenlet_may_drop_another_which_ends_first() -> None:
    seen: list[object] = []
    inner = [parked(recording(seen, "inner"))]

    def body() -> None:
        try:
            to_parent()
        finally:
            inner.clear()
            seen.append("outer")

    it = parked(body)
    del it
    assert seen == [*whole_end("inner"), "outer"]


def test_a_long_chain_of_greenlets_that_hold_each_other_ends_whole() -> None:
    seen: list[int] = []

    def body(number: int, held: greenlet | None) -> None:
        try:
            to_parent()
        finally:
            seen.append(number)

    last: greenlet | None = None
    for number in range(100):
        it = greenlet(body)
        it.switch(number, last)
        last = it
        del it
    last = None
    assert sorted(seen) == list(range(100))


def test_the_weak_references_to_an_ended_greenlet_are_called_back() -> None:
    seen: list[object] = []
    it = parked(recording(seen))
    reference = weakref.ref(it, lambda dead: seen.append(dead()))
    del it
    assert reference() is None
    assert seen == [*whole_end(), None]


def test_what_a_parked_greenlet_holds_is_released_with_it() -> None:
    def body(thing: Thing) -> None:
        local = Thing()
        thing.held = weakref.ref(local)
        to_parent()

    it, thing = greenlet(body), Thing()
    it.switch(thing)
    outer, inner = weakref.ref(thing), thing.held
    del thing
    assert outer() is not None and inner() is not None
    del it
    assert outer() is None and inner() is None


def test_a_value_on_its_way_to_the_parent_is_not_lost_when_the_sender_is_dropped() -> None:
    seen: list[greenlet] = []
    holder: list[greenlet] = []

    def worker() -> None:
        value = to_parent()
        holder.clear()
        last.parent = getcurrent().parent
        try:
            to_parent(value)
        finally:
            seen.append(getcurrent())

    holder.append(greenlet(worker))
    holder[0].switch()
    last = greenlet(lambda: 42, holder[0])
    assert last.switch() == 42
    assert len(seen) == 1


def test_a_cycle_through_the_dictionary_of_an_unstarted_or_dead_greenlet_is_collected() -> None:
    makes: tuple[Callable[[], greenlet], ...] = (lambda: greenlet(int), ended)
    for make in makes:
        it = make()
        it.me = it  # type: ignore[attr-defined]
        reference = weakref.ref(it)
        del it
        gc.collect()
        assert reference() is None


def test_a_cycle_through_the_function_of_an_unstarted_greenlet_is_collected() -> None:
    class Own(greenlet):
        def __init__(self) -> None:
            super().__init__(run=self.body)

        def body(self) -> None: ...

    reference = weakref.ref(Own())
    gc.collect()
    assert reference() is None


def test_a_cycle_through_the_parent_is_collected() -> None:
    class Holds(greenlet):
        child: greenlet

    above = Holds(int)
    above.child = greenlet(int, above)
    reference = weakref.ref(above)
    del above
    gc.collect()
    assert reference() is None


def test_a_cycle_through_the_result_is_collected() -> None:
    reference = weakref.ref(greenlet(getcurrent).switch())
    gc.collect()
    assert reference() is None


@pytest.mark.usefixtures("_collects_all_the_time")
def test_what_only_a_parked_frame_references_is_never_collected() -> None:
    class Node:
        def __init__(self, left: int) -> None:
            self.me = self
            self.next = Node(left - 1) if left else None

    def depth(node: Node | None) -> int:
        count = 0
        while node is not None:
            assert node.me is node
            node, count = node.next, count + 1
        return count

    def body(size: int) -> None:
        chain = Node(size)
        cells = [[size] for _ in range(size)]
        while True:
            [to_parent(depth(chain)) for _ in range(1)]
            assert depth(chain) == size + 1
            assert cells == [[size]] * size

    crowd = [greenlet(body) for _ in range(10)]
    for size, it in enumerate(crowd):
        assert it.switch(size) == size + 1
    for _ in range(3):
        gc.collect()
        for size, it in enumerate(crowd):
            assert it.switch() == size + 1


@pytest.mark.usefixtures("_collects_all_the_time")
def test_collecting_at_every_allocation_disturbs_nothing() -> None:
    def body(left: int) -> object:
        value: list[object] = [left, [to_parent(left)]]
        if left:
            value.append(greenlet(body).switch(left - 1))
        return value

    crowd = [greenlet(body) for _ in range(5)]
    for number, it in enumerate(crowd):
        assert it.switch(number) == number
    results = []
    while crowd:
        it = crowd.pop(0)
        value = it.switch("x")
        if it.dead:
            results.append(value)
        else:
            crowd.append(it)
    assert len(results) == 5


def test_the_collector_can_be_asked_about_parked_greenlets() -> None:
    crowd = [parked(lambda: below(5, to_parent)) for _ in range(50)]
    for it in crowd:
        gc.get_referents(it)
        gc.is_tracked(it)
    gc.get_referrers(crowd[0])
    assert gc.get_objects()
    gc.freeze()
    gc.collect()
    gc.unfreeze()
    gc.collect()
    assert [it.switch(1) for it in crowd] == [1] * 50


def test_a_collector_callback_may_switch() -> None:
    seen: list[str] = []
    helper = parked(lambda: [to_parent(seen.append("helper")) for _ in range(100)])

    def callback(phase: str, information: dict[str, int]) -> None:
        helper.switch()

    gc.callbacks.append(callback)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(callback)
    assert len(seen) >= 3


def test_a_finalizer_that_the_collector_calls_may_switch() -> None:
    seen: list[str] = []
    helper = parked(lambda: [to_parent(seen.append("helper")) for _ in range(100)])

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            helper.switch()
            seen.append("finalizer")

    Cycle()
    Cycle()
    gc.collect()
    assert seen.count("finalizer") == 2
    assert seen.count("helper") == 3


def test_a_greenlet_parked_inside_a_finalizer_can_finish_it() -> None:
    seen: list[str] = []

    class Ends:
        def __del__(self) -> None:
            seen.append("begun")
            to_parent()
            seen.append("done")

    def body() -> None:
        Ends()
        seen.append("after")

    it = parked(body)
    gc.collect()
    assert seen == ["begun"]
    it.switch()
    assert seen == ["begun", "done", "after"]


def test_deallocation_of_deeply_nested_containers_may_switch_in_the_middle() -> None:
    main = getcurrent()
    helpers: list[greenlet] = []
    gone: list[int] = []

    class Ends:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            if self.number == 500 and not helpers:
                helpers.append(greenlet(nest))
                helpers[0].switch()
            elif self.number == 40 and getcurrent() is not main:
                to_parent()
            gone.append(self.number)

    def nest() -> None:
        nested: tuple[object, ...] = ()
        for number in range(1000, 0, -1):
            nested = (Ends(number), nested)
        del nested

    for _ in range(5):
        gone.clear()
        nest()
        assert len(helpers) == 1
        helpers.pop().switch()
        assert sorted(gone) == sorted([*range(1, 1001)] * 2)


@pytest.mark.beyond_greenlet
def test_one_that_refuses_to_die_when_dropped_is_counted_once() -> None:
    before = switching.counts()["leaked"]
    allowed: list[bool] = []

    def body() -> None:
        while not allowed:
            with contextlib.suppress(GreenletExit):
                to_parent()

    it = parked(body)
    reference = weakref.ref(it)
    del it
    gc.collect()
    again = reference()
    assert again is not None and not again.dead
    assert switching.counts()["leaked"] == before + 1
    allowed.append(True)
    again.switch()
    assert again.dead
