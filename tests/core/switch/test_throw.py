"""Throwing: an exception raised in another greenlet, from no argument to three.

A throw is a switch that raises where the target stands. A target that was never started dies without running,
one that is dead hands the exception to its parent, and GreenletExit turns into a result in both.
"""

import sys
import traceback
from types import TracebackType
from typing import Any

import pytest

from gossamer.switching import GreenletExit, getcurrent, greenlet
from tests.support.greenlets import below, ended, parked, to_parent


class Fault(Exception):
    """An exception that nothing else raises."""


def catching(seen: list[BaseException]) -> greenlet:
    """A parked greenlet that keeps what is thrown into it and goes on."""

    def body() -> str:
        try:
            to_parent()
        except BaseException as thrown:
            seen.append(thrown)
            to_parent("caught")
        return "finished"

    return parked(body)


def a_traceback() -> TracebackType:
    """A traceback whose innermost function is `a_traceback`."""
    try:
        raise Fault
    except Fault:
        found = sys.exc_info()[2]
        assert found is not None
        return found


def test_no_argument_throws_greenletexit() -> None:
    seen: list[BaseException] = []
    assert catching(seen).throw() == "caught"
    assert [type(thrown) for thrown in seen] == [GreenletExit]
    assert seen[0].args == ()


def test_a_class_is_instantiated_in_the_target() -> None:
    seen: list[BaseException] = []
    assert catching(seen).throw(Fault) == "caught"
    assert type(seen[0]) is Fault and seen[0].args == ()


def test_an_instance_is_raised_itself() -> None:
    fault = Fault("this one")
    seen: list[BaseException] = []
    catching(seen).throw(fault)
    assert seen == [fault]


@pytest.mark.parametrize(
    ("value", "arguments"),
    [("why", ("why",)), (("a", "b"), ("a", "b")), (None, ()), ((), ()), (5, (5,))],
    ids=["string", "tuple", "None", "empty tuple", "number"],
)
def test_a_class_and_a_value_make_the_instance(value: object, arguments: tuple[object, ...]) -> None:
    seen: list[BaseException] = []
    catching(seen).throw(Fault, value)
    assert type(seen[0]) is Fault and seen[0].args == arguments


def test_a_class_and_its_instance_throw_the_instance() -> None:
    fault = Fault("ready made")
    seen: list[BaseException] = []
    catching(seen).throw(Fault, fault)
    assert seen == [fault]


def test_an_instance_may_be_followed_by_none() -> None:
    fault = Fault("ready made")
    seen: list[BaseException] = []
    catching(seen).throw(fault, None, None)
    assert seen == [fault]


@pytest.mark.parametrize("kind", [Fault, Fault()], ids=["class", "instance"])
def test_a_third_argument_becomes_the_end_of_the_traceback(kind: Any) -> None:
    seen: list[BaseException] = []
    catching(seen).throw(kind, None, a_traceback())
    names = [entry.name for entry in traceback.extract_tb(seen[0].__traceback__)]
    assert names == ["body", "to_parent", "a_traceback"]


@pytest.mark.parametrize("target", ["running", "parked", "unstarted"])
def test_what_cannot_be_raised_is_refused_before_anything_is_thrown(target: str) -> None:
    it: Any = {"running": getcurrent(), "parked": parked(), "unstarted": greenlet(int)}[target]
    with pytest.raises(TypeError, match="exceptions must be classes, or instances, not str"):
        it.throw("abc")
    with pytest.raises(TypeError, match="exceptions must"):
        it.throw(int)
    with pytest.raises(TypeError, match="instance exception may not have a separate value"):
        it.throw(Fault(), Fault())
    with pytest.raises(TypeError, match="third argument must be a traceback"):
        it.throw(Fault, Fault(), "not a traceback")
    with pytest.raises(TypeError, match="at most 3 arguments"):
        it.throw(Fault, None, None, None)
    with pytest.raises(TypeError, match="keyword"):
        it.throw(typ=Fault)
    assert not it.dead


def test_a_class_whose_constructor_fails_throws_that_failure() -> None:
    seen: list[BaseException] = []
    it = catching(seen)
    try:
        it.throw(UnicodeDecodeError)
    except TypeError as raised_here:
        seen.append(raised_here)
    assert [type(thrown) for thrown in seen] == [TypeError]


def test_throwing_into_the_running_greenlet_raises_at_once() -> None:
    with pytest.raises(Fault, match="here"):
        getcurrent().throw(Fault("here"))

    def body() -> str:
        with pytest.raises(Fault):
            getcurrent().throw(Fault)
        with pytest.raises(GreenletExit):
            getcurrent().throw()
        return "still here"

    assert greenlet(body).switch() == "still here"


def test_throwing_greenletexit_into_the_main_greenlet_raises_it() -> None:
    with pytest.raises(GreenletExit):
        getcurrent().throw()


def test_a_child_can_throw_into_its_parent() -> None:
    main = getcurrent()
    it = greenlet(lambda: main.throw(Fault("from below")))
    with pytest.raises(Fault, match="from below"):
        it.switch()
    assert not it.dead
    it.throw()


def test_an_exception_not_caught_ends_the_target_and_comes_back() -> None:
    fault = Fault()
    it = parked()
    with pytest.raises(Fault) as caught:
        it.throw(fault)
    assert caught.value is fault
    assert it.dead


def test_a_target_that_does_not_catch_greenletexit_returns_it() -> None:
    leave = GreenletExit("bye")
    it = parked()
    assert it.throw(leave) is leave
    assert it.dead


