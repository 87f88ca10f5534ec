"""Frames: every greenlet is the root of its own chain, and the frames of a parked one can be read at leisure.

A greenlet's first frame has no `f_back`. Frames that somebody keeps stay right while their greenlet is parked,
switched, copied out of its stack, and after it ended.
"""

import faulthandler
import gc
import inspect
import logging
import sys
import tempfile
import threading
import traceback
import warnings
from functools import partial
from types import FrameType

import pytest

from gossamer.switching import getcurrent, greenlet
from tests.support.greenlets import below, below_c, ended, parked, to_parent
from tests.support.runtime import in_thread


def names(frame: FrameType | None) -> list[str]:
    """The function names from `frame` outwards."""
    found = []
    while frame is not None:
        found.append(frame.f_code.co_name)
        frame = frame.f_back
    return found


def inner() -> object:
    return to_parent(sys._getframe())


def outer() -> object:
    return inner()


def clobber() -> None:
    """Run other greenlets over whatever stack a parked one has left."""
    for _ in range(3):
        parked(lambda: below_c(5, to_parent))


def test_the_first_frame_of_a_greenlet_has_nothing_behind_it() -> None:
    assert greenlet(lambda: sys._getframe().f_back).switch() is None
    assert greenlet(lambda: below(3, lambda: names(sys._getframe()))).switch() == [
        "<lambda>",
        *["below"] * 4,
        "<lambda>",
    ]


def test_asking_for_a_frame_beyond_the_first_is_refused() -> None:
    assert greenlet(lambda: sys._getframe(0).f_code.co_name).switch() == "<lambda>"
    with pytest.raises(ValueError, match="deep enough"):
        greenlet(lambda: sys._getframe(1)).switch()


def test_the_frames_of_a_parked_greenlet_are_those_it_parked_in() -> None:
    it = greenlet(outer)
    kept = it.switch()
    clobber()
    assert it.gr_frame is not None
    assert names(it.gr_frame) == ["to_parent", "inner", "outer"]
    assert it.gr_frame.f_back is kept
    assert names(kept) == ["inner", "outer"]


def test_the_frames_between_nested_c_calls_are_all_there() -> None:
    it = parked(lambda: below_c(5, to_parent))
    clobber()
    assert names(it.gr_frame) == ["to_parent", *["key", "below_c"] * 5, "<lambda>"]
    it.switch()
    assert it.dead


def test_the_locals_of_a_parked_frame_can_be_read() -> None:
    def body(word: str) -> None:
        number = 42
        to_parent(number)

    it = greenlet(body)
    it.switch("word")
    clobber()
    assert it.gr_frame is not None and it.gr_frame.f_back is not None
    assert it.gr_frame.f_back.f_locals == {"word": "word", "number": 42}


def test_the_frame_of_a_greenlet_moves_on_with_it() -> None:
    def body() -> None:
        to_parent()
        to_parent()

    it = parked(body)
    assert it.gr_frame is not None and it.gr_frame.f_back is not None
    frame, line = it.gr_frame.f_back, it.gr_frame.f_back.f_lineno
    it.switch()
    assert it.gr_frame.f_back is frame
    assert frame.f_lineno == line + 1


def test_a_kept_frame_is_chained_to_the_running_ones_while_its_greenlet_runs() -> None:
    kept: list[FrameType] = []

    def body() -> list[str]:
        kept.append(sys._getframe())
        to_parent()
        return below(2, lambda: names(sys._getframe()))  # type: ignore[no-any-return]

    it = parked(body)
    assert names(kept[0]) == ["body"]
    clobber()
    assert it.switch() == ["<lambda>", "below", "below", "below", "body"]


def test_a_kept_frame_outlives_its_greenlet() -> None:
    def body(value: str) -> None:
        to_parent(sys._getframe())

    it = greenlet(body)
    kept = it.switch("kept")
    it.switch()
    del it
    clobber()
    gc.collect()
    assert names(kept) == ["body"]
    assert kept.f_locals == {"value": "kept"}


def test_frames_kept_of_a_greenlet_that_was_thrown_away_outlive_it() -> None:
    it = greenlet(lambda: below_c(3, outer))
    kept = it.switch()
    del it
    gc.collect()
    clobber()
    assert names(kept)[0] == "inner"
    kept.clear()


def test_a_frame_of_a_parked_greenlet_cannot_be_cleared() -> None:
    it = parked(outer)
    assert it.gr_frame is not None
    with pytest.raises(RuntimeError, match="executing|suspended"):
        it.gr_frame.clear()
    it.switch()
    assert it.dead


def test_the_starter_is_not_behind_the_frames_of_a_started_greenlet() -> None:
    def body() -> list[str]:
        to_parent()
        return names(sys._getframe())

    it = parked(body)
    assert below(5, it.switch) == ["body"]


def test_the_main_greenlet_keeps_its_chain_while_others_run() -> None:
    def through() -> list[str]:
        mine = sys._getframe()
        it = greenlet(lambda: names(mine))
        return it.switch()  # type: ignore[no-any-return]

    expected = names(sys._getframe())
    assert through() == ["through", *expected]


