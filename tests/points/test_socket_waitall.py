"""MSG_WAITALL with addresses and ancillary data: a blocking stream goes on until all is there, or the end."""

import array
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gossamer import Timeout, _core
from gossamer._core import get_hub, interrupt, sleep, spawn
from tests.support.children import run_child
from tests.support.runtime import ended, joined, turns, until

Pair = tuple[socket.socket, socket.socket]
ALL = socket.MSG_WAITALL


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    if request.param == "unix":
        left, right = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            left = socket.create_connection(listener.getsockname())
            right, _ = listener.accept()
    with left, right:
        yield left, right


@pytest.fixture
def unix() -> Iterator[Pair]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def by_recvfrom(it: socket.socket, size: int, flags: int) -> bytes:
    return it.recvfrom(size, flags)[0]


def by_recvfrom_into(it: socket.socket, size: int, flags: int) -> bytes:
    buffer = bytearray(size + 5)
    got, _ = it.recvfrom_into(buffer, size, flags)
    return bytes(buffer[:got])


def by_recvfrom_into_all_of_it(it: socket.socket, size: int, flags: int) -> bytes:
    numbers = array.array("H", bytes(size))
    got, _ = it.recvfrom_into(numbers, flags=flags)
    return numbers.tobytes()[:got]


def by_recvmsg(it: socket.socket, size: int, flags: int) -> bytes:
    data, ancillary, _, _ = it.recvmsg(size, 0, flags)
    assert ancillary == []
    return data


def by_recvmsg_into(it: socket.socket, size: int, flags: int) -> bytes:
    buffers = [bytearray(1), bytearray(0), bytearray(3), bytearray(size - 4)]
    got, *_ = it.recvmsg_into(buffers, 0, flags)
    return b"".join(buffers)[:got]


Receive = Callable[[socket.socket, int, int], bytes]
every_way = pytest.mark.parametrize(
    "receive", [by_recvfrom, by_recvfrom_into, by_recvfrom_into_all_of_it, by_recvmsg, by_recvmsg_into]
)


