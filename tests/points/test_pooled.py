"""File locks, FIFOs and os.system(): green threads wait for them, and an interrupted wait leaves nothing behind."""

import errno
import fcntl
import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import get_hub, interrupt, sleep, spawn
from gossamer._sync import native_call
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, joined, open_descriptors, turns, until

WRITE_LOCK = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
NO_LOCK = struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[int]]:
    """Several open file descriptions of one file."""
    path = tmp_path / "file"
    path.write_bytes(b"")
    opened = [os.open(path, os.O_RDWR) for _ in range(4)]
    yield opened
    for file in opened:
        try:
            os.close(file)
        except OSError:
            pass


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def outcome(function: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as fault:
        return type(fault), fault.args


def test_all_points_are_installed() -> None:
    names = {name for name, _, kind, on in _core.points() if kind == "waiter" and on}
    assert names >= {
        "fcntl.flock", "fcntl.lockf", "fcntl.fcntl", "os.lockf", "os.system", "os.open", "_io.open", "builtins.input",
    }  # fmt: skip


# ---- file locks ----

LOCKERS: dict[str, tuple[Callable[[int], object], Callable[[int], object]]] = {
    "flock": (lambda file: fcntl.flock(file, fcntl.LOCK_EX), lambda file: fcntl.flock(file, fcntl.LOCK_UN)),
    "fcntl": (
        lambda file: fcntl.fcntl(file, 38, WRITE_LOCK),  # F_OFD_SETLKW, F_OFD_SETLK
        lambda file: fcntl.fcntl(file, 37, NO_LOCK),
    ),
}


@pytest.fixture(params=LOCKERS)
def lock(request: pytest.FixtureRequest) -> tuple[Callable[[int], object], Callable[[int], object]]:
    """Takes, and gives back, a lock that belongs to an open file description."""
    return LOCKERS[request.param]


Lock = tuple[Callable[[int], object], Callable[[int], object]]


def test_a_lock_is_waited_for_while_others_run(lock: Lock, files: list[int]) -> None:
    take, give_back = lock
    take(files[0])
    waiter = spawn(take, files[1])
    sleep(0.01)
    assert not waiter.ready()
    give_back(files[0])
    joined(waiter)
    assert waiter.successful()
    again = spawn(take, files[0])
    sleep(0.01)
    assert not again.ready()
    give_back(files[1])
    joined(again)


def test_a_free_lock_is_taken_at_once(lock: Lock, files: list[int]) -> None:
    order: list[str] = []
    other = spawn(order.append, "other")
    lock[0](files[0])
    assert order == []
    joined(other)


def test_an_interrupted_wait_does_not_take_the_lock_later(lock: Lock, files: list[int]) -> None:
    take, give_back = lock
    take(files[0])
    waiter = spawn(take, files[1])
    sleep(0.005)
    interrupt(waiter, LookupError("enough"))
    joined(waiter)
    assert isinstance(waiter.exception, LookupError)
    give_back(files[0])
    sleep(0.01)
    take(files[2])


def test_a_wait_ends_when_the_descriptor_is_closed_or_becomes_another_files(
    lock: Lock, files: list[int], tmp_path: Path
) -> None:
    lock[0](files[0])
    waiters = [spawn(outcome, lock[0], file) for file in files[1:3]]
    sleep(0.005)
    os.close(files[1])
    with (tmp_path / "other").open("w") as other:
        os.dup2(other.fileno(), files[2])
        assert [value[0] for value in joined(*waiters)] == [OSError, OSError]
        assert [value[1][0] for value in joined(*waiters)] == [errno.EBADF] * 2
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_many_waiters_all_have_their_turn(files: list[int], tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with (tmp_path / "file").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            inside.append(1)
            most.append(len(inside))
            sleep(0)
            inside.pop()

    joined(*[spawn(work) for _ in range(50)])
    assert most == [1] * 50


def test_shared_locks_are_shared(files: list[int]) -> None:
    fcntl.flock(files[0], fcntl.LOCK_SH)
    fcntl.flock(files[1], fcntl.LOCK_SH)
    writer = spawn(fcntl.flock, files[2], fcntl.LOCK_EX)
    sleep(0.005)
    fcntl.flock(files[0], fcntl.LOCK_UN)
    sleep(0.005)
    assert not writer.ready()
    fcntl.flock(files[1], fcntl.LOCK_UN)
    joined(writer)


def test_who_does_not_want_to_wait_is_told_at_once(files: list[int]) -> None:
    fcntl.flock(files[0], fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        fcntl.flock(files[1], fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fcntl.flock(-1, fcntl.LOCK_EX),
        lambda: fcntl.flock(10_000, fcntl.LOCK_EX),
        lambda: fcntl.flock("x", fcntl.LOCK_EX),  # type: ignore[arg-type]
        lambda: fcntl.flock(0, "x"),  # type: ignore[arg-type]
        lambda: fcntl.flock(0),  # type: ignore[call-arg]
        lambda: fcntl.flock(0, 1 << 40),
        lambda: fcntl.lockf(10_000, fcntl.LOCK_EX),
        lambda: fcntl.lockf(0, 16),
        lambda: os.lockf(10_000, os.F_LOCK, 0),
        lambda: os.lockf(0, os.F_LOCK),  # type: ignore[call-arg]
        lambda: fcntl.fcntl(10_000, fcntl.F_SETLKW, WRITE_LOCK),
        lambda: fcntl.fcntl(10_000, fcntl.F_GETFD),
        lambda: fcntl.fcntl(),  # type: ignore[call-overload]
    ],
)
def test_errors_are_the_originals(call: Callable[[], object]) -> None:
    got = outcome(call)
    assert _core.points_switch("os", False)
    try:
        assert outcome(call) == got
    finally:
        _core.points_switch("os", True)
    assert isinstance(got[0], type)


HELD_BY_ANOTHER_PROCESS = (
    PRELUDE
    + """
import fcntl, struct, tempfile
get_hub()
path = tempfile.mktemp()
open(path, 'w').close()
held, tell_held = os.pipe()
leave_it, tell_leave = os.pipe()
holder = os.fork()
if holder == 0:
    with open(path, 'w') as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        os.write(tell_held, b'x')
        os.read(leave_it, 1)
    os._exit(0)
os.read(held, 1)
file = open(path, 'w')
order = []
"""
)


@pytest.mark.parametrize(
    "call",
    [
        "fcntl.lockf(file, fcntl.LOCK_EX)",
        "fcntl.lockf(file, fcntl.LOCK_EX, 10, 0, os.SEEK_SET)",
        "fcntl.fcntl(file, fcntl.F_SETLKW, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))",
    ],
)
def test_a_lock_of_another_process_is_waited_for(call: str) -> None:
    out = output_of(
        HELD_BY_ANOTHER_PROCESS
        + f"""
waiter = spawn(lambda: {call} and None)
sleep(0.02)
print(waiter.ready())
os.write(tell_leave, b'x')
print(joined(waiter), waiter.exception)
os.unlink(path)
"""
    )
    assert out == "False\n[None] None\n"


# ---- FIFOs ----


def read_by_os(path: Path) -> bytes:
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 100)
    finally:
        os.close(file)


def write_by_os(path: Path) -> int:
    file = os.open(path, flags=os.O_WRONLY)
    try:
        return os.write(file, b"hello")
    finally:
        os.close(file)


def read_by_io(path: Path) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return os.read(file.fileno(), 100)


def write_by_io(path: Path) -> int:
    with open(str(path), mode="wb", buffering=0) as file:
        return os.write(file.fileno(), b"hello")


@pytest.mark.parametrize("read", [read_by_os, read_by_io])
@pytest.mark.parametrize("write", [write_by_os, write_by_io])
def test_both_ends_of_a_fifo_may_be_opened_by_green_threads_in_either_order(
    fifo: Path, read: Callable[[Path], bytes], write: Callable[[Path], int]
) -> None:
    for first, second in ((read, write), (write, read)):
        threads = [spawn(first, fifo)]
        sleep(0.01)
        assert not threads[0].ready()
        threads.append(spawn(second, fifo))
        assert set(joined(*threads)) == {b"hello", 5}


def test_more_fifos_can_be_opened_than_a_pool_has_threads(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(30)]
    for path in paths:
        os.mkfifo(path)
    readers = [spawn(read_by_os, path) for path in paths]
    sleep(0.01)
    writers = [spawn(write_by_os, path) for path in paths]
    assert joined(*readers, *writers) == [b"hello"] * 30 + [5] * 30


def test_a_fifo_is_found_below_a_directory(fifo: Path) -> None:
    folder = os.open(fifo.parent, os.O_RDONLY)
    reader = spawn(os.open, fifo.name, os.O_RDONLY, dir_fd=folder)
    sleep(0.01)
    assert not reader.ready()
    os.close(os.open(fifo.name, os.O_WRONLY, dir_fd=folder))
    os.close(joined(reader)[0])
    os.close(folder)


def test_an_opener_that_opens_a_fifo_parks(fifo: Path) -> None:
    reader = spawn(lambda: open(fifo, "rb", buffering=0, opener=os.open).close())
    sleep(0.01)
    assert not reader.ready()
    os.close(os.open(fifo, os.O_WRONLY))
    joined(reader)


def test_opening_without_waiting_does_not_wait(fifo: Path) -> None:
    order: list[str] = []
    other = spawn(order.append, "other")
    files = [os.open(fifo, os.O_RDWR), os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), os.open(fifo, os.O_PATH)]
    with open(fifo, "r+b", buffering=0) as file:
        assert file.readable()
    assert order == []
    for it in files:
        os.close(it)
    with pytest.raises(OSError, match="No such device"):
        os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    joined(other)


