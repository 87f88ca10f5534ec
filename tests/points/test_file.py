"""Files over pipes and the like, raw, buffered and as text: green threads park in them, one at a time in each."""

import io
import os
import pty
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from gossamer import _core
from gossamer._core import spawn
from tests.support.children import output_of
from tests.support.memory import least_growth
from tests.support.runtime import PRELUDE, ended, joined, open_descriptors, parked, reported, turns, until


class Interrupt(Exception):
    pass


@pytest.fixture(autouse=True)
def _points() -> None:
    _core.get_hub()


class Pipe:
    """Both ends of a pipe: descriptors, and the files that were opened over them."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.files: list[IO[Any]] = []

    def reader(self, mode: str = "rb", **options: Any) -> Any:
        self.files.append(open(self.read_end, mode, closefd=False, **options))
        return self.files[-1]

    def writer(self, mode: str = "wb", **options: Any) -> Any:
        self.files.append(open(self.write_end, mode, closefd=False, **options))
        return self.files[-1]

    def close_writing(self) -> None:
        os.close(self.write_end)
        self.write_end = -1

    def fill(self) -> int:
        """Writes until there is no room. Returns how many bytes."""
        os.set_blocking(self.write_end, False)
        written = 0
        for piece in (65536, 1):
            try:
                while True:
                    written += os.write(self.write_end, b"-" * piece)
            except BlockingIOError:
                continue
        os.set_blocking(self.write_end, True)
        return written

    def drain(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            data += os.read(self.read_end, length - len(data))
        return bytes(data)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    for descriptor in (pipe.read_end, pipe.write_end):
        if descriptor >= 0:
            os.close(descriptor)
    for file in pipe.files:
        try:
            file.close()
        except OSError:
            continue


def native(function: Callable[..., object], *args: Any) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function(*args)), daemon=True)
    thread.start()
    return thread, results


# ---- raw ----


def test_all_points_are_installed() -> None:
    names = {name for name, group, _, on in _core.points() if group == "os" and on}
    assert {
        "_io.FileIO.readinto",
        "_io.FileIO.write",
        "_io.BufferedReader.readline",
        "_io.BufferedWriter.write",
    } <= names


RAW_READERS: dict[str, Callable[[Any], object]] = {
    "read": lambda raw: raw.read(100),
    "readinto": lambda raw: raw.readinto(bytearray(100)) and b"hello",
}


@pytest.mark.parametrize("read", RAW_READERS.values(), ids=RAW_READERS)
def test_a_raw_reader_waits_while_others_run(pipe: Pipe, read: Callable[[Any], object]) -> None:
    reader = parked(read, pipe.reader(buffering=0))
    os.write(pipe.write_end, b"hello")
    assert ended(reader) == [b"hello"]


@pytest.mark.parametrize("arguments", [(), (-1,), (None,)])
def test_a_raw_reader_of_everything_waits_for_the_end(pipe: Pipe, arguments: tuple[Any, ...]) -> None:
    reader = parked(pipe.reader(buffering=0).read, *arguments)
    os.write(pipe.write_end, b"hello ")
    turns()
    os.write(pipe.write_end, b"world" * 10000)
    assert not reader.ready()
    pipe.close_writing()
    assert ended(reader) == [b"hello " + b"world" * 10000]


def test_readall_waits_for_the_end(pipe: Pipe) -> None:
    reader = parked(pipe.reader(buffering=0).readall)
    pipe.close_writing()
    assert ended(reader) == [b""]


def test_a_raw_writer_waits_until_all_is_written(pipe: Pipe) -> None:
    data = os.urandom(1 << 20)
    writer = parked(pipe.writer(buffering=0).write, data)
    assert pipe.drain(len(data)) == data
    assert ended(writer) == [len(data)]


def test_a_file_that_is_not_to_block_does_not(pipe: Pipe) -> None:
    os.set_blocking(pipe.read_end, False)
    raw = pipe.reader(buffering=0)
    assert (raw.read(1), raw.read(), raw.readinto(bytearray(1))) == (None, None, None)
    os.write(pipe.write_end, b"some")
    assert raw.read() == b"some"


def test_what_the_original_refuses_is_refused_as_ever(pipe: Pipe, tmp_path: Path) -> None:
    reader, writer = pipe.reader(buffering=0), pipe.writer(buffering=0)
    for call in (reader.write, lambda _: writer.read(1)):
        with pytest.raises(io.UnsupportedOperation):
            call(b"x")
    for call, wrong in ((reader.read, "x"), (reader.readinto, b"immutable"), (writer.write, "text")):
        with pytest.raises(TypeError):
            call(wrong)
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"x")
    with pytest.raises(OverflowError):
        reader.read(1 << 100)


def test_closing_ends_the_wait_of_a_reader(pipe: Pipe) -> None:
    raw = io.FileIO(os.dup(pipe.read_end))
    reader = parked(raw.read, 1)
    raw.close()
    joined(reader)
    assert isinstance(reader.exception, OSError | ValueError)


def fifo(folder: Path) -> tuple[int, int]:
    os.mkfifo(folder / "fifo")
    descriptor = os.open(folder / "fifo", os.O_RDWR)
    return descriptor, os.dup(descriptor)


def sockets(_: Path) -> tuple[int, int]:
    one, other = socket.socketpair()
    return one.detach(), other.detach()


def terminal(_: Path) -> tuple[int, int]:
    master, slave = pty.openpty()
    return slave, master


@pytest.mark.parametrize("ends", [fifo, sockets, terminal])
def test_whatever_is_a_stream_is_waited_for(tmp_path: Path, ends: Callable[[Path], tuple[int, int]]) -> None:
    read_end, write_end = ends(tmp_path)
    with open(read_end, "rb") as file:
        reader = parked(file.readline)
        os.write(write_end, b"a line\n")
        assert ended(reader) == [b"a line\n"]
    os.close(write_end)


def test_regular_files_are_read_and_written_as_ever(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w+b") as file:
        file.write(b"one\ntwo\n")
        file.seek(0)
        assert list(file) == [b"one\n", b"two\n"]
    assert (tmp_path / "file").read_text() == "one\ntwo\n"


# ---- buffered readers ----

READERS: dict[str, Callable[[Any], bytes]] = {
    "read": lambda file: file.read(5),
    "read1": lambda file: file.read1(5),
    "readline": lambda file: file.readline(),
    "iteration": lambda file: next(file),
    "peek": lambda file: file.peek(1)[:0] + file.read(5),
    "readinto": lambda file: file.readinto(buffer := bytearray(5)) and bytes(buffer),
    "readinto1": lambda file: file.readinto1(buffer := bytearray(5)) and bytes(buffer),
}


@pytest.mark.parametrize("first", READERS.values(), ids=READERS)
@pytest.mark.parametrize("second", READERS.values(), ids=READERS)
def test_two_readers_of_one_file_take_turns(
    pipe: Pipe, first: Callable[[Any], bytes], second: Callable[[Any], bytes]
) -> None:
    file = pipe.reader()
    readers = [parked(first, file), parked(second, file)]
    os.write(pipe.write_end, b"aaaa\n")
    turns()
    if not all(reader.ready() for reader in readers):
        os.write(pipe.write_end, b"bbbb\n")
    assert sorted(ended(*readers)) == [b"aaaa\n", b"bbbb\n"]


def test_lines_are_iterated_over_as_they_come(pipe: Pipe) -> None:
    lines: list[bytes] = []

    def read() -> None:
        for line in pipe.reader():
            lines.append(line)

    reader = parked(read)
    for text in (b"one\n", b"two\nth", b"ree\n"):
        os.write(pipe.write_end, text)
        _core.sleep(0.001)
    assert lines == [b"one\n", b"two\n", b"three\n"]
    pipe.close_writing()
    ended(reader)


def test_many_readers_get_each_line_once(pipe: Pipe) -> None:
    file = pipe.reader()
    readers = [parked(file.readline) for _ in range(50)]
    expected = [b"%d\n" % number for number in range(50)]
    os.write(pipe.write_end, b"".join(expected))
    assert sorted(ended(*readers)) == sorted(expected)


def test_one_that_waits_for_its_turn_can_be_interrupted(pipe: Pipe) -> None:
    file = pipe.reader()
    readers = [parked(file.readline) for _ in range(3)]
    assert _core.interrupt(readers[1], Interrupt())
    turns()
    assert isinstance(readers[1].exception, Interrupt)
    assert _core.interrupt(readers[0], Interrupt())
    turns()
    os.write(pipe.write_end, b"line\n")
    assert ended(readers[2]) == [b"line\n"]


def test_closing_waits_for_the_reader_that_is_inside(pipe: Pipe) -> None:
    file = open(os.dup(pipe.read_end), "rb")
    reader = parked(file.readline)
    closing = parked(file.close)
    os.write(pipe.write_end, b"line\n")
    assert ended(reader, closing) == [b"line\n", None]
    assert file.closed


def test_a_number_that_another_thread_got_in_the_middle_of_close_is_not_taken_for_closed() -> None:
    out = output_of(
        PRELUDE
        + """
