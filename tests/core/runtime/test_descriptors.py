"""Waiting for descriptors: any kind, either direction, any number of waiters, numbers used again."""

import ctypes
import errno
import os
import select
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from gossamer._core import GreenletExit, GreenThread, interrupt, sleep, spawn, wait_read, wait_write
from tests.support.children import output_of
from tests.support.memory import resident_bytes
from tests.support.runtime import PRELUDE, beside, joined, open_descriptors, reported, turns
from tests.support.sanitizers import measures_memory
from tests.support.scale import patience, scaled


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def fill(it: socket.socket) -> int:
    """Send until no more can be sent; returns how much it was."""
    count = 0
    while True:
        try:
            count += it.send(b"x" * 65536)
        except BlockingIOError:
            return count


def drain(it: socket.socket) -> int:
    """Receive until nothing is left; returns how much it was."""
    count = 0
    while True:
        try:
            count += len(it.recv(65536))
        except BlockingIOError:
            return count


def test_a_reader_waits_until_something_comes(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    order: list[str] = []

    def body() -> bytes:
        assert wait_read(reading)
        order.append("reads")
        return os.read(reading, 10)

    it = spawn(body)
    turns(10)
    order.append("writes")
    os.write(writing, b"text")
    assert joined(it) == [b"text"]
    assert order == ["writes", "reads"]


def test_what_is_ready_already_is_ready_every_time(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"text")
    for _ in range(3):
        assert wait_read(reading) is True
        assert wait_read(fd=reading, timeout=patience(30)) is True
        assert wait_write(writing) is True


def test_a_writer_waits_until_there_is_room(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    fill(ours)
    it = spawn(wait_write, ours.fileno())
    assert wait_write(ours.fileno(), timeout=0.001) is False
    assert not it.ready()
    drain(theirs)
    assert joined(it) == [True]


def test_both_directions_of_one_descriptor_are_waited_for_separately(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    fill(ours)
    reader, writer = spawn(wait_read, ours.fileno()), spawn(wait_write, ours.fileno())
    sleep(0.001)
    assert not reader.ready() and not writer.ready()
    theirs.send(b"x")
    assert joined(reader) == [True]
    sleep(0.001)
    assert not writer.ready()
    drain(theirs)
    assert joined(writer) == [True]


def test_several_readers_of_one_descriptor_share_what_comes(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    received: list[bytes] = []

    def body() -> None:
        while True:
            try:
                received.append(ours.recv(1))
            except BlockingIOError:
                wait_read(ours.fileno())
            else:
                return

    crowd = [spawn(body) for _ in range(10)]
    turns()
    for number in range(10):
        theirs.send(bytes([number]))
        turns(number % 3)
    joined(*crowd)
    assert sorted(received) == [bytes([number]) for number in range(10)]


def test_the_end_of_the_other_side_wakes_readers_and_writers(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    fill(ours)
    reader, writer = spawn(wait_read, ours.fileno()), spawn(wait_write, ours.fileno())
    turns()
    theirs.close()
    assert joined(reader, writer) == [True, True]


@pytest.mark.parametrize("seconds", [0, 0.001, -1])
def test_a_wait_may_time_out_and_leaves_nothing(pipe: tuple[int, int], seconds: float) -> None:
    reading, writing = pipe
    for _ in range(3):
        assert wait_read(reading, timeout=seconds) is False
    it = spawn(wait_read, reading, seconds)
    joined(it)
    assert it.value is False
    os.write(writing, b"x")
    assert wait_read(reading, patience(30)) is True


@pytest.mark.parametrize("wait", [wait_read, wait_write])
@pytest.mark.parametrize("descriptor", [-1, -1000, 999_999, 2**31 - 1], ids=repr)
def test_a_bad_descriptor_is_an_error(wait: Any, descriptor: int) -> None:
    with pytest.raises(OSError) as caught:
        wait(descriptor)
    assert caught.value.errno == errno.EBADF


@measures_memory
def test_a_bad_descriptor_costs_no_memory() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer._core import get_hub
from tests.support.memory import resident_bytes
get_hub()
before = resident_bytes()
for number in (999_999, 10**8, 2**31 - 1):
    try:
        wait_read(number)
    except OSError:
        pass
print(resident_bytes() - before < 1_000_000)
"""
    )
    assert out == "True\n"


def test_a_descriptor_closed_before_is_an_error(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"x")
    assert wait_read(reading)
    os.close(reading)
    with pytest.raises(OSError):
        wait_read(reading)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ((), TypeError),
        (("0",), TypeError),
        ((None,), TypeError),
        ((1.5,), TypeError),
        ((0, "soon"), TypeError),
        ((0, float("nan")), ValueError),
        ((2**40,), OverflowError),
    ],
    ids=repr,
)
def test_what_is_no_descriptor_or_timeout_is_refused(values: tuple[Any, ...], error: type[Exception]) -> None:
    for wait in (wait_read, wait_write):
        with pytest.raises(error):
            wait(*values)


def test_a_regular_file_is_always_ready() -> None:
    with tempfile.TemporaryFile() as file:
        for _ in range(2):
            assert wait_read(file.fileno()) is True
            assert wait_write(file.fileno(), timeout=0) is True


def test_other_kinds_of_descriptors_are_waited_for() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening:
        listening.setblocking(False)
        it = spawn(wait_read, listening.fileno())
        turns()
        with socket.socket() as client:
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
            assert wait_write(client.fileno(), patience(30))
            assert joined(it) == [True]
            listening.accept()[0].close()
            assert wait_read(client.fileno(), patience(30))
    with select.epoll() as poll:
        reading, writing = os.pipe()
        poll.register(reading, select.EPOLLIN)
        it = spawn(wait_read, poll.fileno())
        turns()
        os.write(writing, b"x")
        assert joined(it) == [True]
        os.close(reading)
        os.close(writing)


def test_a_number_used_again_is_a_new_descriptor() -> None:
    numbers = set()
    for _ in range(20):
        reading, writing = os.pipe()
        numbers.add(reading)
        it = spawn(wait_read, reading)
        turns()
        assert not it.ready()
        os.write(writing, b"x")
        assert joined(it) == [True]
        os.close(reading)
        os.close(writing)
    assert len(numbers) == 1


def test_a_number_used_again_while_a_duplicate_lives_wakes_its_own_reader(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    assert wait_read(reading, timeout=0) is False
    duplicate = os.dup(reading)
    os.close(reading)
    other_reading, other_writing = os.pipe()
    assert other_reading == reading
    try:
        os.write(writing, b"to the duplicate")
        it = spawn(wait_read, other_reading, patience(30))
        sleep(0.005)
        assert not it.ready()
        os.write(other_writing, b"x")
        assert joined(it) == [True]
        assert wait_read(duplicate, patience(30)) is True
    finally:
        os.close(duplicate)
        os.close(other_writing)


def test_closing_a_descriptor_ends_the_waits_for_it(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    fill(ours)
    with reported():
        crowd = [spawn(wait, ours.fileno(), timeout) for wait in (wait_read, wait_write) for timeout in (None, 3600)]
        turns()
        ours.close()
        joined(*crowd)
    assert [getattr(it.exception, "errno", None) for it in crowd] == [errno.EBADF] * 4


def test_a_number_used_again_while_somebody_waited_serves_the_new_waiter_alone() -> None:
    old_reading, old_writing = os.pipe()
    with reported():
        old = spawn(wait_read, old_reading)
        turns()
        os.close(old_reading)
        reading, writing = os.pipe()
        assert reading == old_reading
        new = spawn(wait_read, reading)
        joined(old)
        assert isinstance(old.exception, OSError) and not new.ready()
    os.write(writing, b"x")
    assert joined(new) == [True]
    for descriptor in (old_writing, reading, writing):
        os.close(descriptor)


def test_a_number_closed_and_used_again_by_a_library_serves_the_new_waiter() -> None:
    old_reading, old_writing = os.pipe()
    timed, endless = spawn(wait_read, old_reading, 0.02), spawn(wait_read, old_reading)
    turns()
    ctypes.CDLL(None).close(old_reading)
    reading, writing = os.pipe()
    assert reading == old_reading
    new = spawn(wait_read, reading)
    turns()
    os.write(writing, b"x")
    assert joined(new) == [True]
    joined(timed)
    interrupt(endless, GreenletExit())
    joined(endless)
    for descriptor in (old_writing, reading, writing):
        os.close(descriptor)


def test_a_wait_for_what_a_library_closed_can_be_ended() -> None:
    reading, writing = os.pipe()
    timed, endless = spawn(wait_read, reading, 0.005), spawn(wait_read, reading)
    turns()
    ctypes.CDLL(None).close(reading)
    assert joined(timed) == [False]
    interrupt(endless, GreenletExit())
    joined(endless)
    os.close(writing)


def test_a_descriptor_closed_while_nobody_waits_does_not_make_the_hub_spin() -> None:
    out = output_of(
        PRELUDE
        + """
ours, theirs = socket.socketpair()
wait_read(ours.fileno(), 0.001)
duplicate = os.dup(ours.fileno())
ours.close()
theirs.send(b'x')
theirs.close()
before = time.process_time()
sleep(0.3)
print(time.process_time() - before < 0.2)
"""
    )
    assert out == "True\n"


def test_an_interrupted_wait_leaves_the_other_waiters(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    crowd = [spawn(wait_read, reading) for _ in range(3)]
    turns()
    interrupt(crowd[1], GreenletExit())
    joined(crowd[1])
    turns()
    assert [it.ready() for it in crowd] == [False, True, False]
    os.write(writing, b"x")
    assert joined(crowd[0], crowd[2]) == [True, True]


def test_thousands_of_descriptors_are_waited_for_at_once() -> None:
    count = scaled(1000)
    before = open_descriptors()
    pairs = [socket.socketpair() for _ in range(count)]
    received: list[int] = []

    def body(number: int) -> None:
        assert wait_read(pairs[number][0].fileno())
        received.append(pairs[number][0].recv(10)[0])

    crowd = [spawn(body, number) for number in range(count)]
    turns()
    for number in reversed(range(count)):
        pairs[number][1].send(bytes([number % 256]))
    joined(*crowd)
    assert sorted(received) == sorted(number % 256 for number in range(count))
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
    assert open_descriptors() == before


def test_two_threads_wait_for_one_descriptor(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    seen: list[bool] = []
    entered: list[GreenThread] = []

    def work() -> None:
        entered.append(spawn(lambda: seen.append(wait_read(ours.fileno()))))
        joined(*entered)

    with beside(work):
        own = spawn(wait_read, ours.fileno())
        while not entered:
            sleep(0.001)
        theirs.send(b"x")
        assert joined(own) == [True]
    assert seen == [True]


def test_echo_between_many_pairs() -> None:
    rounds = scaled(50)

    def send(it: socket.socket, data: bytes) -> None:
        while data:
            try:
                data = data[it.send(data) :]
            except BlockingIOError:
                wait_write(it.fileno())

    def receive(it: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                data += it.recv(count - len(data))
            except BlockingIOError:
                wait_read(it.fileno())
        return data

    def client(it: socket.socket, number: int) -> None:
        for turn in range(rounds):
            data = bytes([number, turn % 256]) * 20
            send(it, data)
            assert receive(it, 40) == data

    def server(it: socket.socket) -> None:
        for _ in range(rounds):
            send(it, receive(it, 40))

    crowd = []
    pairs = [socket.socketpair() for _ in range(20)]
    for number, (ours, theirs) in enumerate(pairs):
        ours.setblocking(False)
        theirs.setblocking(False)
        crowd += [spawn(client, ours, number), spawn(server, theirs)]
    joined(*crowd)
    assert all(it.successful() for it in crowd)
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


@measures_memory
def test_waits_by_the_thousand_leave_memory_as_it_was(pipe: tuple[int, int]) -> None:
    reading, _ = pipe
    for _ in range(1000):
        wait_read(reading, 0)
    before = resident_bytes()
    for _ in range(scaled(20_000)):
        wait_read(reading, 0)
    assert resident_bytes() - before < 1_000_000
