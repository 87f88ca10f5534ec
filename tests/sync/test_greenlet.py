"""gossamer.Greenlet: a green thread with gevent's interface: making, starting, results, names."""

import contextvars
import re
import time
import traceback
import weakref
from typing import Any

import pytest

import gossamer
from gossamer import Greenlet, Timeout, get_hub, getcurrent, sleep, spawn, spawn_later, spawn_raw
from gossamer._core import GreenThread, InvalidSwitchError
from tests.support.children import output_of
from tests.support.runtime import in_thread, reported, turns, until
from tests.support.scale import patience


def echo(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def fail(message: str = "on purpose") -> None:
    raise LookupError(message)


def test_spawn_returns_a_greenlet_that_runs_the_function_with_its_arguments() -> None:
    it = spawn(echo, 1, 2, key="value")
    assert type(it) is Greenlet
    assert it.get(timeout=patience(30)) == ((1, 2), {"key": "value"})
    assert it.value == ((1, 2), {"key": "value"})


def test_the_type_is_called_as_gevents_is() -> None:
    assert (Greenlet.__name__, Greenlet.__module__) == ("Greenlet", "gossamer.greenlet")
    assert issubclass(Greenlet, GreenThread)


def test_one_that_was_not_started_is_false_and_knows_what_it_would_run() -> None:
    it = Greenlet(echo, 1, key=2)
    assert (bool(it), it.started, it.ready(), it.dead, it.successful()) == (False, False, False, False, False)
    assert (it.value, it.exception, it.exc_info) == (None, None, None)
    assert (it.args, it.kwargs) == ((1,), {"key": 2})


def test_it_is_true_from_its_start_to_its_end() -> None:
    it = Greenlet(sleep, 0)
    it.start()
    assert (bool(it), it.started, it.dead) == (True, True, False)
    turns(1)
    assert (bool(it), it.started, it.dead) == (True, True, False)
    it.join()
    assert (bool(it), it.started, it.dead, it.ready(), it.successful()) == (False, False, True, True, True)
    assert (it.args, it.kwargs) == ((), {})


def test_the_function_may_be_given_by_name() -> None:
    it = Greenlet(run=echo, other=1)
    it.start()
    assert it.get() == ((), {"other": 1})


def test_a_subclass_may_have_a_method_in_place_of_a_function() -> None:
    class Doubles(Greenlet):
        def __init__(self, number: int) -> None:
            Greenlet.__init__(self)
            self.number = number

        def _run(self) -> int:
            return self.number * 2

    assert Doubles.spawn(4).get() == 8
    it = Doubles(5)
    it.start()
    assert it.get() == 10
    assert isinstance(Doubles.spawn_later(0.001, 6), Doubles)


def test_a_subclass_may_replace_start() -> None:
    started = []

    class Noted(Greenlet):
        def start(self) -> None:
            started.append(self)
            super().start()

    it = Noted.spawn(echo)
    it.join()
    assert started == [it]


def test_one_without_a_function_does_nothing() -> None:
    it = Greenlet()
    it.start()
    assert it.get() is None


@pytest.mark.parametrize("make", [lambda: Greenlet(3), lambda: spawn(3), lambda: spawn_raw(3)])  # type: ignore[arg-type]
def test_what_cannot_be_called_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match="callable"):
        make()


def test_starting_again_does_nothing() -> None:
    calls: list[int] = []
    it = Greenlet(calls.append, 1)
    it.start()
    it.start()
    it.start_later(0)
    it.join()
    it.start()
    sleep(0.001)
    assert calls == [1]


def test_spawn_later_starts_it_when_the_time_has_come() -> None:
    before = time.monotonic()
    it = spawn_later(0.01, lambda: time.monotonic() - before)
    assert it.started
    assert it
    assert it.get() >= 0.01
    far = spawn_later(60, echo, 3)
    turns()
    assert not far.ready()
    far.kill()
    assert spawn_later(0.001, echo, 3).get() == ((3,), {})


def test_one_that_is_to_start_later_is_started_already_and_starting_it_does_nothing() -> None:
    calls: list[int] = []
    it = Greenlet(calls.append, 1)
    it.start_later(0.005)
    it.start()
    it.start_later(0)
    turns()
    assert (calls, it.started) == ([], True)
    it.join()
    assert calls == [1]


# ---- results ----


