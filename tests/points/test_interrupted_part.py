"""A call that is interrupted after a part of its bytes went says how many those were; the interrupt comes at the next
wait, unless it is a time-out that is cancelled by then."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

import gossamer
from gossamer import monkey
from gossamer._core import get_hub, interrupt, sleep
from tests.support.runtime import joined, turns, until

SIZE = 4_000_000
"""More than any pipe or socket takes at once."""
DATA = os.urandom(SIZE)


@dataclass
class Writing:
    """One way to write, and how to read what was written."""

    write: Callable[[bytes], int]
    descriptor: int

    def read_all(self) -> bytes:
        """What is there to be read."""
        pieces = []
        os.set_blocking(self.descriptor, False)
        try:
            while piece := os.read(self.descriptor, 1_000_000):
                pieces.append(piece)
        except BlockingIOError:
            os.set_blocking(self.descriptor, True)
        return b"".join(pieces)


def sockets(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair()
    return stack.enter_context(left), stack.enter_context(right)


def pipe(stack: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    stack.callback(os.close, writing)
    return reading, writing


def in_parts(data: bytes) -> list[bytes]:
    return [data[:7], data[7:1000], data[1000:]]


def send(stack: ExitStack) -> Writing:
    left, right = sockets(stack)
    return Writing(left.send, right.fileno())


def sendmsg(stack: ExitStack) -> Writing:
    left, right = sockets(stack)
    return Writing(lambda data: left.sendmsg(in_parts(data)), right.fileno())


def os_write(stack: ExitStack) -> Writing:
    reading, writing = pipe(stack)
    return Writing(lambda data: os.write(writing, data), reading)


def os_writev(stack: ExitStack) -> Writing:
    reading, writing = pipe(stack)
    return Writing(lambda data: os.writev(writing, in_parts(data)), reading)


def raw_file(stack: ExitStack) -> Writing:
    reading, writing = pipe(stack)
    file = stack.enter_context(open(os.dup(writing), "wb", buffering=0))
    return Writing(lambda data: file.write(data) or 0, reading)


@pytest.fixture(params=[send, sendmsg, os_write, os_writev, raw_file], ids=lambda make: make.__name__)
def writing(request: pytest.FixtureRequest) -> Iterator[Writing]:
    get_hub()
    with ExitStack() as stack:
        yield request.param(stack)


class Interrupt(Exception):
    """Thrown from outside."""


def test_a_timeout_that_is_over_is_not_raised_any_more(writing: Writing) -> None:
    with gossamer.Timeout(0.05) as timeout:
        went = writing.write(DATA)
    sleep(0)
    sleep(0.001)
    assert 0 < went < SIZE and not timeout.pending
    assert writing.read_all() == DATA[:went]


def test_a_timeout_comes_at_the_next_wait(writing: Writing) -> None:
    timeout, went = gossamer.Timeout(0.05), []

    def body() -> None:
        with timeout:
            went.append(writing.write(DATA))
            sleep(60)

    with pytest.raises(gossamer.Timeout) as caught:
        body()
    assert caught.value is timeout
    assert 0 < went[0] < SIZE
    assert writing.read_all() == DATA[: went[0]]


def test_a_silent_timeout_leaves_the_number(writing: Writing) -> None:
    went = 0
    with gossamer.Timeout(0.05, False):
        went = writing.write(DATA)
        sleep(60)
    assert writing.read_all() == DATA[:went] and went > 0


def test_an_outer_timeout_comes_when_the_inner_one_is_cancelled(writing: Writing) -> None:
    outer = gossamer.Timeout(0.2)

    def body() -> None:
        with outer:
            with gossamer.Timeout(0.05):
                assert writing.write(DATA) > 0
            sleep(60)

    with pytest.raises(gossamer.Timeout) as caught:
        body()
    assert caught.value is outer


def test_who_is_killed_knows_how_much_went_and_ends_at_its_next_wait(writing: Writing) -> None:
    went: list[int] = []

    def body() -> None:
        went.append(writing.write(DATA))
        sleep(60)

    thread = gossamer.spawn(body)
    turns()
    thread.kill()
    assert isinstance(thread.value, gossamer.GreenletExit)
    assert writing.read_all() == DATA[: went[0]] and 0 < went[0] < SIZE


def test_who_writes_on_and_on_is_killed_and_knows_of_every_byte(writing: Writing) -> None:
    went: list[int] = []
    received: list[bytes] = []
    ended: list[bool] = []

    def write() -> None:
        while True:
            went.append(writing.write(DATA))

    def drain() -> None:
        while not ended:
            received.append(os.read(writing.descriptor, 4096))

    native = monkey.get_original("threading", "Thread")(target=drain, daemon=True)
    native.start()
    thread = gossamer.spawn(write)
    sleep(0.05)
    thread.kill(timeout=30)
    assert thread.dead
    until(lambda: sum(map(len, received)) == sum(went))
    ended.append(True)
    writing.write(b"!")
    native.join()


def test_any_other_exception_is_raised_at_once(writing: Writing) -> None:
    thread = gossamer.spawn(writing.write, DATA)
    turns()
    assert interrupt(thread, Interrupt())
    joined(thread)
    assert isinstance(thread.exception, Interrupt)


def test_before_anything_went_every_interrupt_is_raised_at_once(writing: Writing) -> None:
    with gossamer.Timeout(0.05, False):
        writing.write(DATA)
    with pytest.raises(gossamer.Timeout), gossamer.Timeout(0.05):
        writing.write(DATA)


def test_sendall_raises_since_it_has_no_way_to_tell() -> None:
    left, right = socket.socketpair()
    with left, right, pytest.raises(gossamer.Timeout), gossamer.Timeout(0.05):
        left.sendall(DATA)


def test_what_was_received_with_MSG_WAITALL_is_returned() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"half")
        with gossamer.Timeout(0.05):
            assert right.recv(8, socket.MSG_WAITALL) == b"half"
        sleep(0.001)
        thread = gossamer.spawn(right.recv, 8, socket.MSG_WAITALL)
        turns()
        left.sendall(b"more")
        sleep(0.001)
        thread.kill()
        assert thread.value == b"more"
