"""StreamServer: accepts, handles in green threads, holds back when its pool is full, stops; TLS; bad input."""

import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core
from gossamer.pywsgi import WSGIServer
from gossamer.server import StreamServer
from tests.support.certificates import make_certificates
from tests.support.children import output_of
from tests.support.runtime import joined, reported, until
from tests.support.scale import patience

LOOPBACK = ("127.0.0.1", 0)


def echo(connection: socket.socket, address: object) -> None:
    while data := connection.recv(1000):
        connection.sendall(data)


def ask(server: Any, data: bytes = b"hello") -> bytes:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()


def test_connections_are_handled_at_the_same_time() -> None:
    inside: list[int] = []

    def handle(connection: socket.socket, address: object) -> None:
        inside.append(1)
        until(lambda: len(inside) == 5)
        echo(connection, address)

    with StreamServer(LOOPBACK, handle) as server:
        server.start()
        assert joined(*[_core.spawn(ask, server) for _ in range(5)]) == [b"hello"] * 5


def test_the_connection_is_closed_when_its_handler_returns_or_fails() -> None:
    kept: list[socket.socket] = []

    def handle(connection: socket.socket, address: object) -> None:
        kept.append(connection)
        raise ValueError("of the handler")

    with reported() as reports, StreamServer(LOOPBACK, handle) as server:
        server.start()
        assert ask(server, b"") == b""
        assert [str(it.value) for it in reports] == ["of the handler"]
    assert kept[0].fileno() == -1


def test_the_port_and_the_host_are_known_once_it_has_started() -> None:
    server = StreamServer("127.0.0.1:0", echo)
    assert (server.started, server.closed) == (False, True)
    server.start()
    assert (server.started, server.closed, server.server_host) == (True, False, "127.0.0.1")
    assert server.server_port == server.address[1] != 0
    server.stop()
    assert (server.started, server.closed) == (False, True)


def test_a_port_alone_is_every_address() -> None:
    with StreamServer(0, echo) as server:
        server.start()
        assert ask(server) == b"hello"


@pytest.mark.parametrize("text", [":0", "*:0"])
def test_a_port_behind_no_host_is_every_address_of_ipv4(text: str) -> None:
    peers: list[str] = []
    with StreamServer(text, lambda _, address: peers.append(address[0])) as server:
        server.start()
        assert server.family == socket.AF_INET
        ask(server, b"")
    assert peers == ["127.0.0.1"]


def test_accepting_goes_on_whatever_may_be_accepted_in_a_row() -> None:
    with StreamServer(LOOPBACK, echo) as server:
        server.max_accept = 0
        server.start()
        assert [ask(server) for _ in range(3)] == [b"hello"] * 3


def test_a_path_is_a_unix_socket(tmp_path: Path) -> None:
    with StreamServer(str(tmp_path / "socket"), echo) as server:
        server.start()
        assert (server.server_host, server.server_port) == (None, None)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(server.address)
            client.sendall(b"x")
            assert client.recv(1) == b"x"


def test_a_socket_that_is_given_is_used() -> None:
    listener = socket.create_server(LOOPBACK)
    with StreamServer(listener, echo) as server:
        server.start()
        assert server.socket is listener
        assert ask(server) == b"hello"
    assert listener.fileno() == -1


def test_a_stopped_server_can_be_started_again() -> None:
    server = StreamServer(LOOPBACK, echo)
    for _ in range(2):
        server.start()
        server.start()
        assert ask(server) == b"hello"
        server.stop()


def test_serving_for_ever_ends_when_it_is_stopped() -> None:
    server = StreamServer(LOOPBACK, echo)
    serving = _core.spawn(server.serve_forever)
    until(lambda: server.started)
    assert ask(server) == b"hello"
    server.stop()
    joined(serving)


def test_a_subclass_may_handle() -> None:
    class Server(StreamServer):
        def handle(self, connection: socket.socket, address: object) -> None:
            connection.sendall(b"own")

    with Server(LOOPBACK) as server:
        server.start()
        assert ask(server, b"") == b"own"


def test_without_spawn_connections_are_handled_one_after_the_other() -> None:
    inside: list[int] = []

    def handle(connection: socket.socket, address: object) -> None:
        inside.append(1)
        _core.sleep(0.01)
        assert len(inside) == 1
        inside.pop()

    with reported() as reports, StreamServer(LOOPBACK, handle, spawn=None) as server:
        server.start()
        joined(*[_core.spawn(ask, server, b"") for _ in range(3)])
        assert reports == []


def test_no_more_is_accepted_while_accepting_is_stopped() -> None:
    with StreamServer(LOOPBACK, echo) as server:
        server.start()
        _core.sleep(0)
        server.stop_accepting()
        asking = _core.spawn(ask, server)
        _core.sleep(0.05)
        assert not asking.ready()
        server.start_accepting()
        assert joined(asking) == [b"hello"]


def test_an_error_of_accepting_is_reported_and_accepting_goes_on() -> None:
    class Server(StreamServer):
        failures = 2

        def do_read(self) -> tuple[Any, ...] | None:
            if self.failures:
                self.failures -= 1
                raise RuntimeError(f"{self.failures} to go")
            return super().do_read()

    with reported() as reports, Server(LOOPBACK, echo) as server:
        server.start()
        assert ask(server) == b"hello"
        assert [str(it.value) for it in reports] == ["1 to go", "0 to go"]
        assert server.delay == server.min_delay


