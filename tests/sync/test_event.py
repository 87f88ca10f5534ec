"""gossamer.event.Event: a flag that green threads wait for."""

import threading
from typing import Any

import pytest

from gossamer._core import BlockingSwitchOutError, GreenletExit, get_hub, interrupt, sleep, spawn
from gossamer.event import Event
from tests.support.children import Ended, run_child
from tests.support.runtime import beside, joined, reported, turns


def test_waiters_are_woken_in_the_order_they_came() -> None:
    event, order = Event(), []
    waiters = [spawn(lambda n=n: order.append((n, event.wait()))) for n in range(5)]
    turns()
    assert order == []
    event.set()
    joined(*waiters)
    assert order == [(n, True) for n in range(5)]


def test_a_flag_that_is_up_keeps_nobody_waiting() -> None:
    event = Event()
    event.set()
    assert event.wait() is True
    assert event.wait(0) is True
    assert event.is_set() and event.isSet() and event.ready()


def test_a_wait_that_ends_too_late_is_false() -> None:
    event = Event()
    assert event.wait(0.001) is False
    assert event.wait(0) is False
    assert event.wait(-1) is False
    assert event.linkcount() == 0


def test_who_waited_is_woken_although_the_flag_is_put_down_at_once() -> None:
    event = Event()
    waiters = [spawn(event.wait, 60) for _ in range(3)]
    turns()
    event.set()
    event.clear()
    assert joined(*waiters) == [True, True, True]
    assert not event.is_set()


def test_who_finds_it_up_goes_on_after_those_who_had_to_wait() -> None:
    event, order = Event(), []

    def wait(name: str) -> None:
        event.wait()
        order.append(name)

    early = spawn(wait, "early")
    turns()
    event.set()
    wait("late")
    joined(early)
    assert order == ["early", "late"]


def test_a_waiter_that_is_killed_takes_nothing_from_the_others() -> None:
    event = Event()
    first, second = spawn(event.wait), spawn(event.wait)
    turns()
    event.set()
    interrupt(first, GreenletExit())
    joined(first, second)
    assert second.value is True
    event.clear()
    third = spawn(event.wait)
    turns()
    interrupt(third, GreenletExit())
    joined(third)
    assert event.linkcount() == 0


def test_on_the_hub_it_can_be_set_and_not_waited_for() -> None:
    event, down, answers = Event(), Event(), []
    waiter = spawn(event.wait)
    turns()

    def in_hub() -> None:
        event.set()
        answers.append(event.wait())
        with pytest.raises(BlockingSwitchOutError):
            down.wait()
        answers.append(True)

    get_hub().run_callback(in_hub)
    assert joined(waiter) == [True]
    turns()
    assert answers == [True, True]


def test_links_are_called_once_on_the_hub_in_their_order() -> None:
    event, calls = Event(), []
    for name in ("one", "two"):
        event.rawlink(lambda it, name=name: calls.append((name, it is event)))  # type: ignore[misc]
    assert event.linkcount() == 2
    event.set()
    event.set()
    assert calls == []
    turns()
    event.set()
    turns()
    assert calls == [("one", True), ("two", True)]
    assert event.linkcount() == 0


def test_a_link_to_a_flag_that_is_up_is_called_at_the_next_turn() -> None:
    event = Event()
    calls: list[Event] = []
    event.set()
    event.rawlink(calls.append)
    assert calls == []
    turns()
    assert calls == [event]


def test_a_link_can_be_taken_back_until_it_is_called() -> None:
    event = Event()
    calls: list[Event] = []
    event.rawlink(calls.append)
    event.set()
    event.unlink(calls.append)
    event.unlink(print)
    turns()
    assert calls == []


def test_of_many_links_those_that_are_left_are_called_in_the_order_they_came() -> None:
    event, calls = Event(), []

    class Call:
        def __init__(self, number: int) -> None:
            self.number = number

        def __call__(self, _: object) -> None:
            calls.append(self.number)

    links = [Call(number) for number in range(3000)]
    for link in links:
        event.rawlink(link)
    for link in links[1::2]:
        event.unlink(link)
    assert event.linkcount() == 1500
    event.set()
    turns()
    assert calls == list(range(0, 3000, 2))
    assert event.linkcount() == 0


def test_a_comparison_of_callbacks_may_link_others() -> None:
    event, calls = Event(), []

    class Meddles:
        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self, _: object) -> None:
            calls.append(self.name)

        def __eq__(self, other: object) -> bool:
            event.rawlink(lambda _: calls.append("linked"))
            return other is self

        __hash__ = None  # type: ignore[assignment] # no link needs one

    second = Meddles("second")
    event.rawlink(Meddles("first"))
    event.rawlink(second)
    event.unlink(second)
    event.set()
    turns()
    assert calls == ["first", "linked", "linked"]


def test_a_link_that_raises_is_reported_and_the_others_are_called() -> None:
    event = Event()
    calls: list[Event] = []
    event.rawlink(lambda _: 1 / 0)
    event.rawlink(calls.append)
    with reported() as reports:
        event.set()
        turns()
    assert [report.type for report in reports] == [ZeroDivisionError]
    assert calls == [event]


def test_what_cannot_be_called_is_no_link() -> None:
    with pytest.raises(TypeError, match="Expected callable: 3"):
        Event().rawlink(3)  # type: ignore[arg-type]


def test_a_native_thread_sets_it_and_waits_for_it() -> None:
    asked, answered = Event(), Event()

    def native() -> None:
        assert asked.wait(60)
        answered.set()

    with beside(native):
        asked.set()
        assert answered.wait(60)


def test_many_threads_wait_for_one_event() -> None:
    event, results = Event(), []

    def native() -> None:
        results.append(event.wait(60))

    threads = [threading.Thread(target=native) for _ in range(5)]
    for thread in threads:
        thread.start()
    while event.linkcount() < 5:
        sleep(0.001)
    event.set()
    for thread in threads:
        thread.join()
    assert results == [True] * 5


def test_its_repr_tells_its_state() -> None:
    event = Event()
    assert " clear _links[0]>" in repr(event)
    event.set()
    assert " set _links[0]>" in repr(event)
    assert bool(event)


def test_a_subclass_in_python_can_add_to_it() -> None:
    class Counting(Event):
        def __init__(self) -> None:
            self.count = 0

        def set(self) -> None:
            self.count += 1
            super().set()

    event: Any = Counting()
    event.set()
    assert (event.count, event.wait()) == (1, True)


def test_threads_can_be_made_to_use_it_and_fork() -> None:
    assert run_child("""
        import os
        import threading

        from gossamer import monkey
        from gossamer.event import Event

        monkey.patch_all()
        threading.Event = Event
        main = threading.current_thread()

        def forks():
            child = os.fork()
            if child:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                return
            main.join()
            os._exit(0)

        threads = [threading.Thread(target=forks) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("all joined")
    """) == Ended(0, "all joined\n", "")
