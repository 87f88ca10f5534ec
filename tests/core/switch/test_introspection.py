"""What a greenlet tells about itself, in each of its states: unstarted, running, parked, dead, main."""

import copy
import functools
import gc
import pickle
import struct
import threading
import weakref
from collections.abc import Callable

import pytest

from gossamer import switching
from gossamer.switching import GreenletExit, getcurrent, greenlet
from tests.support.greenlets import ended, parked, to_parent
from tests.support.waiting import eventually

STATES: dict[str, Callable[[], greenlet]] = {
    "unstarted": lambda: greenlet(int),
    "parked": parked,
    "dead": ended,
    "main": getcurrent,
}
in_every_state = pytest.mark.parametrize("make", STATES.values(), ids=STATES.keys())


def test_dead_and_truth_follow_the_state() -> None:
    it = greenlet(lambda: to_parent((getcurrent().dead, bool(getcurrent()))))
    assert (it.dead, bool(it)) == (False, False)
    assert it.switch() == (False, True)
    assert (it.dead, bool(it)) == (False, True)
    it.switch()
    assert (it.dead, bool(it)) == (True, False)
    assert (getcurrent().dead, bool(getcurrent())) == (False, True)


def test_a_greenlet_ended_by_an_exception_is_dead() -> None:
    it = parked()
    with pytest.raises(LookupError):
        it.throw(LookupError)
    assert (it.dead, bool(it)) == (True, False)


def test_the_main_greenlet_of_an_ended_thread_is_dead() -> None:
    kept: list[greenlet] = []
    thread = threading.Thread(target=lambda: kept.append(getcurrent()))
    thread.start()
    thread.join()
    assert eventually(lambda: kept[0].dead)
    assert kept[0].parent is None
    assert kept[0].gr_frame is None


@in_every_state
@pytest.mark.parametrize("name", ["dead", "gr_frame"])
def test_what_is_only_told_cannot_be_assigned(make: Callable[[], greenlet], name: str) -> None:
    with pytest.raises(AttributeError, match=f"{name}.*not writable|{name}"):
        setattr(make(), name, None)


@in_every_state
def test_the_representation_names_type_and_address(make: Callable[[], greenlet]) -> None:
    it = make()
    assert type(it).__name__ in repr(it)
    assert f"{id(it):x}" in repr(it)


def test_the_representation_tells_the_state() -> None:
    it = greenlet(lambda: to_parent(repr(getcurrent())))
    assert "pending" in repr(it) and "started" not in repr(it)
    running = it.switch()
    assert "current" in running and "active" in running and "started" in running
    assert "suspended" in repr(it) and "active" in repr(it) and "current" not in repr(it)
    it.switch()
    assert "dead" in repr(it)
    for word in ("suspended", "active", "started", "pending", "current"):
        assert word not in repr(it)


def test_the_representation_of_the_main_greenlet_says_so() -> None:
    main = getcurrent()
    assert "current" in repr(main) and "main" in repr(main)
    seen = greenlet(lambda: repr(main)).switch()
    assert "suspended" in seen and "main" in seen and "current" not in seen


def test_the_representation_of_the_main_greenlet_of_an_ended_thread_says_so() -> None:
    kept: list[greenlet] = []
    thread = threading.Thread(target=lambda: kept.append(getcurrent()))
    thread.start()
    thread.join()
    assert eventually(lambda: "thread exited" in repr(kept[0]))
    assert "dead" in repr(kept[0])


def test_a_greenlet_of_another_thread_is_not_called_current_here() -> None:
    main = getcurrent()
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(repr(main)))
    thread.start()
    thread.join()
    assert "current" not in seen[0] and "main" in seen[0]


def test_the_representation_of_a_subclass_carries_its_name() -> None:
    class Special(greenlet):
        pass

    assert "Special" in repr(Special())


@pytest.mark.beyond_greenlet
def test_the_representation_tells_what_the_greenlet_runs() -> None:
    def some_function() -> None:
        to_parent()

    it = greenlet(some_function)
    assert "some_function" in repr(it)
    it.switch()
    assert "some_function" in repr(it)

    class Method(greenlet):
        def run(self) -> None:
            to_parent()

    own = Method()
    assert "Method" in repr(own)
    own.switch()
    assert "run" in repr(own)


@pytest.mark.beyond_greenlet
@pytest.mark.parametrize(
    "run", [functools.partial(to_parent), to_parent, 5, None], ids=["partial", "function", "int", "None"]
)
def test_the_representation_never_fails_for_what_it_runs(run: object) -> None:
    assert repr(greenlet(run))  # type: ignore[arg-type]