def test_tls_is_shaken_before_the_handler_and_a_client_without_it_is_let_go(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    with StreamServer(LOOPBACK, echo, certfile=certificates.server) as server:
        server.start()
        assert server.ssl_enabled
        with contextlib.suppress(ConnectionResetError):
            assert not ask(server, b"GET / HTTP/1.0\r\n\r\n").startswith(b"GET")
        with (
            socket.create_connection(("127.0.0.1", server.server_port)) as plain,
            certificates.for_client().wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"secret")
            assert client.recv(100) == b"secret"


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x00"], ids=["silent", "stops half-way"])
@pytest.mark.parametrize("kind", [StreamServer, WSGIServer])
def test_a_client_that_does_not_finish_the_handshake_is_let_go_in_time(
    tmp_path: Path, kind: type[StreamServer], said: bytes
) -> None:
    certificates = make_certificates(tmp_path)
    with kind(LOOPBACK, lambda *_: None, certfile=certificates.server, spawn=1) as server:
        server.handshake_timeout = 0.2
        server.start()
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=patience(30)) as client:
            client.sendall(said)
            assert client.recv(1) == b""
        until(lambda: server.pool.free_count() == 1)


def test_the_handshakes_time_is_not_the_handlers(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    timeouts: list[float | None] = []

    def handle(connection: socket.socket, address: object) -> None:
        timeouts.append(connection.gettimeout())
        echo(connection, address)

    with StreamServer(LOOPBACK, handle, certfile=certificates.server) as server:
        server.start()
        with (
            socket.create_connection(("127.0.0.1", server.server_port)) as plain,
            certificates.for_client().wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"secret")
            assert client.recv(100) == b"secret"
    assert timeouts == [None]


@pytest.mark.parametrize(
    "listener",
    ["nonsense", "host:port", None, (1, 2), ("127.0.0.1",), 1.5, -1, ("127.0.0.1", "http"), ("127.0.0.1", 65536)],
)
def test_an_address_that_makes_no_sense_is_refused(listener: Any) -> None:
    with pytest.raises(ValueError, match="cannot listen on"):
        StreamServer(listener, echo)


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with socket.create_server(LOOPBACK) as taken:
        server = StreamServer(taken.getsockname(), echo)
        with pytest.raises(OSError, match=str(taken.getsockname()[1])):
            server.start()
        assert (server.started, server.closed) == (False, True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"bogus": 1}, "there is no argument 'bogus'"),
        ({"ssl_context": ssl.create_default_context(), "certfile": "file"}, "there is no argument 'certfile'"),
        ({"ciphers": "ALL"}, "TLS needs an ssl_context, or a certfile"),
    ],
)
def test_arguments_that_make_no_sense_for_tls_are_refused(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        StreamServer(LOOPBACK, echo, **arguments)


@pytest.mark.parametrize("spawn", [3.5, True, "process"])
def test_a_spawn_that_makes_no_sense_is_refused(spawn: Any) -> None:
    with pytest.raises(TypeError, match="spawn is"):
        StreamServer(LOOPBACK, echo, spawn=spawn)


def test_a_server_without_a_handler_does_not_start() -> None:
    server = StreamServer(LOOPBACK)
    with pytest.raises(TypeError, match="StreamServer has no handler"):
        server.start()
    assert server.closed


def test_a_handler_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="which cannot be called"):
        StreamServer(LOOPBACK, 7)  # type: ignore[arg-type]


def test_an_interrupted_server_stops() -> None:
    out = output_of(
        """
        import os, signal
        from gossamer import _core
        from gossamer.server import StreamServer
        server = StreamServer(('127.0.0.1', 0), print)
        _core.get_hub().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(server.started, server.closed)
        """
    )
    assert out == "False True\n"


def test_no_more_is_accepted_while_the_pool_is_full() -> None:
    inside: list[int] = []
    most: list[int] = []

    def handle(connection: socket.socket, address: object) -> None:
        inside.append(1)
        most.append(len(inside))
        _core.sleep(0.01)
        inside.pop()
        echo(connection, address)

    with StreamServer(LOOPBACK, handle, spawn=2) as server:
        server.start()
        assert joined(*[_core.spawn(ask, server) for _ in range(8)]) == [b"hello"] * 8
        assert max(most) == 2
        assert not server.full()


def test_stopping_ends_what_runs_in_the_pool() -> None:
    server = StreamServer(LOOPBACK, lambda connection, address: _core.sleep(60), spawn=2)
    server.start()
    asking = _core.spawn(ask, server, b"")
    until(lambda: len(server.pool) == 1)
    server.stop(timeout=0.01)
    assert (joined(asking), len(server.pool)) == ([b""], 0)


def test_a_server_whose_handler_is_its_own_method_can_be_shown() -> None:
    class Server(StreamServer):
        def handle(self, connection: object, address: object) -> None:
            """Do nothing."""

    server = Server(("127.0.0.1", 0))
    assert "handler <its method " in repr(server)
    assert "Server.handle>" in repr(server)
    server.set_handle(server.handle)
    assert "Server.handle>" in repr(server)


@pytest.mark.parametrize("kind", [StreamServer, WSGIServer])
def test_a_client_is_let_go_at_once_when_its_handshake_is_killed(tmp_path: Path, kind: type[StreamServer]) -> None:
    certificates = make_certificates(tmp_path)
    shaking: list[ssl.SSLSocket] = []

    class Kept(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            shaking.append(self)  # so that closing it is not left to its last reference
            super().do_handshake(block)

    context = certificates.for_server()
    context.sslsocket_class = Kept
    with kind(LOOPBACK, lambda *_: None, ssl_context=context, server_side=True, spawn=1) as server:
        server.start()
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=patience(30)) as client:
            until(lambda: shaking != [])
            server.stop(0)
            assert shaking[0].fileno() == -1
            assert client.recv(1) == b""
