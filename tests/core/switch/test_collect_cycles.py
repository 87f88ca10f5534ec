"""Cycles that go through the frames of parked greenlets, which greenlet cannot collect: whoever is in one is ended.

What else is collected, and how, is in test_collect.py.
"""

import contextlib
import contextvars
import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from gossamer import switching
from gossamer.switching import GreenletExit, getcurrent, greenlet
from tests.support.greenlets import Thing, below_c, parked, recording, to_parent, whole_end

pytestmark = [pytest.mark.usefixtures("settled"), pytest.mark.beyond_greenlet]


class TestCyclesThroughParkedFrames:
    """What greenlet leaks: a cycle that goes through the frames of a parked greenlet."""

    def test_a_local_variable_that_holds_the_greenlet_itself(self) -> None:
        seen: list[object] = []

        def body() -> None:
            me = getcurrent()
            recording(seen, me is getcurrent())()

        reference = weakref.ref(parked(body))
        gc.collect()
        assert reference() is None
        assert seen == whole_end(True)

    def test_the_self_of_a_run_method(self) -> None:
        seen: list[object] = []

        class Own(greenlet):
            def run(self) -> None:
                recording(seen)()

        it = Own()
        it.switch()
        reference = weakref.ref(it)
        del it
        gc.collect()
        assert reference() is None
        assert seen == whole_end()

    def test_a_closure(self) -> None:
        seen: list[object] = []

        def make() -> "weakref.ref[greenlet]":
            def body() -> None:
                assert it is getcurrent()
                recording(seen)()

            it = greenlet(body)
            it.switch()
            return weakref.ref(it)

        reference = make()
        gc.collect()
        assert reference() is None
        assert seen == whole_end()

    def test_frames_under_nested_c_calls(self) -> None:
        seen: list[object] = []

        def body() -> None:
            me = getcurrent()
            below_c(5, recording(seen))
            assert me

        reference = weakref.ref(parked(body))
        gc.collect()
        assert reference() is None
        assert seen == whole_end()

    def test_a_generator_suspended_in_it(self) -> None:
        seen: list[object] = []

        def produce(me: greenlet) -> Iterator[int]:
            try:
                yield 1
            finally:
                seen.append("generator closed")

        def body() -> None:
            source = produce(getcurrent())
            next(source)
            recording(seen)()

        reference = weakref.ref(parked(body))
        gc.collect()
        assert reference() is None
        # A collection promises no order among what it finds.
        assert seen.count("generator closed") == 1
        assert [entry for entry in seen if entry != "generator closed"] == whole_end()

    def test_two_that_hold_each_other(self) -> None:
        seen: list[object] = []

        def body(other: list[greenlet], name: str) -> None:
            recording(seen, name)()

        def make() -> None:
            one, two = greenlet(body), greenlet(body)
            one.switch([two], "one")
            two.switch([one], "two")

        make()
        gc.collect()
        assert sorted(seen, key=str) == sorted([*whole_end("one"), *whole_end("two")], key=str)

    def test_a_ring_of_many(self) -> None:
        seen: list[object] = []

        def body(neighbour: greenlet, number: int) -> None:
            recording(seen, number)()

        def make() -> None:
            ring = [greenlet(body) for _ in range(50)]
            for number, it in enumerate(ring):
                it.switch(ring[number - 1], number)

        make()
        gc.collect()
        assert sorted(seen, key=str) == sorted((end for number in range(50) for end in whole_end(number)), key=str)

    def test_an_exception_and_its_traceback(self) -> None:
        seen: list[object] = []

        def body() -> None:
            try:
                raise LookupError
            except LookupError as fault:
                getcurrent().fault = fault  # type: ignore[attr-defined]
                recording(seen)()

        reference = weakref.ref(parked(body))
        gc.collect()
        assert reference() is None
        assert seen == whole_end()

    def test_a_context_variable(self) -> None:
        variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")
        seen: list[object] = []

        def body() -> None:
            variable.set(getcurrent())
            recording(seen)()

        reference = weakref.ref(parked(body))
        gc.collect()
        assert reference() is None
        assert seen == whole_end()

    def test_a_cycle_with_something_that_has_a_finalizer(self) -> None:
        seen: list[object] = []

        class Ends:
            def __init__(self, it: greenlet) -> None:
                self.it = it

            def __del__(self) -> None:
                seen.append("finalizer")

        def body() -> None:
            ends = Ends(getcurrent())
            recording(seen, ends is not None)()

        reference = weakref.ref(parked(body))
        gc.collect()
        gc.collect()
        assert reference() is None
        assert sorted(map(str, seen)) == sorted(map(str, [*whole_end(True), "finalizer"]))

    def test_weak_references_into_the_cycle_are_called_back(self) -> None:
        seen: list[object] = []

        def body() -> None:
            me = getcurrent()
            assert me
            to_parent()

        reference = weakref.ref(parked(body), lambda dead: seen.append(dead()))
        gc.collect()
        assert reference() is None and seen == [None]

    def test_an_ending_greenlet_sees_the_whole_cycle_intact(self) -> None:
        seen: list[object] = []

        def body() -> None:
            me, thing = getcurrent(), Thing()
            thing.held = [me, thing]
            try:
                to_parent()
            finally:
                seen.append((thing.held == [me, thing], me is getcurrent(), me.parent is main))

        main = getcurrent()
        parked(body)
        gc.collect()
        assert seen == [(True, True, True)]

    def test_a_member_of_the_cycle_may_resurrect_itself(self) -> None:
        kept: list[greenlet] = []

        def body() -> str:
            me = getcurrent()
            try:
                to_parent()
            except GreenletExit:
                kept.append(me)
                to_parent()
            return "finished later"

        parked(body)
        gc.collect()
        assert len(kept) == 1 and not kept[0].dead
        gc.collect()
        assert kept[0].switch() == "finished later"

    def test_a_reachable_member_keeps_the_whole_cycle(self) -> None:
        seen: list[object] = []

        def body(other: list[greenlet], name: str) -> None:
            recording(seen, name)()

        def make() -> greenlet:
            one, two = greenlet(body), greenlet(body)
            one.switch([two], "one")
            two.switch([one], "two")
            return two

        kept = make()
        gc.collect()
        assert seen == []
        del kept
        gc.collect()
        assert len(seen) == 4

    def test_a_greenlet_reachable_only_from_a_reachable_parked_one_stays(self) -> None:
        def holds() -> str:
            def refers_to_itself() -> str:
                me = getcurrent()
                to_parent()
                return f"inner result {me is getcurrent()}"

            inner = parked(refers_to_itself)
            to_parent()
            return str(inner.switch())

        it = parked(holds)
        gc.collect()
        gc.collect()
        assert it.switch() == "inner result True"

    def test_collecting_inside_a_greenlet_ends_the_others(self) -> None:
        seen: list[object] = []

        def cyclic() -> None:
            me = getcurrent()
            recording(seen, me.parent)()

        def collects() -> greenlet:
            parked(cyclic)
            gc.collect()
            return getcurrent()

        it = greenlet(collects)
        assert it.switch() is it
        assert seen == whole_end(it)

    def test_one_that_refuses_to_die_stays_alive_and_is_counted(self) -> None:
        before = switching.counts()["leaked"]
        allowed: list[bool] = []

        def body() -> None:
            me = getcurrent()
            while not allowed:
                with contextlib.suppress(GreenletExit):
                    to_parent()
            assert me

        known = set(switching.stacks())
        parked(body)
        gc.collect()
        gc.collect()
        assert switching.counts()["leaked"] == before + 1
        (it,) = set(switching.stacks()) - known
        assert not it.dead
        allowed.append(True)
        it.switch()
        assert it.dead


