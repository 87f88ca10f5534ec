"""multiprocessing and concurrent.futures driven from green threads; SemLock tells green threads apart."""

import multiprocessing
import multiprocessing.context
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import spawn
from gossamer.event import Event
from tests.support.children import run_command
from tests.support.runtime import beside, joined

PROGRAM = """
import concurrent.futures, multiprocessing, os, sys, time, warnings
warnings.simplefilter('ignore', DeprecationWarning)

def square(number):
    time.sleep(0.01)
    return number * number

def work(queue, pipe, number):
    time.sleep(0.01)
    queue.put(number * number)
    pipe.send(('from', number, pipe.recv()))

def forever():
    time.sleep(3600)

def count(value, event):
    event.wait()
    for _ in range(200):
        with value.get_lock():
            value.value += 1

if __name__ == '__main__':
    from gossamer import _core
    from tests.support.runtime import joined
    _core.get_hub()
    if 'green' in sys.argv:
        _core.points_switch('green-threads', True)
    context = multiprocessing.get_context(sys.argv[1])
"""


def output_of_program(path: Path, body: str, *arguments: str) -> str:
    indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
    path.write_text(PROGRAM + indented)
    ended = run_command([sys.executable, str(path), *arguments], seconds=120)
    assert ended.status == 0, ended.describe()
    return ended.out


METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("threads", ["green", "native"])
def test_processes_started_from_green_threads(method: str, threads: str, tmp_path: Path) -> None:
    out = output_of_program(
        tmp_path / "program.py",
        """
ticks = []
def tick():
    while True:
        ticks.append(time.sleep(0.001))
_core.spawn(tick)
queue = context.Queue()
def drive(number):
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(queue, theirs, number))
    process.start()
    ours.send(number + 1)
    answer = ours.recv()
    process.join(60)
    return answer, process.exitcode
print(joined(*[_core.spawn(drive, number) for number in range(3)]))
print(sorted(queue.get(timeout=60) for _ in range(3)))
stuck = context.Process(target=forever)
stuck.start()
before = len(ticks)
stuck.join(0.1)
print(stuck.exitcode, len(ticks) > before)
stuck.kill()
(ended,) = joined(_core.spawn(lambda: stuck.join() or stuck.exitcode))
print(ended)
""",
        method,
        threads,
    )
    assert out == "[(('from', 0, 1), 0), (('from', 1, 2), 0), (('from', 2, 3), 0)]\n[0, 1, 4]\nNone True\n-9\n"


@pytest.mark.parametrize("threads", ["green", "native"])
def test_executors(method: str, threads: str, tmp_path: Path) -> None:
    out = output_of_program(
        tmp_path / "program.py",
        """
with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
    print(joined(*[_core.spawn(lambda number=number: pool.submit(square, number).result()) for number in range(6)]))
    print(list(pool.map(square, range(4))))
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(joined(*[_core.spawn(lambda number=number: pool.submit(square, number).result()) for number in range(6)]))
    print(list(pool.map(square, range(4))))
""",
        method,
        threads,
    )
    assert out == "[0, 1, 4, 9, 16, 25]\n[0, 1, 4, 9]\n" * 2


def test_locks_and_events_between_processes(method: str, tmp_path: Path) -> None:
    out = output_of_program(
        tmp_path / "program.py",
        """
value, event = context.Value('i', 0), context.Event()
processes = [context.Process(target=count, args=(value, event)) for _ in range(2)]
for process in processes:
    process.start()
crowd = [_core.spawn(count, value, event) for _ in range(3)]
_core.sleep(0.01)
event.set()
joined(*crowd)
for process in processes:
    process.join()
print(value.value)
""",
        method,
    )
    assert out == "1000\n"


def test_in_a_forked_process_the_other_green_threads_do_not_run(tmp_path: Path) -> None:
    out = output_of_program(
        tmp_path / "program.py",
        """
log, home = context.SimpleQueue(), os.getpid()
def other():
    for _ in range(100):
        time.sleep(0.001)
        if os.getpid() != home:
            log.put('another ran')
_core.get_hub().call_later(0.01, lambda: os.getpid() != home and log.put('a callback ran'))
others = [_core.spawn(other) for _ in range(3)]
def target():
    time.sleep(0.1)
    log.put('done')
def drive():
    process = context.Process(target=target)
    process.start()
    process.join()
    return process.exitcode
print(joined(*[_core.spawn(drive) for _ in range(3)]))
print([log.get() for _ in range(3)], log.empty())
""",
        "fork",
    )
    assert out == "[0, 0, 0]\n['done', 'done', 'done'] True\n"


