"""Calls that succeed at once, again and again, let others have their turn; where nobody may be let in, they do not."""

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import gossamer
from gossamer import monkey
from gossamer._core import get_hub, sleep, spawn
from tests.support.certificates import make_certificates, tls_pair
from tests.support.runtime import block, joined
from tests.support.scale import patience

CALLS = 100
"""More than may pass before somebody looks who else waits for a turn."""
LONG = 0.02
"""Seconds, several times what the poller may go unasked."""

Call = Callable[[], object]
Maker = Callable[[ExitStack, Path], Call]


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


def local_pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair()
    return stack.enter_context(left), stack.enter_context(right)


def pipe_ends(stack: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        stack.callback(os.close, end)
    return ends


def full_socket(stack: ExitStack) -> socket.socket:
    left, right = local_pair(stack)
    left.sendall(b"x" * 4096)
    return right


def full_pipe(stack: ExitStack) -> int:
    reading, writing = pipe_ends(stack)
    os.write(writing, b"x" * 4096)
    return reading


def datagrams(stack: ExitStack) -> socket.socket:
    """A socket that may always send: what nobody reads, the kernel drops."""
    receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    receiver.bind(("127.0.0.1", 0))
    sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sender.connect(receiver.getsockname())
    return sender


def full_raw_file(stack: ExitStack) -> "Callable[[int], bytes | None]":
    return stack.enter_context(open(os.dup(full_pipe(stack)), "rb", buffering=0)).read


def recv_into(stack: ExitStack, folder: Path) -> Call:
    end, room = full_socket(stack), bytearray(1)
    return lambda: end.recv_into(room)


def accept(stack: ExitStack, folder: Path) -> Call:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=CALLS + 28))
    for _ in range(CALLS):
        stack.enter_context(socket.create_connection(listener.getsockname()))
    return lambda: stack.enter_context(listener.accept()[0])


def eventfd(stack: ExitStack, folder: Path) -> Call:
    descriptor = os.eventfd(CALLS, os.EFD_SEMAPHORE)
    stack.callback(os.close, descriptor)
    return lambda: os.eventfd_read(descriptor)


def sendfile(stack: ExitStack, folder: Path) -> Call:
    (folder / "file").write_bytes(b"some bytes")
    file = stack.enter_context(open(folder / "file", "rb"))
    left, _ = local_pair(stack)
    return lambda: os.sendfile(left.fileno(), file.fileno(), 0, 1)


def tls(stack: ExitStack, folder: Path) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    client, server = tls_pair(make_certificates(folder))
    return stack.enter_context(client), stack.enter_context(server)


def tls_read(stack: ExitStack, folder: Path) -> Call:
    client, server = tls(stack, folder)
    client.sendall(b"x" * 4096)
    return lambda: server.recv(1)


def tls_write(stack: ExitStack, folder: Path) -> Call:
    client, _ = tls(stack, folder)
    return lambda: client.send(b"x")


def bound(function: Callable[..., object], *args: object) -> Call:
    return lambda: function(*args)


OUR_TURN_ENDS: dict[str, Maker] = {
    "recv": lambda stack, _: bound(full_socket(stack).recv, 1),
    "recv_into": recv_into,
    "recvfrom": lambda stack, _: bound(full_socket(stack).recvfrom, 1),
    "recvmsg": lambda stack, _: bound(full_socket(stack).recvmsg, 1),
    "send": lambda stack, _: bound(datagrams(stack).send, b"x"),
    "sendall": lambda stack, _: bound(datagrams(stack).sendall, b"x"),
    "sendmsg": lambda stack, _: bound(datagrams(stack).sendmsg, [b"x"]),
    "accept": accept,
    "sendfile": sendfile,
    "os.read": lambda stack, _: bound(os.read, full_pipe(stack), 1),
    "os.readv": lambda stack, _: bound(os.readv, full_pipe(stack), [bytearray(1)]),
    "os.write": lambda stack, _: bound(os.write, pipe_ends(stack)[1], b"x"),
    "os.writev": lambda stack, _: bound(os.writev, pipe_ends(stack)[1], [b"x"]),
    "eventfd": eventfd,
    "raw file": lambda stack, _: bound(full_raw_file(stack), 1),
    "tls read": tls_read,
    "tls write": tls_write,
}


