"""gevent's interface to the WSGI server: what its documentation of `gevent.pywsgi` says, on this server's connections.

What differs:

* A `handler_class` has the hooks below. The methods by which gevent's parses and answers are compiled here, and nobody
  can override them.
* "wsgi.multithread" is True: while one request waits, others call the application.
* Applications and clients are held to PEP 3333 and RFC 9112 where gevent is lenient: see `gossamer.http`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from http.client import responses
from typing import Any, ClassVar

from gossamer._core import getcurrent, greenlet
from gossamer._server.stream import StreamServer
from gossamer.http.access_log import Access
from gossamer.http.connections import Application, Connections


class LoggingLogAdapter:
    """Lets a `logging.Logger` be written to like a file: each `write()` is one record at `level`.

    Everything else is the logger's.
    """

    def __init__(self, logger: logging.Logger, level: int = logging.INFO) -> None:
        self._logger = logger
        self._level = level

    def write(self, msg: str) -> None:
        """Log the text `msg` without the white space at its end; nothing if nothing is left."""
        text = msg.rstrip()
        if text:
            self._logger.log(self._level, "%s", text)

    def writelines(self, lines: list[str]) -> None:
        """Log each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: handlers of the logging module flush by themselves."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)


class Environ(dict[str, Any]):
    """A WSGI environment, as a type of its own."""

    __slots__ = ()

    def copy(self) -> Environ:
        """A copy of the same type."""
        return type(self)(self)


class SecureEnviron(Environ):
    """An environment that does not show its values when it is printed, so that secrets stay out of logs.

    secure_repr: False: it is shown like any dict. whitelist_keys: those that are shown in any case.
    print_masked_keys: True: the other keys are shown as well, with "<MASKED>" for their values.
    """

    __slots__ = ("print_masked_keys", "secure_repr", "whitelist_keys")

    secure_repr: bool
    whitelist_keys: tuple[str, ...]
    print_masked_keys: bool
    default_secure_repr: ClassVar[bool] = True
    """What `secure_repr` is until it is set."""
    default_whitelist_keys: ClassVar[tuple[str, ...]] = ()
    """What `whitelist_keys` is until it is set."""
    default_print_masked_keys: ClassVar[bool] = True
    """What `print_masked_keys` is until it is set."""

    def __getattr__(self, name: str) -> Any:
        if name in SecureEnviron.__slots__:
            return getattr(type(self), f"default_{name}")
        raise AttributeError(name)

    def __repr__(self) -> str:
        if not self.secure_repr:
            return super().__repr__()
        if not self.whitelist_keys:
            return f"<{type(self).__name__} dict (keys: {len(self)}) at {id(self)}>"
        if self.print_masked_keys:
            return repr({key: value if key in self.whitelist_keys else "<MASKED>" for key, value in self.items()})
        return repr({key: value for key, value in self.items() if key in self.whitelist_keys})

    __str__ = __repr__


class WSGISecureEnviron(SecureEnviron):
    """The one for WSGI: a few keys that hold no secrets are shown."""

    __slots__ = ()

    default_whitelist_keys = ("REMOTE_ADDR", "REMOTE_PORT", "HTTP_HOST")
    """Where a request comes from and goes to."""
    default_print_masked_keys = False
    """The other keys are not shown."""


class WSGIHandler:
    """What happens around the requests of one connection. Subclasses override the methods below.

    sock, address: the connection and the client's address; `server`: the WSGIServer.
    environ: of the request under way. requestline: its first line; path: what it asks for, as the client sent it.
    status: of the response, such as "200 OK", None if none was begun; code: its number.
    response_length: bytes of its body. time_start, time_finish: in seconds since the epoch.
    """

    def __init__(self, sock: Any, address: Any, server: WSGIServer) -> None:
        self.socket = sock
        self.client_address = address
        self.server = server
        self.environ: dict[str, Any] = {}
        self.requestline = ""
        self.status: str | None = None
        self.code: int | None = None
        self.response_length = 0
        self.time_start = 0.0
        self.time_finish = 0.0

    @property
    def path(self) -> str:
        """What the request under way asks for, as the client sent it."""
        return str(self.environ.get("RAW_URI", ""))

    def get_environ(self) -> dict[str, Any]:
        """The environment that the application is called with; `self.environ` if this is not overridden."""
        return self.environ

    def format_request(self) -> str:
        """The line for the log."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        host = self.client_address[0] if isinstance(self.client_address, tuple) else self.client_address
        return (
            f'{host or "-"} - - [{stamp}] "{self.requestline}" {self.code or "000"} {self.response_length} '
            f"{self.time_finish - self.time_start:.6f}"
        )

    def log_error(self, msg: str, *args: Any) -> None:
        """Write to the server's error log: `msg`, a format for `args` if there are any."""
        if self.server.error_log is not None:
            self.server.error_log.write((msg % args if args else msg) + "\n")

    def log_request(self) -> None:
        """Write the line to the server's log."""
        self.server.log.write(self.format_request() + "\n")

    def take(self, access: Access) -> None:
        """Take over what there is to tell of a request, `access`, and log it."""
        protocol = f" {access.protocol}" if access.protocol != "-" else ""
        self.requestline = f"{access.method} {access.target}{protocol}"
        self.code = access.status or None
        self.status = f"{access.status} {responses.get(access.status, '')}".rstrip() if access.status else None
        self.response_length = access.size
        self.time_finish = time.time()
        self.time_start = self.time_finish - access.seconds
        self.log_request()