def test_greenlets_compare_by_identity() -> None:
    one, two = greenlet(int), greenlet(int)
    assert one == one and one != two
    assert len({one, two, one}) == 2
    assert hash(one) == object.__hash__(one)
    with pytest.raises(TypeError, match="not supported"):
        one < two  # type: ignore[operator]


@in_every_state
def test_attributes_can_be_set_and_deleted(make: Callable[[], greenlet]) -> None:
    it = make()
    it.mark = 42  # type: ignore[attr-defined]
    assert it.__dict__["mark"] == 42
    del it.mark  # type: ignore[attr-defined]
    assert not hasattr(it, "mark")


@in_every_state
def test_the_dictionary_can_be_replaced_but_not_deleted(make: Callable[[], greenlet]) -> None:
    it, before = make(), dict(make().__dict__)
    it.__dict__ = {"mark": 42}
    assert it.mark == 42  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="__dict__"):
        del it.__dict__
    with pytest.raises(TypeError, match="__dict__ must be"):
        it.__dict__ = 42  # type: ignore[assignment]
    assert it.__dict__ == {"mark": 42}
    it.__dict__ = before


def test_a_greenlet_sees_attributes_set_from_outside_and_outside_sees_its_own() -> None:
    def body() -> None:
        me = getcurrent()
        me.answer = me.question + 1  # type: ignore[attr-defined]

    it = greenlet(body)
    it.question = 41  # type: ignore[attr-defined]
    it.switch()
    assert it.__dict__ == {"question": 41, "answer": 42}


@in_every_state
def test_weak_references_are_possible(make: Callable[[], greenlet]) -> None:
    it = make()
    assert weakref.ref(it)() is it
    assert weakref.proxy(it).dead == it.dead


@pytest.mark.parametrize(
    "make", [STATES["unstarted"], STATES["parked"], STATES["dead"]], ids=["unstarted", "parked", "dead"]
)
def test_a_weak_reference_ends_with_its_greenlet(make: Callable[[], greenlet]) -> None:
    called: list[bool] = []
    it = make()
    reference = weakref.ref(it, lambda dead: called.append(dead() is None))
    del it
    gc.collect()
    assert reference() is None
    assert called == [True]


def test_a_weak_dictionary_forgets_greenlets() -> None:
    known = weakref.WeakKeyDictionary({greenlet(int): 1})
    alive = parked()
    known[alive] = 2
    gc.collect()
    assert list(known.values()) == [2]


@in_every_state
def test_copying_is_refused(make: Callable[[], greenlet]) -> None:
    for attempt in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="greenlet"):
            attempt(make())


@in_every_state
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused(make: Callable[[], greenlet], protocol: int) -> None:
    with pytest.raises(TypeError, match="greenlet"):
        pickle.dumps(make(), protocol)


def test_pickling_an_instance_of_a_subclass_is_refused() -> None:
    class Special(greenlet):
        pass

    with pytest.raises(TypeError, match="Special"):
        copy.copy(Special())


def test_the_object_has_the_size_that_extension_modules_are_compiled_for() -> None:
    assert greenlet.__basicsize__ == object.__basicsize__ + 3 * struct.calcsize("P")


def test_the_type_and_its_methods_are_documented() -> None:
    for thing in (greenlet, greenlet.switch, greenlet.throw, getcurrent, switching.settrace, switching.gettrace):
        assert thing.__doc__


def test_the_type_tells_where_it_comes_from() -> None:
    assert greenlet.__name__ == "greenlet"
    assert GreenletExit.__name__ == "GreenletExit"
    assert switching.error.__name__ == "error"


def test_the_features_that_programs_ask_for_are_on() -> None:
    assert switching.GREENLET_USE_GC
    assert switching.GREENLET_USE_TRACING
    assert switching.GREENLET_USE_CONTEXT_VARS


@pytest.mark.beyond_greenlet
def test_the_module_has_no_other_public_names() -> None:
    assert {name for name in vars(switching) if not name.startswith("_")} == {
        "GREENLET_USE_CONTEXT_VARS",
        "GREENLET_USE_GC",
        "GREENLET_USE_STANDARD_THREADING",
        "GREENLET_USE_TRACING",
        "GreenletExit",
        "counts",
        "error",
        "get_include",
        "getcurrent",
        "gettrace",
        "greenlet",
        "settrace",
        "stacks",
    }
    assert set(switching.__all__) == {name for name in vars(switching) if not name.startswith("_")}
