"""TLS in green threads: the stock classes of the module ssl wait by parking, whatever they are asked for."""

import hashlib
import io
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import get_hub, sleep, spawn
from tests.support.certificates import Certificates, Pair, make_certificates, shake_hands, tls_pair, unshaken_pair
from tests.support.runtime import beside, ended, joined, parked, turns
from tests.support.scale import scaled

LARGE = 16 * 1024 * 1024


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=[None, 30.0], ids=["blocking", "timeout"])
def pair(certificates: Certificates, request: pytest.FixtureRequest) -> Iterator[Pair]:
    client, server = tls_pair(certificates, timeout=request.param)
    with client, server:
        yield client, server


def read_all(end: ssl.SSLSocket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        data = end.recv(65536)
        assert data, f"the end after {len(received)} bytes"
        received += data
    return bytes(received)


def test_all_points_are_installed() -> None:
    names = {name.removeprefix("_ssl._SSLSocket.") for name, group, _, on in _core.points() if group == "ssl" and on}
    expected = {"do_handshake", "read", "write", "shutdown"}
    assert names == expected | ({"sendfile"} if sys.version_info >= (3, 15) else set())


# ---- reading and writing ----


def receive_into(end: ssl.SSLSocket, size: int) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: end.recv_into(buffer)])


def read_into(end: ssl.SSLSocket, size: int) -> bytes:
    buffer = bytearray(size)
    count: Any = end.read(size, buffer)
    return bytes(buffer[:count])


READERS = [ssl.SSLSocket.recv, ssl.SSLSocket.read, receive_into, read_into]
WRITERS = [ssl.SSLSocket.send, ssl.SSLSocket.sendall, ssl.SSLSocket.write]


@pytest.mark.parametrize("read", READERS, ids=lambda it: it.__name__)
@pytest.mark.parametrize("write", WRITERS, ids=lambda it: it.__name__)
def test_a_reader_waits_while_others_run(pair: Pair, read: Callable[..., bytes], write: Callable[..., object]) -> None:
    client, server = pair
    for sender, receiver in (client, server), (server, client):
        reader = parked(read, receiver, 100)
        write(sender, b"hello")
        assert ended(reader) == [b"hello"]


def test_what_openssl_holds_is_read_without_waiting(pair: Pair) -> None:
    client, server = pair
    client.sendall(b"0123456789")
    assert server.recv(3) == b"012"
    assert server.pending() == 7
    assert [server.recv(3) for _ in range(2)] == [b"345", b"678"]
    assert server.recv(100) == b"9"


def test_no_bytes_are_read_and_written_without_waiting(pair: Pair) -> None:
    client, server = pair
    assert client.recv(0) == b""
    assert client.send(b"") == 0
    client.sendall(b"x")
    assert server.recv(1) == b"x"


def test_large_data_goes_both_ways_at_once_with_slow_readers(pair: Pair) -> None:
    payloads = {end: os.urandom(1 << 20) * (LARGE >> 20) for end in pair}

    def receive(end: ssl.SSLSocket) -> str:
        digest, total = hashlib.sha256(), 0
        while total < LARGE:
            data = end.recv(100_000)
            assert data
            total += len(data)
            digest.update(data)
            if total % 17 == 0:
                sleep(0.001)
        return digest.hexdigest()

    readers = [spawn(receive, end) for end in pair]
    writers = [spawn(end.sendall, payloads[end]) for end in pair]
    ended(*writers)
    client, server = pair
    assert ended(*readers) == [hashlib.sha256(payloads[end]).hexdigest() for end in (server, client)]


def test_a_blocking_write_goes_on_until_all_is_gone(pair: Pair) -> None:
    client, server = pair
    data = bytes(range(256)) * 16384
    writer = parked(client.send, data)
    assert read_all(server, len(data)) == data
    assert ended(writer) == [len(data)]


def test_one_reads_and_one_writes_on_the_same_socket(pair: Pair) -> None:
    client, server = pair
    size = 4_000_000
    reader = parked(client.recv, 100)
    writer = parked(client.sendall, bytes(size))
    server.sendall(b"while you write")
    assert ended(reader) == [b"while you write"]
    assert not writer.ready()
    assert read_all(server, size) == bytes(size)
    ended(writer)