class WSGIServer(StreamServer):
    """Serves `application` on `listener`, an address or a socket. As `gevent.pywsgi.WSGIServer`.

    backlog, spawn, ssl_args: as `gossamer.server.StreamServer` takes them.
    log: object with a method `write` that gets a line for each request, or a `logging.Logger` (level INFO); "default":
        the standard error; None: nothing is logged.
    error_log: the same (level ERROR) for errors, and "wsgi.errors".
    handler_class: a `WSGIHandler`.
    environ: entries for the environment of each request.

    Raises what StreamServer raises, and TypeError for an `environ` that is no mapping.
    """

    handler_class: type[WSGIHandler] = WSGIHandler
    """What is made for each connection."""
    environ_class: type[dict[str, Any]] = Environ
    """The type of `environ`."""
    secure_environ_class: type[SecureEnviron] = WSGISecureEnviron
    """What decides how much of an environment stands in the error log."""
    base_env: ClassVar[dict[str, Any]] = {"SCRIPT_NAME": "", "GATEWAY_INTERFACE": "CGI/1.1", "wsgi.version": (1, 0)}
    """What the environments of all servers of the class have, besides what stands in `environ`."""

    def __init__(
        self,
        listener: Any,
        application: Application | None = None,
        backlog: int | None = None,
        spawn: Any = "default",
        log: Any = "default",
        error_log: Any = "default",
        handler_class: type[WSGIHandler] | None = None,
        environ: Mapping[str, Any] | None = None,
        **ssl_args: Any,
    ) -> None:
        super().__init__(listener, None, backlog, spawn, **ssl_args)
        if application is not None:
            self.application = application
        if handler_class is not None:
            self.handler_class = handler_class
        self.log = _writable(log, logging.INFO)
        self.error_log = _writable(error_log, logging.ERROR)
        self.set_environ(environ)
        self._connections: Connections | None = None
        self._handlers: dict[greenlet, WSGIHandler] = {}

    application: Application

    def set_environ(self, environ: Mapping[str, Any] | None = None) -> None:
        """Say what the environment of each request has besides, from the next `start()` on.

        environ: these entries; None for none but the class's `base_env`. Raises TypeError if it is no mapping.
        """
        if environ is not None and not isinstance(environ, Mapping):
            raise TypeError(f"environ is {environ!r}, and must be a mapping")
        self.environ = self.environ_class({**self.base_env, **(environ or {})})

    def get_environ(self) -> dict[str, Any]:
        """A copy of what the environment of each request has besides."""
        return self.environ_class(self.environ)

    def set_max_accept(self) -> None:
        """Do nothing: how many connections are accepted in a row makes no difference here."""

    def update_environ(self) -> None:
        """Add what is known once the server listens; for subclasses."""

    def init_socket(self) -> None:
        """Listen, and prepare to serve."""
        super().init_socket()
        self.update_environ()
        self._connections = Connections(
            self._call,
            access_log=self._log_access if self.log is not None else None,
            log=self._log_error,
            errors=self.error_log,
            environ=dict(self.environ),
        )
        self._serve = self._connections.server_of(self.socket, tls=self.ssl_enabled)

    def handle(self, sock: Any, address: Any) -> None:
        """Serve one connection to its end: `sock`, from the client at `address`."""
        self._handlers[getcurrent()] = self.handler_class(sock, address, self)
        try:
            self._serve(sock, address)()
        finally:
            del self._handlers[getcurrent()]

    def stop(self, timeout: float | None = None) -> None:
        """Accept no more, close idle connections, and let the requests under way finish.

        timeout: seconds after which they are killed; None: `stop_timeout`.
        """
        super().close()
        if self._connections is not None:
            self._connections.end_connections(self.stop_timeout if timeout is None else timeout)
        super().stop(timeout)

    def stats(self) -> dict[str, Any]:
        """The figures of this moment: see `gossamer.http.server.Server`. Empty before the start."""
        return self._connections.stats() if self._connections is not None else {}

    def _call(self, environ: dict[str, Any], start_response: Any) -> Any:
        handler = self._handlers[getcurrent()]
        handler.environ = environ
        return self.application(handler.get_environ(), start_response)

    def _log_access(self, access: Access) -> None:
        self._handlers[getcurrent()].take(access)

    def _log_error(self, text: str) -> None:
        handler = self._handlers.get(getcurrent())
        if handler is not None:
            handler.log_error(f"{text}\n{self.secure_environ_class(handler.environ)}")
        elif self.error_log is not None:
            self.error_log.write(text + "\n")


def _writable(log: Any, level: int) -> Any:
    if isinstance(log, str):
        if log != "default":
            raise TypeError(f"a log is {log!r}, and can only be 'default', None, a logger or an object with write()")
        return sys.stderr
    if log is not None and not hasattr(log, "write") and hasattr(log, "log"):
        return LoggingLogAdapter(log, level)
    return log
