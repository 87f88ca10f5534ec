"""local: attributes of a greenlet's own, and nothing left of greenlets that have gone."""

import copy
import gc
from typing import Any
from weakref import ref

import pytest

from gossamer._core import getcurrent, greenlet, spawn
from gossamer.local import local
from tests.support.runtime import in_thread, joined, turns


class Value:
    """Something that can be referred to weakly."""


def test_each_green_thread_has_attributes_of_its_own() -> None:
    it = local()
    it.name = "main"

    def other(name: str) -> tuple[bool, str, dict[str, Any]]:
        before = hasattr(it, "name")
        it.name = name
        turns(2)
        return before, it.name, dict(vars(it))

    assert joined(spawn(other, "a"), spawn(other, "b")) == [(False, x, {"name": x}) for x in "ab"]
    assert it.name == "main"


def test_a_raw_greenlet_has_attributes_of_its_own() -> None:
    it = local()
    it.x = 1
    assert greenlet(lambda: hasattr(it, "x")).switch() is False


def test_another_os_thread_has_attributes_of_its_own() -> None:
    it = local()
    it.x = 1
    assert in_thread(lambda: (hasattr(it, "x"), setattr(it, "x", 2), it.x)) == (False, None, 2)
    assert it.x == 1


def test_init_of_a_subclass_runs_once_in_each_greenlet_with_the_arguments() -> None:
    calls: list[greenlet] = []

    class Own(local):
        def __init__(self, number: int, *, named: str) -> None:
            calls.append(getcurrent())
            self.values = [number, named]

    it = Own(1, named="n")
    it.values.append("changed")
    assert joined(spawn(lambda: (it.values, it.values))) == [([1, "n"], [1, "n"])]
    assert (len(calls), len(set(calls))) == (2, 2)
    assert it.values == [1, "n", "changed"]


def test_an_init_that_fails_is_tried_again() -> None:
    class Own(local):
        failing = False

        def __init__(self) -> None:
            if Own.failing:
                Own.failing = False
                raise ValueError("once")
            self.x = 1

    it = Own()
    Own.failing = True

    def use() -> int:
        with pytest.raises(ValueError, match="once"):
            it.x
        return it.x

    assert joined(spawn(use)) == [1]


def test_arguments_without_an_init_are_refused() -> None:
    with pytest.raises(TypeError, match="takes no arguments"):
        local(1)


def test_slots_and_properties_of_a_subclass_are_shared_and_methods_see_the_greenlets_attributes() -> None:
    class Own(local):
        __slots__ = ("shared",)
        constant = 7

        @property
        def double(self) -> int:
            return int(self.x) * 2

        def get(self) -> int:
            return int(self.x)

    it = Own()
    it.shared, it.x = 1, 10

    def other() -> list[Any]:
        it.x = 20
        it.shared += 1
        with pytest.raises(AttributeError):
            it.double = 3  # type: ignore[misc]
        return [it.shared, it.double, it.get(), it.constant]

    assert joined(spawn(other)) == [[2, 40, 20, 7]]
    assert [it.shared, it.double, it.get()] == [2, 20, 10]
    it.constant = 8
    assert (it.constant, Own.constant) == (8, 7)


def test_getattr_of_a_subclass_answers_for_what_is_missing() -> None:
    class Own(local):
        def __getattr__(self, name: str) -> str:
            return name.upper()

    it = Own()
    it.x = 1
    assert (it.x, it.missing) == (1, "MISSING")


def test_deleting_concerns_the_current_greenlet_alone() -> None:
    it = local()
    it.x = 1

    def other() -> bool:
        it.x = 2
        del it.x
        with pytest.raises(AttributeError, match="'x' in this greenlet"):
            del it.x
        return hasattr(it, "x")

    assert joined(spawn(other)) == [False]
    assert it.x == 1


def test_the_dictionary_is_the_greenlets_and_stays() -> None:
    it = local()
    it.__dict__["x"] = 1
    assert it.x == 1
    with pytest.raises(AttributeError, match="cannot be replaced"):
        it.__dict__ = {}
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del it.__dict__


def test_a_copy_has_the_attributes_of_this_greenlet_at_that_moment() -> None:
    class Own(local):
        def __init__(self, x: int) -> None:
            self.x = x

    it = Own(1)
    it.y = 2
    duplicate = copy.copy(it)
    it.y = 3
    assert (type(duplicate), vars(duplicate)) == (Own, {"x": 1, "y": 2})
    assert joined(spawn(lambda: vars(duplicate).copy())) == [{"x": 1}]


def test_what_a_green_thread_has_goes_at_its_end_though_it_is_kept() -> None:
    it = local()

    def use() -> ref[Value]:
        it.value = Value()
        return ref(it.value)

    green = spawn(use)
    [value] = joined(green)
    turns()
    assert value() is None


def test_what_a_raw_greenlet_has_goes_with_it() -> None:
    it = local()

    def use() -> ref[Value]:
        it.value = Value()
        return ref(it.value)

    raw = greenlet(use)
    value = raw.switch()
    assert value() is not None
    del raw
    assert value() is None


def test_what_it_holds_goes_with_its_last_reference() -> None:
    gc.disable()
    try:
        it = local()
        value = Value()
        it.value = value
        gone = ref(value)
        del it, value
        assert gone() is None
    finally:
        gc.enable()


def test_thousands_of_greenlets_leave_nothing_behind() -> None:
    it = local()
    count = len(gc.get_objects())

    def use(number: int) -> None:
        it.number = number
        it.value = Value()

    for _ in range(5):
        joined(*[spawn(use, number) for number in range(1000)])
        for number in range(1000):
            greenlet(use).switch(number)
    turns()
    gc.collect()
    assert len(gc.get_objects()) - count < 1000