def test_an_error_is_kept_and_raised_by_get_with_its_own_traceback_each_time() -> None:
    def outer() -> None:
        fail()

    with reported():
        it = spawn(outer)
        it.join()
    assert not it.successful()
    assert isinstance(it.exception, LookupError)
    info = it.exc_info
    assert info is not None
    assert info[:2] == (LookupError, it.exception)
    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            it.get()
        names = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
        assert names[-2:] == ["outer", "fail"]
        assert len(names) == 4


def test_an_error_is_printed_as_gevents_hub_prints_it() -> None:
    printed = output_of(
        """
import sys
sys.stderr = sys.stdout
import gossamer
def fails(what):
    raise ValueError(what)
gossamer.spawn(fails, 'on purpose').join()
"""
    )
    lines = printed.rstrip("\n").split("\n")
    assert lines[0] == "Traceback (most recent call last):"
    assert "ValueError: on purpose" in lines
    last = re.sub("0x[0-9a-f]+", "0x", lines[-1])
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ <Greenlet at 0x: fails\('on purpose'\)> failed with ValueError", last
    )


def test_get_of_one_that_has_not_ended_raises_timeout() -> None:
    it = spawn(sleep, 60)
    with pytest.raises(Timeout):
        it.get(block=False)
    with pytest.raises(Timeout, match="0.001 seconds"):
        it.get(timeout=0.001)
    it.kill()


def test_join_with_a_timeout_returns_none_either_way() -> None:
    it = spawn(sleep, 60)
    assert it.join(timeout=0.001) is None
    assert not it.ready()
    it.kill()


def test_the_context_is_a_copy_of_the_makers() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("of the maker")
    assert spawn(variable.get).get() == "of the maker"


# ---- names and descriptions ----


def described(it: object) -> str:
    return re.sub("0x[0-9a-f]+", "0x", repr(it))


def test_the_repr_tells_what_it_runs() -> None:
    it = Greenlet(echo, 1, key="value")
    assert described(it) == "<Greenlet at 0x: echo(1, key='value')>"
    assert described(Greenlet()) == "<Greenlet at 0x: _run>"
    it.start()
    it.join()
    assert described(it) == "<Greenlet at 0x: echo(1, key='value')>"


def test_the_repr_of_a_bound_method_names_its_owner() -> None:
    class Owner:
        def method(self) -> None: ...

        def __repr__(self) -> str:
            return "<owner>"

    assert "of <owner>" in repr(Greenlet(Owner().method))


def test_a_name_is_made_when_asked_for_and_is_then_in_the_repr() -> None:
    it = Greenlet(echo)
    assert re.fullmatch(r"Greenlet-\d+", it.name)
    assert described(it) == f'<Greenlet "{it.name}" at 0x: echo>'
    it.name = "fred"
    assert described(it) == '<Greenlet "fred" at 0x: echo>'


def test_minimal_idents_are_used_again() -> None:
    one, other = Greenlet(echo), Greenlet(echo)
    first, second = one.minimal_ident, other.minimal_ident
    assert first != second
    assert one.minimal_ident == first
    del one
    assert Greenlet(echo).minimal_ident == first


def test_loop_and_parent_are_the_hubs() -> None:
    it = Greenlet(echo)
    assert it.parent is get_hub()
    assert it.loop is get_hub().loop


# ---- the spawn tree ----


def test_it_knows_weakly_who_made_it() -> None:
    inner = spawn(lambda: Greenlet(echo))
    child = inner.get()
    maker = child.spawning_greenlet
    assert maker() is inner
    del inner
    assert maker() is None
    assert Greenlet(echo).spawning_greenlet() is getcurrent()  # type: ignore[misc]


def test_tree_locals_are_shared_downwards_and_not_between_children_of_the_main_greenlet() -> None:
    def parent() -> tuple[dict[str, Any], dict[str, Any]]:
        here = getcurrent()
        assert isinstance(here, Greenlet)
        here.spawn_tree_locals["of"] = "parent"
        child = spawn(lambda: getcurrent().spawn_tree_locals)  # type: ignore[attr-defined]
        return here.spawn_tree_locals, child.get()

    mine, childs = spawn(parent).get()
    assert mine is childs
    assert spawn(parent).get()[0] is not mine


def test_the_spawning_stack_is_kept_where_that_is_asked_for() -> None:
    assert spawn(echo).spawning_stack is None
    gossamer.config.track_greenlet_tree = True
    try:
        it = spawn(echo)
    finally:
        gossamer.config.track_greenlet_tree = False
    assert it.spawning_stack[0].name == "test_the_spawning_stack_is_kept_where_that_is_asked_for"
    assert len(it.spawning_stack) <= it.spawning_stack_limit


