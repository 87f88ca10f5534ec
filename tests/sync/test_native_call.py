"""Calls made by native threads while the green thread that asks is parked."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossamer import _core
from gossamer._core import get_hub, interrupt, sleep, spawn
from gossamer._sync import native_call
from gossamer._sync.native_call import call_in_own_thread, call_in_pool, open_in_own_thread
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, joined, open_descriptors, reported, turns, until


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    _core.points_install()
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def native_read(descriptor: int) -> bytes:
    data: bytes = _core.original("os", None, "read")(descriptor, 1)
    return data


def test_it_returns_what_the_function_does_with_its_arguments() -> None:
    assert call_in_pool(int, "ff", base=16) == 255
    assert call_in_own_thread(int, "ff", base=16) == 255


def test_it_raises_what_the_function_does() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        call_in_pool(int, "x")


def test_others_run_meanwhile(pipe: tuple[int, int]) -> None:
    it = spawn(call_in_pool, native_read, pipe[0])
    turns()
    assert not it.ready()
    os.write(pipe[1], b"x")
    assert joined(it) == [b"x"]


def test_a_pool_thread_is_no_more_than_one_of_ten(pipe: tuple[int, int]) -> None:
    running: list[int] = []

    def job() -> bytes:
        running.append(threading.get_native_id())
        return native_read(pipe[0])

    crowd = [spawn(call_in_pool, job) for _ in range(15)]
    until(lambda: len(running) == 10)
    turns()
    assert len(set(running)) == 10
    os.write(pipe[1], b"x" * 15)
    assert joined(*crowd) == [b"x"] * 15


def test_calls_that_wait_for_each_other_have_threads_of_their_own(pipe: tuple[int, int]) -> None:
    crowd = [spawn(call_in_own_thread, native_read, pipe[0]) for _ in range(30)]
    last = spawn(call_in_own_thread, _core.original("os", None, "write"), pipe[1], b"x" * 30)
    assert joined(*crowd, last) == [b"x"] * 30 + [30]


def test_a_wait_that_is_interrupted_abandons_the_call(pipe: tuple[int, int]) -> None:
    it = spawn(call_in_pool, native_read, pipe[0])
    turns()
    assert interrupt(it, LookupError("enough"))
    joined(it)
    assert isinstance(it.exception, LookupError)
    os.write(pipe[1], b"x")
    until(lambda: native_call._pool.unfinished == 0)


def test_an_interruption_after_the_end_of_the_call_wins(pipe: tuple[int, int]) -> None:
    closed = len(open_descriptors())
    it = spawn(open_in_own_thread, os.open, "/dev/null", os.O_RDONLY)
    turns(1)
    # the call ends while this thread does not let its hub run
    while native_call._own_threads.unfinished:
        _core.original("time", None, "sleep")(0.001)
    _core.original("time", None, "sleep")(0.01)
    assert interrupt(it, LookupError("enough"))
    joined(it)
    assert isinstance(it.exception, LookupError)
    assert len(open_descriptors()) == closed


def test_what_is_opened_for_nobody_is_closed(tmp_path: Path) -> None:
    _core.points_install()
    path = tmp_path / "fifo"
    os.mkfifo(path)
    for function, mode in (
        (_core.original("os", None, "open"), os.O_RDONLY),
        (_core.original("_io", None, "open"), "r"),
    ):
        it = spawn(open_in_own_thread, function, path, mode)
        until(lambda: native_call._own_threads.unfinished == 1)
        sleep(0.02)
        interrupt(it, LookupError("enough"))
        joined(it)
        os.close(os.open(path, os.O_WRONLY))
        until(lambda: native_call._own_threads.unfinished == 0)
        assert str(path) not in open_descriptors().values()


def test_it_is_refused_on_the_hub_greenlet_before_anything_is_done() -> None:
    done: list[int] = []
    with reported() as reports:
        get_hub().run_callback(call_in_pool, done.append, 1)
        turns()
        sleep(0.02)
    assert [report.type for report in reports] == [_core.BlockingSwitchOutError]
    assert done == []


def test_nothing_is_left_of_many_calls() -> None:
    for _ in range(3):
        joined(*[spawn(call_in_pool, int) for _ in range(200)])
    assert native_call._pool.unfinished == 0
    assert native_call._pool.size <= 10


def test_calls_while_the_interpreter_ends_are_made_in_place() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer._sync.native_call import call_in_pool
call_in_pool(int)
class Last:
    def __del__(self, call=call_in_pool, write=os.write):
        write(1, b'%d\\n' % call(int, '7'))
import builtins
builtins.last = Last()
"""
    )
    assert out == "7\n"


def test_exit_handlers_can_call() -> None:
    out = output_of(
        PRELUDE
        + """
import atexit
from gossamer._sync.native_call import call_in_pool
atexit.register(lambda: print(call_in_pool(int, '7')))
"""
    )
    assert out == "7\n"


def test_without_a_thread_the_call_is_made_in_place_and_an_open_refused() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer._sync.native_call import call_in_own_thread, call_in_pool, open_in_own_thread
get_hub()
threading.stack_size(1 << 47)
here = threading.get_native_id()
print(call_in_pool(threading.get_native_id) == here, call_in_own_thread(threading.get_native_id) == here)
try:
    open_in_own_thread(os.open, '/dev/null', os.O_RDONLY)
except RuntimeError:
    print('refused')
"""
    )
    assert out == "True True\nrefused\n"