# ---- SemLock ----


@pytest.fixture
def context() -> multiprocessing.context.ForkContext:
    _core.get_hub()
    return multiprocessing.get_context("fork")


def parked(function: Callable[..., object], *args: Any) -> _core.GreenThread:
    thread = spawn(function, *args)
    for _ in range(3):
        _core.sleep(0.001)
    assert not thread.ready()
    return thread


def test_a_green_thread_waits_for_a_lock_and_is_woken_by_its_release(
    context: multiprocessing.context.ForkContext,
) -> None:
    lock = context.Lock()
    assert lock.acquire()
    waiter = parked(lock.acquire)
    lock.release()
    assert joined(waiter) == [True]
    assert not lock.acquire(block=False)
    assert not lock.acquire(True, 0.01)
    assert not lock.acquire(timeout=-1)
    lock.release()
    with pytest.raises(ValueError, match="released too many times"):
        lock.release()


def test_a_recursive_lock_belongs_to_a_green_thread(context: multiprocessing.context.ForkContext) -> None:
    lock = context.RLock()
    looked = Event()

    def take_twice() -> bool:
        with lock, lock:
            looked.wait()
            return lock._semlock._is_mine()  # type: ignore[attr-defined,no-any-return]

    owner = parked(take_twice)
    assert not lock._semlock._is_mine()  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="not owned by thread"):
        lock.release()
    assert not lock.acquire(False)
    others = [parked(take_twice) for _ in range(3)]
    looked.set()
    assert joined(owner, *others) == [True] * 4
    with lock:
        assert lock._semlock._is_mine()  # type: ignore[attr-defined]
        (found,) = joined(spawn(lock.acquire, False))
        assert not found


def test_native_and_green_threads_exclude_each_other(context: multiprocessing.context.ForkContext) -> None:
    lock, inside, most = context.RLock(), [0], [0]

    def work() -> None:
        for _ in range(50):
            with lock, lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                _core.original("time", None, "sleep")(0)
                inside[0] -= 1

    with beside(work):
        crowd = [spawn(work) for _ in range(3)]
        joined(*crowd)
    assert most == [1]


def test_a_wait_that_is_interrupted_takes_nothing(context: multiprocessing.context.ForkContext) -> None:
    lock = context.Semaphore(0)
    first, second = parked(lock.acquire), parked(lock.acquire)
    assert _core.interrupt(first, LookupError("enough"))
    lock.release()
    joined(first, second)
    assert str(first.exception) == "enough" and second.value is True


def test_conditions(context: multiprocessing.context.ForkContext) -> None:
    condition, woken = context.Condition(), []

    def wait(name: str) -> None:
        with condition:
            condition.wait()
            woken.append(name)

    crowd = [parked(wait, name) for name in "abc"]
    with condition:
        condition.notify_all()
    joined(*crowd)
    assert sorted(woken) == ["a", "b", "c"]


def test_a_thread_without_a_hub_blocks_natively(context: multiprocessing.context.ForkContext) -> None:
    lock, results = context.Lock(), []
    lock.acquire()
    with beside(lambda: results.append(lock.acquire())) as native:
        _core.sleep(0.01)
        assert native.is_alive() and threading.current_thread() is not native
        lock.release()
    assert results == [True]


def test_what_acquire_refuses_is_refused_in_its_words(context: multiprocessing.context.ForkContext) -> None:
    lock = context.Lock()._semlock  # type: ignore[attr-defined]
    original = _core.original("_multiprocessing", "SemLock", "acquire")
    for args, kwargs in [((1, 2, 3), {}), ((), {"other": 1}), ((True, "x"), {}), ((True,), {"block": 1})]:
        with pytest.raises(TypeError) as expected:
            original(lock, *args, **kwargs)
        with pytest.raises(TypeError) as caught:
            lock.acquire(*args, **kwargs)
        assert str(caught.value) == str(expected.value)
