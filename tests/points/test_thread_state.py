"""What belongs to a green thread, not to its OS thread: threading.local and what asyncio runs."""

import asyncio
import gc
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import gossamer.local
from gossamer import Greenlet, _core
from gossamer._core import getcurrent, greenlet, spawn
from tests.support.children import output_of, run_child
from tests.support.green_threads import green_threads, run_all
from tests.support.runtime import joined, turns


@pytest.fixture(autouse=True)
def _green() -> Iterator[None]:
    with green_threads():
        yield


def test_each_green_thread_has_its_own_locals() -> None:
    local = threading.local()
    local.name = "main"
    seen = []

    def body(name: str) -> None:
        assert not hasattr(local, "name")
        local.name = name
        for _ in range(3):
            _core.sleep(0)
            seen.append(local.name == name)

    spawned = [spawn(body, "spawned") for _ in range(2)]
    run_all(*(threading.Thread(target=body, args=(f"thread {number}",)) for number in range(3)))
    for thread in spawned:
        thread.join()
    assert seen == [True] * 15
    assert local.name == "main"


def test_raw_greenlets_share_their_thread_s_locals() -> None:
    local = threading.local()
    local.name = "main"
    assert greenlet(lambda: local.name).switch() == "main"
    seen = []

    def body() -> None:
        local.name = "green"
        inner = greenlet(lambda: (seen.append(local.name), _core.sleep(0), seen.append(local.name)))
        inner.switch()

    run_all(threading.Thread(target=body))
    assert seen == ["green", "green"]


def test_a_subclass_of_local_is_initialized_in_each_green_thread() -> None:
    class Numbered(threading.local):
        count = 0

        def __init__(self) -> None:
            Numbered.count += 1
            self.number = Numbered.count

    local = Numbered()
    seen: list[int] = []
    run_all(*(threading.Thread(target=lambda: seen.append(local.number)) for _ in range(3)))
    assert sorted([local.number, *seen]) == [1, 2, 3, 4]


def test_locals_are_dropped_in_the_thread_before_anybody_joins_it() -> None:
    dropped: list[tuple[Any, bool]] = []
    local = threading.local()

    class Noted:
        def __init__(self) -> None:
            self.owner = getcurrent()

        def __del__(self) -> None:
            time.sleep(0)
            dropped.append((self.owner is getcurrent(), thread.is_alive()))

    def body() -> None:
        local.noted = Noted()

    thread = threading.Thread(target=body)
    run_all(thread)
    assert dropped == [(True, True)]


@pytest.mark.parametrize("kind", [threading.local, gossamer.local.local])
@pytest.mark.parametrize("start", [lambda body: threading.Thread(target=body), Greenlet, _core.GreenThread])
def test_locals_go_with_the_end_though_somebody_keeps_the_thread(kind: Any, start: Any) -> None:
    local = kind()
    references: list[weakref.ref[Any]] = []

    class Held:
        pass

    def body() -> None:
        local.held = Held()
        references.append(weakref.ref(local.held))
        _core.sleep(0)

    gc.disable()
    try:
        thread = start(body)
        thread.start()
        thread.join()
        turns(1)
        assert [reference() for reference in references] == [None]
    finally:
        gc.enable()


def test_locals_that_lead_back_to_their_green_thread_are_collected() -> None:
    out = output_of(
        """
        import gc, threading, weakref
        from gossamer import _core
        _core.get_hub()
        _core.points_switch('green-threads', True)
        class Held: pass
        def body():
            local = threading.local()
            local.held = held = Held()
            held.thread = _core.getcurrent()
            references.append(weakref.ref(held))
            del held
            main.switch()
        references, main = [], _core.getcurrent()
        _core.GreenThread(body).switch()
        for _ in range(4):
            _core.sleep(0)
            gc.collect()
        print(references[0]() is None)
        """
    )
    assert out == "True\n"


def test_switching_the_group_off_gives_everybody_the_thread_s_locals() -> None:
    local = threading.local()
    local.name = "main"
    seen = []

    def body() -> None:
        seen.append(getattr(local, "name", None))
        _core.points_switch("green-threads", False)
        seen.append(local.name)
        _core.sleep(0)
        seen.append(local.name)

    run_all(threading.Thread(target=body))
    assert seen == [None, "main", "main"]


