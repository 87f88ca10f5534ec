"""greenlet's C interface: each entry, used by an extension in C that is compiled here, once with Gossamer's header and
once with the one that greenlet installs, where it is installed."""

import sys
from traceback import walk_tb
from types import ModuleType
from typing import Any

import pytest

from gossamer import switching
from gossamer.switching import GreenletExit, getcurrent, greenlet
from tests.support.children import output_of
from tests.support.extensions import SOURCES, build, compiler_of, headers, load
from tests.support.greenlets import ended, parked, to_parent

SOURCE = SOURCES / "entries.c"


@pytest.fixture(scope="module", params=headers())
def entries(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The extension, compiled with one header or the other."""
    include = headers()[request.param]
    if include is None:
        pytest.skip(f"{request.param} is not installed, so its header is not there")
    if compiler_of(SOURCE) is None:
        pytest.skip("there is no C compiler")
    return load(build(SOURCE, include, tmp_path_factory.mktemp("entries")))


def test_class_and_exceptions_are_those_of_python(entries: ModuleType) -> None:
    assert entries.Type is greenlet
    assert entries.Error is switching.error
    assert entries.Exit is GreenletExit


def test_check_tells_greenlets_from_other_objects(entries: ModuleType) -> None:
    class Own(greenlet):
        pass

    assert [entries.check(it) for it in (getcurrent(), greenlet(int), Own(int), None, int)] == [True] * 3 + [False] * 2


def test_main_started_and_active_follow_the_state(entries: ModuleType) -> None:
    states = [getcurrent(), greenlet(int), parked(), ended()]
    assert [entries.is_main(it) for it in states] == [True, False, False, False]
    assert [entries.is_started(it) for it in states] == [True, False, True, True]
    assert [entries.is_active(it) for it in states] == [True, False, True, False]


def test_new_takes_a_function_and_a_parent_or_neither(entries: ModuleType) -> None:
    parent = greenlet(int)
    assert entries.make(len, parent).parent is parent
    assert entries.make(len, None).parent is getcurrent()
    bare = entries.make(None, None)
    bare.run = lambda: "run"
    assert bare.switch() == "run"
    with pytest.raises(TypeError, match="parent must be a greenlet"):
        entries.make(len, 5)


def test_current_is_the_one_that_calls(entries: ModuleType) -> None:
    assert entries.current() is getcurrent()
    it = greenlet(entries.current)
    assert it.switch() is it


@pytest.mark.parametrize(
    ("positional", "keywords", "result"),
    [
        (None, None, ()),
        ((), {}, ()),
        ((1,), None, 1),
        ((1, 2), None, (1, 2)),
        (None, {"a": 1}, {"a": 1}),
        ((1, 2), {"a": 3}, ((1, 2), {"a": 3})),
    ],
)
def test_switch_brings_what_pythons_switch_brings(
    entries: ModuleType, positional: Any, keywords: Any, result: Any
) -> None:
    got: list[Any] = []
    it = parked(lambda: got.append(to_parent()))
    entries.switch_to(it, positional, keywords)
    assert got == [result]


def test_switch_starts_with_arguments_and_returns_what_comes_back(entries: ModuleType) -> None:
    it = greenlet(lambda *args, **kwargs: to_parent((args, kwargs)))
    assert entries.switch_to(it, (1, 2), {"a": 3}) == ((1, 2), {"a": 3})
    assert entries.switch_to(it, ("end",), None) == "end"
    assert it.dead


def test_switch_can_be_parked_in_itself(entries: ModuleType) -> None:
    main = getcurrent()
    it = greenlet(lambda: [entries.switch_to(main, (n,), None) for n in range(3)])
    assert [entries.switch_to(it, None, None) for _ in range(3)] == [0, 1, 2]
    assert entries.switch_to(it, ("last",), None) == [(), (), "last"]


def test_what_is_thrown_into_a_parked_call_is_raised_there(entries: ModuleType) -> None:
    def body() -> str:
        try:
            entries.switch_to(getcurrent().parent, None, None)
        except LookupError as error:
            return f"caught {error}"
        return "nothing"

    it = parked(body)
    assert entries.throw_into(it, LookupError, "x", None) == "caught x"


def test_throw_takes_a_class_an_instance_and_a_traceback(entries: ModuleType) -> None:
    with pytest.raises(LookupError, match="text"):
        entries.throw_into(parked(), LookupError, "text", None)
    mine = LookupError()
    with pytest.raises(LookupError) as caught:
        entries.throw_into(parked(), mine, None, None)
    assert caught.value is mine
    try:
        raise ValueError
    except ValueError as error:
        traceback = error.__traceback__
    with pytest.raises(LookupError) as caught:
        entries.throw_into(parked(), LookupError, None, traceback)
    links = [frame for frame, _ in walk_tb(caught.value.__traceback__)]
    assert links[-1] is sys._getframe()
    assert isinstance(entries.throw_into(parked(), GreenletExit, None, None), GreenletExit)
    with pytest.raises(TypeError, match="exceptions must be classes"):
        entries.throw_into(parked(), 5, None, None)


def test_the_parent_is_read_and_set(entries: ModuleType) -> None:
    it, parent = greenlet(int), greenlet(int)
    assert entries.get_parent(it) is getcurrent()
    entries.set_parent(it, parent)
    assert entries.get_parent(it) is it.parent is parent
    assert entries.get_parent(getcurrent()) is None
    with pytest.raises(ValueError, match="cyclic"):
        entries.set_parent(parent, it)
    with pytest.raises(TypeError):
        entries.set_parent(it, 5)


@pytest.mark.parametrize("name", ["is_main", "is_started", "is_active", "get_parent"])
def test_what_is_no_greenlet_is_an_error_and_no_crash(entries: ModuleType, name: str) -> None:
    with pytest.raises(TypeError):
        getattr(entries, name)(5)


def test_switch_and_throw_refuse_what_is_no_greenlet(entries: ModuleType) -> None:
    with pytest.raises(TypeError):
        entries.switch_to(5, None, None)
    with pytest.raises(TypeError):
        entries.throw_into(5, LookupError, None, None)


def test_a_type_in_c_may_begin_with_a_greenlet(entries: ModuleType) -> None:
    it: Any = entries.Numbered(lambda: to_parent(it.number))
    it.number = 7
    assert it.switch() == 7
    assert entries.check(it)
    it.switch()
    assert it.dead
    assert it.number == 7

    class Below(entries.Numbered):  # type: ignore[misc, name-defined]
        def run(self) -> int:
            return self.number + 1  # type: ignore[no-any-return]

    below = Below()
    below.number = 8
    assert below.switch() == 9


def test_references_are_neither_lost_nor_taken(entries: ModuleType) -> None:
    values = [object() for _ in range(3)]
    counts = [sys.getrefcount(value) for value in values]
    it = greenlet(lambda *args, **kwargs: to_parent() and None)
    entries.switch_to(it, (values[0],), {"a": values[1]})
    entries.switch_to(it, (values[2],), None)
    parent = entries.get_parent(it)
    before = sys.getrefcount(parent)
    for _ in range(10):
        entries.get_parent(it)
        entries.current()
    assert sys.getrefcount(parent) == before
    del it
    assert [sys.getrefcount(value) for value in values] == counts


def test_the_include_folder_has_the_header() -> None:
    printed = output_of("""
from pathlib import Path
from gossamer.switching import get_include
print((Path(get_include()) / "greenlet" / "greenlet.h").is_file())
""")
    assert printed.strip() == "True"