def test_a_target_may_swallow_greenletexit_and_go_on() -> None:
    seen: list[BaseException] = []
    it = catching(seen)
    assert it.throw() == "caught"
    assert not it.dead
    assert it.switch() == "finished"


def test_finally_blocks_run_when_something_is_thrown() -> None:
    seen: list[str] = []

    def body() -> None:
        try:
            try:
                to_parent()
            finally:
                seen.append("inner")
        finally:
            seen.append("outer")

    it = parked(lambda: below(5, body))
    it.throw()
    assert seen == ["inner", "outer"]


def test_an_unstarted_target_dies_without_running() -> None:
    ran: list[int] = []
    it = greenlet(lambda: ran.append(1))
    with pytest.raises(Fault):
        it.throw(Fault)
    assert it.dead and not ran
    assert it.switch("past it") == "past it"


def test_greenletexit_thrown_into_an_unstarted_target_is_returned() -> None:
    ran: list[int] = []
    it = greenlet(lambda: ran.append(1))
    assert isinstance(it.throw(), GreenletExit)
    assert it.dead and not ran
    assert greenlet(int).throw(GreenletExit, "word").args == ("word",)


def test_an_unstarted_target_without_a_function_cannot_be_thrown_into() -> None:
    it = greenlet()
    with pytest.raises(AttributeError, match="run"):
        it.throw(Fault)
    assert not it.dead


def test_a_dead_target_hands_the_exception_to_its_parent() -> None:
    it = ended()
    with pytest.raises(Fault):
        it.throw(Fault)

    seen: list[BaseException] = []
    it.parent = catching(seen)
    assert it.throw(Fault) == "caught"
    assert [type(thrown) for thrown in seen] == [Fault]


def test_greenletexit_thrown_into_a_dead_target_is_returned() -> None:
    it = ended()
    assert isinstance(it.throw(), GreenletExit)
    leave = GreenletExit("again")
    assert it.throw(leave) is leave


def test_greenletexit_thrown_into_a_dead_target_reaches_its_parked_parent_as_a_value() -> None:
    seen: list[object] = []
    waiting = parked(lambda: seen.append(to_parent()))
    it = ended()
    it.parent = waiting
    leave = GreenletExit()
    it.throw(leave)
    assert seen == [leave]


@pytest.mark.parametrize("start", [False, True], ids=["unstarted", "parked"])
def test_an_exception_goes_to_the_parent_of_the_target_not_to_the_thrower(start: bool) -> None:
    seen: list[BaseException] = []
    above = catching(seen)
    main = getcurrent()
    it = greenlet(main.switch, parent=above)
    if start:
        it.switch()
    assert it.throw(Fault("up")) == "caught"
    assert [type(thrown) for thrown in seen] == [Fault]
    assert it.dead and not above.dead


def test_an_exception_passes_through_parents_that_never_started() -> None:
    ran: list[int] = []
    above = greenlet(lambda: ran.append(1))
    it = greenlet(int, parent=above)
    with pytest.raises(Fault):
        it.throw(Fault)
    assert it.dead and above.dead and not ran


def test_an_exception_passes_through_every_parent_that_does_not_catch_it() -> None:
    order: list[int] = []
    main = getcurrent()

    def body(place: int) -> None:
        try:
            main.switch()
        finally:
            order.append(place)

    chain: list[greenlet] = []
    for place in range(10):
        it = greenlet(body, parent=chain[-1] if chain else main)
        it.switch(place)
        chain.append(it)
    with pytest.raises(Fault):
        chain[-1].throw(Fault)
    assert order == list(reversed(range(10)))
    assert all(it.dead for it in chain)


def test_the_cause_and_the_context_of_a_thrown_exception_are_kept() -> None:
    fault, cause = Fault(), KeyError("cause")
    fault.__cause__ = cause
    seen: list[BaseException] = []
    catching(seen).throw(fault)
    assert seen[0].__cause__ is cause


def test_what_the_thrower_is_handling_does_not_become_the_context() -> None:
    seen: list[BaseException] = []
    it = catching(seen)
    try:
        raise KeyError("handled by the thrower")
    except KeyError:
        it.throw(Fault)
    assert seen[0].__context__ is None


def test_a_throw_with_thousands_of_frames_to_unwind_runs_every_handler() -> None:
    unwound: list[int] = []

    def down(left: int) -> None:
        try:
            if left:
                down(left - 1)
            else:
                to_parent()
        finally:
            unwound.append(left)

    it = parked(lambda: down(400))
    with pytest.raises(Fault):
        it.throw(Fault)
    assert unwound == list(range(401))


def test_throw_can_be_called_through_the_type() -> None:
    with pytest.raises(Fault):
        greenlet.throw(parked(), Fault)
    with pytest.raises(TypeError):
        greenlet.throw(object(), Fault)  # type: ignore[call-overload]


def test_an_exception_survives_a_lookup_of_the_function_that_handles_another() -> None:
    class Handles(greenlet):
        def __getattribute__(self, name: str) -> Any:
            try:
                raise KeyError(name)
            except KeyError:
                return super().__getattribute__(name)

    with pytest.raises(Fault):
        Handles(int).throw(Fault())


def test_a_thrown_exception_shows_where_it_surfaced() -> None:
    def place_of_the_wait() -> None:
        to_parent()

    it = parked(place_of_the_wait)
    with pytest.raises(Fault) as caught:
        it.throw(Fault)
    names = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-2:] == ["place_of_the_wait", "to_parent"]
