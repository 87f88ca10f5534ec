"""UDP and Unix sockets, addresses and ancillary data."""

import array
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossamer._core import get_hub, sleep, spawn
from tests.support.runtime import joined, turns


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


@pytest.fixture(params=[None, 30.0], ids=["blocking", "timeout"])
def udp(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as it:
        it.bind(("127.0.0.1", 0))
        it.settimeout(request.param)
        yield it


def test_datagrams_keep_their_bounds_and_tell_where_they_come_from(udp: socket.socket) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        server = spawn(lambda: [udp.recvfrom(100) for _ in range(3)])
        turns()
        for data in (b"one", b"", b"three"):
            assert client.sendto(data, udp.getsockname()) == len(data)
        here = client.getsockname()
        assert joined(server) == [[(b"one", here), (b"", here), (b"three", here)]]


def test_a_datagram_echo_by_every_way_of_receiving(udp: socket.socket) -> None:
    buffer = bytearray(100)

    def serve() -> None:
        data, address = udp.recvfrom(100)
        udp.sendto(data, 0, address)
        size, address = udp.recvfrom_into(buffer)
        udp.sendto(buffer[:size], address)
        size, address = udp.recvfrom_into(buffer, nbytes=3, flags=0)
        udp.sendto(memoryview(buffer)[:size], address)
        data, _, _, address = udp.recvmsg(100)
        udp.sendmsg([data], [], 0, address)
        size, _, _, address = udp.recvmsg_into(iter([buffer]))
        udp.sendmsg((part for part in (buffer[:2], buffer[2:size])), (), 0, address)

    server = spawn(serve)
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(udp.getsockname())
        answers = []
        for _ in range(5):
            turns()
            client.send(b"ping")
            answers.append(client.recv(100))
    joined(server)
    assert answers == [b"ping", b"ping", b"pin", b"ping", b"ping"]


def test_the_length_of_a_datagram_that_was_cut_is_told(udp: socket.socket) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.sendto(b"abcdefgh", udp.getsockname())
        assert len(udp.recv(3, socket.MSG_TRUNC | socket.MSG_PEEK)) == 8
        assert udp.recv_into(bytearray(3), 3, socket.MSG_TRUNC | socket.MSG_PEEK) == 8
        assert udp.recv(3) == b"abc"


def test_an_unreachable_port_is_told_to_one_that_waits() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(address)
        reader = spawn(client.recv, 10)
        turns()
        client.send(b"anybody?")
        reader.join(timeout=30)
        assert isinstance(reader.exception, ConnectionRefusedError)


def test_datagrams_to_a_full_unix_receiver_wait_for_room(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "server"))
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as addressed,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connected,
        ):
            connected.connect(str(tmp_path / "server"))

            def by_address() -> None:
                for _ in range(100):
                    addressed.sendto(b"x", str(tmp_path / "server"))

            def by_connection() -> None:
                for _ in range(100):
                    connected.send(b"y")

            senders = [spawn(by_address), spawn(by_connection)]
            turns()
            assert not all(sender.ready() for sender in senders)
            received = [server.recv(10) for _ in range(200)]
            joined(*senders)
    assert received.count(b"x") == received.count(b"y") == 100


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_unix_pairs_of_every_kind_carry_messages_both_ways(kind: int) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    with left, right:

        def echo() -> None:
            for _ in range(50):
                right.sendall(right.recv(100))

        def ask() -> list[bytes]:
            answers = []
            for number in range(50):
                left.sendall(b"%d" % number)
                answers.append(left.recv(100))
            return answers

        assert joined(spawn(ask), spawn(echo))[0] == [b"%d" % number for number in range(50)]


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_descriptors_travel_in_ancillary_data(timeout: float | None) -> None:
    left, right = socket.socketpair()
    with left, right, socket.socket() as passed:
        right.settimeout(timeout)
        receiver = spawn(socket.recv_fds, right, 100, 4)
        turns()
        socket.send_fds(left, [b"here"], [passed.fileno()])
        data, descriptors, _, _ = joined(receiver)[0]
        assert data == b"here"
        socket.close(descriptors[0])


def test_sendmsg_on_a_blocking_stream_sends_all_of_all_parts() -> None:
    left, right = socket.socketpair()
    with left, right:
        parts = [b"a" * 700_000, b"", b"b" * 700_000, array.array("i", [1] * 200_000)]
        sender = spawn(left.sendmsg, parts)
        received = b""
        while len(received) < 2_200_000:
            received += right.recv(100_000)
        assert joined(sender) == [2_200_000]
        assert received == b"".join(bytes(part) for part in parts)


def test_recvmsg_waits_on_a_stream() -> None:
    left, right = socket.socketpair()
    with left, right:
        reader = spawn(right.recvmsg, 10)
        sleep(0.002)
        assert not reader.ready()
        left.send(b"x")
        assert joined(reader)[0][0] == b"x"


def test_a_socket_with_a_timeout_keeps_it_while_somebody_waits() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as it:
        it.bind(("127.0.0.1", 0))
        it.settimeout(30)
        reader = spawn(it.recvfrom, 10)
        turns()
        assert it.gettimeout() == 30
        it.sendto(b"x", it.getsockname())
        joined(reader)
        assert it.gettimeout() == 30


def test_no_argument_is_looked_at_after_one_that_failed() -> None:
    class Failing:
        def __iter__(self) -> Iterator[bytes]:
            raise LookupError("no buffers")

    class Asked:
        asked = False

        def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
            self.asked = True
            return iter(())

    left, right = socket.socketpair()
    with left, right:
        ancillary = Asked()
        with pytest.raises(LookupError, match="no buffers"):
            left.sendmsg(Failing(), ancillary)
        assert not ancillary.asked
