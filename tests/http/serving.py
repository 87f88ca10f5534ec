"""A server in the test's own process, in green threads, and clients that speak raw bytes to it."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from gossamer.http.server import Server

PATIENCE = 20.0
"""Seconds a client waits; a test that needs them has failed."""


class Serving:
    """A running server.

    messages: what it logged.
    """

    def __init__(self, server: Server, address: tuple[str, int], messages: list[str]) -> None:
        self.server = server
        self.address = address
        self.messages = messages

    def connect(self) -> socket.socket:
        """A client's connection."""
        return socket.create_connection(self.address, PATIENCE)

    def exchange(self, *parts: bytes, end: bool = False) -> bytes:
        """Send the parts on a connection of its own and return everything that comes until it is closed.

        end: say that nothing more will be sent.
        """
        with self.connect() as client:
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    client.sendall(part)
                if end:
                    client.shutdown(socket.SHUT_WR)
            return receive_all(client)

    def get(self, path: str = "/", *headers: str) -> bytes:
        """The whole response to a GET on a connection of its own."""
        lines = [f"GET {path} HTTP/1.1", "Host: test", "Connection: close", *headers, "", ""]
        return self.exchange("\r\n".join(lines).encode("latin-1"))


def receive_all(client: socket.socket) -> bytes:
    """What comes until the other end closes, or resets, the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return received


def receive_until(client: socket.socket, ending: bytes) -> bytes:
    """What comes up to and with `ending`."""
    received = b""
    while not received.endswith(ending):
        data = client.recv(65536)
        assert data, received
        received += data
    return received


def body_of(response: bytes) -> bytes:
    """The body of a response that is not chunked."""
    return response.partition(b"\r\n\r\n")[2]


def status_of(response: bytes) -> str:
    """The status line, without the version."""
    return response.partition(b"\r\n")[0].decode().partition(" ")[2]


@contextlib.contextmanager
def serving(application: Callable[..., Any], **settings: Any) -> Iterator[Serving]:
    """Serve on a free port until the block ends."""
    messages: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = Server(application, [listener], log=messages.append, **settings)
    address = listener.getsockname()
    server.start()
    try:
        yield Serving(server, address, messages)
    finally:
        server.stop(grace=5.0)
        assert server.connections == set()
