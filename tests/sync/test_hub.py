"""gossamer.hub: the hub with gevent's interface, its Waiter, and the functions around it."""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import gossamer
from gossamer import _core, get_hub, getcurrent, sleep, spawn
from gossamer.exceptions import BlockingSwitchOutError, ConcurrentObjectUseError, LoopExit
from gossamer.hub import Hub, Waiter, get_hub_class, get_loop, reinit, set_hub, set_loop
from tests.support.children import output_of
from tests.support.runtime import in_thread, reported, turns, until


def test_the_calling_threads_hub_is_a_hub_of_the_package() -> None:
    assert type(get_hub()) is Hub is get_hub_class()
    assert get_hub() is _core.get_hub()
    assert in_thread(lambda: type(get_hub())) is Hub


def test_a_hub_that_was_made_before_becomes_one_and_stays_the_same_object() -> None:
    assert (
        output_of(
            """
from gossamer import _core
before = _core.get_hub()
plain = type(before).__module__, hasattr(before, 'loop')
parked = _core.spawn(_core.sleep, 0.01)
_core.sleep(0)
import gossamer
hub = gossamer.get_hub()
print(plain, hub is before, type(hub).__module__, hub.loop.hub is hub, parked.parent is hub)
parked.join()
done = []
hub.run_callback(done.append, 1)
gossamer.sleep(0.001)
print(done)
"""
        )
        == "('gossamer._core', False) True gossamer.hub True True\n[1]\n"
    )


def test_a_hub_that_became_one_ends_with_its_thread() -> None:
    assert (
        output_of(
            """
import gc, threading, weakref
from gossamer import _core
ready, go_on = threading.Event(), threading.Event()
hubs = []
def work():
    hubs.append(weakref.ref(_core.get_hub()))
    ready.set()
    go_on.wait()
    hubs.append(type(_core.get_hub()).__module__)
thread = threading.Thread(target=work)
thread.start()
ready.wait()
import gossamer.hub
go_on.set()
thread.join()
gc.collect()
print(hubs[0](), hubs[1])
"""
        )
        == "None gossamer.hub\n"
    )


def test_its_attributes_are_gevents() -> None:
    hub = get_hub()
    assert hub.main_hub
    assert not in_thread(lambda: get_hub().main_hub)
    assert hub.thread_ident == _core.original("_thread", None, "get_ident")()
    assert (hub.backend, hub.name, hub.threadpool_size, hub.periodic_monitoring_thread) == ("epoll", "", 10, None)
    assert hub.loop is hub.loop is get_loop()
    assert isinstance(hub.threadpool, hub.threadpool_class)
    assert isinstance(hub.resolver, hub.resolver_class)
    assert isinstance(hub.loop, hub.loop_class)
    assert hub.minimal_ident >= 0
    assert hub.exception_stream is sys.stderr
    assert hub.parent is getcurrent()


def test_a_thread_keeps_its_hub_and_its_loop() -> None:
    set_hub(get_hub())
    set_loop(get_loop())
    other = in_thread(get_hub)
    with pytest.raises(ValueError, match="cannot become the hub of this thread"):
        set_hub(other)
    with pytest.raises(ValueError, match="cannot become the loop of this thread"):
        set_loop(other.loop)
    reinit()


def test_destroy_ends_the_threads_of_the_pool_and_a_new_pool_is_made_when_needed() -> None:
    hub = get_hub()
    before = hub.threadpool
    assert before.apply(int) == 0
    hub.destroy()
    assert before.size == 0
    assert hub.threadpool is not before
    assert hub.threadpool.apply(int) == 0
    hub.destroy()
    assert get_hub() is hub


# ---- errors ----


def test_an_error_without_a_context_is_printed_and_raised_in_the_main_greenlet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = LookupError("on purpose")
    get_hub().run_callback(get_hub().handle_error, None, LookupError, error, None)
    with pytest.raises(LookupError) as caught:
        sleep(0.01)
    assert caught.value is error
    assert "LookupError: on purpose" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt("now"), SystemExit(3), SystemError("broken")])
