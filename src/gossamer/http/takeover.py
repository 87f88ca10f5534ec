"""Taking a connection over: what an application is given when a client asks to go on in another protocol.

A WebSocket begins as a request of HTTP with "Upgrade" and "Connection: Upgrade" (RFC 9110, 7.8). The environment of
such a request has the connection's socket, a `TakenSocket`, under two keys: "gossamer.socket", and "gunicorn.socket",
where libraries look for it (simple-websocket, and with it Flask-Sock and python-socketio). It is `raw._sock` of
"wsgi.input" as well, where it is under gevent. There are two ways:

* The application uses the socket: it answers 101 by itself, and speaks the other protocol. In the end it returns
  anything without having called start_response(), or raises StopIteration. Nothing is sent then.
* It calls start_response("101 Switching Protocols", headers), with headers "Upgrade" and "Connection". What it gives
  to write() or returns is sent as it is; what the client sends is read from the socket.

From the first use of the socket, or from the 101 on, the connection is the application's: the server's time limits are
over, but for the `stall` of what goes through write(). The request lasts until the application returns; the connection
is closed then, unless it has detached or duplicated the socket. When the server stops, reading ends as if the client
had closed the connection, while writing goes on: there is time to say goodbye, as long as the grace period is. (Not
with TLS: OpenSSL writes nothing more after an end that nobody announced.)

A request has no such keys when it has a body, when it is HTTP/1.0, when the server is stopping, or when the client has
sent more behind it: nobody could tell whether that is another request or the other protocol.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any


class TakenSocket:
    """The socket of a connection. Every attribute is that of the socket, and looking the first one up takes it over.

    Raises RuntimeError then if the request has been answered.
    """

    __slots__ = ("_socket", "_take_over")

    def __init__(self, take_over: Callable[[], socket.socket]) -> None:
        self._take_over = take_over
        self._socket: socket.socket | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and printing an environment is no use of the socket
            raise AttributeError(name)
        if self._socket is None:
            self._socket = self._take_over()
        return getattr(self._socket, name)


class RawConnection:
    """What lies beneath the "wsgi.input" of a request whose connection can be taken over."""

    __slots__ = ("_sock",)

    def __init__(self, taken: TakenSocket) -> None:
        self._sock = taken


def end_reading(connection: socket.socket) -> None:
    """Let reads find the end of the stream. Writing goes on, also that of TLS, which SSLSocket.shutdown() would end."""
    socket.socket.shutdown(connection, socket.SHUT_RD)