def test_asyncio_runs_in_several_green_threads_at_once() -> None:
    ran: list[int] = []
    together = threading.Barrier(4)

    async def work(number: int) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        for _ in range(3):
            together.wait(60)  # in the middle of each of the four loops
            assert asyncio.current_task() is task
            assert asyncio.get_running_loop() is loop
            assert asyncio.Future().get_loop() is loop
            await asyncio.sleep(0)
        ran.append(number)

    def body(number: int) -> None:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        asyncio.run(work(number))

    run_all(*(threading.Thread(target=body, args=(number,)) for number in range(4)))
    assert sorted(ran) == [0, 1, 2, 3]
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_each_running_loop_takes_care_of_its_own_asynchronous_generators() -> None:
    before = sys.get_asyncgen_hooks()
    told: list[bool] = []
    together = threading.Barrier(4)

    async def produce() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            told.append(asyncio.get_running_loop() is not None)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        together.wait(60)  # all four loops run
        async for _ in produce():
            break  # half done: the loop ends it
        firstiter = sys.get_asyncgen_hooks().firstiter
        assert getattr(firstiter, "__self__", None) is loop
        together.wait(60)

    run_all(*(threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)))
    assert told == [True] * 4
    assert sys.get_asyncgen_hooks() == before


@pytest.mark.skipif(sys.version_info < (3, 13), reason="there asyncio keeps its loop among the thread locals")
def test_asyncio_runs_in_several_green_threads_with_the_group_off() -> None:
    _core.points_switch("green-threads", False)

    async def work() -> bool:
        loop = asyncio.get_running_loop()
        _core.sleep(0)
        return asyncio.get_running_loop() is loop

    threads = [spawn(asyncio.run, work()) for _ in range(3)]
    for thread in threads:
        thread.join(60)
    assert [thread.value for thread in threads] == [True] * 3


def test_a_callback_comes_to_the_hub_of_a_green_thread_with_a_state_of_its_own() -> None:
    called: list[_core.greenlet] = []

    def promise() -> _core.Promise:
        return _core.Promise(callback=lambda: called.append(_core.getcurrent()))

    for it in joined(spawn(promise), spawn(promise)):
        it.keep()
    turns()
    assert called == [_core.get_hub()] * 2


def test_a_raw_greenlet_sees_the_running_loop_of_its_thread() -> None:
    async def outer() -> bool:
        loop = asyncio.get_running_loop()
        return greenlet(asyncio.get_running_loop).switch() is loop

    assert asyncio.run(outer())
    results: list[bool] = []
    run_all(threading.Thread(target=lambda: results.append(asyncio.run(outer()))))
    assert results == [True]


def test_the_thread_s_greenlets_end_with_it_although_locals_moved() -> None:
    ended = run_child(
        """
        import threading, time
        from gossamer import _core
        _core.get_hub()
        local = threading.local()
        def native():
            _core.points_switch('green-threads', True)
            _core.get_hub()
            def body():
                local.name = 'green'
                try:
                    time.sleep(100)
                finally:
                    print(local.name, flush=True)
            local.name = 'native'
            _core.spawn(body)
            _core.sleep(0)
            print(local.name, flush=True)
        thread = threading.Thread(target=native)
        thread.start()
        thread.join()
        print(_core.counts()['leaked'])
        """
    )
    assert (ended.status, ended.out, ended.err) == (0, "native\ngreen\n0\n", ""), ended.describe()


def test_exit_on_the_stack_of_a_green_thread_is_clean() -> None:
    ended = run_child(
        """
        import _thread, sys, threading, time
        from gossamer import _core
        _core.get_hub()
        _core.points_switch('green-threads', True)
        local = threading.local()
        def native():
            _core.get_hub()
            local.name = 'x'
            def sleeper():
                local.name = 'y'
                time.sleep(100)
            _core.spawn(sleeper)
            time.sleep(100)
        _core.original('_thread', None, 'start_new_thread')(native, ())
        time.sleep(0.01)
        def body():
            local.name = 'green'
            time.sleep(0.01)
            sys.exit(3)
        _core.spawn(body).join()
        """
    )
    assert (ended.status, ended.err) == (3, ""), ended.describe()


