"""Greenlet.kill, throw, killall: in every state that a greenlet can be in, and from every place."""

import threading
from typing import Any

import pytest

import gossamer
from gossamer import Greenlet, GreenletExit, Timeout, get_hub, getcurrent, joinall, killall, sleep, spawn
from gossamer._core import WaitQueue, greenlet
from gossamer.event import Event
from gossamer.queue import Queue
from tests.support.runtime import beside, joined, reported, turns, until
from tests.support.scale import patience


def stubborn() -> str:
    try:
        sleep(60)
    except GreenletExit:
        sleep(0.02)
    return "survived"


def test_one_that_waits_ends_with_greenlet_exit_as_its_value() -> None:
    it = spawn(sleep, 60)
    turns(1)
    it.kill()
    assert (it.ready(), it.successful(), it.dead, it.exception) == (True, True, True, None)
    assert isinstance(it.value, GreenletExit)
    assert isinstance(it.get(), GreenletExit)


@pytest.mark.parametrize("begin", [lambda it: None, Greenlet.start, lambda it: it.start_later(0.001)])
def test_one_that_has_not_begun_never_does_and_its_links_are_called(begin: Any) -> None:
    calls: list[object] = []
    it = Greenlet(calls.append, "ran")
    it.link(lambda it: calls.append(("link", it.value)))
    it.link_value(lambda it: calls.append("value"))
    it.link_exception(lambda it: calls.append("exception"))
    begin(it)
    it.kill()
    assert it.ready()
    assert it.dead
    assert not it.started
    assert not it
    it.start()
    sleep(0.005)
    assert calls == [("link", it.value), "value"]
    assert isinstance(it.value, GreenletExit)


@pytest.mark.parametrize("error", [ValueError("late"), ValueError])
def test_any_exception_may_be_given_as_a_class_or_an_instance(error: Any) -> None:
    parked, fresh = spawn(sleep, 60), Greenlet(sleep, 60)
    turns(1)
    with reported() as reports:
        parked.kill(error)
        fresh.kill(error)
    for it in (parked, fresh):
        assert type(it.exception) is ValueError
        assert not it.successful()
        with pytest.raises(ValueError, match=r"^(late)?$"):
            it.get()
    assert [report.context for report in reports] == [parked, fresh]


def test_what_is_no_exception_is_refused() -> None:
    it = spawn(sleep, 60)
    with pytest.raises(TypeError, match="must be classes, or instances"):
        it.kill("enough")  # type: ignore[arg-type]
    it.kill()


def test_it_may_be_refused() -> None:
    it = spawn(stubborn)
    turns(1)
    assert it.kill(timeout=0.001) is None
    assert not it.ready()
    assert it.get() == "survived"


def test_killing_twice_and_after_the_end_does_nothing_more() -> None:
    it = spawn(sleep, 60)
    turns(1)
    it.kill()
    value = it.value
    it.kill()
    it.kill(ValueError)
    assert it.value is value


def test_without_block_the_greenlets_end_in_the_order_of_the_calls() -> None:
    order: list[int] = []

    def waits(number: int) -> None:
        try:
            sleep(60)
        finally:
            order.append(number)

    crowd = [spawn(waits, number) for number in range(4)]
    turns(1)
    for number in (2, 0, 3, 1):
        crowd[number].kill(block=False)
    assert order == []
    turns(1)
    assert order == [2, 0, 3, 1]


def test_two_exceptions_come_one_after_the_other() -> None:
    seen: list[type[BaseException]] = []

    def waits() -> None:
        for _ in range(2):
            try:
                sleep(60)
            except (KeyError, LookupError) as error:
                seen.append(type(error))

    it = spawn(waits)
    turns(1)
    it.kill(KeyError, block=False)
    it.kill(IndexError, block=False)
    it.join()
    assert seen == [KeyError, IndexError]


def test_one_that_was_let_go_on_before_keeps_what_it_was_given_and_is_ended_where_it_waits_next() -> None:
    queue: Queue[str] = Queue()
    taken: list[str] = []

    def takes() -> None:
        while True:
            taken.append(queue.get())

    it = spawn(takes)
    turns(1)
    queue.put("one")
    turns(1)
    assert taken == ["one"]
    woken = WaitQueue()
    it = spawn(lambda: taken.append("woken" if woken.park() else "") or sleep(60))
    turns(1)
    woken.unpark()
    it.kill()
    assert taken == ["one", "woken"]
    assert isinstance(it.value, GreenletExit)


def test_a_kill_by_another_that_is_ready_comes_before_those_that_became_so_later() -> None:
    order: list[str] = []

    def ends() -> None:
        try:
            sleep(0)
            sleep(0)
        finally:
            order.append("killed")

    def kills() -> None:
        it.kill(block=False)
        spawn(order.append, "spawned after the kill")

    it = spawn(ends)
    turns(1)
    joinall([spawn(kills), it])
    turns(1)
    assert order == ["killed", "spawned after the kill"]