def test_writers_take_turns_and_nothing_is_mixed(pair: Pair) -> None:
    client, server = pair
    size = 1_000_000
    writers = [spawn(client.sendall, bytes([mark]) * size) for mark in b"abcd"]
    turns()
    data = read_all(server, 4 * size)
    ended(*writers)
    assert data == b"".join(bytes([mark]) * size for mark in b"abcd")


def test_readers_share_what_comes(pair: Pair) -> None:
    client, server = pair
    readers = [parked(server.recv, 1) for _ in range(10)]
    client.sendall(b"0123456789")
    assert sorted(ended(*readers)) == [b"%d" % digit for digit in range(10)]


def test_the_end_is_told_to_every_reader_and_again(pair: Pair) -> None:
    client, server = pair
    readers = [parked(server.recv, 10) for _ in range(3)]
    unwrapping = spawn(client.unwrap)
    assert ended(*readers) == [b""] * 3
    assert server.recv(10) == b""
    server.unwrap()
    ended(unwrapping)


def test_a_buffer_cannot_be_resized_while_it_is_written_from_or_read_into(pair: Pair) -> None:
    client, server = pair
    incoming, outgoing = bytearray(100), bytearray(4_000_000)
    reader, writer = parked(client.recv_into, incoming), parked(client.send, outgoing)
    for buffer in incoming, outgoing:
        with pytest.raises(BufferError):
            buffer.append(0)
    server.sendall(b"hello")
    assert read_all(server, len(outgoing)) == outgoing
    assert ended(reader, writer) == [5, len(outgoing)]
    incoming.append(0)
    outgoing.append(0)


def test_makefile_reads_lines_and_writes(pair: Pair) -> None:
    client, server = pair
    with client.makefile("rw", newline="\n") as lines, server.makefile("rwb") as raw:
        reader = parked(lines.readline)
        raw.write(b"first\nsecond\n")
        raw.flush()
        assert ended(reader) == ["first\n"]
        assert lines.readline() == "second\n"
        lines.write("answer\n")
        lines.flush()
        assert raw.readline() == b"answer\n"


def test_sendfile_sends_a_file(pair: Pair, tmp_path: Path) -> None:
    client, server = pair
    data = os.urandom(1_000_000)
    (tmp_path / "file").write_bytes(data)
    with open(tmp_path / "file", "rb") as file:
        sender = spawn(client.sendfile, file)
        assert read_all(server, len(data)) == data
        assert ended(sender) == [len(data)]
    assert ended(spawn(client.sendfile, io.BytesIO(b"from memory"))) == [11]
    assert server.recv(100) == b"from memory"


@pytest.mark.skipif(sys.version_info < (3, 15), reason="the module ssl uses the kernel's TLS from 3.15 on")
def test_sendfile_through_the_kernel_waits(certificates: Certificates, tmp_path: Path) -> None:
    contexts = [certificates.for_client(), certificates.for_server()]
    for context in contexts:
        context.options |= ssl.OP_ENABLE_KTLS  # type: ignore[attr-defined,unused-ignore]
    client, server = tls_pair(certificates, client=contexts[0], server=contexts[1])
    with client, server:
        if not client._sslobj.uses_ktls_for_send():  # type: ignore[attr-defined]
            pytest.skip("the kernel has no TLS")
        data = os.urandom(16_000_000)
        (tmp_path / "file").write_bytes(data)
        with open(tmp_path / "file", "rb") as file:
            sender = parked(client.sendfile, file)
            assert read_all(server, len(data)) == data
            assert ended(sender) == [len(data)]


# ---- connections ----


