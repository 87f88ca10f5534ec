"""Parents: where a greenlet's end goes, and which parents it may have.

A result or exception travels to the parent, past parents that are dead; a parent that was never started is
started by it. Parents form a tree under the main greenlet of their thread.
"""

import threading
from collections.abc import Callable

import pytest

from gossamer.switching import GreenletExit, error, getcurrent, greenlet
from tests.support.children import output_of
from tests.support.greenlets import ended, parked, to_parent


class Fault(Exception):
    """An exception that nothing else raises."""


def test_the_parent_is_the_greenlet_that_created_it() -> None:
    main = getcurrent()
    assert greenlet().parent is main

    def body() -> bool:
        return greenlet().parent is getcurrent()

    assert greenlet(body).switch()


def test_the_main_greenlet_has_no_parent() -> None:
    assert getcurrent().parent is None


def test_a_result_goes_to_the_parent_not_to_the_one_that_switched() -> None:
    received: list[object] = []
    waiting = parked(lambda: received.append(to_parent()))
    greenlet(lambda: 42, parent=waiting).switch()
    assert received == [42]


def test_a_result_goes_past_dead_parents() -> None:
    nearest = ended()
    nearest.parent = ended()
    assert greenlet(lambda: 42, parent=nearest).switch() == 42


def test_an_exception_goes_past_dead_parents() -> None:
    nearest = ended()
    nearest.parent = ended()

    def body() -> None:
        raise Fault

    with pytest.raises(Fault):
        greenlet(body, parent=nearest).switch()


def test_a_greenletexit_goes_past_dead_parents_as_a_result() -> None:
    leave = GreenletExit()

    def body() -> None:
        raise leave

    assert greenlet(body, parent=ended()).switch() is leave


def test_a_parent_that_died_meanwhile_is_passed_over() -> None:
    above = greenlet(to_parent)
    below = greenlet(to_parent, parent=above)
    main = getcurrent()
    below.run = lambda: main.switch("parked")
    assert below.switch() == "parked"
    with pytest.raises(Fault):
        above.throw(Fault)
    assert below.switch("result") == "result"
    assert below.dead


def test_a_result_starts_a_parent_that_never_ran() -> None:
    above = greenlet(lambda value: ("above got", value))
    assert greenlet(lambda: 42, parent=above).switch() == ("above got", 42)
    assert above.dead


def test_a_result_that_does_not_fit_an_unstarted_parent_is_an_error_in_it() -> None:
    above = greenlet(lambda: 13)
    it = greenlet(lambda: 42, parent=above)
    with pytest.raises(TypeError, match="argument"):
        it.switch()
    assert above.dead


def test_an_unstarted_parent_without_a_function_passes_an_error_on() -> None:
    it = greenlet(lambda: 42, parent=greenlet())
    with pytest.raises(AttributeError, match="run"):
        it.switch()
    assert it.dead


def test_an_unstarted_parent_whose_function_cannot_be_read_passes_that_error_on_every_time() -> None:
    class Perverse(greenlet):
        def __getattribute__(self, name: str) -> object:
            if name == "run":
                raise Fault
            return super().__getattribute__(name)

    ran: list[int] = []
    it = greenlet(lambda: ran.append(1), parent=Perverse())
    for _ in range(2):
        with pytest.raises(Fault):
            it.switch()
    assert ran == [1]


def test_switching_to_a_dead_greenlet_starts_its_unstarted_parent() -> None:
    received: list[object] = []
    it = ended()
    it.parent = greenlet(lambda *values: received.append(values))
    assert it.switch() is None
    assert it.switch("all dead now") == "all dead now"
    assert received == [()]


def test_the_parent_of_a_parked_greenlet_can_be_changed() -> None:
    main = getcurrent()
    first, second = [], []  # type: list[object], list[object]
    waiting_first = parked(lambda: first.append(to_parent()))
    waiting_second = parked(lambda: second.append(to_parent()))
    it = greenlet(lambda: main.switch() and 42, parent=waiting_first)
    it.switch()
    it.parent = waiting_second
    it.switch(True)
    assert (first, second) == ([], [42])


def test_a_greenlet_can_change_its_own_parent_while_it_runs() -> None:
    received: list[object] = []
    waiting = parked(lambda: received.append(to_parent()))

    def body() -> int:
        getcurrent().parent = waiting
        return 42

    greenlet(body).switch()
    assert received == [42]


def test_a_switch_to_the_parent_leaves_the_greenlet_resumable_from_elsewhere() -> None:
    it = parked()
    other = greenlet(lambda: it.switch("from another"))
    assert other.switch() == "from another"
    assert it.dead and not other.dead


