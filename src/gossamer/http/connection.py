"""The life of one connection: requests read, the application called, responses written, in order.

It runs in a green thread of its own and uses the socket as blocking code does. Timeouts of the socket are the limits'
patience; a client that is gone or too slow ends the connection and nothing else.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from gossamer.http.request import BadRequest, Disconnected, Request, RequestBody, RequestReader, split_target
from gossamer.http.response import ApplicationError, Response

if TYPE_CHECKING:
    from gossamer.http.server import Server

GONE = (ConnectionError, TimeoutError, ssl.SSLError)
"""What sending to a client raises that is gone or does not read."""


class RequestTimeout(BaseException):
    """Raised in an application that takes longer than the server's time for a request.

    Not an Exception, so that an `except Exception` of the application does not swallow it.
    """


class Connection:
    """A client and what it is asking for.

    began: when the request under way began, by the monotonic clock; 0.0 between requests.
    closing: no further request is read.
    """

    def __init__(self, server: Server, client: socket.socket, address: Any) -> None:
        self.server = server
        self.client = client
        self.remote = (str(address[0]), str(address[1])) if isinstance(address, tuple) else ("", "")
        self.closing = False
        self.began = 0.0
        self.method = ""
        self.path = ""
        self.greenlet: Any = None

    def run(self) -> None:
        """Serve the client until it or the server has enough."""
        try:
            self._converse()
        except GONE:
            pass
        finally:
            self.server.forget(self)
            self._close()

    def _converse(self) -> None:
        client, limits = self.client, self.server.limits
        client.settimeout(limits.head_time if self.server.ssl_context is not None else limits.idle)
        if self.server.ssl_context is not None:
            client = self.client = self.server.ssl_context.wrap_socket(client, server_side=True)
            client.settimeout(limits.idle)
        elif client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = RequestReader(client.recv, client.settimeout, limits)
        try:
            while not self.closing:
                request = reader.next_request()
                if request is None:
                    break
                if limits.stall != limits.idle:
                    client.settimeout(limits.stall)
                if not self._serve(reader, request):
                    break
                if limits.stall != limits.idle:
                    client.settimeout(limits.idle)
        except BadRequest as bad:
            self._refuse(bad)
        except Disconnected:
            pass

    def stop(self) -> None:
        """Read no further request: close at once between requests, else after the response."""
        self.closing = True
        if self.began == 0.0:
            with contextlib.suppress(OSError):
                self.client.shutdown(socket.SHUT_RD)

    def _serve(self, reader: RequestReader, request: Request) -> bool:
        """Answer one request. Whether the connection can be used again."""
        server = self.server
        self.method = request.method
        path, query, self.path = split_target(request.target)
        self.began = time.monotonic()
        server.active += 1
        response = Response(
            self._send,
            self.client,
            head_only=request.method == "HEAD",
            version=request.version,
            keep_alive=request.keep_alive and not self.closing,
        )
        body = RequestBody(reader, request, lambda: self._say_continue(request, response))
        limit = server.call_later(server.timeout, self) if server.timeout is not None else None
        try:
            self._call_application(self._environ(request, body, path, query), response)
            return response.keep_alive and not self.closing and self._rest_is_read(request, body)
        finally:
            if limit is not None:
                limit.stop()
            server.active -= 1
            server.total += 1
            if server.access_log is not None:
                server.access_log(self, request, response, time.monotonic() - self.began)
            self.began = 0.0

    def _rest_is_read(self, request: Request, body: RequestBody) -> bool:
        """Get what the application left of the body out of the way. Whether the connection can be used again."""
        if not request.complete or request.chunks or body.held:
            if request.expects_continue and body.before_reading is not None:
                return False  # the client may send the body or not: nobody can tell what comes next
            if not body.drain(self.server.limits.unread_body):
                return False
        return True

    def _send(self, data: bytes) -> None:
        """Send all of it. The socket's timeout is for each step forward, not for the whole."""
        sent = self.client.send(data)
        if sent < len(data):
            left = memoryview(data)[sent:]
            while left:
                left = left[self.client.send(left) :]

    def _say_continue(self, request: Request, response: Response) -> None:
        if request.expects_continue and not response.headers_sent:
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _environ(self, request: Request, body: RequestBody, path: str, query: str) -> dict[str, Any]:
        environ = self.server.environ.copy()
        environ.update(request.headers)
        environ["REQUEST_METHOD"] = request.method
        environ["PATH_INFO"] = path
        environ["QUERY_STRING"] = query
        environ["RAW_URI"] = self.path
        environ["SERVER_PROTOCOL"] = f"HTTP/{request.version}"
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = self.remote
        environ["wsgi.input"] = body
        if request.transfer_coding:
            environ["wsgi.input_terminated"] = True
        return environ

    def _call_application(self, environ: dict[str, Any], response: Response) -> None:
        result: Any = None
        try:
            result = self.server.application(environ, response.start_response)
            response.send_body(result)
        except GONE as error:
            if response.headers_sent or isinstance(error, (BrokenPipeError, ConnectionResetError)):
                raise
            self._fail(environ, response)
        except Disconnected:
            response.keep_alive = False
        except BadRequest:
            raise
        except RequestTimeout:
            self.server.log(f"{self.method} {self.path} took longer than {self.server.timeout} seconds")
            self._apologise(response, "503 Service Unavailable")
        except (Exception, SystemExit):  # noqa: BLE001 - whatever the application raises is answered and logged
            self._fail(environ, response)
        finally:
            if hasattr(result, "close"):
                self._close_result(result)

    def _close_result(self, result: Any) -> None:
        try:
            result.close()
        except Exception:  # noqa: BLE001 - the response has been sent
            self.server.log(f"closing the response to {self.method} {self.path} failed\n{traceback.format_exc()}")

    def _fail(self, environ: dict[str, Any], response: Response) -> None:
        """The application raised, or broke PEP 3333."""
        broken = sys.exc_info()[1]
        what = f": {broken}" if isinstance(broken, ApplicationError) else f"\n{traceback.format_exc()}"
        self.server.log(f"{environ['REQUEST_METHOD']} {self.path} failed{what}")
        self._apologise(response, "500 Internal Server Error")

    def _apologise(self, response: Response, status: str) -> None:
        """Instead of the application's response, if none of it was sent; else the client sees it break off."""
        response.keep_alive = False
        if not response.headers_sent:
            self._send_plain(status)

    def _send_plain(self, status: str) -> None:
        text = b"" if self.method == "HEAD" else status.encode() + b"\n"
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(status) + 1}\r\n"
            "Server: gossamer\r\nConnection: close\r\n\r\n"
        )
        self._send(head.encode() + text)

    def _refuse(self, bad: BadRequest) -> None:
        """Answer what is no request, and close."""
        self.server.refused += 1
        self.client.settimeout(self.server.limits.stall)
        self._send_plain(bad.status)

    def _close(self) -> None:
        """Close so that what was sent last arrives: the kernel drops it if input is left unread (RFC 9112, 9.6)."""
        client = self.client
        try:
            client.shutdown(socket.SHUT_WR)
            client.settimeout(1.0)
            for _ in range(16):
                if not client.recv(64 * 1024):
                    break
        except (OSError, ValueError):
            pass
        finally:
            client.close()
