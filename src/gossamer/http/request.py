"""Requests as they come in: parsed by httptools, bounded by `Limits`, read on demand.

Facts that this rests on:

* httptools (llhttp inside) calls back for each part while it is fed, and goes on with the next message of the same
  bytes: several requests may be found in one read. They wait in a queue, in order; nothing is read from the socket
  while the queue can answer, so its length is bounded by one read.
* An error ends the parser. Requests that were complete before it are still answered.
* llhttp refuses a request with both Content-Length and Transfer-Encoding (RFC 9112, section 6.3), two Content-Length
  fields, numbers that are none, bare LF, NUL, a space before the colon, a field that goes on in the next line. What it
  lets pass and we do not: other versions of HTTP, a transfer coding beside chunked, no Host, CONNECT.
* A field name with an underscore is left out: in the CGI names of PEP 3333 it could not be told from one with a hyphen,
  and clients could so forge what a proxy in front has set.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url

from gossamer.http.limits import Limits

READ_SIZE = 64 * 1024


class BadRequest(Exception):
    """A request that is not answered by the application.

    status: the status line's code and reason.
    """

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status


class Disconnected(Exception):
    """The client is gone, or too slow to be waited for."""


class Request:
    """What the parser has found of one request.

    headers: CGI name (`HTTP_ACCEPT`, `CONTENT_TYPE`) -> value, as PEP 3333 wants them.
    chunks: what has come of the body and was not read yet.
    complete: whether the whole body has come.
    """

    __slots__ = (
        "chunks",
        "complete",
        "expects_continue",
        "headers",
        "keep_alive",
        "length",
        "method",
        "target",
        "transfer_coding",
        "version",
    )

    def __init__(self) -> None:
        self.target = b""
        self.headers: dict[str, str] = {}
        self.chunks: deque[bytes] = deque()
        self.complete = False
        self.method = ""
        self.version = "1.1"
        self.keep_alive = True
        self.expects_continue = False
        self.length: int | None = None
        self.transfer_coding = ""


CGI_NAMES: dict[bytes, str | None] = {}
"""Field name as it came -> CGI name, None for one to be left out. Bounded: clients choose the names."""

CGI_NAMES_MOST = 1024


def cgi_name(name: bytes) -> str | None:
    """The environ key of a header field; None if the field is to be left out."""
    try:
        return CGI_NAMES[name]
    except KeyError:
        pass
    text = name.decode("latin-1").upper().replace("-", "_")
    key = None if b"_" in name else text if text in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{text}"
    if len(CGI_NAMES) < CGI_NAMES_MOST:
        CGI_NAMES[name] = key
    return key


class RequestReader:
    """The requests of one connection. The methods named on_... are httptools' callbacks.

    receive: returns what comes next, at most so many bytes; b"" at the end. Raises OSError, TimeoutError.
    settimeout: seconds for the next receives.
    """

    def __init__(
        self, receive: Callable[[int], bytes], settimeout: Callable[[float | None], object], limits: Limits
    ) -> None:
        self.receive = receive
        self.settimeout = settimeout
        self.limits = limits
        self.requests: deque[Request] = deque()
        self.parser = HttpRequestParser(self)
        self.error: BadRequest | None = None
        self.incoming: Request | None = None
        self.in_head = False
        self.head_size = 0
        self.header_size = 0
        self.header_count = 0
        self.body_size = 0

    def next_request(self) -> Request | None:
        """The next request, its head complete; None when the client has closed in between.

        Raises BadRequest, and Disconnected for a client that went away or was silent.
        """
        deadline = None
        while not self.requests:
            if self.error is not None:
                raise self.error
            if self.in_head:
                deadline = self._patience_with_head(deadline)
            if not self._receive_more():
                if self.in_head:
                    raise Disconnected("in the middle of a request's head")
                return None
        if deadline is not None:
            self.settimeout(self.limits.idle)
        return self.requests.popleft()

    def _patience_with_head(self, deadline: float | None) -> float:
        now = time.monotonic()
        deadline = now + self.limits.head_time if deadline is None else deadline
        if now >= deadline:
            raise BadRequest("408 Request Timeout", "the head of the request did not come in time")
        self.settimeout(deadline - now)
        return deadline

    def _receive_more(self) -> bool:
        """Read once and parse. False at the end of what the client sends."""
        try:
            data = self.receive(READ_SIZE)
        except TimeoutError:
            if self.in_head:
                raise BadRequest("408 Request Timeout", "the head of the request did not come in time") from None
            raise Disconnected("silent") from None
        except OSError as error:
            raise Disconnected(str(error)) from None
        if not data:
            return False
        if self.in_head or self.incoming is None:
            self.head_size += len(data)
        self._parse(data)
        if self.in_head and self.head_size > self.limits.head and self.error is None:
            self.error = BadRequest("431 Request Header Fields Too Large", "the head of the request is too long")
        return True

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            # to another protocol: not taken up, so what follows is HTTP as before (RFC 9110, section 7.8)
            self.parser = HttpRequestParser(self)
            if self.requests and (self.requests[-1].length or self.requests[-1].transfer_coding):
                # llhttp takes its body for the other protocol, and would take it for a request now
                self.requests.pop()
                self.error = BadRequest("400 Bad Request", "a request to change the protocol has a body")
                return
            rest = data[upgrade.args[0] :]
            if rest:
                self._parse(rest)
        except HttpParserError as error:
            if self.error is None:
                refused = error.__context__
                self.error = refused if isinstance(refused, BadRequest) else BadRequest("400 Bad Request", str(error))

    def read_body(self, request: Request) -> bytes:
        """More of the body; b"" at its end. Raises Disconnected, BadRequest."""
        while not request.chunks:
            if request.complete:
                return b""
            if self.error is not None:
                raise self.error
            if not self._receive_more():
                raise Disconnected("in the middle of a request's body")
        return request.chunks.popleft()

    def on_message_begin(self) -> None:
        """A request begins."""
        self.incoming = Request()
        self.in_head = True
        self.head_size = self.header_size = self.header_count = self.body_size = 0

    def on_url(self, url: bytes) -> None:
        """The target, or a part of it."""
        if self.incoming is None:
            return
        self.incoming.target += url
        if len(self.incoming.target) > self.limits.request_line:
            raise BadRequest("414 URI Too Long", "the target of the request is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field."""
        request = self.incoming
        if request is None:
            return
        self.header_count += 1
        self.header_size += len(name) + len(value) + 4
        if self.header_count > self.limits.header_count or self.header_size > self.limits.head:
            raise BadRequest("431 Request Header Fields Too Large", "the head of the request is too long")
        if not self.in_head:
            return  # a trailer
        key = cgi_name(name)
        if key is None:
            return
        text = value.decode("latin-1").strip(" \t")
        before = request.headers.get(key)
        if before is None:
            request.headers[key] = text
        elif key == "HTTP_HOST":
            raise BadRequest("400 Bad Request", "there is more than one Host")
        else:
            request.headers[key] = f"{before}; {text}" if key == "HTTP_COOKIE" else f"{before},{text}"

    def on_headers_complete(self) -> None:
        """The head is complete: the request can be answered."""
        request, parser = self.incoming, self.parser
        if request is None:
            return
        self.in_head = False
        headers = request.headers
        request.method = parser.get_method().decode("latin-1")
        request.version = parser.get_http_version()
        request.keep_alive = parser.should_keep_alive()
        if request.method == "CONNECT":
            raise BadRequest("501 Not Implemented", "this server is no proxy")
        if request.version not in {"1.1", "1.0"}:
            raise BadRequest("505 HTTP Version Not Supported", f"HTTP/{request.version}")
        if "CONTENT_LENGTH" in headers:
            request.length = int(headers["CONTENT_LENGTH"])
            if self.limits.body is not None and request.length > self.limits.body:
                raise BadRequest("413 Content Too Large", "the body of the request is too long")
        if "HTTP_TRANSFER_ENCODING" in headers:
            request.transfer_coding = headers.pop("HTTP_TRANSFER_ENCODING").strip().lower()
            if request.transfer_coding != "chunked":
                raise BadRequest("501 Not Implemented", f"transfer coding {request.transfer_coding!r}")
        if request.version == "1.1" and "HTTP_HOST" not in headers:
            raise BadRequest("400 Bad Request", "there is no Host")
        if "HTTP_EXPECT" in headers:
            request.expects_continue = request.version == "1.1" and headers["HTTP_EXPECT"].lower() == "100-continue"
        self.requests.append(request)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self.incoming is None:
            return
        self.body_size += len(body)
        if self.limits.body is not None and self.body_size > self.limits.body:
            raise BadRequest("413 Content Too Large", "the body of the request is too long")
        self.incoming.chunks.append(body)

    def on_message_complete(self) -> None:
        """The request, with its body, has come whole."""
        if self.incoming is not None:
            self.incoming.complete = True
        self.incoming = None
        self.in_head = False
        self.head_size = 0