def turns_of_others(call: Call) -> int:
    """How many turns another green thread has while this one makes its calls."""
    turns = []

    def other() -> None:
        while True:
            sleep(0)
            turns.append(1)

    thread = gossamer.spawn(other)
    sleep(0)
    before = len(turns)
    block(LONG)
    for _ in range(CALLS):
        call()
    after = len(turns)
    thread.kill()
    return after - before


@pytest.mark.parametrize("make", OUR_TURN_ENDS.values(), ids=OUR_TURN_ENDS)
def test_who_never_has_to_wait_lets_others_go_on(make: Maker, tmp_path: Path) -> None:
    with ExitStack() as stack:
        assert turns_of_others(make(stack, tmp_path)) > 0


def lock_and_unlock(stack: ExitStack, folder: Path) -> Call:
    lock = threading.Lock()

    def call() -> None:
        with lock:
            pass

    return call


def nonblocking(stack: ExitStack, folder: Path) -> Call:
    end = full_socket(stack)
    end.setblocking(False)
    return bound(end.recv, 1)


def regular_file(stack: ExitStack, folder: Path) -> Call:
    (folder / "file").write_bytes(b"x" * 4096)
    return bound(stack.enter_context(open(folder / "file", "rb", buffering=0)).read, 1)


OUR_TURN_LASTS: dict[str, Maker] = {
    "lock": lock_and_unlock,
    "socket that is not to wait": nonblocking,
    "MSG_DONTWAIT": lambda stack, _: bound(full_socket(stack).recv, 1, socket.MSG_DONTWAIT),
    "regular file": regular_file,
}


@pytest.mark.parametrize("make", OUR_TURN_LASTS.values(), ids=OUR_TURN_LASTS)
def test_who_does_not_ask_to_wait_keeps_its_turn(make: Maker, tmp_path: Path) -> None:
    with ExitStack() as stack:
        assert turns_of_others(make(stack, tmp_path)) == 0


def test_a_reader_that_a_native_thread_never_leaves_without_bytes_starves_nobody() -> None:
    left, right = socket.socketpair()
    stop = threading.Event()
    native = monkey.get_original("threading", "Thread")(target=feed, args=(left, stop), daemon=True)
    counted: list[int] = []

    def read() -> None:
        while len(counted) < 10:
            right.recv(16)

    def count() -> None:
        for number in range(10):
            sleep(0)
            counted.append(number)

    with left, right:
        native.start()
        while len(right.recv(100_000, socket.MSG_PEEK)) < 1000:
            sleep(0.001)
        joined(spawn(read), spawn(count))
        stop.set()
        right.close()
        native.join()


def feed(end: socket.socket, stop: threading.Event) -> None:
    try:
        while not stop.is_set():
            end.send(b"x" * 65536)
    except OSError:
        pass


@pytest.fixture
def numbered() -> Iterator[socket.socket]:
    """A socket with the numbers from 0 to 255 in it, many times over."""
    left, right = socket.socketpair()
    with left, right:
        left.sendall(bytes(range(256)) * 200)
        yield right


def test_an_interrupt_that_comes_during_the_others_turn_finds_nothing_moved(numbered: socket.socket) -> None:
    received = bytearray()

    def read() -> None:
        while len(received) < 256 * 200:
            received.extend(numbered.recv(1))

    interrupted = 0
    deadline = time.monotonic() + patience(60)
    while len(received) < 256 * 200 and time.monotonic() < deadline:
        try:
            with gossamer.Timeout(0.001):
                read()
        except gossamer.Timeout:
            interrupted += 1
    assert interrupted > 0
    assert received == bytes(range(256)) * 200


def test_a_file_that_is_closed_during_the_others_turn_is_not_read_by_its_number() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"x" * 4096)
    file = open(reading, "rb", buffering=0)
    closed: list[int] = []

    def close_and_open_another() -> None:
        file.close()
        os.dup2(writing, reading)
        closed.append(1)

    def read() -> None:
        block(LONG)
        while True:
            assert file.read(1) == b"x"

    reader = spawn(read)
    spawn(close_and_open_another)
    reader.join(timeout=patience(30))
    assert closed and isinstance(reader.exception, ValueError)
    os.close(reading)
    os.close(writing)


def test_the_hub_greenlet_keeps_its_turn(numbered: socket.socket) -> None:
    done: list[object] = []

    def callback() -> None:
        block(LONG)
        done.extend(numbered.recv(1) for _ in range(CALLS))

    get_hub().run_callback(callback)
    while not done:
        sleep(0)
    assert len(done) == CALLS