def test_many_handshakes_run_at_once_in_one_thread(certificates: Certificates) -> None:
    server, client = certificates.for_server(), certificates.for_client()
    count = scaled(100)
    started: list[None] = []

    def serve(accepted: socket.socket) -> bytes:
        started.append(None)
        with server.wrap_socket(accepted, server_side=True) as end:
            return end.recv(100)

    def ask(number: int) -> None:
        with socket.create_connection(address) as plain:
            while len(started) < count:
                sleep(0.001)
            with client.wrap_socket(plain, server_hostname="localhost") as end:
                end.sendall(b"%d" % number)

    with socket.create_server(("127.0.0.1", 0), backlog=count) as listener:
        address = listener.getsockname()
        clients = [spawn(ask, number) for number in range(count)]
        servers = [spawn(serve, listener.accept()[0]) for _ in range(count)]
        ended(*clients)
        assert sorted(ended(*servers)) == sorted(b"%d" % number for number in range(count))


def test_a_wrapped_listener_accepts_and_a_wrapped_socket_connects(certificates: Certificates) -> None:
    def serve(listener: ssl.SSLSocket) -> bytes:
        end, _ = listener.accept()
        with end:
            return end.recv(100)

    plain = socket.create_server(("127.0.0.1", 0))
    with certificates.for_server().wrap_socket(plain, server_side=True) as listener:
        server = parked(serve, listener)
        with certificates.for_client().wrap_socket(socket.socket(), server_hostname="localhost") as client:
            client.connect(listener.getsockname())
            client.sendall(b"hello")
            assert ended(server) == [b"hello"]


def test_unwrap_leaves_a_plain_connection_on_both_sides(pair: Pair) -> None:
    client, server = pair
    first = parked(client.unwrap)
    plain_server = server.unwrap()
    (plain_client,) = ended(first)
    assert plain_client is client and plain_server is server
    reader = parked(plain_client.recv, 100)
    plain_server.sendall(b"in the clear")
    assert ended(reader) == [b"in the clear"]


def test_a_reader_is_ended_when_another_green_thread_unwraps_its_side(pair: Pair) -> None:
    client, server = pair
    reader = parked(client.recv, 10)
    unwrapping = spawn(client.unwrap)
    server.unwrap()
    ended(unwrapping)
    joined(reader)
    assert isinstance(reader.exception, ssl.SSLZeroReturnError)


def test_what_follows_in_the_clear_is_not_swallowed_by_unwrap(pair: Pair) -> None:
    client, server = pair
    first = parked(client.unwrap)
    plain = server.unwrap()
    plain.sendall(b"at once")
    ended(first)
    assert client.recv(100) == b"at once"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_protocols_and_certificates_are_as_ever(certificates: Certificates, version: ssl.TLSVersion) -> None:
    client_context, server_context = certificates.for_client(), certificates.for_server()
    client_context.maximum_version = version
    for context in client_context, server_context:
        context.set_alpn_protocols(["http/1.1", "h2"])
    session = None
    for reused in False, True:
        pair = unshaken_pair(certificates, client=client_context, server=server_context)
        client, server = pair
        with client, server:
            if session is not None:
                client.session = session
            shake_hands(pair)
            server.sendall(b"x")
            client.recv(1)
            session = client.session
            assert client.session_reused is reused
            assert client.selected_alpn_protocol() == server.selected_alpn_protocol() == "http/1.1"
            assert client.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
            certificate = client.getpeercert()
            assert certificate is not None
            assert ("DNS", "localhost") in certificate["subjectAltName"]
            unwrapping = spawn(client.unwrap)
            server.unwrap()
            ended(unwrapping)


def test_a_server_name_callback_may_park(certificates: Certificates) -> None:
    other = certificates.for_server()
    other.set_alpn_protocols(["chosen"])
    plain = certificates.for_server()
    client = certificates.for_client()
    client.set_alpn_protocols(["chosen"])
    inside: list[str] = []
    go_on = threading.Event()

    def choose(end: Any, name: str | None, context: ssl.SSLContext) -> None:
        inside.append(f"{type(end).__name__} {name}")
        go_on.wait()
        end.context = other

    plain.sni_callback = choose
    count = 5
    pairs = [unshaken_pair(certificates, client=client, server=plain) for _ in range(count)]
    shakes = [spawn(end.do_handshake) for pair in pairs for end in pair]
    while len(inside) < count:
        sleep(0.001)
    assert inside == ["SSLSocket localhost"] * count
    assert not any(thread.ready() for thread in shakes)
    beside_it = tls_pair(certificates)
    beside_it[0].sendall(b"others go on")
    assert beside_it[1].recv(100) == b"others go on"
    go_on.set()
    ended(*shakes)
    assert [pair[0].selected_alpn_protocol() for pair in pairs] == ["chosen"] * count
    for ends in *pairs, beside_it:
        for end in ends:
            assert end.gettimeout() is None
            end.close()