def readable(it: socket.socket) -> bool:
    try:
        return bool(it.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


def fed(it: socket.socket, *pieces: bytes) -> None:
    for piece in pieces:
        it.sendall(piece)
        turns()


@every_way
def test_it_goes_on_until_all_is_there(pair: Pair, receive: Receive) -> None:
    left, right = pair
    receiver = spawn(receive, left, 10, ALL)
    turns()
    fed(right, b"a", b"bcd", b"efghi")
    assert not receiver.ready()
    fed(right, b"jkl")
    assert joined(receiver) == [b"abcdefghij"]
    assert left.recv(10) == b"kl"


@every_way
def test_it_ends_with_the_stream(pair: Pair, receive: Receive) -> None:
    left, right = pair
    receiver = spawn(receive, left, 10, ALL)
    turns()
    fed(right, b"abc", b"de")
    right.shutdown(socket.SHUT_WR)
    assert joined(receiver) == [b"abcde"]
    assert receive(left, 10, ALL) == b""


@every_way
def test_what_is_looked_at_stays_there(pair: Pair, receive: Receive) -> None:
    left, right = pair
    receiver = spawn(receive, left, 10, ALL | socket.MSG_PEEK)
    turns()
    fed(right, b"abcde")
    sleep(0.01)
    assert not receiver.ready()
    fed(right, b"fghij")
    assert joined(receiver) == [b"abcdefghij"]
    assert left.recv(20) == b"abcdefghij"


@every_way
def test_the_part_that_came_is_what_an_interrupted_call_returns(pair: Pair, receive: Receive) -> None:
    left, right = pair
    got: list[bytes] = []

    def work() -> None:
        got.append(receive(left, 10, ALL))
        sleep(0)

    receiver = spawn(work)
    turns()
    fed(right, b"abc")
    until(lambda: not readable(left))
    interrupt(receiver, _core.GreenletExit())
    joined(receiver)
    assert got == [b"abc"]


@every_way
def test_nothing_is_lost_when_it_is_interrupted_before_anything_came(pair: Pair, receive: Receive) -> None:
    left, right = pair

    def work() -> bytes:
        with Timeout(0.01, False):
            receive(left, 10, ALL)
        return left.recv(10)

    receiver = spawn(work)
    sleep(0.03)
    fed(right, b"abc")
    assert ended(receiver) == [b"abc"]


@every_way
def test_a_socket_with_a_timeout_takes_what_there_is(pair: Pair, receive: Receive) -> None:
    left, right = pair
    left.settimeout(30)
    right.sendall(b"abc")
    receiver = spawn(receive, left, 10, ALL)
    assert joined(receiver) == [b"abc"]


def test_passed_descriptors_end_it(unix: Pair) -> None:
    left, right = unix
    receiver = spawn(left.recvmsg, 10, socket.CMSG_SPACE(4), ALL)
    turns()
    fed(right, b"ab")
    socket.send_fds(right, [b"cd"], [0])
    data, ancillary, flags, address = joined(receiver)[0]
    ((level, kind, payload),) = ancillary
    os.close(array.array("i", payload)[0])
    assert (data, level, kind, address) == (b"abcd", socket.SOL_SOCKET, socket.SCM_RIGHTS, None)
    assert not flags & socket.MSG_CTRUNC


def test_credentials_are_told_once(unix: Pair) -> None:
    left, right = unix
    left.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    receiver = spawn(left.recvmsg, 6, socket.CMSG_SPACE(12), ALL)
    turns()
    fed(right, b"ab", b"cd", b"ef")
    data, ancillary, _, _ = joined(receiver)[0]
    assert data == b"abcdef"
    assert [array.array("i", item[2])[0] for item in ancillary] == [os.getpid()]


def test_the_buffer_cannot_be_resized_meanwhile(unix: Pair) -> None:
    left, right = unix
    buffer = bytearray(6)
    waiting = [
        spawn(left.recvfrom_into, buffer, 6, ALL),
        spawn(left.recvmsg_into, [buffer], 0, ALL),
    ]
    turns()
    with pytest.raises(BufferError):
        buffer.append(1)
    fed(right, b"abcdef", b"ghijkl")
    joined(*waiting)
    buffer.append(1)


def filled(it: socket.socket) -> int:
    size = 0
    it.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            size += it.send(b"." * 4096)
    it.setblocking(True)
    return size


def drained(it: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += it.recv(size - len(data))
    return data


def test_what_sendmsg_sends_was_fixed_when_it_was_called(unix: Pair) -> None:
    left, right = unix
    before = filled(left)
    buffers: list[Any] = [b"first", bytearray(b"second")]
    sender = spawn(left.sendmsg, buffers)
    turns()
    with pytest.raises(BufferError):
        buffers[1].extend(b" and more")
    buffers[0] = b"other"
    buffers.append(b"third")
    drained(right, before)
    assert joined(sender) == [11]
    assert right.recv(100) == b"firstsecond"


def test_the_rest_of_a_long_sendmsg_was_fixed_too(unix: Pair) -> None:
    left, right = unix
    large = bytearray(b"a" * (1 << 20))
    buffers: list[Any] = [b"x" * 1000, large]
    sender = spawn(left.sendmsg, buffers)
    turns()
    assert not sender.ready()
    with pytest.raises(BufferError):
        large.clear()
    buffers.clear()
    size = 1000 + (1 << 20)
    assert drained(right, size) == b"x" * 1000 + b"a" * (1 << 20)
    assert joined(sender) == [size]


def test_ancillary_data_is_that_of_the_beginning(unix: Pair) -> None:
    left, right = unix
    before = filled(left)
    numbers = array.array("i", [0])
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)]
    sender = spawn(left.sendmsg, [b"!"], ancillary)
    turns()
    numbers[0] = -1
    ancillary.clear()
    drained(right, before)
    assert joined(sender) == [1]
    data, came, *_ = right.recvmsg(10, socket.CMSG_SPACE(4))
    os.close(array.array("i", came[0][2])[0])
    assert data == b"!"


def test_a_number_that_changes_is_asked_for_once() -> None:
    child = run_child(
        """
        import socket
        from gossamer._core import spawn
        from tests.support.runtime import joined, turns

        class Number:
            asked = 0

            def __init__(self, other):
                self.other = other

            def __index__(self):
                self.asked += 1
                return 6 if self.asked == 1 else self.other

        buffer = bytearray(6)
        for other in (1, 1 << 30):
            for receive in (
                lambda it, size: it.recvfrom(size, socket.MSG_WAITALL)[0],
                lambda it, size: it.recvmsg(size, 0, socket.MSG_WAITALL)[0],
                lambda it, size: buffer[:it.recvfrom_into(buffer, size, socket.MSG_WAITALL)[0]],
            ):
                left, right = socket.socketpair()
                number = Number(other)
                receiver = spawn(receive, left, number)
                turns()
                for piece in (b"abc", b"de", b"fghi"):
                    right.sendall(piece)
                    turns()
                assert joined(receiver) == [b"abcdef"]
                assert number.asked == 1
                left.close()
                right.close()
        """
    )
    assert child.status == 0, child.describe()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="classes have had __buffer__() since 3.12")
def test_a_buffer_that_shrinks_is_not_written_beyond(unix: Pair) -> None:
    class Shrinking:
        def __init__(self) -> None:
            self.bytes = bytearray(100)

        def __buffer__(self, flags: int) -> memoryview:
            view = memoryview(self.bytes)
            self.bytes = bytearray(4)
            return view

    left, right = unix
    right.sendall(b"ab")
    receiver = spawn(left.recvfrom_into, Shrinking(), 90, ALL)
    turns()
    fed(right, b"cdefgh")
    assert joined(receiver) == [(4, None)]
    assert left.recv(10) == b"efgh"
