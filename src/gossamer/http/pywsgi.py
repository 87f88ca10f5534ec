"""gevent's interface to the WSGI server: what its documentation of `gevent.pywsgi` says, on this server's connections.

What differs:

* Of a `handler_class` the documented methods may be overridden: `handler` says what each does, and what they cannot.
* A connection may be taken over, as `gossamer.http.takeover` says. A handler does it by giving its `start_response()`
  a 101.
* "wsgi.multithread" is True: while one request waits, others call the application.
* Applications and clients are held to PEP 3333 and RFC 9112 where gevent is lenient: see `gossamer.http`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, SupportsIndex

from gossamer._core import getcurrent, greenlet
from gossamer._server.stream import StreamServer
from gossamer.http.access_log import Access
from gossamer.http.connections import Application, Connections
from gossamer.http.handler import WSGIHandler
from gossamer.http.limits import Limits


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


class WSGIServer(StreamServer):
    """Serves `application` on `listener`, an address or a socket. As `gevent.pywsgi.WSGIServer`.

    backlog, spawn, ssl_args: as `gossamer.server.StreamServer` takes them.
    log: object with a method `write` that gets a line for each request, or a `logging.Logger` (level INFO); "default":
        the standard error; None: nothing is logged.
    error_log: the same (level ERROR) for errors, and "wsgi.errors".
    handler_class: a `WSGIHandler`.
    environ: entries for the environment of each request.

    Raises what StreamServer raises, and TypeError for an application that cannot be called and an `environ` that is no
    mapping.
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
            if not callable(application):
                raise TypeError(f"the application is {application!r}, which cannot be called")
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
            limits=_limits(self.max_request_line),
        )
        self._connection_of = self._connections.connections_of(self.socket, tls=self.ssl_enabled)

    @property
    def max_request_line(self) -> int:
        """Bytes, with its end, that the first line of a request may have: `gevent.pywsgi.MAX_REQUEST_LINE`.

        Programs set it before they start the server.
        """
        from gossamer import pywsgi

        return pywsgi.MAX_REQUEST_LINE

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
            connection = self._connection_of(handler.socket, handler.client_address)
            handler.serve(connection)
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


def _limits(line: int) -> Limits:
    """What clients may ask for: the defaults, but for the length of the first line, which includes its end."""
    defaults = Limits()
    return Limits(request_line=line - 2, head=defaults.head + max(0, line - 2 - defaults.request_line))


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
