"""os.read(), os.write() and their kin on pipes and the like: green threads park, and get what they would have got."""

import os
import pty
import select
import socket
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import spawn
from tests.support.children import output_of
from tests.support.runtime import ended, parked

PIPE_BUF = select.PIPE_BUF


@pytest.fixture(autouse=True)
def _points() -> None:
    _core.get_hub()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass


def native(function: Callable[..., object], *args: Any) -> Callable[[], Any]:
    """Calls it in an OS thread. What is returned waits for the end, without blocking the hub, and gives the result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(outcome(function, *args)), daemon=True)
    thread.start()

    def result() -> Any:
        while not results:
            _core.sleep(0.001)
        return results[0]

    return result


def outcome(function: Callable[..., object], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as fault:
        return (type(fault), str(fault), getattr(fault, "errno", None))


def fill(descriptor: int, piece: int = 65536) -> int:
    """Writes until there is no room. Returns how many bytes."""
    written = 0
    os.set_blocking(descriptor, False)
    try:
        while True:
            written += os.write(descriptor, b"-" * piece)
    except BlockingIOError:
        os.set_blocking(descriptor, True)
        return written


def fill_up(descriptor: int) -> int:
    return fill(descriptor) + fill(descriptor, 1)


def read_by_readv(descriptor: int, length: int) -> bytes:
    first, second = bytearray(length // 2), bytearray(length - length // 2)
    count = os.readv(descriptor, [first, second])
    return bytes(first + second)[:count]


def read_by_readinto(descriptor: int, length: int) -> bytes:
    buffer = bytearray(length)
    count: int = os.readinto(descriptor, buffer)  # type: ignore[attr-defined,unused-ignore]
    return bytes(buffer[:count])


def write_by_writev(descriptor: int, data: bytes) -> int:
    third = len(data) // 3
    return os.writev(descriptor, (data[:third], b"", memoryview(data)[third : 2 * third], data[2 * third :]))


READERS: list[Callable[[int, int], bytes]] = [os.read, read_by_readv]
if sys.version_info >= (3, 14):
    READERS.append(read_by_readinto)


@pytest.fixture(params=READERS, ids=lambda reader: reader.__name__)
def read(request: pytest.FixtureRequest) -> Callable[[int, int], bytes]:
    reader: Callable[[int, int], bytes] = request.param
    return reader


@pytest.fixture(params=[os.write, write_by_writev], ids=lambda writer: writer.__name__)
def write(request: pytest.FixtureRequest) -> Callable[[int, bytes], int]:
    writer: Callable[[int, bytes], int] = request.param
    return writer


def test_all_points_are_installed() -> None:
    names = {name for name, group, _, on in _core.points() if group == "os" and on}
    expected = {"os.read", "os.write", "os.readv", "os.writev", "os.eventfd_read"}
    assert names >= expected | ({"os.readinto"} if sys.version_info >= (3, 14) else set())


def test_a_reader_waits_while_others_run(read: Callable[[int, int], bytes], pipe: tuple[int, int]) -> None:
    reader = parked(read, pipe[0], 100)
    os.write(pipe[1], b"hello")
    assert ended(reader) == [b"hello"]


def test_what_is_there_is_read_at_once_and_no_more_than_asked_for(
    read: Callable[[int, int], bytes], pipe: tuple[int, int]
) -> None:
    os.write(pipe[1], b"hello")
    assert read(pipe[0], 2) == b"he"
    assert read(pipe[0], 100) == b"llo"


def test_the_end_is_empty(read: Callable[[int, int], bytes], pipe: tuple[int, int]) -> None:
    reader = parked(read, pipe[0], 100)
    os.close(pipe[1])
    assert ended(reader) == [b""]
    assert read(pipe[0], 100) == b""


def test_each_byte_goes_to_one_reader(pipe: tuple[int, int]) -> None:
    readers = [parked(os.read, pipe[0], 1) for _ in range(10)]
    os.write(pipe[1], b"0123456789")
    assert sorted(ended(*readers)) == [b"%d" % digit for digit in range(10)]


def test_a_writer_waits_until_all_is_written(write: Callable[[int, bytes], int], pipe: tuple[int, int]) -> None:
    data = bytes(range(256)) * 4096
    writer = parked(write, pipe[1], data)
    received = bytearray()
    while len(received) < len(data):
        received += os.read(pipe[0], 100_000)
    assert ended(writer) == [len(data)]
    assert received == data


def test_a_small_write_into_a_full_pipe_waits_and_is_not_cut(
    write: Callable[[int, bytes], int], pipe: tuple[int, int]
) -> None:
    room = fill_up(pipe[1])
    writer = parked(write, pipe[1], b"x" * PIPE_BUF)
    assert len(os.read(pipe[0], room)) == room
    assert ended(writer) == [PIPE_BUF]
    assert os.read(pipe[0], 2 * PIPE_BUF) == b"x" * PIPE_BUF


def test_writes_up_to_the_limit_of_pipes_are_never_mixed(pipe: tuple[int, int]) -> None:
    sizes = [1, 100, 1000, PIPE_BUF - 1, PIPE_BUF]

    def write_records(mark: int) -> None:
        for number in range(40):
            body = bytes([mark]) * sizes[number % len(sizes)]
            assert os.write(pipe[1], body) == len(body)

    writers = [parked(write_records, mark) for mark in b"abc"]
    other = native(write_records, ord("n"))
    total = 4 * 8 * sum(sizes)
    received = bytearray()
    while len(received) < total:
        received += os.read(pipe[0], 1 << 16)
    ended(*writers)
    assert other() is None
    counts = {mark: received.count(mark) for mark in b"abcn"}
    assert counts == dict.fromkeys(b"abcn", 8 * sum(sizes))
    position, turn = 0, dict.fromkeys(b"abcn", 0)
    while position < total:
        mark = received[position]
        size = sizes[turn[mark] % len(sizes)]
        assert received[position : position + size] == bytes([mark]) * size
        position += size
        turn[mark] += 1


def test_a_writer_whose_reader_goes_gets_what_a_blocking_one_would(
    write: Callable[[int, bytes], int], pipe: tuple[int, int]
) -> None:
    room = fill_up(pipe[1])
    begun = parked(write, pipe[1], b"x" * 1_000_000)
    unbegun = parked(write, pipe[1], b"x")
    os.read(pipe[0], room // 2)
    for _ in range(3):
        _core.sleep(0.001)
    os.close(pipe[0])
    written = ended(begun)[0]
    assert 0 < written < 1_000_000
    with pytest.raises(BrokenPipeError):
        write(pipe[1], b"x")
    assert unbegun.ready()


def test_a_descriptor_that_is_not_to_block_does_not_park(pipe: tuple[int, int]) -> None:
    for end in pipe:
        os.set_blocking(end, False)
    order: list[str] = []
    other = spawn(order.append, "other")
    with pytest.raises(BlockingIOError):
        os.read(pipe[0], 1)
    room = os.write(pipe[1], b"x" * 10_000_000)
    assert 0 < room < 10_000_000
    with pytest.raises(BlockingIOError):
        os.write(pipe[1], b"x")
    assert len(os.read(pipe[0], 10_000_000)) == room
    assert order == []
    ended(other)


def test_an_exception_thrown_in_ends_the_wait(
    read: Callable[[int, int], bytes], write: Callable[[int, bytes], int], pipe: tuple[int, int]
) -> None:
    reader = parked(read, pipe[0], 10)
    assert _core.interrupt(reader, LookupError("enough"))
    with pytest.raises(LookupError, match="enough"):
        ended(reader)
    fill_up(pipe[1])
    writer = parked(write, pipe[1], b"x")
    assert _core.interrupt(writer, LookupError("enough"))
    with pytest.raises(LookupError, match="enough"):
        ended(writer)


def test_a_buffer_that_is_read_into_cannot_be_resized_meanwhile(pipe: tuple[int, int]) -> None:
    buffer = bytearray(10)
    reader = parked(os.readv, pipe[0], [buffer])
    with pytest.raises(BufferError):
        buffer.clear()
    os.write(pipe[1], b"hello")
    assert ended(reader) == [5]
    assert buffer == b"hello\0\0\0\0\0"
    buffer.clear()


def test_points_that_are_off_block_the_thread(pipe: tuple[int, int]) -> None:
    order: list[str] = []
    assert _core.points_switch("os", False) >= 5
    try:
        sender = native(lambda: time.sleep(0.05) or os.write(pipe[1], b"x"))
        other = spawn(order.append, "other")
        order.append(os.read(pipe[0], 1).decode())
    finally:
        _core.points_switch("os", True)
    ended(other)
    sender()
    assert order == ["x", "other"]


def test_a_wait_on_the_hub_greenlet_is_refused(pipe: tuple[int, int]) -> None:
    results = []
    os.write(pipe[1], b"x")
    for _ in range(2):
        _core.get_hub().run_callback(lambda: results.append(outcome(os.read, pipe[0], 1)))
    _core.sleep(0)
    assert results[0] == b"x"
    assert results[1][0] is _core.BlockingSwitchOutError


# ---- other kinds of descriptors ----


def test_a_fifo_is_a_pipe(tmp_path: Path, read: Callable[[int, int], bytes]) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    reader = parked(read, both, 10)
    os.write(both, b"x")
    assert ended(reader) == [b"x"]
    os.close(both)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM], ids=repr)
def test_sockets_are_read_and_written_by_their_descriptors(
    kind: socket.SocketKind, read: Callable[[int, int], bytes], write: Callable[[int, bytes], int]
) -> None:
    left, right = socket.socketpair(type=kind)
    reader = parked(read, left.fileno(), 100)
    assert write(right.fileno(), b"hello") == 5
    assert ended(reader) == [b"hello"]
    fill(left.fileno(), 4096)
    writer = parked(write, left.fileno(), b"y" * 4096)
    received = b""
    while not received.endswith(b"y" * 4096):
        received += read(right.fileno(), 4096)
    assert ended(writer) == [4096]
    left.close()
    right.close()


def test_a_large_write_to_a_stream_socket_is_complete(write: Callable[[int, bytes], int]) -> None:
    left, right = socket.socketpair()
    data = os.urandom(3_000_000)
    writer = parked(write, left.fileno(), data)
    received = bytearray()
    while len(received) < len(data):
        received += os.read(right.fileno(), 1 << 20)
    assert ended(writer) == [len(data)]
    assert received == data
    left.close()
    right.close()


def test_eventfds() -> None:
    counter = os.eventfd(0)
    readers = [parked(os.read, counter, 8), parked(os.eventfd_read, counter)]
    os.eventfd_write(counter, 5)
    for _ in range(3):
        _core.sleep(0.001)
    os.eventfd_write(counter, 7)
    values = ended(*readers)
    assert {int.from_bytes(values[0], sys.byteorder), values[1]} == {5, 7}
    assert outcome(os.read, counter, 4) == (OSError, "[Errno 22] Invalid argument", 22)
    os.close(counter)


@pytest.mark.skipif(not hasattr(os, "timerfd_create"), reason="os.timerfd_create is new in Python 3.13")
def test_timerfds() -> None:
    timer = os.timerfd_create(time.CLOCK_MONOTONIC, flags=0)  # type: ignore[attr-defined,unused-ignore]
    reader = parked(os.read, timer, 8)
    os.timerfd_settime(timer, initial=0.01)  # type: ignore[attr-defined,unused-ignore]
    assert ended(reader) == [(1).to_bytes(8, sys.byteorder)]
    os.close(timer)


def test_terminals(read: Callable[[int, int], bytes], write: Callable[[int, bytes], int]) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave, termios.TCSANOW)
    reader = parked(read, slave, 100)
    assert write(master, b"to the program") == 14
    assert ended(reader) == [b"to the program"]
    reader = parked(read, master, 100)
    assert write(slave, b"to the user") == 11
    assert ended(reader) == [b"to the user"]
    os.close(slave)
    os.close(master)


def test_regular_files_are_the_originals_business(
    tmp_path: Path, read: Callable[[int, int], bytes], write: Callable[[int, bytes], int]
) -> None:
    data = os.urandom(5_000_000)
    order: list[str] = []
    other = spawn(order.append, "other")
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    assert write(file, data) == len(data)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(file, 0, os.SEEK_SET)
    assert read(file, len(data)) == data
    assert read(file, 10) == b""
    os.close(file)
    assert order == []
    ended(other)


def test_devices_and_directories(tmp_path: Path) -> None:
    zero, null = (os.open(f"/dev/{name}", os.O_RDWR) for name in ("zero", "null"))
    folder = os.open(tmp_path, os.O_RDONLY)
    assert os.read(zero, 4) == bytes(4)
    assert os.read(null, 4) == b""
    assert os.write(null, b"1234") == 4
    assert outcome(os.read, folder, 4) == (IsADirectoryError, "[Errno 21] Is a directory", 21)
    for descriptor in (zero, null, folder):
        os.close(descriptor)


# ---- native threads, programs from before, errors ----


def test_native_and_green_threads_share_a_pipe_in_both_directions(pipe: tuple[int, int]) -> None:
    back = os.pipe()

    def echo() -> int:
        count = 0
        while data := os.read(pipe[0], 100):
            os.write(back[1], data.upper())
            count += len(data)
        return count

    result = native(echo)
    for _ in range(50):
        os.write(pipe[1], b"hello")
        assert os.read(back[0], 5) == b"HELLO"
    os.close(pipe[1])
    assert result() == 250
    for end in back:
        os.close(end)


def test_native_and_green_readers_divide_what_comes(pipe: tuple[int, int]) -> None:
    total, seen = 300, []

    def work() -> None:
        while os.read(pipe[0], 1) == b"x":
            seen.append(1)

    greens = [parked(work) for _ in range(3)]
    others = [native(work) for _ in range(2)]
    for _ in range(total):
        os.write(pipe[1], b"x")
        _core.sleep(0)
    os.close(pipe[1])
    ended(*greens)
    assert [other() for other in others] == [None, None]
    assert len(seen) == total


@pytest.mark.parametrize("first", ["", "from gossamer import _core; _core.get_hub()"])
@pytest.mark.parametrize("hot", [0, 2000], ids=["cold", "hot"])
def test_references_and_call_sites_from_before_park(first: str, hot: int) -> None:
    out = output_of(
        first
        + f"""