def test_a_greenlet_that_is_its_own_ancestor_is_refused() -> None:
    one, two, three = greenlet(), greenlet(), greenlet()
    with pytest.raises(ValueError, match="cyclic parent chain"):
        one.parent = one
    one.parent = two
    two.parent = three
    with pytest.raises(ValueError, match="cyclic parent chain"):
        three.parent = one
    assert three.parent is getcurrent()


def test_a_cycle_through_started_greenlets_is_refused() -> None:
    one = parked()
    two = greenlet(int, parent=one)
    with pytest.raises(ValueError, match="cyclic parent chain"):
        one.parent = two


@pytest.mark.parametrize("make", [lambda: greenlet(int), parked, ended], ids=["unstarted", "parked", "dead"])
@pytest.mark.parametrize("wrong", [None, 1, "42", object(), greenlet], ids=lambda wrong: type(wrong).__name__)
def test_only_a_greenlet_can_be_assigned_as_parent(make: Callable[[], greenlet], wrong: object) -> None:
    it = make()
    with pytest.raises(TypeError, match=f"greenlet.*not {type(wrong).__name__}"):
        it.parent = wrong  # type: ignore[assignment]
    assert it.parent is getcurrent()


def test_the_parent_cannot_be_deleted() -> None:
    for it in (greenlet(int), parked(), ended(), getcurrent()):
        with pytest.raises(AttributeError, match="can't delete attribute"):
            del it.parent


def test_the_main_greenlet_cannot_be_given_a_parent() -> None:
    for wrong in (greenlet(int), getcurrent()):
        with pytest.raises(AttributeError, match="cannot set the parent of a main greenlet"):
            getcurrent().parent = wrong


def test_a_child_keeps_its_parent_alive_and_reaches_it() -> None:
    received: list[object] = []
    above = parked(lambda: received.append(to_parent()))
    it = greenlet(lambda: 42, parent=above)
    del above
    it.switch()
    assert received == [42]


def test_a_started_greenlet_cannot_get_a_parent_of_another_thread() -> None:
    foreign: list[greenlet] = []
    ready, over = threading.Event(), threading.Event()

    def work() -> None:
        foreign.append(greenlet(int))
        ready.set()
        over.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(60)
        for it in (parked(), parked(to_parent)):
            with pytest.raises(ValueError, match="parent cannot be on a different thread"):
                it.parent = foreign[0]
            assert it.parent is getcurrent()
    finally:
        over.set()
        thread.join()


def test_an_unstarted_greenlet_belongs_to_the_thread_of_its_parent() -> None:
    crossing = greenlet(lambda: "ran")
    outcome: list[object] = []

    def work() -> None:
        try:
            crossing.switch()
        except error as refused:
            outcome.append(type(refused))
        crossing.parent = getcurrent()
        outcome.append(crossing.switch())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcome == [error, "ran"]


@pytest.mark.parametrize("alive", [True, False], ids=["still running", "ended"])
def test_a_parent_of_another_thread_assigned_while_starting_is_refused(alive: bool) -> None:
    foreign: list[greenlet] = []
    ready, over = threading.Event(), threading.Event()

    def work() -> None:
        foreign.append(ended())
        ready.set()
        over.wait(60)

    class Wandering(greenlet):
        def __getattribute__(self, name: str) -> object:
            if name == "run":
                self.parent = foreign[0]
            return super().__getattribute__(name)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(60)
        if not alive:
            over.set()
            thread.join()
        with pytest.raises(error, match="different thread"):
            Wandering(int).switch()
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("made_of", ["greenlet(None, parent)", "Own(parent)"])
def test_a_lineage_of_a_million_is_dropped_at_once(made_of: str) -> None:
    child = f"""
    from gossamer.switching import greenlet

    class Own(greenlet):
        def __new__(cls, above):
            self = super().__new__(cls)
            self.above = above
            return self

        def __init__(self, above):
            pass

    parent = None
    for _ in range(1_000_000):
        parent = {made_of}
    del parent
    print("dropped")
    """
    assert output_of(child) == "dropped\n"


def test_a_lineage_of_a_million_that_is_part_of_a_cycle_is_collected() -> None:
    child = """
    import gc
    from gossamer.switching import greenlet

    first = parent = greenlet()
    for _ in range(1_000_000):
        parent = greenlet(None, parent)
    first.last = parent
    del first, parent
    gc.collect()
    print(sum(isinstance(it, greenlet) for it in gc.get_objects()) < 10)
    """
    assert output_of(child) == "True\n"
