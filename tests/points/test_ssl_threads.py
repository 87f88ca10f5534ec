"""TLS that native and green threads share, and TLS objects that were there before the points."""

import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossamer._core import get_hub, sleep, spawn
from tests.support.certificates import Certificates, Pair, make_certificates, tls_pair, unshaken_pair
from tests.support.children import output_of
from tests.support.runtime import beside, joined, turns, until
from tests.support.scale import scaled


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


def echo(end: ssl.SSLSocket) -> None:
    while data := end.recv(65536):
        end.sendall(data)


def read_all(end: ssl.SSLSocket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        received += end.recv(65536)
    return bytes(received)


def sleeps(task: Path) -> bool:
    """Whether an OS thread waits in a system call."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0] == "S"


# ---- native and green ----


def test_a_native_and_a_green_thread_shake_hands_and_talk(certificates: Certificates) -> None:
    client, server = unshaken_pair(certificates)

    def serve() -> None:
        server.do_handshake()
        echo(server)
        server.unwrap()

    with client, server, beside(serve):
        client.do_handshake()
        for number in range(200):
            client.sendall(b"%d" % number)
            assert client.recv(100) == b"%d" % number
        client.unwrap()


def test_a_native_thread_writes_while_a_green_one_reads_the_same_socket(pair: Pair) -> None:
    client, server = pair
    size = 3_000_000
    reader = spawn(client.recv, 10)
    turns()
    with beside(lambda: client.sendall(bytes(size))):
        assert read_all(server, size) == bytes(size)
    server.sendall(b"done")
    assert joined(reader) == [b"done"]


def test_a_native_thread_reads_while_a_green_one_writes_the_same_socket(pair: Pair) -> None:
    client, server = pair
    size = 3_000_000
    received: list[bytes] = []
    with beside(lambda: received.append(client.recv(10))):
        writer = spawn(client.sendall, bytes(size))
        assert read_all(server, size) == bytes(size)
        joined(writer)
        server.sendall(b"done")
    assert received == [b"done"]


def test_native_and_green_threads_echo_through_one_connection_in_both_directions(pair: Pair) -> None:
    client, server = pair
    rounds = scaled(300)
    with beside(lambda: [server.sendall(server.recv(100)) for _ in range(rounds)]):
        for number in range(rounds):
            client.sendall(b"%d" % number)
            assert client.recv(100) == b"%d" % number
    native: list[bytes] = []

    def ask() -> None:
        for number in range(rounds):
            server.sendall(b"%d" % number)
            native.append(server.recv(100))

    answering = spawn(lambda: [client.sendall(client.recv(100)) for _ in range(rounds)])
    with beside(ask):
        joined(answering)
    assert native == [b"%d" % number for number in range(rounds)]


def test_native_and_green_writers_do_not_mix_their_bytes(pair: Pair) -> None:
    client, server = pair
    size = 1_000_000
    first = spawn(client.sendall, b"a" * size)
    turns()
    with beside(lambda: client.sendall(b"n" * size)), beside(lambda: client.sendall(b"m" * size)):
        second = spawn(client.sendall, b"b" * size)
        data = read_all(server, 4 * size)
        joined(first, second)
    assert sorted(data[at : at + size] == data[at : at + 1] * size for at in range(0, 4 * size, size)) == [True] * 4
    assert set(data) == set(b"abnm")


TWO_READERS = """
import sys, time
from gossamer._core import get_hub, sleep, spawn
from tests.support.certificates import Certificates, tls_pair
from tests.support.runtime import beside, joined
certificates = Certificates(*sys.argv[1:3])
get_hub()
for timeout in None, 30.0:
    for natives_first in True, False:
        client, server = tls_pair(certificates, timeout=timeout)
        received = []
        def read():
            while data := server.recv(1):
                received.append(data)
        def go(number):
            client.sendall(b'%c' % number)
            if number % 20 == 0:
                sleep(0.001)
        green = [] if natives_first else [spawn(read)]
        sleep(0)
        with beside(read), beside(read):
            sleep(0.01)
            green.append(spawn(read))
            for number in range(200):
                go(number)
            other = spawn(client.unwrap)
            joined(*green)
        assert sorted(received) == [b'%c' % number for number in range(200)], received
        server.unwrap()
        joined(other)
print('done')
"""


def test_native_and_green_threads_may_read_one_connection(certificates: Certificates) -> None:
    assert output_of(TWO_READERS, certificates.authority, certificates.server) == "done\n"


@pytest.mark.parametrize("native_first", [True, False])
def test_a_native_reader_beside_green_calls_burns_no_processor(certificates: Certificates, native_first: bool) -> None:
    client, server = tls_pair(certificates)
    tasks: list[Path] = []
    received: list[bytes] = []

    def read() -> None:
        tasks.append(Path(f"/proc/self/task/{threading.get_native_id()}"))
        received.append(client.recv(5))

    with client, server:
        others = [] if native_first else [spawn(client.recv, 5)]
        turns()
        with beside(read):
            until(lambda: tasks and sleeps(tasks[0]))
            if native_first:
                others = [spawn(client.recv, 5)]
            for _ in range(10):
                client.sendall(b"x")
            before = time.process_time()
            sleep(0.5)
            burnt = time.process_time() - before
            server.sendall(b"first")
            server.sendall(b"other")
        received += joined(*others)
    assert sorted(received) == [b"first", b"other"]
    # half a second of turning in circles would be half a second of processor time
    assert burnt < 0.25


def test_a_native_thread_sees_the_timeout_that_was_set_while_green_calls_run(certificates: Certificates) -> None:
    for timeout in None, 30.0:
        client, server = tls_pair(certificates, timeout=timeout)
        stop: list[None] = []
        seen: set[float | None] = set()

        def look(end: ssl.SSLSocket = client, seen: set[float | None] = seen, stop: list[None] = stop) -> None:
            while not stop:
                seen.add(end.gettimeout())

        with client, server, beside(look):
            echoing = spawn(echo, server)
            for _ in range(scaled(50)):
                client.sendall(bytes(1000))
                read_all(client, 1000)
            unwrapping = spawn(client.unwrap)
            joined(echoing)
            server.unwrap()
            joined(unwrapping)
            stop.append(None)
        assert seen == {timeout}


def test_two_hubs_share_one_connection(certificates: Certificates) -> None:
    client, server = tls_pair(certificates)
    size = 2_000_000
    received: list[bytes] = []

    def other_hub() -> None:
        get_hub()
        received.append(joined(spawn(client.recv, 10))[0])

    with client, server, beside(other_hub):
        writer = spawn(client.sendall, bytes(size))
        assert read_all(server, size) == bytes(size)
        joined(writer)
        server.sendall(b"done")
    assert received == [b"done"]


# ---- what was there before ----

BEFORE = """
import http.client, socket, ssl, sys, threading
authority, certificate = sys.argv[1:3]
client_context = ssl.create_default_context(cafile=authority)
server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
server_context.load_cert_chain(certificate)
with socket.create_server(('127.0.0.1', 0)) as listener:
    plain_client = socket.create_connection(listener.getsockname())
    plain_server = listener.accept()[0]
client = client_context.wrap_socket(plain_client, server_hostname='localhost', do_handshake_on_connect=False)
server = server_context.wrap_socket(plain_server, server_side=True, do_handshake_on_connect=False)
shaking = threading.Thread(target=server.do_handshake)
shaking.start()
client.do_handshake()
shaking.join()
recv, sendall, read = client.recv, client.sendall, client._sslobj.read
assert not any(name.startswith('gossamer') for name in sys.modules)
from gossamer._core import GreenThread, get_hub, sleep, spawn
def parked(*call):
    thread = spawn(*call)
    for _ in range(3):
        sleep(0)
    assert not thread.ready()
    return thread
"""


def test_sockets_wrapped_and_methods_bound_before_the_points_park(certificates: Certificates) -> None:
    out = output_of(
        BEFORE
        + """
for bound in recv, read:
    reader = parked(bound, 100)
    server.sendall(b'hello')
    reader.join()
    print(reader.value)
writer = parked(sendall, bytes(8_000_000))
total = 0
while total < 8_000_000:
    total += len(server.recv(65536))
writer.join()
reader = parked(server.recv, 10)
unwrapping = parked(client.unwrap)
reader.join()
server.unwrap()
unwrapping.join()
print(reader.value, unwrapping.value is client, client.gettimeout())
""",
        certificates.authority,
        certificates.server,
    )
    assert out == "b'hello'\nb'hello'\nb'' True None\n"


def test_contexts_made_before_the_points_shake_hands_in_green_threads(certificates: Certificates) -> None:
    out = output_of(
        BEFORE
        + """
def serve(plain):
    with server_context.wrap_socket(plain, server_side=True) as end:
        end.sendall(end.recv(100).upper())
def ask(number):
    with client_context.wrap_socket(socket.create_connection(address), server_hostname='localhost') as end:
        end.sendall(b'question %d' % number)
        return end.recv(100)
with socket.create_server(('127.0.0.1', 0)) as listener:
    address = listener.getsockname()
    askers = [spawn(ask, number) for number in range(20)]
    servers = [spawn(serve, listener.accept()[0]) for _ in askers]
    for thread in askers + servers:
        thread.join()
print([thread.value for thread in askers] == [b'QUESTION %d' % number for number in range(20)])
""",
        certificates.authority,
        certificates.server,
    )
    assert out == "True\n"


def test_a_native_thread_that_was_reading_before_the_points_goes_on(certificates: Certificates) -> None:
    out = output_of(
        BEFORE.replace(
            "assert not any",
            """
client.sendall(b'the tickets of the handshake precede it')
server.sendall(server.recv(100))
client.recv(100)
received = []
reading = threading.Thread(target=lambda: received.append(recv(100)))
reading.start()
while not open(f'/proc/self/task/{reading.native_id}/stat').read().rpartition(')')[2].startswith(' S'):
    pass
assert not any""",
        )
        + """
writer = parked(sendall, bytes(8_000_000))
total = 0
while total < 8_000_000:
    total += len(server.recv(65536))
writer.join()
server.sendall(b'late')
while not received:
    sleep(0.001)
print(received)
""",
        certificates.authority,
        certificates.server,
    )
    assert out == "[b'late']\n"
