"""Recursion limits: how deep a greenlet may go does not depend on how deep the others are parked.

Python counts Python frames against `sys.getrecursionlimit()`; 3.12 and 3.13 count nested C calls besides, and 3.14
and later compare the stack pointer with the bounds of the stack. All of it belongs to a greenlet. What overflows on
purpose runs in a child, for a fault would end the interpreter.
"""

import sys
from collections.abc import Callable, Iterator

import pytest

from gossamer.switching import getcurrent, greenlet
from tests.support.children import output_of
from tests.support.greenlets import below, below_c, parked, to_parent
from tests.support.scale import scaled


@pytest.fixture
def _limit_is_put_back() -> Iterator[None]:
    before = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(before)


def reachable_depth() -> int:
    """How many more calls fit below here."""

    def down(depth: int) -> int:
        try:
            return down(depth + 1)
        except RecursionError:
            return depth

    return down(0)


def test_greenlets_parked_deep_leave_the_others_their_whole_depth() -> None:
    before = reachable_depth()
    crowd = [parked(lambda: below(200, to_parent)) for _ in range(20)]
    assert reachable_depth() == before
    assert greenlet(reachable_depth).switch() > before - 20
    for it in crowd:
        assert it.switch("woken") == "woken"


def test_a_parked_greenlet_finds_its_own_depth_again() -> None:
    def body() -> list[int]:
        return [reachable_depth(), to_parent() and 0, reachable_depth()][::2]

    it = greenlet(lambda: below(100, body))
    it.switch()
    before, after = below(50, it.switch)
    assert before == after


def test_too_deep_recursion_raises_in_the_greenlet_that_recurses() -> None:
    def forever() -> None:
        forever()

    def body() -> str:
        for _ in range(3):
            with pytest.raises(RecursionError):
                forever()
            to_parent()
        return "unharmed"

    one, two = greenlet(body), greenlet(body)
    for _ in range(3):
        one.switch()
        two.switch()
    assert one.switch() == two.switch() == "unharmed"


def test_a_recursion_error_that_is_not_caught_reaches_the_parent() -> None:
    def forever() -> None:
        forever()

    for _ in range(3):
        it = greenlet(forever)
        with pytest.raises(RecursionError):
            it.switch()
        assert it.dead


@pytest.mark.usefixtures("_limit_is_put_back")
def test_a_limit_raised_meanwhile_holds_for_parked_greenlets() -> None:
    it = greenlet(lambda: (reachable_depth(), to_parent(), reachable_depth())[::2])
    it.switch()
    sys.setrecursionlimit(sys.getrecursionlimit() + 500)
    before, after = it.switch()
    assert after == before + 500


@pytest.mark.usefixtures("_limit_is_put_back")
def test_a_limit_lowered_meanwhile_holds_for_parked_greenlets() -> None:
    it = greenlet(lambda: (reachable_depth(), to_parent(), reachable_depth())[::2])
    it.switch()
    sys.setrecursionlimit(sys.getrecursionlimit() - 300)
    before, after = it.switch()
    assert after == before - 300


@pytest.mark.usefixtures("_limit_is_put_back")
def test_a_limit_raised_inside_a_greenlet_holds_everywhere() -> None:
    before = reachable_depth()
    greenlet(sys.setrecursionlimit).switch(sys.getrecursionlimit() + 500)
    assert reachable_depth() == before + 500


def test_nested_c_calls_of_parked_greenlets_do_not_add_up() -> None:
    crowd = [parked(lambda: below_c(40, to_parent)) for _ in range(scaled(300, least=100))]
    assert below_c(40, lambda: "deep enough") == "deep enough"
    nested: list[object] = []
    for _ in range(100):
        nested = [nested]
    assert repr(nested) == "[" * 101 + "]" * 101
    assert greenlet(lambda: repr(nested)).switch() == repr(nested)
    for number, it in enumerate(crowd):
        assert it.switch(number) == number
        assert it.dead


def test_the_representation_of_what_contains_itself_ends_in_every_greenlet() -> None:
    class Parks:
        def __repr__(self) -> str:
            to_parent("inside repr")
            return "Parks()"

    loop: list[object] = [1]
    loop.append(loop)
    loop.append(Parks())
    it = greenlet(repr)
    assert it.switch(loop) == "inside repr"
    other: dict[str, object] = {}
    other["me"] = other
    assert repr(other) == "{'me': {...}}"
    assert it.switch() == "[1, [...], Parks()]"
    again = greenlet(repr)
    again.switch(loop)
    assert again.switch() == "[1, [...], Parks()]"


OVERFLOWS = {
    "Python frames": "def overflow(): return overflow()",
    "nested sorts": "def overflow(): sorted([0], key=lambda _: overflow())",
    "representation of nested lists": """
def overflow():
    nested = []
    for _ in range(200_000):
        nested = [nested]
    try:
        return repr(nested)
    finally:
        while nested:
            nested = nested.pop()
""",
    "attribute lookups": """
class Endless:
    def __getattr__(self, name):
        return getattr(self, name)
def overflow():
    return Endless().anything
""",
    "a nested expression that is compiled": "def overflow(): return compile('-' * 100_000 + '1', '', 'eval')",
    "a nested document that is parsed": """
import json
def overflow(): return json.loads('[' * 200_000)
""",
    "comparison of nested tuples": """
def overflow():
    one, two = (), ()
    for _ in range(200_000):
        one, two = (one,), (two,)
    return one == two
""",
}


@pytest.mark.parametrize("kind", OVERFLOWS, ids=lambda kind: kind.replace(" ", "-"))
def test_an_overflow_in_a_greenlet_raises_as_it_does_outside_of_one(kind: str) -> None:
    out = output_of(
        OVERFLOWS[kind]
        + """
from gossamer.switching import greenlet, getcurrent

def attempt():
    try:
        overflow()
    except (RecursionError, MemoryError) as fault:
        return type(fault).__name__
    return "no error"

def twice():
    first = attempt()
    getcurrent().parent.switch(first)
    return attempt()

outside = attempt()
crowd = [greenlet(twice) for _ in range(3)]
inside = [it.switch() for it in crowd] + [it.switch() for it in crowd]
assert all(it.dead for it in crowd)
print(outside, *inside)
print(attempt())
"""
    )
    outcomes = out.split()
    assert len(set(outcomes)) == 1, outcomes
    assert len(outcomes) == 8


@pytest.mark.parametrize("limit", [400, 3000])
def test_a_greenlet_that_recursed_to_the_limit_can_be_parked_there(limit: int) -> None:
    out = output_of(
        """
import sys
from gossamer.switching import greenlet, getcurrent
sys.setrecursionlimit(int(sys.argv[1]))

def down(depth):
    try:
        return down(depth + 1)
    except RecursionError:
        return depth

def nearly(left):
    return nearly(left - 1) if left else getcurrent().parent.switch("parked at the limit")

def body():
    return nearly(down(0) - 20)

crowd = [greenlet(body) for _ in range(10)]
print({it.switch() for it in crowd}, {it.switch(number) for number, it in enumerate(crowd)} == set(range(10)))
""",
        str(limit),
    )
    assert out == "{'parked at the limit'} True\n"


def test_a_greenlet_started_from_a_deep_place_returns_to_it() -> None:
    def deep(work: Callable[[], object]) -> object:
        return below(300, work)

    main = getcurrent()
    assert deep(lambda: greenlet(lambda: deep(lambda: main.switch("from deep below"))).switch()) == "from deep below"
