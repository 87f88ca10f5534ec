"""The exception that is being handled belongs to the greenlet that handles it.

`sys.exc_info()`, a bare `raise` and the implicit `__context__` all read one chain of handled exceptions; every
greenlet has its own, empty when it starts, and finds it unchanged when it comes back.
"""

import sys
from collections.abc import Generator, Iterator

import pytest

from gossamer.switching import greenlet
from tests.support.greenlets import parked, to_parent

NOTHING = (None, None, None)


def test_a_greenlet_starts_with_no_exception_being_handled() -> None:
    try:
        raise ValueError
    except ValueError:
        assert greenlet(sys.exc_info).switch() == NOTHING
        assert isinstance(sys.exc_info()[1], ValueError)


def test_a_bare_raise_in_a_fresh_greenlet_has_nothing_to_raise() -> None:
    def body() -> None:
        raise  # noqa: PLE0704

    try:
        raise ValueError
    except ValueError:
        with pytest.raises(RuntimeError, match="No active exception"):
            greenlet(body).switch()


def test_each_greenlet_sees_its_own_exception_across_switches() -> None:
    def body(number: int) -> list[object]:
        seen: list[object] = []
        try:
            raise ValueError(number)
        except ValueError as mine:
            for _ in range(3):
                to_parent()
                seen.append(sys.exc_info()[1] is mine)
            try:
                raise KeyError(number)
            except KeyError as inner:
                to_parent()
                seen.append(sys.exc_info()[1] is inner)
            seen.append(sys.exc_info()[1] is mine)
        seen.append(sys.exc_info() == NOTHING)
        return seen

    crowd = [greenlet(body) for _ in range(5)]
    for number, it in enumerate(crowd):
        it.switch(number)
    for _ in range(3):
        for it in crowd:
            it.switch()
            assert sys.exc_info() == NOTHING
    assert [it.switch() for it in crowd] == [[True] * 6] * 5


def test_a_handler_that_switches_finds_its_exception_again() -> None:
    it = parked(lambda: [to_parent() for _ in range(10)])
    try:
        raise ValueError("mine")
    except ValueError as mine:
        for _ in range(5):
            it.switch()
            assert sys.exc_info()[1] is mine


def test_a_bare_raise_after_a_switch_raises_what_is_handled_here() -> None:
    def body() -> None:
        try:
            raise ValueError("of the greenlet")
        except ValueError:
            to_parent()
            raise

    it = parked(body)
    try:
        raise KeyError("of the main greenlet")
    except KeyError:
        with pytest.raises(ValueError, match="of the greenlet"):
            it.switch()


def test_the_implicit_context_is_what_the_raising_greenlet_was_handling() -> None:
    def body() -> None:
        try:
            raise KeyError("of the greenlet")
        except KeyError:
            to_parent()
            raise LookupError("raised after the switch")

    it = parked(body)
    try:
        raise ValueError("of the main greenlet")
    except ValueError:
        with pytest.raises(LookupError) as caught:
            it.switch()
    assert isinstance(caught.value.__context__, KeyError)
    assert caught.value.__context__.__context__ is None


def test_an_exception_of_a_fresh_greenlet_has_no_context_of_its_starter() -> None:
    def body() -> None:
        raise LookupError

    try:
        raise ValueError
    except ValueError:
        with pytest.raises(LookupError) as caught:
            greenlet(body).switch()
    assert caught.value.__context__ is None


def test_what_a_greenlet_was_handling_at_its_end_does_not_leak_out() -> None:
    def body() -> str:
        try:
            raise ValueError
        except ValueError:
            return "ended while handling"

    assert greenlet(body).switch() == "ended while handling"
    assert sys.exc_info() == NOTHING

    def fails() -> None:
        try:
            raise ValueError
        except ValueError:
            raise KeyError from None

    with pytest.raises(KeyError):
        greenlet(fails).switch()
    assert sys.exc_info() == NOTHING


def test_a_generator_that_handles_an_exception_keeps_it_across_switches() -> None:
    def produce() -> Generator[BaseException | None, None, None]:
        try:
            raise ValueError("inside the generator")
        except ValueError:
            while True:
                to_parent()
                yield sys.exc_info()[1]

    def body() -> None:
        source = produce()
        try:
            raise KeyError("inside the greenlet")
        except KeyError as mine:
            for _ in range(3):
                assert isinstance(next(source), ValueError)
                assert sys.exc_info()[1] is mine
            source.close()

    it = parked(body)
    try:
        raise LookupError
    except LookupError as mine:
        while not it.dead:
            it.switch()
            assert sys.exc_info()[1] is mine


def test_a_generator_that_handles_an_exception_can_be_resumed_by_another_greenlet() -> None:
    def produce() -> Iterator[tuple[BaseException | None, BaseException | None]]:
        try:
            raise ValueError("inside the generator")
        except ValueError as own:
            while True:
                yield sys.exc_info()[1], own

    source = produce()

    def body() -> bool:
        try:
            raise KeyError
        except KeyError as mine:
            seen, own = next(source)
            to_parent(seen is own)
            return sys.exc_info()[1] is mine

    crowd = [greenlet(body) for _ in range(4)]
    assert [it.switch() for it in crowd] == [True] * 4
    assert [it.switch() for it in crowd] == [True] * 4


def test_an_exception_group_is_split_correctly_across_switches() -> None:
    def body() -> list[str]:
        seen: list[str] = []
        try:
            raise ExceptionGroup("several", [ValueError(1), KeyError(2), LookupError(3)])
        except* ValueError:
            to_parent()
            seen.append(type(sys.exception()).__name__)
        except* LookupError as rest:
            to_parent()
            seen.append(str(len(rest.exceptions)))
        return seen

    it = parked(body)
    greenlet(lambda: to_parent()).switch()
    it.switch()
    assert it.switch() == ["ExceptionGroup", "2"]


def test_deeply_nested_handlers_unwind_in_the_right_greenlet() -> None:
    def body(name: str, left: int) -> list[str]:
        try:
            raise ValueError(f"{name}{left}")
        except ValueError as mine:
            below = body(name, left - 1) if left else []
            to_parent()
            current = sys.exc_info()[1]
            assert current is mine
            return [*below, str(current)]

    one, two = greenlet(body), greenlet(body)
    one.switch("a", 20)
    two.switch("b", 20)
    results: dict[greenlet, object] = {}
    while len(results) < 2:
        for it in (one, two):
            if not it.dead:
                value = it.switch()
                if it.dead:
                    results[it] = value
    assert results[one] == [f"a{i}" for i in range(21)]
    assert results[two] == [f"b{i}" for i in range(21)]