def test_system_errors_are_raised_in_the_main_greenlet(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    spawn(fail)
    with pytest.raises(type(error)) as caught:
        sleep(1)
    assert caught.value is error
    assert ("failed with" in capsys.readouterr().err) is not isinstance(error, SystemExit)


def test_greenlet_exit_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    get_hub().handle_error("context", gossamer.GreenletExit, gossamer.GreenletExit(), None)
    assert capsys.readouterr().err == ""


def test_a_context_whose_repr_fails_is_named_by_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError

    get_hub().handle_error(Odd(), LookupError, LookupError("on purpose"), None)
    assert "<Odd that cannot be shown> failed with LookupError" in capsys.readouterr().err


def test_errors_go_to_sys_stderr_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    get_hub().handle_error("what", LookupError, LookupError("on purpose"), None)
    assert "what failed with LookupError" in stream.getvalue()
    monkeypatch.setattr(sys, "stderr", None)
    get_hub().handle_error("what", LookupError, LookupError("on purpose"), None)


# ---- waiting for watchers, as drivers do ----


def test_a_driver_waits_for_a_descriptor_by_a_watcher() -> None:
    reading, writing = os.pipe()
    hub = get_hub()
    watcher = hub.loop.io(reading, 1)
    gossamer.spawn_later(0.005, os.write, writing, b"x")
    hub.wait(watcher)
    assert os.read(reading, 1) == b"x"
    assert not watcher.active
    hub.wait(hub.loop.io(writing, 2))
    hub.wait(hub.loop.io(writing, 3))
    os.close(reading)
    os.close(writing)


def test_a_wait_for_a_timer_ends_at_its_time() -> None:
    get_hub().wait(get_hub().loop.timer(0.001))


@pytest.mark.parametrize("events", [1, 3])
def test_a_wait_for_a_watcher_can_be_cancelled(events: int) -> None:
    reading, writing = os.pipe()
    hub = get_hub()
    watcher = hub.loop.io(reading, events)
    it = spawn(hub.wait, watcher)
    turns(2)
    with reported():
        hub.cancel_wait(watcher, ConnectionError("closed"))
        it.join()
    assert isinstance(it.exception, ConnectionError)
    assert not watcher.active
    hub.cancel_wait(watcher, ConnectionError("nobody waits"))
    turns()
    os.close(reading)
    os.close(writing)


def test_a_cancelled_wait_that_has_ended_by_then_does_not_end_the_next_ones() -> None:
    hub = get_hub()
    watcher = hub.loop.async_()
    first = spawn(hub.wait, watcher)
    turns(2)
    watcher.send()
    turns(1)  # the first is ready, and the second waits before the turn of what cancels the first's wait
    second = spawn(hub.wait, watcher)
    hub.cancel_wait(watcher, ConnectionError("closed"))
    turns()
    assert first.ready()
    assert not second.ready()
    second.kill()
    hub.cancel_wait(watcher, ConnectionError("nobody waits"))
    third = spawn(hub.wait, watcher)
    turns()
    assert not third.ready()
    watcher.send()
    third.join()
    assert (first.exception, third.exception) == (None, None)
    with pytest.raises(TypeError, match="deriving"):
        hub.cancel_wait(watcher, 5)  # type: ignore[arg-type]


def test_cancel_closes_a_watcher_that_nobody_waits_for_at_once() -> None:
    watcher = get_hub().loop.timer(60)
    watcher.start(int)
    get_hub().cancel_wait(watcher, ConnectionError, close_watcher=True)
    assert not watcher.active


WAYS_TO_WAIT: list[Callable[[], object]] = [
    lambda: sleep(1),
    lambda: get_hub().wait(get_hub().loop.timer(1)),
    lambda: get_hub().switch_out(),
]


def test_the_hub_greenlet_cannot_wait() -> None:
    seen: list[BaseException] = []

    def callback() -> None:
        for wait in WAYS_TO_WAIT:
            with pytest.raises(BlockingSwitchOutError) as caught:
                wait()
            seen.append(caught.value)

    get_hub().run_callback(callback)
    turns()
    assert len(seen) == 3


def test_a_callback_that_switches_away_goes_on_before_others_wait() -> None:
    order: list[str] = []

    def callback() -> None:
        _core.greenlet(aside, get_hub()).switch()
        order.append("callback")

    def aside() -> None:
        order.append("aside")
        sleep(0.02)
        order.append("aside again")

    get_hub().run_callback(callback)
    sleep(0.001)
    assert order == ["aside", "callback"]
    until(lambda: len(order) == 3)


# ---- Waiter ----


def test_a_waiter_hands_a_value_to_the_one_who_waits() -> None:
    waiter = Waiter()
    get_hub().run_callback(waiter.switch, 5)
    assert waiter.get() == 5
    assert not waiter.ready()


def test_a_waiter_keeps_a_value_for_whoever_comes() -> None:
    waiter = Waiter()
    assert (waiter.ready(), waiter.successful(), waiter.value, waiter.exc_info) == (False, False, None, None)
    waiter.switch_args(1, 2)
    assert (waiter.ready(), waiter.successful(), waiter.value) == (True, True, (1, 2))
    assert waiter.get() == (1, 2)
    assert waiter.get() == (1, 2)
    waiter.clear()
    assert not waiter.ready()


def test_a_waiter_raises_what_was_thrown() -> None:
    waiter = Waiter()
    get_hub().run_callback(waiter.throw, LookupError("on purpose"))
    with pytest.raises(LookupError):
        waiter.get()
    waiter.throw(LookupError, "again")
    assert (waiter.ready(), waiter.successful()) == (True, False)
    info = waiter.exc_info
    assert info is not None
    assert info[0] is LookupError
    with pytest.raises(LookupError, match="again"):
        waiter.get()


def test_a_waiter_serves_one_greenlet() -> None:
    waiter = Waiter()
    it = spawn(waiter.get)
    turns(1)
    with pytest.raises(ConcurrentObjectUseError, match=r"already used by <Greenlet"):
        waiter.get()
    waiter.switch("value")
    assert it.get() == "value"


def test_a_waiter_can_be_served_by_another_thread() -> None:
    waiter = Waiter()
    it = spawn(waiter.get)
    turns(1)
    in_thread(lambda: waiter.switch("value"))
    assert it.get() == "value"


def test_a_wait_that_nothing_can_end_is_a_loop_exit() -> None:
    assert output_of(
        """
import gossamer.hub
try:
    gossamer.hub.Waiter().get()
except gossamer.hub.LoopExit as error:
    print('<Waiter waiting' in str(error))
"""
    ) == ("True\n")
    assert issubclass(LoopExit, Exception)


# ---- signals ----


def test_a_signal_handler_runs_in_a_greenlet_of_its_own() -> None:
    seen: list[Any] = []

    def handler(*args: Any, **kwargs: Any) -> None:
        sleep(0.001)
        seen.append((args, kwargs, getcurrent() not in (main, get_hub())))

    main, before = getcurrent(), signal.getsignal(signal.SIGUSR1)
    watched = gossamer.signal_handler(signal.SIGUSR1, handler, 1, key=2)
    try:
        assert not watched.ref
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: seen)
    finally:
        watched.cancel()
    assert seen == [((1,), {"key": 2}, True)]
    assert signal.getsignal(signal.SIGUSR1) is before


