"""Free-threaded builds: the GIL is turned on for the core, and the locks of single objects are let go at a switch."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gossamer.switching import getcurrent, greenlet
from tests.support.children import output_of, run_child
from tests.support.free_threading import IS_FREE_THREADED
from tests.support.greenlets import to_parent

free_threaded = pytest.mark.skipif(not IS_FREE_THREADED, reason="this build of CPython always has the GIL")


@free_threaded
def test_the_import_turns_the_gil_on_and_says_so() -> None:
    source = "import sys, gossamer.switching; print(sys._is_gil_enabled())"
    ended = run_child(source, environment={"PYTHONWARNINGS": "default"})
    assert ended.out == "True\n"
    assert "global interpreter lock" in ended.err
    assert "gossamer._core" in ended.err


@free_threaded
def test_where_the_gil_may_not_be_turned_on_the_import_is_refused() -> None:
    printed = output_of(
        """
try:
    import gossamer.switching
except ImportError as error:
    print(error)
""",
        environment={"PYTHON_GIL": "0"},
    )
    assert "needs the global interpreter lock" in printed


def values(count: int) -> Iterator[int]:
    """Values to be iterated over by C code; each is made after a switch to the parent and back."""
    for n in range(count):
        to_parent()
        yield n


# What holds the lock of an object on free-threaded builds while it calls Python code.
USERS: dict[str, Any] = {
    "list from a generator": lambda shared: list(values(3)),
    "list extended by a generator": lambda shared: shared.extend(values(3)),
    "list sorted by a key": lambda shared: shared.sort(key=lambda value: to_parent() or value),
    "list compared": lambda shared: shared.index(Switching()),
    "generator shared": lambda shared: sum(values(3)),
}


class Switching:
    """Compares by way of a switch to the parent and back."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        to_parent()
        return other == 2


@pytest.mark.parametrize("name", USERS)
def test_an_object_that_parked_greenlets_are_inside_of_can_be_used_by_others(name: str) -> None:
    shared = [3, 1, 2]
    many = [greenlet(USERS[name]) for _ in range(4)]
    for it in many:
        it.switch(list(shared) if name == "list sorted by a key" else shared)
    shared.append(4)
    assert shared[-1] == 4
    for _ in range(20):
        for it in reversed(many):
            if not it.dead:
                it.switch()
    assert [it.dead for it in many] == [True] * 4
    shared.reverse()


def test_another_thread_can_use_an_object_that_a_parked_greenlet_is_inside_of() -> None:
    shared = [3, 1, 2]
    it = greenlet(lambda: shared.extend(values(2)))
    it.switch()
    thread = threading.Thread(target=shared.append, args=(5,))
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    while not it.dead:
        it.switch()
    assert sorted(shared) == [0, 1, 1, 2, 3, 5]


def test_a_generator_iterated_by_c_code_may_be_left_unfinished() -> None:
    it = greenlet(lambda: list(values(3)))
    it.switch()
    del it
    assert getcurrent().parent is None
