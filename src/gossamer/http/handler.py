"""What happens around the requests of a connection, behind gevent's interface: `WSGIHandler`, for programs to override.

The order, of which each step may be overridden:

    handle() -> for each request: handle_one_request() -> read_requestline(), read_request()
                                                       -> get_environ(), handle_one_response()
    handle_one_response() -> run_application() -> start_response(), process_result() -> write() -> finalize_headers()
                          -> handle_error(); and log_request() -> format_request()

The connection does the work (`connection.pyx`): it reads the heads by itself, and asks nobody, as long as nobody has
overridden one of the first three steps. Whoever overrides `handle_one_request()` has to call this class's.

What gevent's class has besides are inner parts of another parser, and of another way to write: `__init_subclass__`
warns of those that a subclass brings, because nothing here calls them.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterable
from email.message import Message
from http.client import responses
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from gossamer.http.access_log import Access
from gossamer.http.connection import Connection
from gossamer.http.connections import Application
from gossamer.http.errors import ClientDisconnected, Refusal

if TYPE_CHECKING:
    from gossamer.http.pywsgi import WSGIServer

_NEVER_CALLED = (
    "MessageClass",
    "_check_http_version",
    "_connection_upgrade_requested",
    "_handle_client_error",
    "_headers",
    "_log_error",
    "_send_error_response_if_possible",
    "_sendall",
    "_write_with_headers",
)


class _HeadFile:
    """The client's bytes before the head of a request has been read: a file of the few methods that are used there."""

    closed = False

    def __init__(self, connection: Connection) -> None:
        self.read = connection.read
        self.readline = connection.readline

    def close(self) -> None:
        """Do nothing: the server reads on, and closes the connection in the end."""


