"""The server: listening sockets, the connections that came in by them, and what is known of both.

One green thread accepts at each listening socket, one serves each connection. The application is called in the green
thread of the connection; `wsgi.multithread` is True, because others go on whenever it waits.
"""

from __future__ import annotations

import errno
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from gossamer import _core
from gossamer.http.connection import Connection, RequestTimeout
from gossamer.http.limits import Limits
from gossamer.http.request import Request
from gossamer.http.response import FileWrapper, Response

AccessLog = Callable[[Connection, Request, Response, float], object]
"""Called after each response with the seconds that it took."""

SHORT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
SLOWEST_SHOWN = 10


class Server:
    """Serves a WSGI application (PEP 3333) over HTTP/1.1.

    application: the WSGI application.
    listeners: listening sockets, TCP or Unix. The server closes them when it stops.
    access_log: called after each response; None for none.
    timeout: seconds that the application has for a request, after which RequestTimeout is raised in it and the client
        gets `503 Service Unavailable`; None for any time.
    limits: what is tolerated of clients.
    ssl_context: for TLS; None for plain HTTP.
    multiprocess: what `wsgi.multiprocess` tells.
    log: called with a text for what an administrator should know; None for the standard error.
    """

    def __init__(
        self,
        application: Callable[..., Any],
        listeners: Sequence[socket.socket],
        *,
        access_log: AccessLog | None = None,
        timeout: float | None = None,
        limits: Limits | None = None,
        ssl_context: ssl.SSLContext | None = None,
        multiprocess: bool = False,
        log: Callable[[str], object] | None = None,
    ) -> None:
        if timeout is not None and timeout <= 0:
            raise ValueError(f"the time for a request must be more than 0 seconds, not {timeout}")
        self.application = application
        self.listeners = list(listeners)
        self.access_log = access_log
        self.timeout = timeout
        self.limits = limits or Limits()
        self.ssl_context = ssl_context
        self.log = log or _log_to_standard_error
        self.connections: set[Connection] = set()
        self.active = 0
        self.total = 0
        self.refused = 0
        self.started_at = time.monotonic()
        self._stopping = False
        self._stopped = _core.WaitQueue("the end of the server")
        self._last_count = (self.started_at, 0)
        self._rate = 0.0
        self.environ = self._template(multiprocess=multiprocess)

    def _template(self, *, multiprocess: bool) -> dict[str, Any]:
        """What all requests' environ have in common."""
        name: tuple[str, int] = ("localhost", 0)
        if self.listeners and self.listeners[0].family != socket.AF_UNIX:
            name = self.listeners[0].getsockname()[:2]
        return {
            "SCRIPT_NAME": "",
            "SERVER_NAME": name[0],
            "SERVER_PORT": str(name[1]),
            "SERVER_SOFTWARE": "gossamer",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http" if self.ssl_context is None else "https",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": multiprocess,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "gossamer.server": self,
        }

    def start(self) -> None:
        """Accept connections from now on, in green threads of their own."""
        self.started_at = time.monotonic()
        self._last_count = (self.started_at, self.total)
        for listener in self.listeners:
            _core.spawn(self._accept, listener)

    def serve_forever(self) -> None:
        """Start, and wait until the server has been stopped."""
        self.start()
        while not self._stopping or self.connections:
            self._stopped.park()

    def stop(self, grace: float = 30.0) -> None:
        """Accept no more, let what is under way finish, and end what has not after `grace` seconds."""
        self._stopping = True
        for listener in self.listeners:
            listener.close()
        for connection in list(self.connections):
            connection.stop()
        deadline = time.monotonic() + grace
        while self.connections and (left := deadline - time.monotonic()) > 0:
            self._stopped.park(left)
        for connection in list(self.connections):
            _core.interrupt(connection.greenlet, _core.GreenletExit())
        self._stopped.unpark(sys.maxsize)

    def forget(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if self._stopping and not self.connections:
            self._stopped.unpark(sys.maxsize)

    def call_later(self, seconds: float, connection: Connection) -> _core.Callback:
        """Have RequestTimeout raised in the connection's green thread; returns what stops that."""
        return _core.get_hub().call_later(seconds, _core.interrupt, connection.greenlet, RequestTimeout())

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping:
            try:
                client, address = listener.accept()
            except OSError as error:
                if self._stopping or listener.fileno() < 0:
                    return
                if error.errno in SHORT_OF:
                    self.log(f"cannot accept a connection: {error.strerror}; raise the limit (ulimit -n)")
                    time.sleep(0.1)
                continue  # the client has given up already
            connection = Connection(self, client, address)
            self.connections.add(connection)
            connection.greenlet = _core.spawn(connection.run)

    def stats(self) -> dict[str, Any]:
        """What the server is doing at this moment.

        connections, active_requests: how many there are; total_requests, refused_requests: since the start.
        requests_per_second: over the time since the last call that was at least a second ago.
        uptime: seconds. green_threads: greenlets alive in the process.
        slow_requests: those that run the longest, as dicts with method, path and seconds.
        """
        now = time.monotonic()
        before, count = self._last_count
        if now - before >= 1.0:
            self._rate = (self.total - count) / (now - before)
            self._last_count = (now, self.total)
        running = sorted((c for c in self.connections if c.began), key=lambda connection: connection.began)
        return {
            "green_threads": _core.counts()["alive"],
            "connections": len(self.connections),
            "active_requests": self.active,
            "total_requests": self.total,
            "refused_requests": self.refused,
            "requests_per_second": self._rate,
            "uptime": now - self.started_at,
            "slow_requests": [
                {"method": connection.method, "path": connection.path, "seconds": now - connection.began}
                for connection in running[:SLOWEST_SHOWN]
            ],
        }


def _log_to_standard_error(text: str) -> None:
    sys.stderr.write(f"gossamer: {text}\n")
    sys.stderr.flush()
