"""All connections of one application: served, watched, counted and ended. What servers of either interface are made of.

A green thread sweeps: it ends connections that are past one of their limits and requests that are past their time. It
looks every second, or as often as a quarter of the shortest of these times, so that they are kept to within that. It
lives while there are connections.
"""

from __future__ import annotations

import contextlib
import io
import math
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from gossamer import __version__, _core
from gossamer._core import GreenThread, WaitQueue
from gossamer.http.access_log import Access
from gossamer.http.connection import Connection, Service
from gossamer.http.file_wrapper import FileWrapper
from gossamer.http.input import empty_input
from gossamer.http.limits import Limits

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

SERVER_NAME = f"gossamer/{__version__}"
"""The Server header."""

SLOWEST = 10
"""Requests that `stats()` names."""

_LAST_RESORT = 2.0


class Connections(Service):
    """Connections to `application`; the arguments are those of `gossamer.http.server.Server`."""

    def __init__(
        self,
        application: Application,
        *,
        access_log: Callable[[Access], object] | None = None,
        timeout: float | None = None,
        limits: Limits | None = None,
        multiprocess: bool = False,
        log: Callable[[str], object] | None = None,
        errors: Any = None,
        environ: dict[str, Any] | None = None,
    ) -> None:
        if timeout is not None and not 0 < timeout < math.inf:
            raise ValueError(f"timeout must be a number of seconds above 0, or None, not {timeout!r}")
        self.limits = limits if limits is not None else Limits()
        super().__init__(
            application,
            self.limits,
            SERVER_NAME,
            timeout,
            access_log,
            _may_fail(log or _to_standard_error),
            self._ended,
        )
        self._common = {
            "wsgi.errors": errors if errors is not None else sys.stderr if sys.stderr is not None else Nowhere(),
            "wsgi.multiprocess": multiprocess,
            "gossamer.server": self,
            **(environ or {}),
        }
        self._last = WaitQueue("the last connection's end")
        self._sweeping: GreenThread | None = None
        self._accepted_lately = False
        self._begun = time.monotonic()
        self._sampled = (self._begun, 0)
        self._rate = 0.0

    def connections_of(
        self, listener: socket.socket, tls: ssl.SSLContext | bool | None = None
    ) -> Callable[[socket.socket, Any], Connection]:
        """What makes, of a socket that `listener` has accepted and its address, the connection to be served.

        tls: the context to encrypt with; True if the connections do that already.
        """
        template = self._template(listener, encrypted=bool(tls))
        is_tcp = listener.family != socket.AF_UNIX

        def connection_of(client: socket.socket, address: Any) -> Connection:
            host = port = ""
            if is_tcp:
                host, port = address[0], str(address[1])
                with contextlib.suppress(OSError):  # the client may be gone
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.settimeout(None)
            self._accepted_lately = True
            if self._sweeping is None:
                self._sweeping = _core.spawn(self._sweep)
            return Connection(self, client, template, host, port, tls or None)

        return connection_of

    def end_connections(self, grace: float | None) -> None:
        """End idle connections at once and the others after their request; return when none is left.

        grace: seconds after which the others are killed (GreenletExit); None: no bound.
        """
        deadline = None if grace is None else time.monotonic() + grace
        self.close_idle()
        self._wait_for_last(deadline)
        if self.open_connections:
            self.kill_all()
            self._wait_for_last(time.monotonic() + _LAST_RESORT)
        if not self.open_connections:
            self._stop_sweeping()

    def stats(self) -> dict[str, Any]:
        """The figures of this moment.

        green_threads: greenlets alive in the process.
        connections: open ones; idle_connections: those of them that wait for a request.
        active_requests: those that the application has not finished.
        total_requests, refused_requests, total_connections: since the start.
        requests_per_second: over the last second or so of those in which there were connections.
        uptime: seconds.
        slow_requests: those that run the longest, as dicts with method, path and seconds.
        """
        now = time.monotonic()
        self._sample(now)
        return {
            "green_threads": _core.counts()["alive"],
            **self.figures(),
            "requests_per_second": self._rate,
            "uptime": now - self._begun,
            "slow_requests": [
                {"method": method, "path": path, "seconds": seconds} for method, path, seconds in self.slowest(SLOWEST)
            ],
        }

    def _template(self, listener: socket.socket, *, encrypted: bool) -> dict[str, Any]:
        """What the environments of all requests on one listener begin as a copy of (PEP 3333)."""
        scheme = "https" if encrypted else "http"
        name, port = _name_and_port(listener, scheme)
        return {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": "",
            "QUERY_STRING": "",
            "RAW_URI": "",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": name,
            "SERVER_PORT": port,
            "SERVER_SOFTWARE": SERVER_NAME,
            "GATEWAY_INTERFACE": "CGI/1.1",
            "REMOTE_ADDR": "",
            "REMOTE_PORT": "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scheme,
            "wsgi.input": empty_input(),
            "wsgi.input_terminated": True,
            "wsgi.multithread": True,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            **self._common,
        }

    def _ended(self) -> None:
        self._last.unpark(len(self._last))

    def _wait_for_last(self, deadline: float | None) -> None:
        while self.open_connections:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            self._last.park(left)

    def _sweep(self) -> None:
        shortest = min(self.limits.shortest, self.timeout or math.inf)
        interval = min(max(shortest / 4, 0.01), 1.0)
        try:
            _core.sleep(interval)
            # one that has been accepted counts as open only when its green thread has had a turn
            while self.open_connections or self._accepted_lately:
                self._accepted_lately = False
                self.sweep()
                self._sample(time.monotonic())
                _core.sleep(interval)
        finally:
            if self._sweeping is _core.getcurrent():
                self._sweeping = None

    def _stop_sweeping(self) -> None:
        """Nothing is to come: who sweeps is not to keep the server for another round."""
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            _core.throw_into(sweeping, _core.GreenletExit())

    def _sample(self, now: float) -> None:
        """The rate is taken over times of at least a second."""
        before, count = self._sampled
        if now - before >= 1:
            total = self.figures()["total_requests"]
            self._sampled = now, total
            self._rate = (total - count) / (now - before)


def _name_and_port(listener: socket.socket, scheme: str) -> tuple[str, str]:
    """A Unix socket has neither, and PEP 3333 wants both: what a client would take for granted."""
    if listener.family == socket.AF_UNIX:
        return "localhost", "443" if scheme == "https" else "80"
    host, port = listener.getsockname()[:2]
    is_any = host in ("0.0.0.0", "::")  # noqa: S104
    return (socket.gethostname() if is_any else host), str(port)


def _to_standard_error(text: str) -> None:
    stream: TextIO | None = sys.stderr  # None if the process was started with it closed
    if stream is not None:
        stream.write(f"gossamer: {text}\n")
        stream.flush()


class Nowhere(io.TextIOBase):
    """The "wsgi.errors" of a process without a standard error."""

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Drop the `text`."""
        return len(text)


def _may_fail(log: Callable[[str], object]) -> Callable[[str], object]:
    """`log`, where what cannot be written is lost: who reports an error has something to do afterwards."""

    def attempt(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the latter of a closed stream
            log(text)

    return attempt
