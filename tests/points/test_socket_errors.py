"""Sockets fail as they do without green threads: the same exceptions, the same words, the same numbers."""

import _socket
import errno
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import get_hub, interrupt, spawn
from tests.support.runtime import in_thread, joined, turns, until

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def raised(call: Callable[..., object], *arguments: object, **keywords: object) -> tuple[object, ...]:
    try:
        result = call(*arguments, **keywords)
    except Exception as error:
        return type(error), error.args, str(error)
    return ("no error", result)


WRONG: dict[str, tuple[Any, ...]] = {
    "recv": ((), (-1,), ("x",), (1.5,), (1, "x"), (1, 2**40), (2**70,), (1, 0, 0), (None,)),
    "recv_into": ((), (b"constant",), (bytearray(2), 3), (bytearray(2), -1), ("x",), (bytearray(1), 1, "f")),
    "recvfrom": ((), (-1,), ("x",), (1, "x"), (1, 2**40)),
    "recvfrom_into": ((), (b"constant",), (bytearray(2), 3), (bytearray(2), -1), (bytearray(2), 1, None)),
    "recvmsg": ((), (-1,), (1, -1), ("x",), (1, 1, "x")),
    "recvmsg_into": ((), (1,), ([b"constant"],), ([bytearray(1)], -1), ([bytearray(1)], 1, "x")),
    "send": ((), ("text",), (1,), (b"x", "x"), (b"x", 0, 0), (memoryview(b"abcd")[::2],)),
    "sendall": ((), ("text",), (1,), (b"x", "x"), (b"x", 2**40)),
    "sendto": ((), (b"x",), (b"x", 1, 2, 3), ("x", "/nowhere"), (b"x", "f", "/nowhere"), (b"x", 5)),
    "sendmsg": ((), (1,), (["text"],), ([b"x"], 1), ([b"x"], [], "f"), ([b"x"], [], 0, 0, 0)),
    "connect": ((), (5,), (("127.0.0.1", 1), 2)),
    "connect_ex": ((), (5,)),
    "_accept": ((1,),),
    "close": ((1,),),
    "detach": ((1,),),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("timeout", [None, 0.0, 20.0])
def test_wrong_arguments_are_refused_in_the_words_of_the_original(pair: Pair, name: str, timeout: float | None) -> None:
    pair[0].settimeout(timeout)
    original = _core.original("_socket", "socket", name)
    for arguments in WRONG[name]:
        ours = raised(getattr(_socket.socket, name), pair[0], *arguments)
        assert ours == raised(original, pair[0], *arguments), arguments
        assert ours[0] != "no error", arguments


@pytest.mark.parametrize("name", ["recv", "recv_into", "send", "recvfrom_into", "recvmsg", "connect", "close"])
def test_wrong_keywords_are_refused_in_the_words_of_the_original(pair: Pair, name: str) -> None:
    original = _core.original("_socket", "socket", name)
    for keywords in ({"wrong": 1}, {"buffer": bytearray(1), "nbytes": 5}, {"nbytes": 1}):
        ours = raised(getattr(_socket.socket, name), pair[0], **keywords)
        assert ours == raised(original, pair[0], **keywords)
        assert ours[0] != "no error"


Call = Callable[[socket.socket], object]
CALLS: dict[str, Call] = {
    "recv": lambda it: it.recv(1),
    "recv_into": lambda it: it.recv_into(bytearray(1)),
    "recvfrom": lambda it: it.recvfrom(1),
    "recvfrom_into": lambda it: it.recvfrom_into(bytearray(1)),
    "recvmsg": lambda it: it.recvmsg(1),
    "recvmsg_into": lambda it: it.recvmsg_into([bytearray(1)]),
}
SENDS: dict[str, Call] = {
    "send": lambda it: it.send(b"x" * 1000),
    "sendall": lambda it: it.sendall(b"x" * 1000),
    "sendmsg": lambda it: it.sendmsg([b"x" * 1000]),
}
ALL = CALLS | SENDS


def fill(it: socket.socket) -> None:
    before = it.gettimeout()
    it.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            it.send(b"x" * 1000)
    it.settimeout(before)


@pytest.mark.parametrize("name", CALLS)
def test_a_timeout_for_reading_is_the_same_error(pair: Pair, name: str) -> None:
    pair[0].settimeout(0.01)
    assert raised(lambda: CALLS[name](pair[0])) == (TimeoutError, ("timed out",), "timed out")
    assert pair[0].gettimeout() == 0.01
    pair[1].send(b"x")
    CALLS[name](pair[0])


@pytest.mark.parametrize("name", SENDS)
def test_a_timeout_for_writing_is_the_same_error(pair: Pair, name: str) -> None:
    pair[0].settimeout(0.01)
    fill(pair[0])
    assert raised(lambda: SENDS[name](pair[0])) == (TimeoutError, ("timed out",), "timed out")


@pytest.mark.parametrize("name", ALL)
def test_a_socket_that_does_not_block_says_so(pair: Pair, name: str) -> None:
    pair[0].setblocking(False)
    if name in SENDS:
        fill(pair[0])
    with pytest.raises(BlockingIOError) as error:
        ALL[name](pair[0])
    assert error.value.errno == errno.EAGAIN
    assert error.value.args == (11, "Resource temporarily unavailable")


def test_flags_that_never_wait_never_wait(pair: Pair) -> None:
    for call in (pair[0].recv, pair[0].recvfrom, lambda size, flags: pair[0].recvmsg(size, 0, flags)):
        with pytest.raises(BlockingIOError):
            call(1, socket.MSG_DONTWAIT)
    fill(pair[0])
    with pytest.raises(BlockingIOError):
        pair[0].send(b"x" * 1000, socket.MSG_DONTWAIT)


@pytest.mark.parametrize("name", ALL)
def test_a_closed_socket_is_a_bad_descriptor(pair: Pair, name: str) -> None:
    pair[0].close()
    with pytest.raises(OSError, match="Bad file descriptor") as error:
        ALL[name](pair[0])
    assert error.value.errno == errno.EBADF


def test_a_broken_pipe_and_a_reset_are_what_they_were() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        served = listener.accept()[0]
    with client:
        reader = spawn(client.recv, 1)
        turns()
        served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        served.close()
        until(reader.ready)
        assert isinstance(reader.exception, ConnectionResetError)
        assert reader.exception.args == (104, "Connection reset by peer")
        with pytest.raises(BrokenPipeError):
            client.sendall(b"x")


def test_a_reset_wakes_one_that_waits_to_write() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        served = listener.accept()[0]
    with client:
        writer = spawn(client.sendall, bytes(50_000_000))
        turns()
        assert not writer.ready()
        served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        served.close()
        until(writer.ready)
        assert isinstance(writer.exception, ConnectionError)


def test_one_that_is_interrupted_raises_that_and_the_socket_goes_on(pair: Pair) -> None:
    reader = spawn(pair[0].recv, 1)
    turns()
    interrupt(reader, TimeoutError("mine"))
    until(reader.ready)
    assert repr(reader.exception) == "TimeoutError('mine')"
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


def test_an_error_of_the_kernel_is_the_same_on_both_sides(pair: Pair) -> None:
    with socket.socket() as it:
        for call in CALLS.values():
            assert raised(call, it) == in_thread(partial(raised, call, it))
        assert raised(it._accept) == in_thread(lambda: raised(it._accept))  # type: ignore[attr-defined]


def test_a_timeout_changed_by_one_leaves_the_call_under_way_alone(pair: Pair) -> None:
    reader = spawn(pair[0].recv, 1)
    turns()
    pair[0].settimeout(0.0)
    turns()
    pair[0].settimeout(None)
    pair[1].send(b"x")
    assert joined(reader) == [b"x"]