def test_an_open_that_nobody_waits_for_is_closed_when_it_comes_about(fifo: Path) -> None:
    before = sorted(open_descriptors().values())
    for opener in (read_by_os, read_by_io):
        it = spawn(opener, fifo)
        until(lambda: native_call._own_threads.unfinished == 1)
        sleep(0.02)
        interrupt(it, LookupError("enough"))
        joined(it)
        os.close(os.open(fifo, os.O_WRONLY))
        until(lambda: native_call._own_threads.unfinished == 0)
    assert sorted(open_descriptors().values()) == before


@pytest.mark.parametrize(
    "call",
    [
        lambda: os.open("/no/such/file", os.O_RDONLY),
        lambda: os.open("/dev/null", "x"),  # type: ignore[arg-type]
        lambda: os.open("a\0b", os.O_RDONLY),
        lambda: os.open(b"/no/such/file", os.O_RDONLY, dir_fd=10_000),
        lambda: os.open(),  # type: ignore[call-arg]
        lambda: open("/no/such/file"),
        lambda: open("/dev/null", "q"),
        lambda: open(10_000),
        lambda: open(object()),  # type: ignore[call-overload]
        lambda: open("/dev/null", "\ud800"),
        lambda: open(),  # type: ignore[call-overload]
    ],
)
def test_errors_of_opening_are_the_originals(call: Callable[[], object]) -> None:
    got = outcome(call)
    assert _core.points_switch("os", False)
    try:
        expected = outcome(call)
    finally:
        _core.points_switch("os", True)
    assert got[0] is expected[0]
    assert str(got[1]) == str(expected[1]) or "object object" in str(got[1])


