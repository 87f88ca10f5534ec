"""Native threads without a hub share sockets with green threads, in both directions, and block as ever."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossamer._core import get_hub, sleep, spawn
from tests.support.children import output_of
from tests.support.runtime import beside, joined, turns, until

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_a_native_thread_and_a_green_one_talk_over_a_pair(pair: Pair) -> None:
    left, right = pair

    def echo() -> None:
        while data := right.recv(100):
            right.sendall(data)

    with beside(echo):
        answers = []
        for number in range(100):
            left.sendall(b"%d" % number)
            answers.append(left.recv(100))
        left.shutdown(socket.SHUT_WR)
    assert answers == [b"%d" % number for number in range(100)]


def test_a_native_and_a_green_thread_read_one_socket(pair: Pair) -> None:
    left, right = pair
    received: list[bytes] = []

    def read() -> None:
        while data := right.recv(1):
            received.append(data)

    with beside(read):
        reader = spawn(read)
        for number in range(200):
            left.send(b"%c" % number)
            if number % 20 == 0:
                sleep(0.001)
        left.shutdown(socket.SHUT_WR)
        joined(reader)
    assert sorted(received) == [b"%c" % number for number in range(200)]


def test_a_native_thread_sends_while_a_green_one_receives_on_the_same_socket(pair: Pair) -> None:
    left, right = pair
    size = 3_000_000
    reader = spawn(left.recv, 10)
    turns()
    with beside(lambda: left.sendall(bytes(size))):
        received = 0
        while received < size:
            received += len(right.recv(100_000))
    right.sendall(b"done")
    assert joined(reader) == [b"done"]


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_a_native_and_a_green_thread_accept_on_one_listener(timeout: float | None) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        listener.settimeout(timeout)
        accepted: list[socket.socket] = []

        def accept() -> None:
            while True:
                connection, _ = listener.accept()
                accepted.append(connection)
                if connection.recv(10) == b"end":
                    return

        with beside(accept):
            green = spawn(accept)
            for number in range(20):
                with socket.create_connection(listener.getsockname()) as client:
                    client.sendall(b"%d" % number)
            ends: list[socket.socket] = []
            while len(ends) < 2:
                client = socket.create_connection(listener.getsockname())
                client.sendall(b"end")
                ends.append(client)
            joined(green)
        for it in (*accepted, *ends):
            it.close()
        assert len(accepted) == 22


def test_a_native_thread_blocks_in_accept_after_a_green_one_has_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()):
            listener.accept()[0].close()
        assert listener.gettimeout() is None
        results: list[object] = []
        with beside(lambda: results.append(listener.accept()[0])):
            sleep(0.02)
            assert results == []
            client = socket.create_connection(listener.getsockname())
        for it in (*results, client):
            assert isinstance(it, socket.socket)
            it.close()


def test_a_signal_interrupts_a_native_thread_that_accepts_where_a_green_one_did() -> None:
    out = output_of(
        """
        import _thread, os, signal, socket, threading, time
        from gossamer import _core
        listener = socket.create_server(("127.0.0.1", 0))
        def green():
            _core.get_hub()
            client = socket.create_connection(listener.getsockname())
            listener.accept()[0].close()
            client.close()
        thread = threading.Thread(target=green)
        thread.start()
        thread.join()
        assert not os.get_blocking(listener.fileno())
        def handler(*_):
            raise KeyError("signal")
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            listener.accept()
        except KeyError as error:
            print(repr(error))
        """
    )
    assert out == "KeyError('signal')\n"


def test_sendfile_by_a_green_thread_does_not_disturb_a_native_reader(pair: Pair, tmp_path: Path) -> None:
    left, right = pair
    path = tmp_path / "file"
    path.write_bytes(bytes(2_000_000))
    received: list[bytes] = []

    def read() -> None:
        while data := left.recv(10):
            received.append(data)

    with beside(read), path.open("rb") as file:
        sender = spawn(left.sendfile, file)
        total = 0
        while total < 2_000_000:
            total += len(right.recv(20_000))
            right.send(b"x")
            sleep(0)
        joined(sender)
        right.shutdown(socket.SHUT_WR)
    assert b"".join(received).strip(b"x") == b""
    assert os.get_blocking(left.fileno())


def test_a_native_thread_that_uses_only_native_sockets_never_parks() -> None:
    results: list[object] = []

    def work() -> None:
        mine = socket.socketpair()
        with mine[0], mine[1]:
            mine[0].settimeout(0.01)
            try:
                mine[0].recv(1)
            except TimeoutError:
                results.append("timed out")
            mine[1].sendall(b"x")
            results.append(mine[0].recv(1))

    with beside(work):
        until(lambda: len(results) == 2)
    assert results == ["timed out", b"x"]