import io
sys.setswitchinterval(1e-5)
over = []
def open_and_close():
    while not over:
        for end in os.pipe():
            io.FileIO(end).close()
thread = threading.Thread(target=open_and_close)
get_hub()
thread.start()
for _ in range(scaled(20000)):
    reading, writing = os.pipe()
    reader = spawn(os.read, reading, 5)
    sleep(0)
    os.write(writing, b'x')
    assert joined(reader) == [b'x'], reader.exception
    os.close(reading)
    os.close(writing)
over.append(1)
until(lambda: not thread.is_alive())
"""
    )
    assert out == ""


def test_a_native_and_a_green_reader_take_turns(pipe: Pipe) -> None:
    file = pipe.reader()
    green = parked(file.readline)
    thread, results = native(file.readline)
    time.sleep(0.01)
    os.write(pipe.write_end, b"one\n")
    assert ended(green) == [b"one\n"]
    later = parked(file.readline)
    os.write(pipe.write_end, b"two\n")
    until(lambda: results or later.ready())
    os.write(pipe.write_end, b"three\n")
    until(lambda: results and later.ready())
    assert sorted([*results, later.value]) == [b"three\n", b"two\n"]
    thread.join()


def test_native_and_green_readers_that_come_at_any_moment_lose_no_line() -> None:
    """A hundred times, since it is about the moment in which one leaves and another one comes."""
    out = output_of(
        PRELUDE
        + """
