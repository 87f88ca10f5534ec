"""`settrace`: a function of the thread that hears of every switch, with its origin and its target.

It is called in the target, with "switch" when a value arrives there and "throw" when an exception does. If it raises,
it is removed and its exception arrives in the target instead.
"""

from collections.abc import Callable
from typing import Any

import pytest

from gossamer.switching import getcurrent, gettrace, greenlet, settrace
from tests.support.greenlets import ended, parked, to_parent
from tests.support.runtime import in_thread

Event = tuple[str, greenlet, greenlet]


class Fault(Exception):
    """An exception that nothing else raises."""


@pytest.fixture
def events() -> list[Event]:
    """The events of the test's thread, collected by a tracer that also checks where it is called."""
    heard: list[Event] = []

    def tracer(event: str, pair: tuple[greenlet, greenlet]) -> None:
        origin, target = pair
        assert getcurrent() is target
        heard.append((event, origin, target))

    settrace(tracer)
    return heard


def test_settrace_returns_the_former_function_and_gettrace_the_present_one() -> None:
    def one(*_: Any) -> None: ...
    def two(*_: Any) -> None: ...

    assert gettrace() is None
    assert settrace(one) is None
    assert gettrace() is one
    assert settrace(two) is one
    assert settrace(two) is two
    assert settrace(None) is two
    assert gettrace() is None


def test_a_start_and_an_end_are_switches(events: list[Event]) -> None:
    main, it = getcurrent(), greenlet(int)
    it.switch()
    assert events == [("switch", main, it), ("switch", it, main)]


def test_parking_and_resuming_are_switches(events: list[Event]) -> None:
    main, it = getcurrent(), greenlet(to_parent)
    it.switch()
    it.switch()
    assert events == [("switch", main, it), ("switch", it, main)] * 2


def test_an_exception_that_leaves_is_a_throw(events: list[Event]) -> None:
    def body() -> None:
        raise Fault

    main, it = getcurrent(), greenlet(body)
    with pytest.raises(Fault):
        it.switch()
    assert events == [("switch", main, it), ("throw", it, main)]


@pytest.mark.parametrize("start", [True, False], ids=["parked", "unstarted"])
def test_an_exception_thrown_is_a_throw_each_way(events: list[Event], start: bool) -> None:
    main, it = getcurrent(), greenlet(to_parent)
    if start:
        it.switch()
    events.clear()
    with pytest.raises(Fault):
        it.throw(Fault)
    assert events == [("throw", main, it), ("throw", it, main)]


def test_a_greenletexit_that_leaves_is_a_switch(events: list[Event]) -> None:
    main, it = getcurrent(), parked()
    events.clear()
    it.throw()
    assert events == [("throw", main, it), ("switch", it, main)]


def test_a_switch_to_oneself_is_heard(events: list[Event]) -> None:
    main = getcurrent()
    main.switch()
    with pytest.raises(Fault):
        main.throw(Fault)
    assert events == [("switch", main, main), ("throw", main, main)]


def test_the_target_is_the_greenlet_that_goes_on(events: list[Event]) -> None:
    main, it = getcurrent(), ended()
    events.clear()
    it.switch()
    with pytest.raises(Fault):
        it.throw(Fault)
    it.throw()
    assert events == [("switch", main, main), ("throw", main, main), ("switch", main, main)]


def test_a_result_is_heard_on_its_way_to_a_parked_and_to_an_unstarted_parent(events: list[Event]) -> None:
    main = getcurrent()
    for above in (parked(lambda: to_parent() and to_parent()), greenlet(lambda value: to_parent())):
        it = greenlet(lambda: 42, parent=above)
        events.clear()
        it.switch()
        assert events == [("switch", main, it), ("switch", it, above), ("switch", above, main)]


def test_the_end_of_an_unreachable_greenlet_is_heard(events: list[Event]) -> None:
    it = parked()
    events.clear()
    del it
    assert [event for event, _, _ in events] == ["throw", "switch"]


def test_an_exception_of_the_function_arrives_in_the_target_and_removes_it() -> None:
    def tracer(event: str, pair: object) -> None:
        raise Fault(event)

    def body() -> str:
        try:
            to_parent()
        except Fault as fault:
            return f"arrived with {fault}"
        return "nothing arrived"

    it = parked(body)
    settrace(tracer)
    assert it.switch() == "arrived with switch"
    assert gettrace() is None


def test_an_exception_of_the_function_at_a_start_ends_the_target_unrun() -> None:
    def tracer(event: str, pair: object) -> None:
        raise Fault(event)

    ran: list[int] = []
    it = greenlet(lambda: ran.append(1))
    settrace(tracer)
    with pytest.raises(Fault, match="switch"):
        it.switch()
    assert it.dead and not ran
    assert gettrace() is None


def test_an_exception_of_the_function_replaces_the_one_on_its_way() -> None:
    def tracer(event: str, pair: object) -> None:
        if event == "throw":
            raise Fault("from the tracer")

    it = parked()
    settrace(tracer)
    with pytest.raises(Fault, match="from the tracer"):
        it.throw(KeyError)
    assert it.dead


def test_the_function_belongs_to_its_thread(events: list[Event]) -> None:
    seen: list[object] = []

    def work() -> None:
        seen.append(gettrace())
        settrace(lambda *_: None)
        ended()

    mine = gettrace()
    in_thread(work)
    assert seen == [None]
    assert gettrace() is mine
    assert not events


def test_the_function_may_create_and_run_greenlets() -> None:
    heard: list[str] = []

    def tracer(event: str, pair: tuple[greenlet, greenlet]) -> None:
        heard.append(event)
        if len(heard) == 1:
            assert greenlet(lambda: "nested").switch() == "nested"

    settrace(tracer)
    assert greenlet(lambda: "outer").switch() == "outer"
    settrace(None)
    assert heard == ["switch"] * 4


def test_a_function_that_switches_away_loses_no_value() -> None:
    received: list[object] = []
    order: list[object] = []

    def tracer(event: str, pair: tuple[greenlet, greenlet]) -> None:
        if not order:
            order.append("switching away")
            order.append(helper.switch("to the helper"))

    def body(value: object) -> str:
        received.append(value)
        received.append(to_parent("parked"))
        return "finished"

    helper = greenlet(lambda value: value)
    it = greenlet(body)
    settrace(tracer)
    # The helper ends while `it` is inside the tracer: its result comes to the main greenlet, whose switch returns.
    assert it.switch("first") == "to the helper"
    assert it.switch("for the tracer") == "parked"
    assert it.switch("second") == "finished"
    settrace(None)
    assert order == ["switching away", "for the tracer"]
    assert received == ["first", "second"]


@pytest.mark.parametrize("made", [lambda: 5, lambda: "text"], ids=["number", "string"])
def test_a_function_that_is_not_callable_fails_at_the_first_switch(made: Callable[[], Any]) -> None:
    settrace(made())
    with pytest.raises(TypeError, match="not callable"):
        getcurrent().switch()
    assert gettrace() is None


def test_removing_the_function_inside_a_greenlet_ends_the_events(events: list[Event]) -> None:
    main = getcurrent()
    it = greenlet(lambda: settrace(None) and None)
    it.switch()
    assert events == [("switch", main, it)]