def test_other_files_are_opened_in_place(tmp_path: Path) -> None:
    order: list[str] = []
    other = spawn(order.append, "other")
    with (tmp_path / "file").open("w") as file:
        assert file.name == str(tmp_path / "file")
    os.close(os.open(tmp_path / "file", os.O_RDONLY))
    assert order == []
    joined(other)


# ---- os.system ----


def test_a_command_runs_while_others_do() -> None:
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    it = spawn(os.system, f"read line </dev/fd/{reader}; exit 7")
    others = [spawn(os.system, command=f"exit {number}") for number in range(3)]
    assert [os.waitstatus_to_exitcode(status) for status in joined(*others)] == [0, 1, 2]
    assert not it.ready()
    os.write(writer, b"x\n")
    assert os.waitstatus_to_exitcode(joined(it)[0]) == 7
    os.close(reader)
    os.close(writer)


def test_a_command_that_is_none_is_refused_as_ever() -> None:
    original = _core.original("os", None, "system")
    for args in ((), (7,), ("a", "b"), ("a\0b",)):
        assert outcome(os.system, *args) == outcome(original, *args)


def test_references_and_call_sites_from_before_are_reached() -> None:
    out = output_of(
        """
        import tempfile
        from fcntl import LOCK_EX, LOCK_UN, flock
        from os import mkfifo, open as os_open, system, O_RDONLY, O_WRONLY
        path = tempfile.mkdtemp()
        first, second = open(path + '/file', 'w'), open(path + '/file', 'w')
        mkfifo(path + '/fifo')
        def hot(operation): flock(first, operation)
        for _ in range(3000):
            hot(LOCK_EX)
            hot(LOCK_UN)
        from gossamer import _core
        _core.get_hub()
        hot(LOCK_EX)
        order = []
        def note(function, *args):
            function(*args)
            order.append(function.__name__)
        crowd = [_core.spawn(note, *call) for call in [(flock, second, LOCK_EX), (system, 'true'),
                 (os_open, path + '/fifo', O_RDONLY), (os_open, path + '/fifo', O_WRONLY)]]
        _core.spawn(hot, LOCK_UN)
        for it in crowd: it.join()
        print(sorted(order))
        """
    )
    assert out == "['flock', 'open', 'open', 'system']\n"


def test_native_threads_wait_natively(fifo: Path, files: list[int]) -> None:
    results: list[object] = []
    fcntl.flock(files[0], fcntl.LOCK_EX)

    def work() -> None:
        fcntl.flock(files[1], fcntl.LOCK_EX)
        results.append(os.system("exit 0"))
        results.append(read_by_os(fifo))

    before = native_call._own_threads.size
    thread = threading.Thread(target=work)
    thread.start()
    turns()
    fcntl.flock(files[0], fcntl.LOCK_UN)
    writer = spawn(write_by_os, fifo)
    until(lambda: len(results) == 2)
    joined(writer)
    thread.join()
    assert results == [0, b"hello"]
    assert native_call._own_threads.size <= before + 1