get_hub()
for _ in range(scaled(100)):
    reading, writing = os.pipe()
    file = open(reading, 'rb')
    lines = []
    read = lambda: lines.append(file.readline())
    first = spawn(read)
    turns()
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    sleep(0.0005)
    os.write(writing, b'one\\n')
    joined(first)
    second = spawn(read)
    turns()
    os.write(writing, b'two\\nthree\\n')
    joined(second)
    until(lambda: not thread.is_alive())
    assert sorted(lines) == [b'one\\n', b'three\\n', b'two\\n'], lines
    os.close(writing)
    file.close()
"""
    )
    assert out == ""


def test_two_readers_of_one_sockets_file_take_turns() -> None:
    one, other = socket.socketpair()
    with one, other, one.makefile("rb") as file:
        readers = [parked(file.readline) for _ in range(2)]
        other.sendall(b"one\ntwo\n")
        assert ended(*readers) == [b"one\n", b"two\n"]


def test_a_raw_file_that_calls_the_buffer_above_it_is_refused_as_ever() -> None:
    class Raw(io.RawIOBase):
        file: io.BufferedReader

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            return len(self.file.read(1))

    raw = Raw()
    raw.file = io.BufferedReader(raw)
    with pytest.raises(RuntimeError, match="reentrant call"):
        raw.file.read(1)


def test_a_subtype_and_its_own_methods_are_used(pipe: Pipe) -> None:
    class Reader(io.BufferedReader):
        def readline(self, size: int | None = -1, /) -> bytes:
            return super().readline(size).upper()

    file = Reader(pipe.reader(buffering=0))
    readers = [parked(lambda: next(file)) for _ in range(2)]
    os.write(pipe.write_end, b"one\ntwo\n")
    assert ended(*readers) == [b"ONE\n", b"TWO\n"]


# ---- buffered writers and text ----


def test_writers_of_one_file_lose_nothing_and_take_turns(pipe: Pipe) -> None:
    file = pipe.writer()
    filled = pipe.fill()
    pieces = [bytes([ord("a") + number]) * 20_000 for number in range(10)]

    def write(piece: bytes) -> None:
        file.write(piece)
        file.flush()

    writers = [parked(write, piece) for piece in pieces]
    pipe.drain(filled)
    data = pipe.drain(200_000)
    ended(*writers)
    assert sorted(data) == sorted(b"".join(pieces))


def test_whole_lines_come_out_of_many_that_print(pipe: Pipe) -> None:
    file = pipe.writer("w")
    filled = pipe.fill()
    texts = [f"{number} " + "x" * 100 for number in range(100)]
    writers = [spawn(printing, file, text) for text in texts]
    turns()
    pipe.drain(filled)
    data = pipe.drain(sum(len(text) + 1 for text in texts))
    ended(*writers)
    assert sorted(data.decode().splitlines()) == sorted(texts)


def printing(file: IO[str], text: str) -> None:
    print(text, file=file, flush=True)


def test_an_interrupted_writer_neither_loses_nor_repeats_what_it_wrote(pipe: Pipe) -> None:
    file = pipe.writer(buffering=200_000)
    data = os.urandom(150_000)
    file.write(data)
    filled = pipe.fill()
    flushing = parked(file.flush)
    pipe.drain(filled)
    _core.sleep(0.001)
    assert not flushing.ready()
    assert _core.interrupt(flushing, Interrupt())
    turns()
    assert isinstance(flushing.exception, Interrupt)
    flushing = spawn(file.flush)
    received = pipe.drain(len(data))
    ended(flushing)
    assert received == data


def test_an_interrupted_raw_writer_gets_the_exception(pipe: Pipe) -> None:
    writer = parked(pipe.writer(buffering=0).write, b"x" * 200_000)
    assert _core.interrupt(writer, Interrupt())
    joined(writer)
    assert isinstance(writer.exception, Interrupt)


def test_an_interrupted_reader_has_taken_nothing(pipe: Pipe) -> None:
    file = pipe.reader()
    reader = parked(file.readline)
    assert _core.interrupt(reader, Interrupt())
    joined(reader)
    assert isinstance(reader.exception, Interrupt)
    os.write(pipe.write_end, b"line\n")
    assert file.readline() == b"line\n"


def test_a_callback_of_the_hub_may_write_while_a_green_thread_is_inside(pipe: Pipe) -> None:
    file = pipe.writer("w")
    filled = pipe.fill()
    writer = parked(printing, file, "green")
    with reported() as reports:
        _core.get_hub().run_callback(printing, file, "callback")
        turns()
    assert reports == []
    pipe.drain(filled)
    assert pipe.drain(len("green\ncallback\n")) == b"green\ncallback\n"
    ended(writer)


def test_a_callback_of_the_hub_writes_into_a_full_pipe_as_an_ordinary_thread_does(pipe: Pipe) -> None:
    file = pipe.writer(buffering=0)
    filled = pipe.fill()
    source = (
        "import os, sys, time; time.sleep(0.1); n = int(sys.argv[2])\nwhile n: n -= len(os.read(int(sys.argv[1]), n))"
    )
    command = [sys.executable, "-c", source, str(pipe.read_end), str(filled)]
    with reported() as reports, subprocess.Popen(command, pass_fds=[pipe.read_end]) as process:
        _core.get_hub().run_callback(file.write, b"callback")
        turns()
        assert reports == []
        until(lambda: process.poll() is not None)
    assert pipe.drain(8) == b"callback"


# ---- what was there before, and is there afterwards ----


BEFORE = """
import io, os, sys
read_end, write_end = os.pipe()
file = open(read_end, 'rb')
readline, following = file.readline, file.__next__
def hot():
    for _ in range(3000):
        io.BytesIO().readline()
