"""Responses as they go out: PEP 3333's `start_response` and `write`, framed as RFC 9112 says.

How the end of a body is told (section 6.3): no body to HEAD, 1xx, 204 and 304; the application's Content-Length; the
length of a list of one part; chunked to HTTP/1.1; else by closing the connection.

Head and first part of the body leave in one call: two would cost a wake-up of the client each.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields that are the server's alone (PEP 3333, RFC 9110 section 7.6.1)."""

_date_second = 0
_date_line = ""


class ApplicationError(Exception):
    """The application broke PEP 3333; the message says how."""


def date_line() -> str:
    """The Date field; made anew once a second."""
    global _date_second, _date_line  # noqa: PLW0603 - a cache
    now = int(time.time())
    if now != _date_second:
        _date_line = f"Date: {formatdate(now, usegmt=True)}\r\n"
        _date_second = now
    return _date_line


class FileWrapper:
    """`wsgi.file_wrapper`: a file as a body, sent by sendfile(2) when it can be."""

    def __init__(self, file: Any, block_size: int = 64 * 1024) -> None:
        self.file = file
        self.block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.file.read(self.block_size)
        if not data:
            raise StopIteration
        return data


class Response:
    """The response to one request.

    send: sends all bytes.
    client: the socket, for its sendfile().
    head_only: the request was HEAD.
    version: the request's, "1.0" or "1.1".
    keep_alive: whether the client wants to go on; becomes False when the connection has to be closed after this.
    """

    __slots__ = (
        "bodyless",
        "chunked",
        "client",
        "head_only",
        "headers",
        "headers_sent",
        "keep_alive",
        "left",
        "send",
        "sent",
        "status",
        "version",
    )

    def __init__(
        self,
        send: Callable[[bytes], object],
        client: socket.socket,
        *,
        head_only: bool,
        version: str,
        keep_alive: bool,
    ) -> None:
        self.send = send
        self.client = client
        self.head_only = head_only
        self.version = version
        self.keep_alive = keep_alive
        self.status: str | None = None
        self.headers: list[tuple[str, str]] = []
        self.headers_sent = False
        self.chunked = False
        self.bodyless = False
        self.left: int | None = None
        self.sent = 0

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """What PEP 3333 calls start_response.

        Raises ApplicationError for what PEP 3333 forbids, and the given exception once the head has been sent.
        """
        if exc_info is not None:
            try:
                if self.headers_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status is not None:
            raise ApplicationError("start_response() was called twice without exc_info")
        check_status(status)
        if type(headers) is not list:
            raise ApplicationError(f"headers must be a list, not {type(headers).__name__}")
        self.status = status
        self.headers = headers
        return self.write

    def write(self, data: bytes) -> None:
        """What PEP 3333 calls write."""
        if not isinstance(data, bytes):
            raise ApplicationError(f"a body consists of bytes, not {type(data).__name__}")
        if not self.headers_sent:
            self.send(self._head(None) + self._framed(data))
        elif data:
            self.send(self._framed(data))

    def send_body(self, body: Iterable[bytes]) -> None:
        """What the application returned. The caller closes it."""
        if (
            isinstance(body, FileWrapper)
            and self.status is not None
            and not self.headers_sent
            and self._send_file(body)
        ):
            return
        if type(body) is list and len(body) == 1 and not self.headers_sent:
            data = body[0]
            if not isinstance(data, bytes):
                raise ApplicationError(f"a body consists of bytes, not {type(data).__name__}")
            self.send(self._head(len(data)) + self._framed(data))
        else:
            for data in body:
                if data or not isinstance(data, bytes):
                    self.write(data)
        self._finish(0 if isinstance(body, (list, tuple)) else None)

    def _finish(self, length: int | None) -> None:
        if not self.headers_sent:
            self.send(self._head(length))
        if self.chunked:
            self.send(b"0\r\n\r\n")
        if self.left:
            self.keep_alive = False
            raise ApplicationError(f"the body is {self.left} bytes shorter than its Content-Length")

    def _head(self, length: int | None) -> bytes:
        """The head. length: of the whole body, if it is known."""
        if self.status is None:
            raise ApplicationError("the application did not call start_response()")
        lines = [f"HTTP/1.1 {self.status}\r\n"]
        given = set()
        for name, value in self.headers:
            low = check_header(name, value)
            given.add(low)
            lines.append(f"{name}: {value}\r\n")
            if low == "content-length":
                self.left = content_length(value)
        self.headers_sent = True
        self.bodyless = self.status[0] == "1" or self.status[:3] in {"204", "304"}
        lines.append(self._framing(length, told="content-length" in given))
        if "date" not in given:
            lines.append(date_line())
        if "server" not in given:
            lines.append("Server: gossamer\r\n")
        if not self.keep_alive:
            lines.append("Connection: close\r\n")
        elif self.version == "1.0":
            lines.append("Connection: keep-alive\r\n")
        lines.append("\r\n")
        try:
            return "".join(lines).encode("latin-1")
        except UnicodeEncodeError as error:
            self.headers_sent = False
            raise ApplicationError("status and headers must be made of ISO-8859-1 characters") from error

    def _framing(self, length: int | None, *, told: bool) -> str:
        """How the end of the body is told, and the field that says so. told: by the application's Content-Length."""
        if self.bodyless or self.head_only:
            self.left = None
        elif not told and length is not None:
            self.left = length
            return f"Content-Length: {length}\r\n"
        elif not told and self.version == "1.1":
            self.chunked = True
            return "Transfer-Encoding: chunked\r\n"
        elif not told:
            self.keep_alive = False
        return ""

    def _framed(self, data: bytes) -> bytes:
        """A part of the body, as it is sent."""
        if self.bodyless or self.head_only:
            return b""
        if self.left is not None:
            if len(data) > self.left:
                self.keep_alive = False
                raise ApplicationError("the body is longer than its Content-Length")
            self.left -= len(data)
        self.sent += len(data)
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Send a regular file by sendfile(2). False, nothing sent, if that is not possible."""
        try:
            offset = wrapper.file.tell()
            size = os.fstat(wrapper.file.fileno()).st_size - offset
        except (AttributeError, OSError, ValueError):
            return False
        if size <= 0:
            return False
        self.send(self._head(size))
        if self.bodyless or self.head_only or not self.left:
            return True
        sent = self.client.sendfile(wrapper.file, offset, self.left)
        self.left -= sent
        self.sent += sent
        self._finish(None)
        return True


def check_status(status: object) -> None:
    """Raises ApplicationError if `status` is not such as "200 OK"."""
    if not isinstance(status, str):
        raise ApplicationError(f"the status must be a str, not {type(status).__name__}")
    if not (status[:3].isascii() and status[:3].isdigit() and status[3:4] in {"", " "} and "1" <= status[0] <= "5"):
        raise ApplicationError(f"the status must be three digits, a space and a reason, not {status!r}")
    if not status.isprintable():
        raise ApplicationError(f"the status must not hold control characters: {status!r}")


CHECKED_NAMES: dict[str, str] = {}
"""Names that are right -> the same in lower case. Bounded, because applications may invent names."""

CHECKED_NAMES_MOST = 1024

TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def check_header(name: object, value: object) -> str:
    """The name in lower case. Raises ApplicationError for what must not be sent."""
    if not isinstance(name, str) or not isinstance(value, str):
        raise ApplicationError(f"names and values of headers must be str: {name!r}: {value!r}")
    if not value.isprintable() and any(character in value for character in "\r\n\0"):
        raise ApplicationError(f"the value of {name} must not hold line ends or NUL: {value!r}")
    low = CHECKED_NAMES.get(name)
    if low is not None:
        return low
    if not name or not TOKEN.issuperset(name):
        raise ApplicationError(f"{name!r} is not a name of a header field")
    low = name.lower()
    if low in HOP_BY_HOP:
        raise ApplicationError(f"{name} is the server's to send, not the application's (PEP 3333)")
    if len(CHECKED_NAMES) < CHECKED_NAMES_MOST:
        CHECKED_NAMES[name] = low
    return low


def content_length(value: str) -> int:
    """The number that a Content-Length holds. Raises ApplicationError if it is none."""
    if not (value.isascii() and value.isdigit()):
        raise ApplicationError(f"Content-Length must be a number, not {value!r}")
    return int(value)
