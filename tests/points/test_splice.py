"""os.splice(): a green thread waits for whichever end is not ready, and others run meanwhile."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossamer import _core
from gossamer._core import get_hub, interrupt, sleep, spawn
from tests.support.runtime import in_thread, joined, turns

Pipe = tuple[int, int]


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


def pipe_ends() -> Iterator[Pipe]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


first = pytest.fixture(pipe_ends)
second = pytest.fixture(pipe_ends)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture
def tcp() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        client = socket.create_connection(listener.getsockname())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
        server, _ = listener.accept()
    with client, server:
        yield client, server


def fill(descriptor: int) -> int:
    written = 0
    os.set_blocking(descriptor, False)
    try:
        while True:
            written += os.write(descriptor, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(descriptor, True)
    return written


def parked(source: int, destination: int, count: int = 100, **offsets: int) -> _core.GreenThread:
    thread = spawn(os.splice, source, destination, count, **offsets)
    turns()
    assert not thread.ready()
    return thread


def test_the_point_is_installed() -> None:
    assert ("os.splice", "os", "waiter", True) in _core.points()


def test_an_empty_pipe_is_waited_for(first: Pipe, second: Pipe) -> None:
    thread = parked(first[0], second[1])
    os.write(first[1], b"bytes")
    assert joined(thread) == [5]
    assert os.read(second[0], 100) == b"bytes"


def test_a_full_pipe_is_waited_for(first: Pipe, second: Pipe) -> None:
    size = fill(second[1])
    os.write(first[1], b"bytes")
    thread = parked(first[0], second[1])
    while size > 0:
        size -= len(os.read(second[0], size))
    assert joined(thread) == [5]
    assert os.read(second[0], 100) == b"bytes"


def test_a_socket_without_bytes_is_waited_for(
    tcp: tuple[socket.socket, socket.socket], pair: tuple[socket.socket, socket.socket], first: Pipe
) -> None:
    for left, right in (tcp, pair):
        thread = parked(right.fileno(), first[1])
        left.sendall(b"bytes")
        assert joined(thread) == [5]
        assert os.read(first[0], 100) == b"bytes"
        assert os.get_blocking(right.fileno())


def test_a_socket_without_room_is_waited_for(tcp: tuple[socket.socket, socket.socket], first: Pipe) -> None:
    left, right = tcp
    sent = 0

    def send() -> int:
        total = 0
        for _ in range(500):
            os.write(first[1], b"y" * 4096)
            moved = 0
            while moved < 4096:
                moved += os.splice(first[0], left.fileno(), 4096 - moved)
            total += moved
        return total

    sender = spawn(send)
    sleep(0.05)
    assert not sender.ready(), "two megabytes fit into a connection"
    while sent < 500 * 4096:
        sent += len(right.recv(100_000))
    assert joined(sender) == [500 * 4096]


def test_the_end_is_0(first: Pipe, second: Pipe) -> None:
    writing = os.dup(first[1])
    os.dup2(second[1], first[1])
    thread = parked(first[0], second[1])
    os.close(writing)
    assert joined(thread) == [0]


def test_files_have_offsets_and_names_do_too(first: Pipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with (tmp_path / "file").open("rb") as file:
        assert os.splice(file.fileno(), first[1], 3, offset_src=4) == 3
        assert os.splice(src=file.fileno(), dst=first[1], count=2, offset_src=0, flags=os.SPLICE_F_MORE) == 2
    assert os.read(first[0], 100) == b"45601"


def test_who_does_not_want_to_wait_is_told_at_once(first: Pipe, second: Pipe) -> None:
    with pytest.raises(BlockingIOError):
        os.splice(first[0], second[1], 10, flags=os.SPLICE_F_NONBLOCK)
    os.set_blocking(first[0], False)
    with pytest.raises(BlockingIOError):
        os.splice(first[0], second[1], 10)


def test_an_interrupted_wait_has_moved_nothing(first: Pipe, second: Pipe) -> None:
    thread = parked(first[0], second[1])
    interrupt(thread, LookupError("enough"))
    joined(thread)
    assert isinstance(thread.exception, LookupError)
    os.write(first[1], b"bytes")
    assert os.splice(first[0], second[1], 10) == 5


def test_what_the_original_refuses_is_refused_as_ever(first: Pipe, second: Pipe) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.splice(10_000, second[1], 10)
    with pytest.raises(TypeError):
        os.splice(first[0], second[1])  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        os.splice("x", second[1], 10)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        os.splice(first[0], second[1], -1)
    with pytest.raises(OSError, match="Illegal seek|Invalid argument"):
        os.splice(first[0], second[1], 10, offset_src=1)


def test_a_native_thread_blocks_natively(first: Pipe, second: Pipe) -> None:
    os.write(first[1], b"bytes")
    assert in_thread(lambda: os.splice(first[0], second[1], 100)) == 5


def put_another_there(descriptor: int) -> None:
    """Closes it unseen by the points, and has its number used again."""
    fresh, other = os.pipe()
    dup2 = _core.original("posix", None, "dup2")
    dup2(fresh, descriptor)
    os.close(fresh)
    os.close(other)


@pytest.mark.parametrize("end", ["source", "destination"])
def test_an_end_whose_number_is_used_again_meanwhile_is_an_error(first: Pipe, second: Pipe, end: str) -> None:
    if end == "source":
        os.write(first[1], b"x" * 100)
        fill(second[1])
        splicer = spawn(os.splice, first[0], second[1], 100)
        turns()
        put_another_there(first[0])
        os.read(second[0], 65536)
    else:
        splicer = spawn(os.splice, first[0], second[1], 100)
        turns()
        put_another_there(second[1])
        os.write(first[1], b"x" * 100)
    joined(splicer)
    assert isinstance(splicer.exception, OSError) and splicer.exception.errno == errno.EBADF


def test_sendfile_notices_that_the_files_number_is_used_again_meanwhile(tmp_path: Path, first: Pipe) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 100)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        filler = fill(first[1])
        sender = spawn(os.sendfile, first[1], descriptor, 0, 100)
        turns()
        assert not sender.ready()
        put_another_there(descriptor)
        assert len(os.read(first[0], filler)) == filler
        joined(sender)
        assert isinstance(sender.exception, OSError) and sender.exception.errno == errno.EBADF
    finally:
        os.close(descriptor)