def split_target(target: bytes) -> tuple[str, str, str]:
    """PATH_INFO, QUERY_STRING and the target as text (RFC 9112, section 3.2).

    Raises BadRequest for a target that is none.
    """
    from urllib.parse import unquote_to_bytes

    raw = target.decode("latin-1")
    if not target.startswith(b"/"):
        if target == b"*":
            return "*", "", raw
        try:
            url = parse_url(target)
        except HttpParserError:
            raise BadRequest("400 Bad Request", "the target of the request is not a path") from None
        if url.schema not in {b"http", b"https"}:
            raise BadRequest("400 Bad Request", "the target of the request is not a path")
        target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
    path, _, query = target.partition(b"?")
    if b"%" in path:
        path = unquote_to_bytes(path)
    return path.decode("latin-1"), query.decode("latin-1"), raw


class RequestBody:
    """`wsgi.input`: the body, read from the connection as the application asks for it. Ends where the body ends.

    before_reading: called once, before the first read that has to wait (for `100 Continue`).

    Not one of io's classes: making and finalizing one of those costs more than parsing a request.
    """

    __slots__ = ("before_reading", "held", "reader", "request")

    def __init__(self, reader: RequestReader, request: Request, before_reading: Callable[[], None]) -> None:
        self.reader = reader
        self.request = request
        self.before_reading: Callable[[], None] | None = before_reading
        self.held = b""

    def _more(self) -> bytes:
        if self.held:
            held, self.held = self.held, b""
            return held
        if self.before_reading is not None and not self.request.chunks and not self.request.complete:
            self.before_reading()
            self.before_reading = None
        return self.reader.read_body(self.request)

    def read1(self, size: int = -1) -> bytes:
        """What has come, at most `size` bytes; waits if there is nothing. b"" at the end."""
        if size == 0:
            return b""
        data = self._more()
        if 0 < size < len(data):
            self.held = data[size:]
            data = data[:size]
        return data

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, fewer only at the end; all for None or a negative size."""
        wanted = -1 if size is None or size < 0 else size
        parts, count = [], 0
        while wanted < 0 or count < wanted:
            data = self.read1(wanted - count if wanted >= 0 else -1)
            if not data:
                break
            parts.append(data)
            count += len(data)
        return b"".join(parts)

    def readline(self, size: int | None = -1) -> bytes:
        """Up to and with the next newline, at most `size` bytes."""
        wanted = -1 if size is None or size < 0 else size
        parts, count = [], 0
        while wanted < 0 or count < wanted:
            data = self.read1(wanted - count if wanted >= 0 else -1)
            if not data:
                break
            end = data.find(b"\n") + 1
            if end:
                self.held = data[end:] + self.held
                parts.append(data[:end])
                break
            parts.append(data)
            count += len(data)
        return b"".join(parts)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """The lines, until there are `hint` bytes or the end."""
        lines, count = [], 0
        for line in self:
            lines.append(line)
            count += len(line)
            if hint is not None and 0 < hint <= count:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def drain(self, most: int) -> bool:
        """Throw away what is left, at most so many bytes. Whether the end was reached."""
        while most > 0:
            data = self._more()
            if not data:
                return True
            most -= len(data)
        return self.request.complete and not self.request.chunks
