"""threading.Thread, while the group "green-threads" is on: a green thread, to be used as ever."""

import _thread
import concurrent.futures
import itertools
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import spawn
from tests.support.children import output_of, run_child
from tests.support.green_threads import PRELUDE, green_threads, run_all

start_before = _thread.start_new_thread


@pytest.fixture(autouse=True)
def _green() -> Iterator[None]:
    with green_threads():
        yield


def natively(function: Callable[..., Any], *args: Any) -> _thread.LockType:
    """Run it in an OS thread of its own. The lock is released at the end."""
    done = _thread.allocate_lock()
    done.acquire()

    def body() -> None:
        try:
            function(*args)
        finally:
            done.release()

    _core.original("_thread", None, "start_new_thread")(body, ())
    return done


# ---- who is who ----


def test_a_thread_runs_as_a_green_thread_of_the_one_that_started_it() -> None:
    natives, greenlets = set(), set()

    def note() -> None:
        natives.add(threading.get_native_id())
        greenlets.add(_core.getcurrent())

    run_all(*(threading.Thread(target=note) for _ in range(3)))
    assert natives == {threading.get_native_id()}
    assert len(greenlets) == 3
    assert all(isinstance(each, _core.GreenThread) for each in greenlets)


def test_threads_that_wait_take_turns() -> None:
    order: list[int] = []
    gate = threading.Event()

    def body() -> None:
        gate.wait()
        for step in range(3):
            order.append(step)
            time.sleep(0)

    threads = [threading.Thread(target=body) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert order == [0, 0, 1, 1, 2, 2]


def test_a_function_imported_before_gossamer_starts_green_threads() -> None:
    out = output_of(
        """
        import warnings; warnings.simplefilter('ignore')
        from _thread import start_new_thread, allocate_lock
        from threading import Thread, get_ident, get_native_id
        def hot(function):
            done.acquire()
            start_new_thread(function, ())
            with done:
                pass
        done = allocate_lock()
        for _ in range(50):
            hot(done.release)
        from gossamer import _core
        _core.get_hub()
        _core.points_switch('green-threads', True)
        def show():
            print(get_native_id() == here, get_ident() != ident)
            done.release()
        here, ident = get_native_id(), get_ident()
        hot(show)
        """
    )
    assert out == "True True\n"


def test_with_the_group_off_threads_are_native() -> None:
    _core.points_switch("green-threads", False)
    natives: list[int] = []
    thread = threading.Thread(target=lambda: natives.append(threading.get_native_id()))
    thread.start()
    thread.join()
    assert natives != [threading.get_native_id()]


def test_the_original_starts_native_threads() -> None:
    natives: list[int] = []
    natively(lambda: natives.append(threading.get_native_id())).acquire()
    assert natives != [threading.get_native_id()]


def test_a_native_thread_without_a_hub_starts_native_threads() -> None:
    natives: list[int] = []

    def body() -> None:
        natives.append(threading.get_native_id())
        inner = threading.Thread(target=lambda: natives.append(threading.get_native_id()))
        inner.start()
        inner.join()

    natively(body).acquire()
    assert len({*natives, threading.get_native_id()}) == 3


def test_each_thread_finds_itself() -> None:
    found = {}

    def body() -> None:
        me = threading.current_thread()
        _core.sleep(0)
        assert threading.current_thread() is me
        assert threading.get_ident() == me.ident
        found[me] = me in threading.enumerate()

    threads = [threading.Thread(target=body) for _ in range(3)]
    run_all(*threads)
    assert found == dict.fromkeys(threads, True)
    assert threading.current_thread() is threading.main_thread()
    assert not set(threads) & set(threading.enumerate())


def test_a_raw_greenlet_is_the_thread_that_it_descends_from() -> None:
    found = []

    def body() -> None:
        found.append(_core.greenlet(threading.current_thread).switch())

    thread = threading.Thread(target=body)
    run_all(thread)
    assert found == [thread]
    assert _core.greenlet(threading.current_thread).switch() is threading.main_thread()


def test_a_spawned_green_thread_has_a_dummy_thread_that_goes_with_it() -> None:
    before = threading.enumerate()
    found = []

    def body() -> None:
        me = threading.current_thread()
        _core.sleep(0)
        assert threading.current_thread() is me
        found.append(me)

    threads = [spawn(body) for _ in range(3)]
    for thread in threads:
        thread.join()
    assert len(set(found)) == 3
    assert all(type(each).__name__ == "_DummyThread" for each in found)
    assert threading.enumerate() == before


def test_count_and_active_count_include_green_threads() -> None:
    counted, active = _thread._count(), threading.active_count()
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert (_thread._count(), threading.active_count()) == (counted + 3, active + 3)
    stop.set()
    for thread in threads:
        thread.join()
    assert (_thread._count(), threading.active_count()) == (counted, active)


# ---- starting and ending ----


def test_start_new_thread_passes_arguments_and_returns_the_identity() -> None:
    got: list[Any] = []
    done = threading.Lock()
    done.acquire()

    def body(*args: int, **kwargs: int) -> None:
        got.append((args, kwargs, threading.get_ident()))
        done.release()

    ident = start_before(body, (1, 2), {"three": 3})
    done.acquire()
    assert got == [((1, 2), {"three": 3}, ident)]


@pytest.mark.parametrize("arguments", [(), (1, ()), (print, []), (print, (), []), (print, (), {}, 4)])
def test_what_start_new_thread_refuses_is_refused_in_the_same_words(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError) as expected:
        _core.original("_thread", None, "start_new_thread")(*arguments)
    with pytest.raises(TypeError) as refused:
        _thread.start_new_thread(*arguments)
    assert str(refused.value) == str(expected.value)


def test_a_thread_starts_only_once() -> None:
    thread = threading.Thread(target=int)
    run_all(thread)
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        thread.start()


@pytest.mark.skipif(sys.version_info < (3, 13), reason="handles exist from 3.13 on")
def test_a_handle_is_started_once_and_checked() -> None:
    start = _thread.start_joinable_thread  # type: ignore[attr-defined,unused-ignore]
    handle = start(int)
    assert not handle.is_done()
    with pytest.raises(RuntimeError, match="thread already started"):
        start(int, handle=handle)
    handle.join()
    assert handle.is_done()
    with pytest.raises(TypeError, match="'handle' must be a _ThreadHandle"):
        start(int, handle=4)
    with pytest.raises(TypeError, match="thread function must be callable"):
        start(4)
    with pytest.raises(RuntimeError, match="thread not started"):
        type(handle)().join()


def test_an_uncaught_exception_goes_to_excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda details: caught.append((details.exc_type, details.thread)))

    def fail() -> None:
        raise ValueError

    thread = threading.Thread(target=fail)
    run_all(thread)
    assert caught == [(ValueError, thread)]