def test_kills_arrive_in_the_order_in_which_they_were_sent_though_it_waits_for_something_else_by_then() -> None:
    ended, errors = Event(), []

    def takes_what_comes() -> None:
        for wait in (lambda: sleep(0), ended.wait, ended.wait):
            try:
                wait()
            except LookupError as error:
                errors.append(error.args[0])

    it = spawn(takes_what_comes)
    turns(1)
    spawn(it.kill, LookupError("second"), block=False)
    it.kill(LookupError("first"), block=False)  # it is ready, and waits for the event when the other kill comes
    joined(it)
    assert errors == ["first", "second"]


def test_killing_oneself_raises_at_once() -> None:
    def ends() -> str:
        here = getcurrent()
        assert isinstance(here, Greenlet)
        here.kill()
        return "went on"

    assert isinstance(spawn(ends).get(), GreenletExit)


def test_killing_oneself_without_block_raises_at_the_next_wait() -> None:
    seen = []

    def ends() -> str:
        here = getcurrent()
        assert isinstance(here, Greenlet)
        here.kill(block=False)
        seen.append("went on")
        sleep(60)
        return "never"

    assert isinstance(spawn(ends).get(), GreenletExit)
    assert seen == ["went on"]


def test_one_that_runs_in_a_bare_greenlet_of_its_own_is_ended_when_it_waits() -> None:
    def outer() -> None:
        here = getcurrent()
        assert isinstance(here, Greenlet)
        greenlet(lambda: here.kill(block=False)).switch()
        sleep(60)

    assert isinstance(spawn(outer).get(), GreenletExit)


def test_a_callback_may_kill_without_block() -> None:
    it = spawn(sleep, 60)
    turns(1)
    get_hub().run_callback(it.kill, GreenletExit, False)
    it.join()
    assert isinstance(it.value, GreenletExit)


def test_another_thread_may_kill_one_that_waits_and_one_that_has_not_begun() -> None:
    parked, fresh, started = spawn(sleep, 60), Greenlet(sleep, 60), Greenlet(sleep, 60)
    turns(1)

    def work() -> None:
        started.start()
        for it in (parked, fresh, started):
            it.kill(timeout=patience(30))
            assert it.ready()

    with beside(work):
        joined(parked)
    assert all(isinstance(it.value, GreenletExit) for it in (parked, fresh, started))


def test_another_thread_may_kill_one_while_it_runs() -> None:
    began = threading.Event()
    go_on: list[int] = []

    def runs() -> None:
        began.set()
        while not go_on:
            pass
        sleep(60)

    def work() -> None:
        began.wait()
        it.kill(block=False)
        go_on.append(1)

    it = Greenlet(runs)
    with beside(work):
        it.start()
        until(it.ready)
    assert isinstance(it.value, GreenletExit)


# ---- throw ----


def test_throw_into_one_that_has_not_begun_ends_it_and_returns() -> None:
    it = Greenlet(sleep)
    with reported():
        assert it.throw(KeyError("thrown")) is None
    assert isinstance(it.exception, KeyError)
    assert it.dead


def test_throw_from_a_callback_switches_at_once() -> None:
    it = spawn(sleep, 60)
    turns(1)
    seen: list[bool] = []

    def throw() -> None:
        it.throw(ValueError, "thrown")
        seen.append(it.ready())

    with reported():
        get_hub().run_callback(throw)
        it.join()
        turns(2)
    assert str(it.exception) == "thrown"
    assert seen == [True]


def test_throw_into_one_that_has_ended_does_nothing() -> None:
    it = spawn(int)
    it.join()
    assert it.throw() is None


# ---- several ----


def test_killall_ends_all_and_waits_for_them() -> None:
    crowd: list[Any] = [spawn(sleep, 60), spawn(stubborn), Greenlet(sleep), spawn(int)]
    turns(1)
    killall(crowd)
    assert all(it.ready() for it in crowd)
    assert crowd[1].value == "survived"


def test_killall_raises_timeout_for_those_that_do_not_end() -> None:
    it = spawn(stubborn)
    turns(1)
    with pytest.raises(Timeout, match="0.001 seconds"):
        killall([it], timeout=0.001)
    it.join()


def test_killall_without_block_returns_before_they_end() -> None:
    it = spawn(sleep, 60)
    turns(1)
    killall([it], block=False)
    assert not it.ready()
    it.join()


def test_killall_takes_bare_greenlets_too() -> None:
    def waits() -> None:
        seen.append("began")
        try:
            sleep(60)
        finally:
            seen.append("ended")

    seen: list[str] = []
    it = gossamer.spawn_raw(waits)
    turns(2)
    killall([it])
    turns(2)
    assert seen == ["began", "ended"]
    assert it.dead


def test_kill_of_the_package_takes_any_greenlet_and_does_not_wait() -> None:
    it = spawn(sleep, 60)
    turns(1)
    gossamer.kill(it)
    assert not it.ready()
    it.join()
    gossamer.kill(it)
