"""Links: callables that the hub calls once a green thread has ended."""

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from gossamer import _core, switching
from gossamer._core import GreenletExit, GreenThread, WaitQueue, get_hub, getcurrent, sleep, spawn
from tests.support.runtime import beside, in_thread, joined, reported, turns


def test_links_are_called_on_the_hub_with_the_green_thread_in_the_order_made() -> None:
    seen: list[Any] = []
    it = spawn(sleep, 0)

    def link(number: int, ended: GreenThread) -> None:
        seen.append((number, ended, getcurrent()))

    for number in range(3):
        it.rawlink(partial(link, number))
    joined(it)
    turns()
    assert seen == [(number, it, get_hub()) for number in range(3)]


def test_a_link_to_a_finished_one_is_called_in_turn_not_at_once() -> None:
    seen: list[GreenThread] = []
    it = spawn(int)
    joined(it)
    it.rawlink(seen.append)
    assert seen == []
    turns()
    assert seen == [it]


def test_a_link_to_a_failing_one_is_called() -> None:
    seen: list[type[BaseException | None]] = []

    def body() -> None:
        raise LookupError

    with reported():
        it = spawn(body)
        it.rawlink(lambda ended: seen.append(type(ended.exception)))
        joined(it)
        turns()
    assert seen == [LookupError]


def test_a_link_taken_back_is_not_called() -> None:
    seen: list[str] = []

    def kept(_: GreenThread) -> None:
        seen.append("kept")

    def taken_back(_: GreenThread) -> None:
        seen.append("taken back")

    it = spawn(sleep, 0)
    it.unlink(taken_back)
    it.rawlink(taken_back)
    it.rawlink(kept)
    it.unlink(taken_back)
    it.unlink(taken_back)
    joined(it)
    turns()
    assert seen == ["kept"]


def test_a_link_made_twice_is_called_twice_and_taken_back_once_at_a_time() -> None:
    seen: list[GreenThread] = []
    link = seen.append
    it = spawn(sleep, 0)
    for _ in range(3):
        it.rawlink(link)
    it.unlink(link)
    joined(it)
    turns()
    assert seen == [it, it]


@pytest.mark.parametrize("taken", [range(20), range(19, -1, -1), [7, 12, 0, 19, 10, 9]])
def test_links_taken_back_in_any_order_leave_the_others_in_theirs(taken: Sequence[int]) -> None:
    called: list[int] = []
    it = GreenThread(int)
    links = [lambda _, number=number: called.append(number) for number in range(20)]
    for link in links:
        it.rawlink(link)
    for number in taken:
        it.unlink(links[number])
    it.start()
    joined(it)
    turns()
    assert called == [number for number in range(20) if number not in taken]


@pytest.mark.parametrize("link", [None, 5, "text"], ids=repr)
def test_a_link_must_be_callable(link: Any) -> None:
    it = spawn(int)
    with pytest.raises(TypeError, match="callable"):
        it.rawlink(link)
    joined(it)


def test_a_failing_link_is_reported_and_the_others_are_called() -> None:
    seen: list[GreenThread] = []

    def fails(_: GreenThread) -> None:
        raise LookupError("from the link")

    with reported() as reports:
        it = spawn(int)
        it.rawlink(fails)
        it.rawlink(seen.append)
        joined(it)
        turns()
    assert seen == [it]
    assert [str(report.value) for report in reports] == ["from the link"]


def test_a_link_that_spawns_and_unparks_is_an_ordinary_thing() -> None:
    queue = WaitQueue()
    waiter = spawn(queue.park)
    made: list[GreenThread] = []

    def link(ended: GreenThread) -> None:
        queue.unpark()
        made.append(spawn(lambda: ended.value))

    it = spawn(lambda: "value")
    sleep(0)
    it.rawlink(link)
    joined(waiter, it)
    turns()
    assert joined(*made) == ["value"]


def test_a_link_made_by_another_thread_is_called_on_the_green_threads_hub() -> None:
    seen: list[object] = []
    it = spawn(sleep, 0)
    in_thread(lambda: it.rawlink(lambda _: seen.append(getcurrent())))
    joined(it)
    turns()
    assert seen == [get_hub()]


def test_a_link_to_oneself_is_called_after_the_end() -> None:
    seen: list[bool] = []

    def body() -> None:
        me = getcurrent()
        assert isinstance(me, GreenThread)
        me.rawlink(lambda ended: seen.append(ended.ready()))

    joined(spawn(body))
    turns()
    assert seen == [True]


def test_a_link_whose_comparison_changes_the_list_is_looked_for_in_what_is_left() -> None:
    it = spawn(sleep, 0)
    called: list[GreenThread] = []

    class Equal:
        def __call__(self, ended: GreenThread) -> None:
            raise AssertionError("it was taken back")

        def __eq__(self, other: object) -> bool:
            it.unlink_all()
            it.rawlink(called.append)
            return True

        __hash__ = None  # type: ignore[assignment]

    it.rawlink(Equal())
    it.unlink(print)
    joined(it)
    turns()
    assert called == [it]


def test_a_green_thread_whose_parent_is_of_a_thread_without_a_hub_is_not_started_but_linked() -> None:
    elsewhere: list[Any] = []
    started, go_on = threading.Event(), threading.Event()

    def stay() -> None:
        elsewhere.append(switching.getcurrent())
        started.set()
        go_on.wait()

    with beside(stay):
        started.wait()
        seen: list[Any] = []
        it = GreenThread(int)
        it.parent = elsewhere[0]
        with pytest.raises(switching.error, match="without a hub"):
            it.start()
        _core.throw_into(it, GreenletExit())
        it.rawlink(seen.append)
        turns()
        assert seen == [it]
        go_on.set()