def test_spawn_callbacks_are_told_of_each_greenlet_that_is_started() -> None:
    told: list[Greenlet] = []
    Greenlet.add_spawn_callback(told.append)
    try:
        started = [spawn(echo), spawn_later(0.001, echo)]
        plain = Greenlet(echo)
        assert told == started
        plain.start()
        assert told == [*started, plain]
    finally:
        Greenlet.remove_spawn_callback(told.append)
    spawn(echo)
    assert len(told) == 3
    gossamer.joinall(told)


# ---- others ----


def test_the_error_of_a_bare_greenlet_that_waited_is_reported_and_harms_nobody() -> None:
    def fails() -> None:
        sleep(0)
        raise LookupError("late")

    with reported() as reports:
        it = spawn_raw(fails)
        turns(3)
    assert [(report.context, report.type) for report in reports] == [(it, LookupError)]
    assert it.dead
    assert spawn(lambda: sleep(0) or "others go on").get() == "others go on"


def test_spawn_raw_runs_a_bare_greenlet_below_the_hub() -> None:
    seen: list[Any] = []
    it = spawn_raw(lambda *args, **kwargs: seen.append((args, kwargs, getcurrent())), 1, key=2)
    assert it.parent is get_hub()
    assert seen == []
    turns(1)
    assert seen == [((1,), {"key": 2}, it)]
    assert it.dead


def test_as_a_context_manager_it_is_joined_at_the_end_of_the_block() -> None:
    with spawn(sleep, 0.001) as it:
        assert not it.ready()
    assert it.value is None
    assert it.successful()


def fail_by_division(_ignored: None) -> None:
    raise ZeroDivisionError


def test_as_a_context_manager_it_is_killed_by_the_error_of_the_block() -> None:
    with pytest.raises(ZeroDivisionError), spawn(sleep, 60) as it:
        fail_by_division(turns(1))
    assert isinstance(it.exception, ZeroDivisionError)


def test_an_explicit_switch_into_one_that_waits_is_an_error_there() -> None:
    it = spawn(sleep, 60)
    turns(1)
    with reported():
        get_hub().run_callback(it.switch, "surprise")
        it.join()
    assert isinstance(it.exception, InvalidSwitchError)
    assert "surprise" in str(it.exception)


def test_one_of_another_thread_can_be_joined_and_its_value_fetched() -> None:
    def work() -> Greenlet:
        inner = spawn(echo, 1)
        inner.join()
        return inner

    assert in_thread(work).get() == ((1,), {})


def test_attributes_are_not_made_before_they_are_asked_for() -> None:
    it = spawn(echo)
    it.join()
    assert it.__dict__ == {}


def test_it_can_be_referred_to_weakly() -> None:
    it = spawn(echo)
    reference = weakref.ref(it)
    it.join()
    del it
    until(lambda: reference() is None)


def test_what_it_runs_with_can_be_set_before_its_start_and_not_after() -> None:
    it = Greenlet(lambda *args, **kwargs: (turns(2), args, kwargs), 1, key=2)
    it.args, it.kwargs = (3,), {"key": 4}
    it.start()
    turns(1)
    with pytest.raises(AttributeError, match="args cannot be set after the start"):
        it.args = ()
    with pytest.raises(AttributeError, match="kwargs cannot be set after the start"):
        it.kwargs = {}
    assert it.get(timeout=patience(30))[1:] == ((3,), {"key": 4})


def test_its_keyword_arguments_are_its_own_once_it_runs() -> None:
    given: dict[str, Any] = {"key": ["value"]}
    seen: list[Any] = []
    it = Greenlet(lambda **kwargs: (turns(2), seen.append(kwargs)))
    it.kwargs = given
    it.start()
    turns(1)
    given.clear()
    it.kwargs.clear()
    it.get(timeout=patience(30))
    assert seen == [{"key": ["value"]}]


def test_what_a_running_c_function_was_given_stays_alive() -> None:
    output_of("""
import gossamer
import socket

here, there = socket.socketpair()
it = gossamer.Greenlet(here.sendall, bytes(range(256)) * 20000)
it.start()
gossamer.sleep(0)
try:
    it.args = ()
except AttributeError:
    pass
received = bytearray()
while len(received) < 256 * 20000:
    received += there.recv(1 << 20)
assert received == bytes(range(256)) * 20000
""")
