"""local: attributes of a greenlet's own, and nothing left of greenlets that have gone."""

import copy
import gc
import pickle
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


def test_a_descriptor_with_one_of_set_and_delete_handles_that_alone() -> None:
    calls: list[object] = []

    class Settable:
        def __set__(self, instance: object, value: object) -> None:
            calls.append(value)

    class Deletable:
        def __delete__(self, instance: object) -> None:
            calls.append("deleted")

    class Own(local):
        settable, deletable = Settable(), Deletable()

    it = Own()
    it.settable, it.deletable = 1, 2  # type: ignore[assignment]
    assert (calls, vars(it)) == ([1], {"deletable": 2})
    del it.deletable
    assert calls == [1, "deleted"]
    with pytest.raises(AttributeError):
        del it.settable


def test_a_slot_and_a_property_of_a_subclass_can_be_deleted() -> None:
    class Own(local):
        __slots__ = ("shared",)

        @property
        def value(self) -> object:
            return self.x

        @value.deleter
        def value(self) -> None:
            del self.x

    it = Own()
    it.shared = it.x = 1
    del it.shared, it.value
    assert (hasattr(it, "shared"), hasattr(it, "value"), vars(it)) == (False, False, {})
    with pytest.raises(AttributeError):
        del it.shared


def test_a_subclass_may_put_itself_before_each_of_the_three() -> None:
    class Own(local):
        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            return value * 2 if name == "x" else value

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value + 1)

        def __delattr__(self, name: str) -> None:
            super().__delattr__(name.lower())

    it = Own()
    it.x = 1
    assert (it.x, vars(it)) == (4, {"x": 2})
    del it.X
    assert vars(it) == {}


def test_an_attribute_hides_a_method_and_a_value_of_the_class_in_its_greenlet_alone() -> None:
    class Own(local):
        constant = 7

        def get(self) -> int:
            return 1

    it = Own()
    it.constant, it.get = 8, lambda: 2  # type: ignore[method-assign]
    assert (it.constant, it.get()) == (8, 2)
    assert joined(spawn(lambda: (it.constant, it.get()))) == [(7, 1)]
    del it.constant, it.get
    assert (it.constant, it.get()) == (7, 1)


def test_the_name_of_an_attribute_is_a_string() -> None:
    it = local()
    for call in (
        lambda: it.__getattribute__(1),  # type: ignore[arg-type]
        lambda: it.__setattr__(1, 2),  # type: ignore[arg-type]
        lambda: it.__delattr__(1),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="must be string"):
            call()


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
    assert getattr(it, b"__dict__".decode()) is it.__dict__
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


def test_a_copy_has_nothing_that_was_deleted_here() -> None:
    class Own(local):
        def __init__(self) -> None:
            self.x = 1

    it = Own()
    del it.x
    assert vars(copy.copy(it)) == {}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_can_be_neither_pickled_nor_copied_deeply(protocol: int) -> None:
    class Own(local):
        pass

    for it in (local(), Own()):
        with pytest.raises(TypeError):
            pickle.dumps(it, protocol)
        with pytest.raises(TypeError, match="cannot pickle"):
            copy.deepcopy(it)


def test_greenlets_that_take_turns_find_their_own_each_time() -> None:
    it = local()

    def use(number: int) -> list[int]:
        it.number = number
        seen = []
        for _ in range(20):
            it.number += 10
            seen.append(it.number)
            turns(1)
        return seen

    expected = [[number + 10 * (turn + 1) for turn in range(20)] for number in range(5)]
    assert joined(*[spawn(use, number) for number in range(5)]) == expected


def test_os_threads_that_take_turns_find_their_own_each_time() -> None:
    it = local()
    it.x = 0

    def use() -> bool:
        it.x = 1
        return all(in_thread(lambda: hasattr(it, "x")) is False and it.x == 1 for _ in range(5))

    assert in_thread(use)
    assert it.x == 0


def test_a_greenlet_at_the_address_of_one_that_has_gone_finds_nothing() -> None:
    it = local()
    addresses = set()

    def use() -> bool:
        before = hasattr(it, "x")
        it.x = 1
        return before

    for _ in range(100):
        raw = greenlet(use)
        addresses.add(id(raw))
        assert raw.switch() is False
        del raw
    assert len(addresses) < 100


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


def test_it_can_be_referred_to_weakly() -> None:
    it = local()
    gone = ref(it)
    assert gone() is it
    del it
    assert gone() is None


@pytest.mark.parametrize("way", ["value", "argument", "local"])
def test_one_that_holds_itself_is_collected(way: str) -> None:
    class Own(local):
        def __init__(self, held: list[object]) -> None:
            self.held = held

    held: list[object] = []
    it = Own(held)
    if way == "value":
        it.me = it
    elif way == "argument":
        held.append(it)
    else:
        it.other = local()
        it.other.back = it
    it.value = Value()
    gone = ref(it), ref(it.value)
    del it, held
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_one_that_its_finaliser_saves_from_the_collector_works_on() -> None:
    saved: list[Any] = []

    class Own(local):
        def __del__(self) -> None:
            saved.append(self)

    def use(it: Any) -> bool:
        before = hasattr(it, "x")
        it.x = Value()
        return before

    it = Own()
    it.me, it.x = it, 1
    assert joined(spawn(use, it)) == [False]
    del it
    gc.collect()
    [kept] = saved
    assert kept.x == 1
    assert [greenlet(use).switch(kept) for _ in range(10)] == [False] * 10
    assert joined(spawn(use, kept)) == [False]
    kept.me = None


def test_it_keeps_no_greenlet() -> None:
    it = local()

    def use() -> None:
        it.x = 1
        parent = getcurrent().parent
        assert parent is not None
        parent.switch()

    green, raw = spawn(setattr, it, "x", 1), greenlet(use)
    joined(green)
    raw.switch()
    gone = ref(green), ref(raw)
    del green, raw
    turns()
    assert [reference() for reference in gone] == [None, None]


def test_one_that_goes_takes_its_links_back() -> None:
    kept = local()

    def use() -> list[bool]:
        links = [green.has_links()]
        for _ in range(3):
            it = local()
            it.x = 1
            links.append(green.has_links())
            del it
            links.append(green.has_links())
        kept.x = 1
        return [*links, green.has_links()]

    green = spawn(use)
    assert joined(green) == [[False, True, False, True, False, True, False, True]]


def test_an_init_that_fails_leaves_no_link() -> None:
    class Own(local):
        def __init__(self) -> None:
            if getcurrent() is green:
                raise ValueError("not here")

    def use() -> bool:
        with pytest.raises(ValueError, match="not here"):
            it.x
        return green.has_links()

    green = spawn(use)
    it = Own()
    assert joined(green) == [False]


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
