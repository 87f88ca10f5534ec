"""Spawning: who runs when, with what, as whose child.

What was made ready first runs first. Green threads and callbacks stand in one line.
"""

import weakref
from contextvars import ContextVar
from typing import Any

import pytest

from gossamer._core import Callback, GreenThread, get_hub, getcurrent, greenlet, sleep, spawn
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, joined, reported, turns
from tests.support.sanitizers import uses_memory_again

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


def test_green_threads_run_in_the_order_they_were_spawned() -> None:
    order: list[int] = []
    joined(*[spawn(order.append, number) for number in range(100)])
    assert order == list(range(100))


def test_green_threads_and_callbacks_stand_in_one_line() -> None:
    order: list[int] = []
    hub = get_hub()
    kept: list[Callback | GreenThread] = []
    for number in range(40):
        make = hub.run_callback if number % 3 else spawn
        kept.append(make(order.append, number))
    turns()
    assert order == list(range(40))


def test_nothing_runs_before_the_caller_waits() -> None:
    order: list[str] = []
    it = spawn(order.append, "spawned")
    order.append("main")
    joined(it)
    assert order == ["main", "spawned"]


def test_one_spawned_by_another_goes_to_the_end_of_the_line() -> None:
    order: list[str] = []
    inner: list[GreenThread] = []

    def first() -> None:
        order.append("first")
        inner.append(spawn(order.append, "inner"))

    joined(spawn(first), spawn(order.append, "second"), spawn(order.append, "third"))
    joined(*inner)
    assert order == ["first", "second", "third", "inner"]


def test_giving_way_goes_to_the_end_of_the_line() -> None:
    order: list[tuple[str, int]] = []

    def body(name: str) -> None:
        for count in range(3):
            order.append((name, count))
            sleep(0)

    joined(*[spawn(body, name) for name in "abc"])
    assert order == [(name, count) for count in range(3) for name in "abc"]


def test_arguments_and_the_result_are_handed_on() -> None:
    def body(*values: Any, **named: Any) -> Any:
        return values, named

    assert joined(spawn(body, 1, [2], c=3), spawn(body), spawn(body, d=[4]), spawn(body, 5)) == [
        ((1, [2]), {"c": 3}),
        ((), {}),
        ((), {"d": [4]}),
        ((5,), {}),
    ]


def test_a_green_thread_is_a_greenlet_whose_parent_is_the_hub() -> None:
    seen: list[tuple[object, object]] = []

    def body(depth: int) -> None:
        seen.append((getcurrent(), getcurrent().parent))
        if depth:
            kept.append(spawn(body, depth - 1))

    kept = [spawn(body, 2)]
    raw = greenlet(lambda: kept.append(spawn(body, 0)))
    raw.switch()
    turns(5)
    assert all(isinstance(it, greenlet) and it.parent is get_hub() for it in kept)
    assert {id(it) for it, _ in seen} == {id(it) for it in kept} and len(kept) == 4
    assert {parent for _, parent in seen} == {get_hub()}


def test_states_from_spawn_to_end() -> None:
    def body() -> str:
        sleep(0)
        return "result"

    it = spawn(body)
    assert (it.ready(), it.successful(), it.value, it.exception, it.dead) == (False, False, None, None, False)
    sleep(0)
    assert (it.ready(), it.successful(), it.value, it.exception, it.dead) == (False, False, None, None, False)
    joined(it)
    turns()
    assert (it.ready(), it.successful(), it.value, it.exception, it.dead) == (True, True, "result", None, True)


def test_a_green_thread_runs_only_once_it_is_started() -> None:
    order: list[int] = []
    it = GreenThread(order.append, 1)
    turns()
    assert order == [] and not it.ready()
    it.start()
    it.start()
    joined(it)
    it.start()
    turns()
    assert order == [1]


def test_a_green_thread_cannot_be_initialized_again_after_its_start() -> None:
    it = spawn(sleep, 0)
    sleep(0)
    with pytest.raises(RuntimeError, match="after its start"):
        GreenThread.__init__(it, int)
    joined(it)


@pytest.mark.parametrize("values", [(), (5,), (None, 1)], ids=["nothing", "a number", "None"])
def test_what_cannot_be_called_cannot_be_spawned(values: tuple[Any, ...]) -> None:
    with reported() as reports:
        with pytest.raises(TypeError):
            spawn(*values)
        turns()
    assert reports == []


def test_a_green_thread_without_a_function_fails_with_an_error() -> None:
    out = output_of(
        PRELUDE
        + """
it = GreenThread()
with reported():
    try:
        it.start()
        joined(it)
    except (TypeError, AttributeError) as fault:
        print('refused')
    else:
        print('refused' if isinstance(it.exception, (TypeError, AttributeError)) else it)
"""
    )
    assert out == "refused\n"


