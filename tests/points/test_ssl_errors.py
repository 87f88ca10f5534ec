"""TLS in green threads when something goes wrong: the errors are those of a call that blocks natively."""

import errno
import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import GreenletExit, get_hub, interrupt, sleep, spawn
from tests.support.certificates import Certificates, Pair, connected_pair, make_certificates, tls_pair, unshaken_pair
from tests.support.runtime import in_thread, joined, open_descriptors, parked, turns

# CPython before 3.11.3 tells OpenSSL 3 to take an end without a goodbye for a proper one.
ANY_END_IS_PROPER = bool(ssl.create_default_context().options & getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0))


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def pair(certificates: Certificates) -> Iterator[Pair]:
    client, server = tls_pair(certificates)
    with client, server:
        yield client, server


def outcome(function: Callable[[], object]) -> Any:
    """What a call returned, or the type and the text of what it raised."""
    try:
        return function()
    except OSError as error:
        return type(error), str(error)


def error_of(thread: _core.GreenThread) -> BaseException:
    joined(thread)
    assert thread.exception is not None
    return thread.exception


def by_the_original(work: Callable[[], Any]) -> Any:
    """What `work` returns while the points are switched off."""
    _core.points_switch("ssl", False)
    try:
        return work()
    finally:
        _core.points_switch("ssl", True)


def fill(end: ssl.SSLSocket) -> None:
    """Write until there is no room, nor will be. What OpenSSL still has to send then is a record of zeros."""
    end.settimeout(0)
    refused = 0
    while refused < 5:
        try:
            end.send(bytes(16384))
            refused = 0
        except ssl.SSLWantWriteError:
            refused += 1
            sleep(0.01)  # the kernel may still move some of it to the other end