from os import pipe, read, write
reader, writer = pipe()
def get():
    return read(reader, 100)
def put():
    return write(writer, b'x')
for _ in range({hot}):
    put()
    get()
from gossamer import _core
waiter = _core.spawn(get)
for _ in range(3):
    _core.sleep(0)
print(waiter.ready())
put()
waiter.join(timeout=60)
print(waiter.value)
"""
    )
    assert out == "False\nb'x'\n"


class Broken:
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> object:
        raise LookupError("no buffer")


BAD: list[tuple[str, tuple[Any, ...]]] = [
    ("read", ()), ("read", (0,)), ("read", ("READ", -1)), ("read", ("READ", "x")), ("read", ("READ", 1 << 80)),
    ("read", (-1, 1)), ("read", (1 << 40, 1)), ("read", (999_999, 1)), ("read", ("x", 1)), ("read", (1.5, 1)),
    ("read", ("WRITE", 1)), ("read", ("WRITE", 0)), ("read", ("READ", 0)), ("read", ("READ", 1, 1)),
    ("write", ("READ", b"x")), ("write", ("WRITE", "x")), ("write", ("WRITE", b"")), ("write", ("READ", b"")),
    ("write", (999_999, b"x")), ("write", ("WRITE", [1])), ("write", ("WRITE", memoryview(b"abcd")[::2])),
    ("readv", ("READ", [])), ("readv", ("READ", [b"x"])), ("readv", ("READ", bytearray(5))), ("readv", ("READ", 1)),
    ("readv", ("WRITE", [bytearray(1)])), ("readv", ("READ", [bytearray(1)] * 2000)), ("readv", ("READ", Broken())),
    ("readv", ("READ", {1: 2})), ("readv", (999_999, [bytearray(1)])), ("readv", ("READ", [bytearray(0)])),
    ("writev", ("WRITE", [])), ("writev", ("WRITE", ["x"])), ("writev", ("WRITE", [b"x"] * 2000)),
    ("writev", ("WRITE", None)), ("writev", ("WRITE", [b""])), ("writev", ("READ", [b"x"])),
    ("eventfd_read", ()), ("eventfd_read", ("x",)), ("eventfd_read", ("WRITE",)), ("eventfd_read", (999_999,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), BAD, ids=str)
def test_what_the_original_refuses_is_refused_in_its_words(
    name: str, args: tuple[Any, ...], pipe: tuple[int, int]
) -> None:
    ends = {"READ": pipe[0], "WRITE": pipe[1]}
    given = [ends.get(each, each) if isinstance(each, str) else each for each in args]
    expected = outcome(_core.original("os", None, name), *given)
    assert outcome(getattr(os, name), *given) == expected


def test_points_look_like_the_originals() -> None:
    for name in ("read", "write", "readv", "writev", "eventfd_read"):
        point, original = getattr(os, name), _core.original("os", None, name)
        assert point is not original
        assert (point.__name__, point.__doc__) == (original.__name__, original.__doc__)
        assert (point.__module__, point.__text_signature__) == (original.__module__, original.__text_signature__)
