"""C++ exceptions thrown and caught around switches, by an extension in C++ that is compiled here."""

from collections.abc import Callable
from types import ModuleType

import pytest

from gossamer.switching import getcurrent, greenlet
from tests.support.children import output_of
from tests.support.extensions import SOURCES, build, compiler_of, headers, load
from tests.support.greenlets import below_c
from tests.support.sanitizers import throws_in_cxx

pytestmark = throws_in_cxx
SOURCE = SOURCES / "exceptions.cpp"


@pytest.fixture(scope="module", params=headers())
def exceptions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The extension, compiled with one header or the other."""
    include = headers()[request.param]
    if include is None:
        pytest.skip(f"{request.param} is not installed, so its header is not there")
    if compiler_of(SOURCE) is None:
        pytest.skip("there is no C++ compiler")
    return load(build(SOURCE, include, tmp_path_factory.mktemp("exceptions")))


def started(body: Callable[..., object], text: str) -> greenlet:
    """A greenlet parked in the switch that `body` makes around its exception."""
    it = greenlet(lambda: body(getcurrent().parent, text))
    it.switch()
    assert not it.dead
    return it


def test_an_exception_thrown_after_a_switch_is_caught_where_it_was_tried(exceptions: ModuleType) -> None:
    assert started(exceptions.throw_after, "mine").switch() == "mine"


def test_the_main_greenlet_catches_its_own_while_others_are_parked_in_theirs(exceptions: ModuleType) -> None:
    many = [started(exceptions.throw_after, str(n)) for n in range(20)]
    assert exceptions.throw_after(greenlet(lambda: 0), "main") == "main"
    assert [it.switch() for it in reversed(many)] == [str(n) for n in reversed(range(20))]


def test_each_stack_destroys_its_own_objects(exceptions: ModuleType) -> None:
    assert exceptions.guards() == 0
    many = [started(exceptions.throw_after, str(n)) for n in range(5)]
    assert exceptions.guards() == 5
    for left, it in zip(reversed(range(5)), many, strict=True):
        it.switch()
        assert exceptions.guards() == left


def test_an_exception_is_caught_below_python_and_c_calls_of_any_depth(exceptions: ModuleType) -> None:
    it = greenlet(lambda: below_c(30, lambda: exceptions.throw_after(getcurrent().parent, "deep")))
    it.switch()
    assert it.switch() == "deep"


def test_a_python_exception_that_is_thrown_in_passes_through_as_one(exceptions: ModuleType) -> None:
    it = started(exceptions.throw_after, "never")
    with pytest.raises(LookupError, match="python"):
        it.throw(LookupError("python"))
    assert exceptions.guards() == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_greenlets_parked_while_they_handle_one_keep_their_own(exceptions: ModuleType, order: tuple[int, ...]) -> None:
    many = [started(exceptions.switch_while_caught, str(n)) for n in range(3)]
    assert not exceptions.handles_one()
    assert [many[n].switch() for n in order] == [str(n) for n in order]
    assert not exceptions.handles_one()


def test_one_parked_while_it_handles_an_exception_leaves_none_to_others(exceptions: ModuleType) -> None:
    it = started(exceptions.switch_while_caught, "mine")
    assert not exceptions.handles_one()
    assert exceptions.throw_after(greenlet(lambda: 0), "main") == "main"
    assert greenlet(exceptions.handles_one).switch() is False
    assert it.switch() == "mine"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_greenlets_parked_while_they_are_unwound_keep_their_own(exceptions: ModuleType, order: tuple[int, ...]) -> None:
    many = [started(exceptions.switch_while_unwinding, str(n)) for n in range(3)]
    assert exceptions.uncaught() == 0
    assert [many[n].switch() for n in order] == [str(n) for n in order]
    assert exceptions.uncaught() == 0


def test_one_that_ends_inside_a_handler_of_another_takes_nothing_along(exceptions: ModuleType) -> None:
    outer: list[object] = []

    def body() -> str:
        return str(exceptions.throw_after(greenlet(lambda: 0), "inner"))

    def handler() -> None:
        outer.append(exceptions.switch_while_caught(greenlet(body), "outer"))

    greenlet(handler).switch()
    assert outer == ["outer"]


def test_stacks_that_are_copied_keep_their_exceptions(exceptions: ModuleType) -> None:
    printed = output_of(
        f"""
import sys
from pathlib import Path
from gossamer.switching import counts, getcurrent, greenlet
from tests.support.extensions import load
exceptions = load(Path({exceptions.__file__!r}))
main = getcurrent()
def start(function, text):
    it = greenlet(lambda: function(main, text))
    it.switch()
    return it
kinds = [exceptions.throw_after, exceptions.switch_while_caught, exceptions.switch_while_unwinding]
many = [start(kinds[n % 3], str(n)) for n in range(60)]
print(counts()["copied_out"] > 0)
print([it.switch() for it in many] == [str(n) for n in range(60)], exceptions.guards(), exceptions.uncaught())
""",
        environment={"GOSSAMER_STACKS": "1"},
    )
    assert printed.splitlines() == ["True", "True 0 0"]


def test_a_green_thread_may_wait_while_it_handles_one(exceptions: ModuleType) -> None:
    printed = output_of(
        f"""
from pathlib import Path
import gossamer
from gossamer.switching import greenlet
from tests.support.extensions import load
exceptions = load(Path({exceptions.__file__!r}))
def handle(n):
    return exceptions.switch_while_caught(greenlet(lambda: gossamer.sleep(0.001 * (5 - n))), str(n))
jobs = [gossamer.spawn(handle, n) for n in range(5)]
print([job.get() for job in jobs])
"""
    )
    assert printed.strip() == str([str(n) for n in range(5)])