def reset(end: socket.socket) -> None:
    """Close it so that the other side is told of a reset."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


# ---- timeouts ----


def shaking(end: ssl.SSLSocket) -> None:
    end.do_handshake()


def reading(end: ssl.SSLSocket) -> None:
    end.recv(1)


def reading_into(end: ssl.SSLSocket) -> None:
    end.recv_into(bytearray(1))


def writing(end: ssl.SSLSocket) -> None:
    while True:  # where there was no room, the kernel may have made some
        end.send(bytes(16384))


def unwrapping(end: ssl.SSLSocket) -> None:
    end.unwrap()


@pytest.mark.parametrize("call", [shaking, reading, reading_into, writing, unwrapping], ids=lambda it: it.__name__)
def test_a_timeout_is_told_as_natively(certificates: Certificates, call: Callable[[ssl.SSLSocket], None]) -> None:
    def told(run: Callable[[Callable[[], Any]], Any]) -> Any:
        client, server = unshaken_pair(certificates) if call is shaking else tls_pair(certificates)
        with client, server:
            if call is writing:
                fill(client)
            client.settimeout(0.02)
            answer = run(lambda: outcome(lambda: call(client)))
            assert client.gettimeout() == 0.02
            return answer

    by_original = told(by_the_original)
    assert by_original[0] is TimeoutError and "operation timed out" in by_original[1]
    assert told(lambda work: joined(spawn(work))[0]) == by_original
    assert told(in_thread) == by_original


def test_others_run_until_the_timeout(certificates: Certificates) -> None:
    client, server = tls_pair(certificates, timeout=0.1)
    with client, server:
        reader = parked(client.recv, 1)
        ready: list[bool] = []
        beside_it = spawn(lambda: (sleep(0.001), ready.append(reader.ready())))
        assert isinstance(error_of(reader), TimeoutError)
        joined(beside_it)
        assert ready == [False]
        server.sendall(b"later")
        assert client.recv(100) == b"later"


def test_the_timeout_is_for_the_whole_call(pair: Pair) -> None:
    client, server = pair
    client.settimeout(0.3)
    record = spawn(client.recv, 1)
    record_header = b"\x17\x03\x03\x40\x00"
    with socket.socket(fileno=os.dup(server.fileno())) as raw:
        raw.send(record_header)
        while not record.ready():
            raw.send(b"x")  # of 16384
            sleep(0.01)
    assert isinstance(error_of(record), TimeoutError)


def test_a_write_that_timed_out_can_be_repeated(pair: Pair) -> None:
    client, server = pair
    data = bytes(range(256)) * 40000
    client.settimeout(0.02)
    with pytest.raises(TimeoutError):
        client.send(data)
    client.settimeout(None)
    writer = parked(client.send, data)
    received = bytearray()
    while len(received) < len(data):
        received += server.recv(65536)
    joined(writer)
    assert received == data


def test_waiting_for_a_turn_to_write_times_out(pair: Pair) -> None:
    client, server = pair
    size = 8_000_000
    first = parked(client.sendall, b"1" * size)
    client.settimeout(0.02)
    with pytest.raises(TimeoutError, match="The write operation timed out"):
        client.sendall(b"2" * size)
    total = 0
    while total < size:
        data = server.recv(65536)
        assert set(data) == set(b"1")
        total += len(data)
    joined(first)
    assert first.exception is None


# ---- handshakes that fail ----


def both_fail(pair: Pair) -> tuple[BaseException | None, BaseException | None]:
    threads = [spawn(end.do_handshake) for end in pair]
    joined(*threads)
    for end in pair:
        end.close()
    return threads[0].exception, threads[1].exception


def test_an_unknown_authority_is_refused(certificates: Certificates) -> None:
    client, _ = both_fail(unshaken_pair(certificates, client=ssl.create_default_context()))
    assert isinstance(client, ssl.SSLCertVerificationError)
    assert client.verify_message == "unable to get local issuer certificate"


def test_a_wrong_name_is_refused(certificates: Certificates) -> None:
    plain_client, plain_server = connected_pair()
    client = certificates.for_client().wrap_socket(
        plain_client, server_hostname="elsewhere", do_handshake_on_connect=False
    )
    server = certificates.for_server().wrap_socket(plain_server, server_side=True, do_handshake_on_connect=False)
    error, _ = both_fail((client, server))
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert "not valid for 'elsewhere'" in str(error)


def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(certificates: Certificates) -> None:
    demanding = certificates.for_server()
    demanding.verify_mode = ssl.CERT_REQUIRED
    _, server = both_fail(unshaken_pair(certificates, server=demanding))
    assert isinstance(server, ssl.SSLError)
    assert server.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


def test_a_peer_that_speaks_no_tls_is_an_error_on_both_sides(certificates: Certificates) -> None:
    plain, other = connected_pair()
    with plain, other:
        shaking = spawn(certificates.for_server().wrap_socket, other, server_side=True)
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        error = error_of(shaking)
        assert isinstance(error, ssl.SSLError)
        assert error.reason == "HTTP_REQUEST"
    plain, other = connected_pair()
    with plain, other:
        shaking = spawn(certificates.for_client().wrap_socket, plain, server_hostname="localhost")
        other.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert isinstance(error_of(shaking), ssl.SSLError)


def test_a_reset_in_the_handshake_is_told(certificates: Certificates) -> None:
    client, server = unshaken_pair(certificates)
    with client:
        shaking = parked(client.do_handshake)
        reset(server)
        assert isinstance(error_of(shaking), ConnectionResetError)


def test_an_end_in_the_handshake_is_told(certificates: Certificates) -> None:
    client, server = unshaken_pair(certificates)
    with client:
        shaking = parked(client.do_handshake)
        server.shutdown(socket.SHUT_WR)
        error = error_of(shaking)
        assert isinstance(error, ssl.SSLZeroReturnError if ANY_END_IS_PROPER else ssl.SSLEOFError)
        server.close()


# ---- the end in the middle ----


@pytest.mark.parametrize("suppress", [True, False])
def test_an_end_without_a_goodbye_is_told_as_was_asked_for(certificates: Certificates, suppress: bool) -> None:
    plain_client, plain_server = connected_pair()
    shaking = spawn(certificates.for_server().wrap_socket, plain_server, server_side=True)
    with certificates.for_client().wrap_socket(
        plain_client, server_hostname="localhost", suppress_ragged_eofs=suppress
    ) as client:
        (server,) = joined(shaking)
        reader = parked(client.recv, 100)
        server.close()
        joined(reader)
        if suppress or ANY_END_IS_PROPER:
            assert reader.value == b""
        else:
            assert isinstance(reader.exception, ssl.SSLEOFError)


def test_a_reset_ends_reading_and_writing(pair: Pair) -> None:
    client, server = pair
    reader, writer = parked(client.recv, 1), parked(client.sendall, bytes(8_000_000))
    reset(server)
    # whose system call comes first is told of the reset, the other of what is left then
    assert isinstance(error_of(writer), OSError)
    joined(reader)
    assert isinstance(reader.exception, OSError) or reader.value == b""


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_a_call_is_ended_when_another_green_thread_closes_the_socket(
    certificates: Certificates, timeout: float | None
) -> None:
    client, server = tls_pair(certificates, timeout=timeout)
    unshaken = unshaken_pair(certificates, timeout=timeout)
    unwrapped = tls_pair(certificates, timeout=timeout)
    calls = [
        parked(client.recv, 1),
        parked(client.recv_into, bytearray(1)),
        parked(client.sendall, bytes(8_000_000)),
        parked(unshaken[0].do_handshake),
        parked(unwrapped[0].unwrap),
    ]
    for end in client, server, *unshaken, *unwrapped:
        end.close()
    for call in calls:
        error = error_of(call)
        assert isinstance(error, OSError)
        assert error.errno == errno.EBADF


def test_whoever_waits_for_a_turn_to_write_is_ended_by_close_too(pair: Pair) -> None:
    client, _ = pair
    writers = [parked(client.sendall, bytes(8_000_000)) for _ in range(3)]
    client.close()
    for writer in writers:
        assert isinstance(error_of(writer), OSError)


# ---- interrupted ----


def test_killed_in_the_handshake_leaves_a_socket_that_can_be_closed(certificates: Certificates) -> None:
    client, server = unshaken_pair(certificates)
    shaking = parked(client.do_handshake)
    assert interrupt(shaking, GreenletExit())
    joined(shaking)
    assert client.fileno() >= 0 and client.gettimeout() is None and os.get_blocking(client.fileno())
    before = open_descriptors().keys()
    client.close()
    server.close()
    assert len(before - open_descriptors().keys()) == 2


def test_an_error_in_wrap_socket_closes_it(certificates: Certificates) -> None:
    plain, other = connected_pair()
    descriptor = plain.fileno()
    wrapping = parked(lambda: certificates.for_client().wrap_socket(plain, server_hostname="localhost"))
    assert interrupt(wrapping, ConnectionAbortedError())
    assert isinstance(error_of(wrapping), ConnectionAbortedError)
    with other, pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_killed_reader_loses_nothing(pair: Pair) -> None:
    client, server = pair
    reader = parked(client.recv, 100)
    assert interrupt(reader, ValueError("enough"))
    assert isinstance(error_of(reader), ValueError)
    server.sendall(b"still there")
    assert client.recv(100) == b"still there"


def test_a_killed_writer_gives_its_turn_to_the_next(pair: Pair) -> None:
    client, server = pair
    data = bytes(8_000_000)
    first, second, third = (parked(client.sendall, data) for _ in range(3))
    assert interrupt(second, ValueError("not waiting"))
    assert isinstance(error_of(second), ValueError)
    assert interrupt(first, ValueError("no more"))
    assert isinstance(error_of(first), ValueError)
    total = 0
    while total < len(data):
        total += len(server.recv(65536))
    joined(third)
    assert third.exception is None


def test_the_hub_greenlet_may_not_wait_for_tls(pair: Pair) -> None:
    client, _ = pair
    told: list[Any] = []

    def read() -> None:
        try:
            client.recv(1)
        except BaseException as error:
            told.append(type(error))

    get_hub().run_callback(read)
    turns()
    assert told == [_core.BlockingSwitchOutError]


def test_an_exception_of_a_message_callback_is_raised(certificates: Certificates) -> None:
    context = certificates.for_client()

    def fail(*_args: object) -> None:
        raise ValueError("from the callback")

    context._msg_callback = fail  # type: ignore[attr-defined]
    client, server = unshaken_pair(certificates, client=context)
    with client, server:
        shaking = spawn(server.do_handshake)
        with pytest.raises(ValueError, match="from the callback"):
            client.do_handshake()
        server.close()
        joined(shaking)


def test_an_exception_that_is_being_handled_is_not_taken_for_one_of_a_callback(pair: Pair) -> None:
    client, server = pair

    def read() -> bytes:
        try:
            raise KeyError
        except KeyError:
            return client.recv(100)

    reader = parked(read)
    server.sendall(b"hello")
    assert joined(reader) == [b"hello"]


def test_wrong_arguments_are_refused_as_natively(pair: Pair) -> None:
    client, _ = pair
    calls: list[Callable[[], object]] = [
        lambda: client._sslobj.read(),  # type: ignore[attr-defined]
        lambda: client._sslobj.read(-1),  # type: ignore[attr-defined]
        lambda: client._sslobj.read("1"),  # type: ignore[attr-defined]
        lambda: client._sslobj.read(1, b"readonly"),  # type: ignore[attr-defined]
        lambda: client._sslobj.write("text"),  # type: ignore[attr-defined]
        lambda: client._sslobj.write(b"", b""),  # type: ignore[attr-defined]
        lambda: client._sslobj.do_handshake(1),  # type: ignore[attr-defined]
        lambda: client._sslobj.shutdown(1),  # type: ignore[attr-defined]
    ]

    def refusal(call: Callable[[], object]) -> str:
        try:
            call()
        except (TypeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        return "none"

    green = [refusal(call) for call in calls]
    assert "none" not in green
    assert green == by_the_original(lambda: [refusal(call) for call in calls])