def test_the_frame_of_the_main_greenlet_can_be_read_from_a_child() -> None:
    main = getcurrent()

    def test_body() -> list[str]:
        return names(main.gr_frame)

    assert below(3, greenlet(test_body).switch)[:4] == ["below"] * 4


def test_an_exception_from_a_greenlet_shows_the_switch_and_then_the_greenlet() -> None:
    def fails() -> None:
        raise LookupError

    def starts() -> None:
        greenlet(partial(below, 2, fails)).switch()

    with pytest.raises(LookupError) as caught:
        starts()
    shown = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert shown[1:] == ["starts", "below", "below", "below", "fails"]


def test_an_exception_caught_in_a_greenlet_shows_only_that_greenlet() -> None:
    def body() -> list[str]:
        try:
            below(2, lambda: int("no number"))
        except ValueError as fault:
            to_parent()
            return [entry.name for entry in traceback.extract_tb(fault.__traceback__)]
        return []

    assert parked(body).switch() == ["body", "below", "below", "below", "<lambda>"]


def test_a_traceback_that_went_through_several_parents_reads_from_the_outside_in() -> None:
    def fails() -> None:
        raise LookupError

    def middle() -> None:
        greenlet(fails).switch()

    def top() -> None:
        greenlet(middle).switch()

    with pytest.raises(LookupError) as caught:
        greenlet(top).switch()
    assert [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)][1:] == ["top", "middle", "fails"]


def test_the_printed_stack_of_a_greenlet_is_its_own() -> None:
    shown = greenlet(lambda: below(2, traceback.extract_stack)).switch()
    assert [entry.name for entry in shown] == ["<lambda>", "below", "below", "below"]
    assert len(greenlet(lambda: below(2, inspect.stack)).switch()) == 4


def test_a_warning_and_a_log_record_that_look_beyond_the_first_frame_are_fine() -> None:
    def body() -> None:
        warnings.warn("from a greenlet", stacklevel=10)
        logging.getLogger("switch tests").warning("from a greenlet", stacklevel=10, stack_info=True)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        greenlet(body).switch()
    assert [str(warning.message) for warning in caught] == ["from a greenlet"]


def test_the_current_frame_of_the_thread_is_that_of_the_running_greenlet() -> None:
    def body() -> list[str]:
        return names(sys._current_frames()[threading.get_ident()])

    assert greenlet(body).switch() == ["body"]


def test_another_thread_sees_the_frames_of_the_running_greenlet() -> None:
    def body() -> list[str]:
        ident = threading.get_ident()
        return in_thread(lambda: names(sys._current_frames()[ident]))

    assert greenlet(body).switch()[-1] == "body"


def test_faulthandler_shows_the_running_greenlet_and_ends_there() -> None:
    with tempfile.TemporaryFile("w+") as file:
        greenlet(lambda: below_c(3, lambda: faulthandler.dump_traceback(file, all_threads=False))).switch()
        file.seek(0)
        shown = file.read()
    assert shown.count("in below_c") == 3
    assert "pytest" not in shown


def test_faulthandler_shows_the_main_greenlet_whole_after_switches() -> None:
    parked(lambda: below_c(3, to_parent)).switch()
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        shown = file.read()
    assert "test_faulthandler_shows_the_main_greenlet_whole" in shown
    assert "pytest" in shown


def test_what_reads_the_calling_frame_works_in_a_greenlet() -> None:
    class Base:
        def word(self) -> str:
            return "base"

    class Derived(Base):
        def word(self) -> str:
            to_parent()
            return super().word()

    def body() -> object:
        value = 1
        to_parent()
        return Derived().word(), eval("value + 1"), sorted(locals()), dir()

    it = parked(body)
    it.switch()
    assert it.switch() == ("base", 2, ["Derived", "value"], ["Derived", "value"])


def test_a_greenlet_without_frames_reports_none() -> None:
    assert greenlet(outer).gr_frame is None
    assert ended().gr_frame is None
    assert getcurrent().gr_frame is None
    assert greenlet(lambda: getcurrent().gr_frame).switch() is None


def test_a_greenlet_parked_in_c_code_alone_has_no_frame() -> None:
    it = greenlet(getcurrent().switch)
    it.switch()
    assert it.gr_frame is None
    assert not it.dead
    it.switch()
    assert it.dead


def test_frames_of_hundreds_of_parked_greenlets_all_read_right() -> None:
    def body(number: int) -> object:
        return below(number % 7, lambda: to_parent(number))

    crowd = [greenlet(partial(body, number)) for number in range(300)]
    for it in crowd:
        it.switch()
    for number, it in enumerate(crowd):
        assert names(it.gr_frame) == ["to_parent", "<lambda>", *["below"] * (number % 7 + 1), "body"]
    gc.collect()
    for number, it in enumerate(crowd):
        assert it.switch(number) == number