class TestCyclesThroughTheEvaluationStack:
    """Cycles through values that a parked frame has only on its evaluation stack, as operands of the call it is in."""

    def test_a_child_parked_by_its_own_parent(self) -> None:
        seen: list[object] = []
        main = getcurrent()

        def child() -> None:
            try:
                main.switch()
            finally:
                seen.append("child")

        def above() -> None:
            try:
                greenlet(child).switch()
            finally:
                seen.append("parent")

        greenlet(above).switch()
        gc.collect()
        assert sorted(map(str, seen)) == ["child", "parent"]

    def test_a_value_on_its_way_to_the_parent(self) -> None:
        seen: list[object] = []

        def body() -> None:
            try:
                getcurrent().parent.switch([getcurrent()])  # type: ignore[union-attr]
            finally:
                seen.append("finally")

        reference = weakref.ref(parked(body))
        gc.collect()
        assert reference() is None
        assert seen == ["finally"]

    @pytest.mark.skipif(
        sys.version_info < (3, 14),
        reason="before 3.14 a frame does not say how deep its evaluation stack is while it calls C code (here `next`)",
    )
    def test_a_generator_that_is_running_in_it(self) -> None:
        seen: list[object] = []

        def produce(me: greenlet) -> Iterator[None]:
            recording(seen)()
            yield

        def body() -> None:
            next(produce(getcurrent()))

        reference = weakref.ref(parked(body))
        gc.collect()
        assert reference() is None
        assert seen == whole_end()

    def test_the_sequence_of_a_loop(self) -> None:
        seen: list[object] = []

        def body() -> None:
            for _ in [getcurrent()]:
                recording(seen)()

        reference = weakref.ref(parked(body))
        gc.collect()
        assert reference() is None
        assert seen == whole_end()


def test_automatic_collection_ends_unreachable_greenlets_as_they_pile_up() -> None:
    ends = [0]

    def body() -> None:
        me = [getcurrent()]
        try:
            to_parent()
        finally:
            ends[0] += len(me)

    before = switching.counts()["alive"]
    for _ in range(5000):
        parked(body)
    assert switching.counts()["alive"] - before < 5000
    gc.collect()
    assert ends[0] == 5000
    assert switching.counts()["alive"] == before