def test_what_a_signal_handler_raises_is_raised_in_the_main_greenlet() -> None:
    def handler() -> None:
        raise LookupError("from the handler")

    watched = gossamer.signal_handler(signal.SIGUSR1, handler)
    try:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGUSR1)
            with pytest.raises(LookupError, match="from the handler"):
                sleep(60)
    finally:
        watched.cancel()


def test_a_signal_handler_must_be_callable() -> None:
    with pytest.raises(TypeError, match="must be callable"):
        gossamer.signal_handler(signal.SIGUSR1, 3)  # type: ignore[arg-type]


# ---- fork ----


def test_green_threads_live_on_in_a_forked_child() -> None:
    assert (
        output_of(
            """
import gossamer, os, sys
it = gossamer.spawn(lambda: (gossamer.sleep(0.01), 'value')[1])
gossamer.sleep(0)
child = gossamer.fork()
value = it.get()
if child == 0:
    gossamer.reinit()
    os._exit(0 if value == 'value' and gossamer.wait() else 1)
print(value, os.waitpid(child, 0)[1])
"""
        )
        == "value 0\n"
    )


def test_native_threads_may_call_run_callback() -> None:
    seen: list[Any] = []
    hub = get_hub()
    in_thread(lambda: hub.loop.run_callback_threadsafe(seen.append, threading.get_ident))
    turns()
    assert len(seen) == 1


def test_errors_go_to_the_stream_that_is_set_and_nowhere_if_that_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub, stream = get_hub(), io.StringIO()
    monkeypatch.setitem(hub.__dict__, "exception_stream", None)
    hub.exception_stream = stream
    hub.print_exception("something", LookupError, LookupError("why"), None)
    hub.exception_stream = None
    hub.print_exception("something", LookupError, LookupError("not this"), None)
    assert "LookupError: why" in stream.getvalue()
    assert "not this" not in stream.getvalue() + capsys.readouterr().err