def test_the_run_method_of_a_subclass_is_what_runs() -> None:
    out = output_of(
        PRELUDE
        + """
class Sub(GreenThread):
    def run(self):
        return ('ran', self is getcurrent())
it = Sub()
it.start()
print(joined(it))
"""
    )
    assert out == "[('ran', True)]\n"


def test_a_subclass_may_carry_attributes_and_arguments() -> None:
    class Named(GreenThread):
        def __init__(self, name: str, *args: Any) -> None:
            super().__init__(self.work, *args)
            self.name = name

        def work(self, value: int) -> tuple[str, int]:
            return self.name, value

    it = Named("one", 2)
    it.start()
    assert joined(it) == [("one", 2)]


def test_each_green_thread_has_a_copy_of_its_spawners_context() -> None:
    def body(value: str) -> list[str]:
        before = VARIABLE.get()
        VARIABLE.set(value)
        turns()
        return [before, VARIABLE.get()]

    token = VARIABLE.set("spawner's")
    crowd = [spawn(body, str(number)) for number in range(3)]
    VARIABLE.set("changed since")
    assert joined(*crowd) == [["spawner's", str(number)] for number in range(3)]
    assert VARIABLE.get() == "changed since"
    VARIABLE.reset(token)


def test_a_handled_exception_stays_with_its_green_thread() -> None:
    import sys

    def body(number: int) -> bool:
        try:
            raise LookupError(number)
        except LookupError as fault:
            turns()
            return sys.exc_info()[1] is fault

    try:
        raise ValueError
    except ValueError as own:
        assert joined(*[spawn(body, number) for number in range(5)]) == [True] * 5
        assert sys.exc_info()[1] is own


def test_a_green_thread_started_in_another_thread_runs_where_it_was_made() -> None:
    import threading

    from tests.support.runtime import in_thread

    it = GreenThread(threading.get_native_id)
    in_thread(it.start)
    assert joined(it) == [threading.get_native_id()]


def test_short_ones_after_a_deep_one_find_the_stack_in_order() -> None:
    def deep(left: int) -> int:
        return deep(left - 1) + 1 if left else 0

    def waits(number: int) -> int:
        sleep(0)
        return number

    crowd = [spawn(deep, 500) if number % 3 == 0 else spawn(waits, number) for number in range(300)]
    assert joined(*crowd) == [500 if number % 3 == 0 else number for number in range(300)]


def test_what_a_finished_one_held_is_dropped() -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    it = spawn(lambda _: None, thing)
    del thing
    joined(it)
    turns()
    assert gone() is None


def test_a_finished_one_that_nobody_keeps_is_freed() -> None:
    gone = [weakref.ref(spawn(sleep, 0)) for _ in range(10)]
    turns(5)
    assert [it() for it in gone] == [None] * 10


def test_a_million_results_each_of_which_refers_to_the_one_before_are_dropped_at_once() -> None:
    child = """
last = None
for _ in range(1_000_000):
    it = spawn(lambda value: value, last)
    it.join()
    last = it
del it, last
print("dropped")
"""
    assert output_of(PRELUDE + child) == "dropped\n"


def test_a_lookup_of_an_argument_may_start_the_green_thread_that_is_being_initialized() -> None:
    child = """
class Name(str):
    def __hash__(self):
        return hash(str(self))

    def __eq__(self, other):
        it.start()
        sleep(0)
        return str(self) == str(other)

it = GreenThread(lambda: sleep(1000))
try:
    it.__init__(**{Name("run"): len, "other": 1})
except RuntimeError as error:
    print(error)
"""
    assert output_of(PRELUDE + child) == "a green thread cannot be initialized again after its start\n"


@uses_memory_again
def test_a_green_thread_knows_nothing_of_another_whose_memory_it_was_given() -> None:
    class Failed(Exception):
        pass

    def fail() -> None:
        raise Failed

    def crowd() -> list[GreenThread]:
        return [spawn(function) for _ in range(100) for function in (int, fail)]

    with reported():
        before = crowd()
        for it in before:
            it.rawlink(id)
        joined(*before)
    places = {id(it) for it in before}
    before.clear()
    del it
    after = [spawn(sleep) for _ in range(200)]
    assert places & {id(it) for it in after}
    for it in after:
        assert (it.value, it.exception, it.ready(), it.successful(), it.dead, it.has_links()) == (
            None, None, False, False, False, False,
        )  # fmt: skip
    joined(*after)
    assert all(it.successful() for it in after)