def test_a_fork_with_other_threads_on_green_stacks_goes_on() -> None:
    out = output_of(
        """
        import _thread, os, threading, time, warnings
        warnings.simplefilter('ignore', DeprecationWarning)
        from gossamer import _core
        _core.get_hub()
        _core.points_switch('green-threads', True)
        local = threading.local()
        def native():
            _core.get_hub()
            def sleeper():
                local.name = 'y'
                time.sleep(100)
            _core.spawn(sleeper)
            time.sleep(0)
            _core.spawn(time.sleep, 100)
            ready.release()
            time.sleep(100)
        ready = _thread.allocate_lock()
        ready.acquire()
        _core.original('_thread', None, 'start_new_thread')(native, ())
        ready.acquire()
        time.sleep(0.01)
        def body():
            local.name = 'mine'
            child = os.fork()
            if child == 0:
                assert local.name == 'mine'
                thread = threading.Thread(target=time.sleep, args=(0.001,))
                thread.start()
                thread.join()
                os._exit(0)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), local.name, flush=True)
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        """
    )
    assert out == "0 mine\n"


@pytest.mark.parametrize("forks_first", [False, True], ids=["of the first thread", "of another thread"])
def test_a_child_has_ended_the_greenlets_of_threads_that_ran_green_threads(forks_first: bool) -> None:
    # whoever runs there has locals of its own loaded, not those by which the interpreter tells of the end of a thread
    out = output_of(
        f"""
        import _thread, gc, os, sys, warnings
        warnings.simplefilter('ignore', DeprecationWarning)
        crowd, tracebacks = [], []
        def look():
            gc.collect()
            depths = [sum(1 for _ in walk(it)) for it in tracebacks]
            print(len(crowd), all(it.dead for it in crowd), depths, flush=True)
        def walk(frame):
            while frame is not None:
                yield frame
                frame = frame.f_back
        os.register_at_fork(after_in_child=look)
        class Collects:
            def __del__(self):
                gc.collect()
        import threading, time
        from gossamer import _core
        from gossamer.switching import getcurrent, greenlet
        _core.get_hub()
        _core.points_switch('green-threads', True)
        nap = _core.original('time', None, 'sleep')
        local = threading.local()
        begun, status = _thread.allocate_lock(), []
        begun.acquire()
        def parked():
            own = parked
            tracebacks.append(sys._getframe())
            getcurrent().parent.switch(own)
        def busy():
            local.collects = Collects()
            for _ in range(20):
                crowd.append(greenlet(parked))
                crowd[-1].switch()
            begun.release()
            while not status:
                nap(0.001)
        def runs_green_threads():
            _core.get_hub()
            local.collects = Collects()
            crowd.extend(_core.spawn(time.sleep, 100) for _ in range(20))
            time.sleep(0)
            _core.spawn(busy).join()
        def forks():
            with begun:
                child = os.fork()
            if child == 0:
                gc.collect()
                os._exit(0)
            status.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        one, other = (forks, runs_green_threads) if {forks_first} else (runs_green_threads, forks)
        _core.original('_thread', None, 'start_new_thread')(other, ())
        one()
        while not status:
            nap(0.001)
        print(*status, flush=True)
        os._exit(0)
        """
    )
    assert out == f"40 True {[1] * 20}\n0\n"


def test_exit_says_nothing_of_parked_green_threads_that_asked_for_their_thread_object() -> None:
    ended = run_child(
        """
import threading, time
from gossamer import _core, monkey
monkey.patch_all()

def forever():
    print(threading.current_thread() is threading.main_thread())
    time.sleep(3600)

crowd = [_core.spawn(forever) for _ in range(3)]
time.sleep(0)
"""
    )
    assert (ended.status, ended.out, ended.err) == (0, "False\n" * 3, "")
