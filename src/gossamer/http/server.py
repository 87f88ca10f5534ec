"""The WSGI server: `Server`.

It serves one application on sockets that somebody else has bound, one green thread for each connection:

    listener = socket.create_server(("127.0.0.1", 8000))
    Server(application, [listener]).serve_forever()

The environment of each request has the server itself under "gossamer.server", so that an application can show its
`stats()`.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from gossamer import _core
from gossamer._core import GreenThread, WaitQueue
from gossamer.http.access_log import Access
from gossamer.http.connections import Application, Connections
from gossamer.http.limits import Limits

BACKLOG = 2048
"""Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn."""

_SHORT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_CLIENT_GONE = {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH}
_PAUSE = 0.1
_TOLD_AGAIN = 10.0
_ACCEPTED_AT_ONCE = 64


class Server(Connections):
    """A WSGI server (PEP 3333) for `application` on `listeners`: bound stream sockets, TCP or Unix, which it then owns.

    access_log: called with an `Access` after each request; None: nothing is logged. See `access_log.CombinedLog`.
    timeout: seconds that a request may take; None: any time. A longer one is interrupted wherever its green thread
        waits: `RequestTimeout` is raised there, and the client is answered 503, or the connection is closed if the
        response has begun. If the application goes on regardless it is interrupted again each second. What computes
        without ever waiting cannot be interrupted.
    limits: what clients may ask for; None: the defaults of `Limits`.
    ssl_context: serves TLS with it.
    multiprocess: what applications are told by "wsgi.multiprocess".
    log: called with a text for what somebody should look after: exceptions of the application, with their traceback,
        and the like; None: the standard error.
    errors: "wsgi.errors"; None: the standard error.
    environ: further entries for the environment of each request.
    """

    def __init__(
        self,
        application: Application,
        listeners: Sequence[socket.socket],
        *,
        access_log: Callable[[Access], object] | None = None,
        timeout: float | None = None,
        limits: Limits | None = None,
        ssl_context: ssl.SSLContext | None = None,
        multiprocess: bool = False,
        log: Callable[[str], object] | None = None,
        errors: Any = None,
        environ: dict[str, Any] | None = None,
    ) -> None:
        """Raises ValueError if `timeout` is not a positive number, or there is no listener."""
        if not listeners:
            raise ValueError("give at least one listener, a socket that is bound")
        super().__init__(
            application,
            access_log=access_log,
            timeout=timeout,
            limits=limits,
            multiprocess=multiprocess,
            log=log,
            errors=errors,
            environ=environ,
        )
        self.listeners = tuple(listeners)
        self.ssl_context = ssl_context
        self._accepting: list[GreenThread] = []
        self._end = WaitQueue("the server's end")
        self._has_ended = False
        self._told = ("", 0.0)

    def start(self) -> None:
        """Listen and accept from now on, and return. Does nothing if that has been done, or the server was stopped.

        Raises OSError if a socket cannot listen.
        """
        if self._accepting or self._has_ended:
            return
        for listener in self.listeners:
            listener.settimeout(None)
            listener.listen(BACKLOG)
        self._accepting = [_core.spawn(self._accept, listener) for listener in self.listeners]

    def serve_forever(self) -> None:
        """Start, and return once the server has been stopped by `stop()`."""
        self.start()
        while not self._has_ended:
            self._end.park()

    def stop(self, grace: float | None = 30.0) -> None:
        """Accept no more, let the requests that are under way finish, end all connections, and return.

        Idle connections are closed at once; a request that had come before is still answered. After `grace` seconds
        (None: no bound) what still runs is killed (GreenletExit). To be called from a green thread: a signal handler
        spawns one. A second call brings a grace of its own.
        """
        for accepting in self._accepting:
            _core.interrupt(accepting, _core.GreenletExit())
            accepting.join()
        for listener in self.listeners:
            self._accept_last(listener)
            listener.close()
        _core.sleep(0)  # those that were accepted last begin
        self.end_connections(grace)
        self._has_ended = True
        self._end.unpark(len(self._end))

    def _accept(self, listener: socket.socket) -> None:
        connection_of = self.connections_of(listener, self.ssl_context)
        with contextlib.suppress(_core.GreenletExit):
            while listener.fileno() >= 0:
                try:
                    for _ in range(_ACCEPTED_AT_ONCE):
                        client, address = listener.accept()
                        _core.spawn(connection_of(client, address).serve)
                except Exception as error:  # noqa: BLE001 - whatever it is, the server goes on
                    self._look_into(error)
                _core.sleep(0)

    def _accept_last(self, listener: socket.socket) -> None:
        """What waits in the backlog would be lost when the listener is closed."""
        with contextlib.suppress(OSError, MemoryError):
            connection_of = self.connections_of(listener, self.ssl_context)
            listener.settimeout(0)
            for _ in range(BACKLOG):
                try:
                    client, address = listener.accept()
                except OSError as error:
                    if error.errno not in _CLIENT_GONE:
                        raise
                else:
                    _core.spawn(connection_of(client, address).serve)

    def _look_into(self, error: Exception) -> None:
        """accept() has failed. That the client is gone again is no matter; anything else may have passed in a while."""
        number = error.errno if isinstance(error, OSError) else None
        if number in _CLIENT_GONE:
            return
        hint = "; raise the limit of open files (ulimit -n)" if number in _SHORT_OF else ""
        reason = error.strerror if isinstance(error, OSError) else repr(error)
        text, now = f"cannot accept connections: {reason}{hint}", time.monotonic()
        if text != self._told[0] or now - self._told[1] >= _TOLD_AGAIN:  # it may last, and the log is not to be flooded
            self._told = (text, now)
            self.log(text)
        _core.sleep(_PAUSE)