assert 'gossamer' not in sys.modules
from gossamer import _core
_core.get_hub()
"""


@pytest.mark.parametrize("name", ["readline", "following"])
def test_files_and_methods_that_were_there_before_are_reached(name: str) -> None:
    out = output_of(
        BEFORE
        + f"""
readers = [_core.spawn({name}) for _ in range(2)]
_core.sleep(0)
os.write(write_end, b'one\\ntwo\\n')
for reader in readers:
    reader.join()
print([reader.value for reader in readers])
"""
    )
    assert out == "[b'one\\n', b'two\\n']\n"


def test_a_switched_off_group_blocks_as_the_original_does() -> None:
    out = output_of(
        BEFORE
        + """
_core.points_switch('os', False)
os.write(write_end, b'one\\n')
order = []
reader = _core.spawn(lambda: order.append(file.readline()))
other = _core.spawn(lambda: order.append('other'))
reader.join()
other.join()
print(order)
"""
    )
    assert out == "[b'one\\n', 'other']\n"


def test_waiting_leaves_nothing_behind(pipe: Pipe) -> None:
    file = pipe.reader()

    def rounds() -> None:
        for _ in range(100):
            readers = [parked(file.readline) for _ in range(3)]
            _core.interrupt(readers[2], Interrupt())
            os.write(pipe.write_end, b"one\ntwo\n")
            joined(*readers)

    assert least_growth(rounds, lambda: sys.getrefcount(file)) == 0
    assert least_growth(rounds, lambda: len(open_descriptors())) == 0