def test_the_timeout_is_what_was_set_at_any_moment(certificates: Certificates) -> None:
    seen: list[float | None] = []
    server = certificates.for_server()

    def look(end: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        seen.append(end.gettimeout())

    server.sni_callback = look
    for timeout in None, 30.0:
        pair = unshaken_pair(certificates, server=server, timeout=timeout)
        shake_hands(pair)
        reader = parked(pair[1].recv, 1)
        seen += [pair[1].gettimeout(), pair[0].gettimeout()]
        pair[0].sendall(b"x")
        ended(reader)
        for end in pair:
            end.close()
    assert seen == [None] * 3 + [30.0] * 3


def test_a_blocking_descriptor_is_blocking_again_while_a_call_is_parked(certificates: Certificates) -> None:
    client, server = tls_pair(certificates)
    with client, server:
        reader = parked(client.recv, 1)
        assert os.get_blocking(client.fileno())
        server.sendall(b"x")
        ended(reader)
        assert os.get_blocking(client.fileno())
        client.settimeout(30)
        assert not os.get_blocking(client.fileno())


def test_a_timeout_that_is_set_while_a_call_is_parked_is_the_next_ones(certificates: Certificates) -> None:
    client, server = tls_pair(certificates)
    with client, server:
        reader = parked(client.recv, 1)
        client.settimeout(0)
        turns()
        assert not reader.ready()
        server.sendall(b"x")
        assert ended(reader) == [b"x"]
        with pytest.raises(ssl.SSLWantReadError):
            client.recv(1)
        assert not os.get_blocking(client.fileno())


def test_a_nonblocking_socket_does_not_wait(certificates: Certificates) -> None:
    client, server = unshaken_pair(certificates, timeout=0.0)
    with client, server:
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        with pytest.raises(ssl.SSLWantReadError):
            server.do_handshake()


def test_tls_in_memory_is_left_alone(certificates: Certificates) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = certificates.for_client().wrap_bio(to_client, to_server, server_hostname="localhost")
    server = certificates.for_server().wrap_bio(to_server, to_client, server_side=True)
    pending = [client, server]
    while pending:
        end = pending.pop(0)
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pending.append(end)
    client.write(b"hello")
    assert server.read(100) == b"hello"
    with pytest.raises(ssl.SSLWantReadError):
        server.read(100)


def test_the_certificate_of_a_server_can_be_fetched(certificates: Certificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = spawn(lambda: certificates.for_server().wrap_socket(listener.accept()[0], server_side=True).close())
        found = ssl.get_server_certificate(listener.getsockname(), ca_certs=certificates.authority)
        ended(server)
    assert found.strip() in Path(certificates.server).read_text()


def test_asyncio_in_a_native_thread_talks_tls_with_a_green_server(certificates: Certificates) -> None:
    import asyncio

    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=certificates.for_client(), server_hostname="localhost"
        )
        writer.write(b"question")
        answer = await reader.read(100)
        writer.close()
        await writer.wait_closed()
        return answer

    answers: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with beside(lambda: answers.append(asyncio.run(ask(port)))):
            with certificates.for_server().wrap_socket(listener.accept()[0], server_side=True) as end:
                assert end.recv(100) == b"question"
                end.sendall(b"answer")
                assert end.recv(100) == b""
    assert answers == [b"answer"]


def test_a_switched_off_group_blocks_as_ever(certificates: Certificates) -> None:
    client, server = tls_pair(certificates)
    turn: list[None] = []
    with client, server:
        assert _core.points_switch("ssl", False) >= 4
        try:
            with beside(lambda: (time.sleep(0.05), server.sendall(b"late"))):
                other = spawn(turn.append, None)
                assert client.recv(100) == b"late"
                assert not turn
                ended(other)
        finally:
            _core.points_switch("ssl", True)