def test_an_uncaught_exception_of_a_bare_thread_is_unraisable(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda details: caught.append(details.exc_type))

    def fail(kind: type[BaseException]) -> None:
        raise kind

    for kind in (ValueError, SystemExit, _core.GreenletExit):
        _thread.start_new_thread(fail, (kind,))
        _core.sleep(0)
    assert caught == [ValueError]


def test_excepthook_says_nothing_of_a_green_thread_that_was_ended() -> None:
    ended = run_child(
        PRELUDE
        + """
def body():
    greenlets.append(_core.getcurrent())
    time.sleep(100)
greenlets = []
thread = threading.Thread(target=body)
thread.start()
time.sleep(0)
assert _core.interrupt(greenlets[0], _core.GreenletExit())
thread.join()
"""
    )
    assert (ended.status, ended.err) == (0, ""), ended.describe()


def test_a_thread_starts_with_its_own_empty_context() -> None:
    import contextvars

    variable = contextvars.ContextVar("variable", default="none")
    variable.set("of the main thread")
    found: list[str] = []
    _thread.start_new_thread(lambda: found.append(variable.get()), ())
    _core.sleep(0)
    assert found == ["none"]


def test_thousands_of_threads_leave_nothing() -> None:
    class Argument:
        alive = 0

        def __init__(self) -> None:
            Argument.alive += 1

        def __del__(self) -> None:
            Argument.alive -= 1

    active, counts, counted = threading.active_count(), _core.counts(), _thread._count()
    for _ in range(3):
        threads = [threading.Thread(target=repr, args=(Argument(),)) for _ in range(1000)]
        run_all(*threads)
        del threads
    assert Argument.alive == 0
    assert (threading.active_count(), _thread._count()) == (active, counted)
    assert {**_core.counts(), "slots": 0} == {**counts, "slots": 0}


# ---- the modules above ----


def test_queues_connect_green_and_native_threads_in_both_directions() -> None:
    there: queue.Queue[int] = queue.Queue(1)
    back: queue.SimpleQueue[int] = queue.SimpleQueue()

    def native() -> None:
        for _ in range(200):
            back.put(there.get() + 1)

    done = natively(native)
    got: list[int] = []

    def put() -> None:
        for number in range(200):
            there.put(number)

    def get() -> None:
        got.extend(back.get() for _ in range(200))

    run_all(threading.Thread(target=put), threading.Thread(target=get))
    done.acquire()
    assert got == list(range(1, 201))


def test_a_simple_queue_times_out_and_wakes_in_order() -> None:
    items: queue.SimpleQueue[int] = queue.SimpleQueue()
    with pytest.raises(queue.Empty):
        items.get(timeout=0.001)
    with pytest.raises(queue.Empty):
        items.get_nowait()
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        items.get(timeout=-1)
    got: list[tuple[str, int]] = []
    threads = [threading.Thread(target=lambda name=name: got.append((name, items.get()))) for name in "abc"]
    for thread in threads:
        thread.start()
    for number in range(3):
        items.put(number)
    for thread in threads:
        thread.join()
    assert got == [("a", 0), ("b", 1), ("c", 2)]


def test_the_next_in_a_simple_queue_is_woken_when_the_first_is_interrupted() -> None:
    items: queue.SimpleQueue[int] = queue.SimpleQueue()
    first, second = spawn(items.get), spawn(items.get)
    _core.sleep(0)
    items.put(1)
    _core.interrupt(first, _core.GreenletExit())
    second.join(60)
    assert second.value == 1


