"""The end of a thread: what it does with greenlets that are still parked, held from elsewhere or not.

greenlet leaves those that are held from elsewhere as they are.
"""

import functools
import gc
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from gossamer import switching
from gossamer.switching import GreenletExit, error, getcurrent, greenlet
from tests.support.children import output_of
from tests.support.greenlets import below_c, parked, to_parent
from tests.support.runtime import in_thread
from tests.support.scale import scaled

pytestmark = [pytest.mark.usefixtures("settled"), pytest.mark.beyond_greenlet]


def test_a_greenlet_held_elsewhere_gets_greenletexit_in_its_thread() -> None:
    seen: list[object] = []

    def body() -> None:
        try:
            to_parent()
        except BaseException as fault:
            seen.append((type(fault), threading.get_ident()))
            raise

    it, ident = in_thread(lambda: (parked(body), threading.get_ident()))
    assert seen == [(GreenletExit, ident)]
    assert it.dead and not it
    assert it.gr_frame is None
    with pytest.raises(error, match="different thread.*exited"):
        it.switch()


def test_greenlets_deep_in_c_calls_and_generators_unwind_whole() -> None:
    seen: list[int] = []

    def produce(number: int) -> Iterator[None]:
        try:
            below_c(10, to_parent)
            yield
        finally:
            seen.append(number)

    kept = in_thread(lambda: [parked(functools.partial(list, produce(number))) for number in range(20)])
    assert sorted(seen) == list(range(20))
    assert all(it.dead for it in kept)


def test_many_held_elsewhere_all_end() -> None:
    ends = [0]

    def body() -> None:
        try:
            to_parent()
        finally:
            ends[0] += 1

    before = switching.counts()
    kept = in_thread(lambda: [parked(body) for _ in range(scaled(1000))])
    assert ends == [scaled(1000)]
    assert all(it.dead for it in kept)
    after = switching.counts()
    assert (after["alive"], after["leaked"]) == (before["alive"], before["leaked"])


def test_an_ending_greenlet_may_switch_to_the_others_of_its_thread() -> None:
    seen: list[str] = []

    def first() -> None:
        try:
            to_parent()
        finally:
            seen.append("first")
            greenlet(lambda: seen.append("a new one")).switch()

    kept = in_thread(lambda: [parked(first) for _ in range(3)])
    assert sorted(seen) == ["a new one"] * 3 + ["first"] * 3
    assert all(it.dead for it in kept)


def test_a_greenlet_started_while_the_others_end_is_ended_too() -> None:
    seen: list[str] = []
    kept: list[greenlet] = []

    def late() -> None:
        try:
            to_parent()
        finally:
            seen.append("late")

    def body() -> None:
        try:
            to_parent()
        finally:
            seen.append("first")
            kept.append(parked(late))

    kept.append(in_thread(lambda: parked(body)))
    assert seen == ["first", "late"]
    assert all(it.dead for it in kept)


def test_an_error_of_an_ending_greenlet_is_reported_and_the_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: reported.append(event.exc_type))

    def body() -> None:
        try:
            to_parent()
        finally:
            raise LookupError

    kept = in_thread(lambda: [parked(body) for _ in range(3)])
    assert reported == [LookupError] * 3
    assert all(it.dead for it in kept)


def test_one_that_refuses_to_die_is_counted_and_nobody_hangs() -> None:
    before = switching.counts()["leaked"]

    def stubborn() -> None:
        while True:
            try:
                to_parent()
            except GreenletExit:
                pass

    it = in_thread(lambda: parked(stubborn))
    assert switching.counts()["leaked"] == before + 1
    with pytest.raises(error, match="different thread"):
        it.switch()
    del it
    gc.collect()
    assert switching.counts()["leaked"] == before + 1


def test_kept_frames_of_one_that_refused_to_die_lead_no_further_than_its_first() -> None:
    out = output_of(
        """
import sys, threading
from gossamer.switching import GreenletExit, getcurrent, greenlet
kept = []

def below():
    kept.append(sys._getframe())
    getcurrent().parent.switch()

def stubborn():
    while True:
        try:
            below()
        except GreenletExit:
            pass

for _ in range(20):
    threads = [threading.Thread(target=lambda: greenlet(stubborn).switch()) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
names = set()
for frame in kept:
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
print(sorted(names))
"""
    )
    assert out == "['below', 'stubborn']\n"


def test_an_ending_greenlet_is_the_current_one_and_has_its_context() -> None:
    seen: list[bool] = []
    variable: ContextVar[int] = ContextVar("variable")

    def body() -> None:
        me = getcurrent()
        variable.set(42)
        try:
            to_parent()
        finally:
            seen.append(getcurrent() is me and variable.get() == 42)

    assert in_thread(lambda: parked(body)).dead
    assert seen == [True]


def test_the_counts_are_as_before() -> None:
    in_thread(parked)
    gc.collect()
    before = switching.counts()
    for _ in range(20):
        in_thread(lambda: [parked() for _ in range(10)])
    gc.collect()
    after = switching.counts()
    assert (after["alive"], after["parked"], after["leaked"]) == (
        before["alive"],
        before["parked"],
        before["leaked"],
    )


def test_stacks_are_shared_by_all_threads() -> None:
    def work() -> None:
        crowd = [parked() for _ in range(20)]
        assert crowd

    in_thread(work)
    before = switching.counts()["slots"]
    for _ in range(20):
        in_thread(work)
    assert switching.counts()["slots"] == before
