"""gevent's interface to the WSGI server: what its documentation of `gevent.pywsgi` says, on this server's connections.

What differs:

* A `handler_class` has the hooks below; they are enough for gevent-websocket's. The methods by which gevent's parses
  and answers are compiled here, and nobody can override them. What the application has returned is sent when the
  hooks are done, unless they send it by `write()`.
* A connection may be taken over, as `gossamer.http.takeover` says. A handler does it by giving its `start_response()`
  a 101.
* "wsgi.multithread" is True: while one request waits, others call the application.
* Applications and clients are held to PEP 3333 and RFC 9112 where gevent is lenient: see `gossamer.http`.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.message import Message
from http.client import responses
from types import TracebackType
from typing import Any, ClassVar, SupportsIndex

from gossamer._core import getcurrent, greenlet
from gossamer._server.stream import StreamServer
from gossamer.http.access_log import Access
from gossamer.http.connections import Application, Connections


class _NoopLog:
    """A log that nobody keeps. The name is gevent's, whose programs and tests use it."""

    def write(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing with `args` and `kwargs`."""

    def flush(self) -> None:
        """Do nothing."""

    def writelines(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing with `args` and `kwargs`."""


class LoggingLogAdapter:
    """Lets a `logging.Logger` be written to like a file: each `write()` is one record at `level`.

    Everything else is the logger's: what is read, set and deleted.
    """

    __slots__ = ("_level", "_logger")

    def __init__(self, logger: logging.Logger, level: int = logging.INFO) -> None:
        object.__setattr__(self, "_logger", logger)
        object.__setattr__(self, "_level", level)

    def write(self, msg: str) -> None:
        """Log the text `msg` without the white space at its end; nothing if nothing is left."""
        text = msg.rstrip()
        if text:
            self._logger.log(self._level, text)

    def writelines(self, lines: list[str]) -> None:
        """Log each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: handlers of the logging module flush by themselves."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._logger, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._logger, name)


class Environ(dict[str, Any]):
    """A WSGI environment, as a type of its own. Pickled, it is a dict."""

    __slots__ = ()

    def __reduce_ex__(self, _: SupportsIndex) -> tuple[type[dict[str, Any]], tuple[()], None, None, Iterator[Any]]:
        return dict, (), None, None, iter(self.items())

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
    rfile: what the client sends is read from it when the connection is taken over; None: a file made of `sock`.
    application, environ: of the request under way. requestline: its first line; path: what it asks for, as the client
        sent it; request_version: its protocol, such as "HTTP/1.1".
    status: of the response, such as "200 OK", None if none was begun; code: its number; result: what the application
        has returned. response_length: bytes of its body. time_start, time_finish: in seconds since the epoch.
    """

    def __init__(self, sock: Any, address: Any, server: WSGIServer, rfile: Any = None) -> None:
        self.socket = sock
        self.client_address = address
        self.server = server
        self.application: Application | None = None
        self.environ: dict[str, Any] = {}
        self.requestline = ""
        self.request_version: str | None = None
        self.status: str | None = None
        self.code: int | None = None
        self.result: Iterable[bytes] | None = None
        self.response_length = 0
        self.time_start = 0.0
        self.time_finish = 0.0
        self._connection = sock  # handlers that detach it set `socket` to None
        self._rfile = rfile
        self._start_response: Any = None
        self._write: Callable[[bytes], object] | None = None

    @property
    def command(self) -> str:
        """The method of the request under way."""
        return str(self.environ.get("REQUEST_METHOD", ""))

    @property
    def headers(self) -> Message:
        """The headers of the request under way, with names like "X-Forwarded-For", as the environment has them."""
        message = Message()
        for key, value in self.environ.items():
            if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                message[key.replace("_", "-").title()] = value
            elif key.startswith("HTTP_"):
                message[key.removeprefix("HTTP_").replace("_", "-").title()] = value
        return message

    @property
    def _orig_status(self) -> str | None:
        """`status`, for formats of the log that were made after gevent's."""
        return self.status

    @property
    def path(self) -> str:
        """What the request under way asks for, as the client sent it."""
        return str(self.environ.get("RAW_URI", ""))

    @property
    def rfile(self) -> Any:
        """The client's bytes as a file, for a connection that is taken over: the server reads others by itself."""
        if self._rfile is None:
            self._rfile = self._connection.makefile("rb")
        return self._rfile

    @property
    def headers_sent(self) -> bool:
        """Whether the head of the response has been sent."""
        return self._start_response is not None and bool(self._start_response.__self__.begun)

    def handle(self) -> None:
        """Serve the connection to its end."""
        self.server.serve_connection(self)

    def handle_application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Have the request of `environ` answered through `start_response`; returns what is to be sent."""
        self.application = self.server.application
        self.request_version = environ["SERVER_PROTOCOL"]
        self.requestline = f"{environ['REQUEST_METHOD']} {environ['RAW_URI']} {self.request_version}"
        self.status = self.code = self.result = self._write = None
        self._start_response = start_response
        self.environ = environ
        self.environ = self.get_environ()
        try:
            self.handle_one_response()
            if self.result is None and (self.headers_sent or self.code == 101):
                return ()
            return self.result  # type: ignore[return-value] # None is refused where it is sent
        finally:
            self.result = None

    def handle_one_response(self) -> None:
        """Have the request under way answered: `run_application()`, and `handle_error()` for what that raises."""
        try:
            self.run_application()
        except Exception as error:  # noqa: BLE001 - whatever the application raises
            self.handle_error(type(error), error, error.__traceback__)

    def handle_error(self, t: type[BaseException], v: BaseException, tb: TracebackType | None) -> None:  # noqa: ARG002
        """Raise what the application has raised, `v` of the type `t` with the traceback `tb`: the server logs it, and
        answers 500 if it can.

        Whoever overrides this and raises nothing has answered the request.
        """
        raise v.with_traceback(tb)

    def run_application(self) -> None:
        """Call the application, and set `result` to what is to be sent; None: nothing more than `write()` has sent."""
        assert self.application is not None
        self.result = self.application(self.environ, self.start_response)
        self.process_result()

    def process_result(self) -> None:
        """Send `result` now after a 101, so that the other protocol can begin.

        Of any other response the server sends it when `run_application()` has returned.
        """
        if self.code != 101:
            return
        result, self.result = self.result, None
        try:
            for data in result or ():
                self.write(data)
            self.write(b"")  # the head, if there was nothing else
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        """What the application is given: PEP 3333's callable, with its `status`, `headers` and `exc_info`.

        Returns `write`. Raises what that callable does.
        """
        self._write = self._start_response(status, headers, exc_info)
        self.status, self.code = status, int(status[:3])
        return self.write

    def write(self, data: bytes) -> None:
        """Send `data`, a piece of the response, and its head before the first one.

        Raises TypeError if `data` is not bytes, AssertionError without a `start_response()` before, and
        gossamer.http.ClientDisconnected if the client is gone.
        """
        if self._write is None:
            raise AssertionError("write() was called before start_response()")
        self._write(data or b"")

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
        self.server.error_log.write((msg % args if args else msg) + "\n")

    def log_request(self) -> None:
        """Write the line to the server's log. What cannot be written is lost."""
        line = self.format_request() + "\n"
        with contextlib.suppress(OSError, ValueError):  # of a disk that is full, of a stream that is closed
            self.server.log.write(line)

    def finish(self) -> None:
        """Let go of the connection, which has ended."""
        if self._rfile is not None:
            self._rfile.close()

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
            access_log=self._log_access if self._has_log() else None,
            log=self._log_error,
            errors=self.error_log,
            environ=dict(self.environ),
        )
        self._serve = self._connections.server_of(self.socket, tls=self.ssl_enabled)

    def _has_log(self) -> bool:
        """Whether anybody is to be told of requests; a handler's own `log_request()` is, whatever the log."""
        return not isinstance(self.log, _NoopLog) or self.handler_class.log_request is not WSGIHandler.log_request

    def handle(self, sock: Any, address: Any) -> None:
        """Serve one connection to its end: `sock`, from the client at `address`."""
        self.handler_class(sock, address, self).handle()

    def serve_connection(self, handler: WSGIHandler) -> None:
        """Serve the connection of `handler` to its end, asking the handler where it has something to say."""
        self._handlers[getcurrent()] = handler
        try:
            self._serve(handler.socket, handler.client_address)()
        finally:
            del self._handlers[getcurrent()]
            handler.finish()

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
        return self._handlers[getcurrent()].handle_application(environ, start_response)

    def _log_access(self, access: Access) -> None:
        self._handlers[getcurrent()].take(access)

    def _log_error(self, text: str) -> None:
        handler = self._handlers.get(getcurrent())
        if handler is not None:
            handler.log_error(f"{text}\n{self.secure_environ_class(handler.environ)}")
        else:
            self.error_log.write(text + "\n")


def _writable(log: Any, level: int) -> Any:
    if log is None:
        return _NoopLog()
    if isinstance(log, str):
        if log != "default":
            raise TypeError(f"a log is {log!r}, and can only be 'default', None, a logger or an object with write()")
        standard: Any = sys.stderr
        return _NoopLog() if standard is None else standard  # the process was started with it closed
    if not hasattr(log, "write") and hasattr(log, "log"):
        return LoggingLogAdapter(log, level)
    return log