class WSGIHandler:
    """What happens around the requests of one connection. Subclasses override the methods below.

    sock, address: the connection and the client's address; `server`: the WSGIServer.
    rfile: what the client sends is read from it when the connection is taken over; None: a file made of `sock`.
    application, environ: of the request under way. requestline: its first line; path: what it asks for, as the client
        sent it; request_version: its protocol, such as "HTTP/1.1".
    status: of the response, such as "200 OK", None if none was begun; code: its number; result: what the application
        has returned, until it has been sent. response_length: bytes of its body. time_start, time_finish: in seconds
        since the epoch.
    close_connection: whether the connection ends with the request under way. Whoever sets it decides.
    """

    close_connection = False
    ApplicationError: ClassVar[type[AssertionError]] = AssertionError
    """What an application gets that writes without having called `start_response()`."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Warn of methods of gevent's class that have no effect here."""
        super().__init_subclass__(**options)
        unused = [name for name in _NEVER_CALLED if name in vars(cls)]
        if unused:
            warnings.warn(
                f"{cls.__qualname__} overrides {', '.join(unused)}, which nothing calls here: "
                "help('gossamer.http.handler') tells what can be overridden",
                RuntimeWarning,
                stacklevel=2,
            )

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
        self._served: Connection | None = None
        self._head_file: _HeadFile | None = None
        self._response_headers: list[tuple[bytes, bytes]] | None = None
        self._answering = False
        self._processed = False

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
        """The client's bytes as a file: for `read_requestline()`, and for a connection that is taken over.

        The server reads what lies between.
        """
        if self._head_file is not None:
            return self._head_file
        if self._rfile is None:
            self._rfile = self._connection.makefile("rb")
        return self._rfile

    @property
    def headers_sent(self) -> bool:
        """Whether the head of the response has been sent."""
        return self._start_response is not None and bool(self._start_response.__self__.begun)

    @property
    def response_headers(self) -> list[tuple[bytes, bytes]]:
        """The names and values that `start_response()` was given, encoded; for `finalize_headers()`."""
        if self._response_headers is None:
            given = self._start_response.__self__.headers if self._start_response is not None else None
            self._response_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given or ()]
        return self._response_headers

    @response_headers.setter
    def response_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._response_headers = headers

    def handle(self) -> None:
        """Serve the connection to its end."""
        self.server.serve_connection(self)

    def serve(self, connection: Connection) -> None:
        """Serve `connection`, which is this handler's, to its end, asking it for each step that is overridden."""
        self._served = connection
        if any(getattr(type(self), name) is not step for name, step in _STEPS):
            connection.driver = self._next_request
        try:
            connection.serve()
        finally:
            connection.driver = None
            self._served = self._head_file = None

    def _next_request(self) -> bool:
        """Serve one request. Whether another may follow."""
        assert self._served is not None
        self._head_file = _HeadFile(self._served)
        result = self.handle_one_request()
        if result is None or isinstance(result, bool):
            return bool(result)
        self.time_start = time.time()
        self.status, answer = result
        self.code = int(self.status[:3])
        self._connection.sendall(answer)
        self.time_finish = time.time()
        self.log_request()
        return False

    def handle_one_request(self) -> bool | tuple[str, bytes] | None:
        """Read a request by `read_requestline()` and `read_request()`, and have it answered.

        Returns True if another one may follow; None if the connection is to be closed; or a status such as "400" and
        bytes, which are sent as they are before it is closed. Subclasses that override it call this one.
        """
        connection = self._served
        assert connection is not None, "a connection is served by WSGIServer.handle()"
        try:
            line: str | bytes | None = self.read_requestline()
            if not line:
                return None
            self.requestline = line.decode("latin-1") if isinstance(line, bytes) else line
            is_good = self.read_request(self.requestline)
        except OSError:
            return None
        except Refusal as refusal:
            connection.refuse(refusal)
            return None
        except ValueError as error:
            self.log_error("Invalid request (from %s): %s", self.client_address, error)
            is_good = False
        if not is_good:
            connection.refuse(Refusal(400, "the request is invalid"))
            return None
        connection.keep = not self.close_connection
        self._head_file = None
        goes_on = connection.serve_request()
        has_closed = self.close_connection or (self._rfile is not None and self._rfile.closed)
        return True if goes_on and not has_closed else None

    def read_requestline(self) -> str | None:
        """The first line of the next request, read from `rfile`, in Latin-1; nothing at the end of the connection.

        Empty lines before it are left out (RFC 9112, 2.2). Raises OSError if the connection has been reset.
        """
        line = b"\r\n"
        while line == b"\r\n":
            line = self.rfile.readline(self.server.max_request_line)
        return str(line, "latin-1")

    def read_request(self, raw_requestline: str) -> bool:
        """Read the head that begins with the line `raw_requestline`. `environ`, and what is made of it, are set then.

        Returns True. Raises ValueError if the request is to be refused, OSError if the connection ends.
        """
        assert self._served is not None, "a connection is served by WSGIServer.handle()"
        end = "" if raw_requestline.endswith("\n") or len(raw_requestline) >= self.server.max_request_line else "\r\n"
        self._served.read_request((raw_requestline + end).encode("latin-1"))
        self.environ = self._served.environ or {}
        self.request_version = self.environ["SERVER_PROTOCOL"]
        self.close_connection = not self._served.keep
        return True

    def handle_application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Have the request of `environ` answered through `start_response`; returns what is left to be sent."""
        response = start_response.__self__
        self.application = self.server.application
        self.request_version = environ["SERVER_PROTOCOL"]
        self.requestline = f"{environ['REQUEST_METHOD']} {environ['RAW_URI']} {self.request_version}"
        self.status = self.code = self.result = self._write = self._response_headers = None
        self._start_response = start_response
        self.environ = environ
        self.environ = self.get_environ()
        self.close_connection = not response.keep
        if type(self).finalize_headers is not _FINALIZE:
            response.finalizer = self._finalize
        self._answering, self._processed = True, False
        try:
            self.handle_one_response()
            response.keep &= not self.close_connection
            if self._processed or self.headers_sent or self.code == 101:
                return ()
            return self.result  # type: ignore[return-value] # None is refused where it is sent
        finally:
            self._answering = False
            self.result = None

    def handle_one_response(self) -> None:
        """Have the request under way answered: `run_application()`, and `handle_error()` for what that raises.

        Raises RuntimeError if there is none.
        """
        if not self._answering:
            raise RuntimeError(
                "there is no request to answer: handle_one_request() of a subclass calls the base class's"
            )
        try:
            self.run_application()
        except ClientDisconnected:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the application raises
            self.handle_error(type(error), error, error.__traceback__)

    def handle_error(self, t: type[BaseException], v: BaseException, tb: TracebackType | None) -> None:  # noqa: ARG002
        """Raise what the application has raised, `v` of the type `t` with the traceback `tb`: the server logs it, and
        answers 500 if it can.

        Whoever overrides this and raises nothing has answered the request.
        """
        raise v.with_traceback(tb)

    def run_application(self) -> None:
        """Call the application, have `process_result()` send its `result`, and close that."""
        assert self.application is not None
        try:
            self.result = self.application(self.environ, self.start_response)
            self.process_result()
            self._processed = self.status is not None
        finally:
            close = getattr(self.result, "close", None)
            self.result = None
            if close is not None:
                close()

    def process_result(self) -> None:
        """Send `result`, and the response's end."""
        assert self._served is not None, "a connection is served by WSGIServer.handle()"
        self._start_response.__self__.keep &= not self.close_connection
        self._served.send_response(self.result)  # type: ignore[arg-type] # None is refused there

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        """What the application is given: PEP 3333's callable, with its `status`, `headers` and `exc_info`.

        Returns `write`. Raises what that callable does.
        """
        self._write = self._start_response(status, headers, exc_info)
        self._response_headers = None
        self.status, self.code = status, int(status[:3])
        return self.write

    def finalize_headers(self) -> None:
        """Called before the head is written, in subclasses that override it: the last moment to change
        `response_headers`, which is checked as what an application gives.

        This one does nothing: a date, and how the body's end is told, are added when the head is written.
        """

    def _finalize(self) -> None:
        self.finalize_headers()
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.response_headers]
        self._start_response(self.status, headers, (None, None, None))

    def write(self, data: bytes) -> None:
        """Send `data`, a piece of the response, and its head before the first one.

        Raises TypeError if `data` is not bytes, `ApplicationError` without a `start_response()` before, and
        gossamer.http.ClientDisconnected if the client is gone.
        """
        if self._write is None:
            raise self.ApplicationError("write() was called before start_response()")
        self._write(data or b"")

    def get_environ(self) -> dict[str, Any]:
        """The environment that the application is called with; `self.environ` if this is not overridden."""
        return self.environ

    def format_request(self) -> str:
        """The line for the log."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        line = self.requestline.encode("ascii", "backslashreplace").decode("ascii")
        host = self.client_address[0] if isinstance(self.client_address, tuple) else self.client_address
        return (
            f'{host or "-"} - - [{stamp}] "{line}" {self.code or "000"} {self.response_length} '
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


_STEPS = tuple(
    (name, getattr(WSGIHandler, name)) for name in ("handle_one_request", "read_requestline", "read_request")
)
_FINALIZE = WSGIHandler.finalize_headers
"""What is overridden where a subclass, or a program that changed WSGIHandler itself, has something else."""