def test_a_pool_of_futures_runs_on_green_threads() -> None:
    natives = set()

    def work(number: int) -> int:
        natives.add(threading.get_native_id())
        time.sleep(0.001)
        return number * number

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(20))) == [number * number for number in range(20)]
    assert natives == {threading.get_native_id()}


def test_timers_and_barriers_work() -> None:
    fired: list[int] = []
    timer = threading.Timer(0.001, fired.append, (1,))
    barrier = threading.Barrier(4, action=lambda: fired.append(2))
    run_all(timer, *(threading.Thread(target=barrier.wait) for _ in range(4)))
    assert sorted(fired) == [1, 2]
    cancelled = threading.Timer(100, fired.append, (3,))
    cancelled.start()
    cancelled.cancel()
    cancelled.join()
    assert sorted(fired) == [1, 2]


def test_conditions_pass_between_green_and_native_threads() -> None:
    condition = threading.Condition()
    turns: list[str] = []

    def play(mine: str, other: str) -> None:
        for _ in range(20):
            with condition:
                assert condition.wait_for(lambda: not turns or turns[-1] == other, 60)
                turns.append(mine)
                condition.notify_all()

    done = natively(play, "native", "green")
    thread = threading.Thread(target=play, args=("green", "native"))
    run_all(thread)
    done.acquire()
    assert len(turns) == 40
    assert all(before != after for before, after in itertools.pairwise(turns))


def test_logging_names_the_green_thread(caplog: pytest.LogCaptureFixture) -> None:
    names = [f"worker {number}" for number in range(3)]
    with caplog.at_level(logging.INFO):
        run_all(*(threading.Thread(target=logging.info, args=("hello",), name=name) for name in names))
    assert [record.threadName for record in caplog.records] == names


def test_two_green_threads_import_one_slow_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\nstarted = 1\ntime.sleep(0.01)\nvalue = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    got: list[int] = []

    def body() -> None:
        import slow_to_import  # type: ignore[import-not-found]

        got.append(slow_to_import.value)

    run_all(*(threading.Thread(target=body) for _ in range(3)))
    assert got == [42, 42, 42]
    del sys.modules["slow_to_import"]


def test_spawned_green_threads_import_one_slow_module_with_the_group_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _core.points_switch("green-threads", False)
    (tmp_path / "slow_too.py").write_text("import time\nstarted = 1\ntime.sleep(0.01)\nvalue = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def body() -> int:
        import slow_too  # type: ignore[import-not-found]

        return int(slow_too.value)

    threads = [spawn(body) for _ in range(3)]
    for thread in threads:
        thread.join(60)
    assert [thread.value for thread in threads] == [42, 42, 42]
    del sys.modules["slow_too"]


# ---- signals and exit ----


def test_a_keyboard_interrupt_ends_the_join_of_the_main_thread() -> None:
    out = output_of(
        PRELUDE
        + """
import signal, subprocess
signal.signal(signal.SIGINT, signal.default_int_handler)
sleeper = threading.Thread(target=time.sleep, args=(100,), daemon=True)
sleeper.start()
sender = subprocess.Popen(['sh', '-c', f'sleep 0.2; kill -INT {os.getpid()}'])
try:
    sleeper.join()
except KeyboardInterrupt:
    print('interrupted')
sender.wait()
"""
    )
    assert out == "interrupted\n"


def test_exit_waits_for_threads_that_are_not_daemons_and_for_no_others() -> None:
    ended = run_child(
        PRELUDE
        + """
def late(seconds, text):
    time.sleep(seconds)
    print(text, flush=True)
def native(text):
    time.sleep(0.1)
    print(text, flush=True)
threading.Thread(target=late, args=(0.05, 'green')).start()
threading.Thread(target=late, args=(100, 'never'), daemon=True).start()
_core.points_switch('green-threads', False)
threading.Thread(target=native, args=('native',)).start()
print('main ends', flush=True)
"""
    )
    assert (ended.status, ended.err) == (0, ""), ended.describe()
    assert ended.out.splitlines() == ["main ends", "green", "native"], ended.describe()


def test_a_native_thread_with_a_hub_ends_its_green_threads_quietly() -> None:
    ended = run_child(
        PRELUDE
        + """
def native():
    _core.get_hub()
    def sleeper():
        try:
            time.sleep(100)
        finally:
            print('ended', flush=True)
    _core.points_switch('green-threads', True)
    threading.Thread(target=sleeper, daemon=True).start()
_core.points_switch('green-threads', False)
thread = threading.Thread(target=native)
thread.start()
thread.join()
"""
    )
    assert (ended.status, ended.out, ended.err) == (0, "ended\n", ""), ended.describe()


def test_sys_exit_in_a_green_thread_ends_only_that() -> None:
    out = output_of(
        PRELUDE
        + """
thread = threading.Thread(target=sys.exit)
thread.start()
thread.join()
print('still here')
"""
    )
    assert out == "still here\n"
