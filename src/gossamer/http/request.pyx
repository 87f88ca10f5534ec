# cython: language_level=3, boundscheck=False, wraparound=False
"""Requests, from bytes to WSGI environments: `RequestReader`.

The parser is httptools' (llhttp). It calls on_url, on_header, on_body and on_message_complete, which are compiled. It is
only ever given one message: a head is complete before it is fed (head.h), and of a chunked body it gets one line, or the
rest of one chunk, at a time. So it needs no pausing, and requests that were sent ahead stay where they are, unparsed.

How long the chunks are is therefore read here as well. Where the two readings differ, the parser's word ends in an
error, or the message ends where it should not: both are refused.

What follows from RFC 9112 and from experience with request smuggling, beyond what llhttp refuses:
* One Host for HTTP/1.1, none missing; no Transfer-Encoding in HTTP/1.0, and none but "chunked".
* What chunks cost beyond their data is bounded, as a head is: otherwise a body of a few bytes could take for ever.
* Headers with an underscore in their name are dropped, as nginx does: in the environment they could not be told from
  those with a hyphen, which a proxy may have checked.

And what is taken although RFC 3986 does not have it: bytes beyond ASCII in a target, which old browsers and many tools
send as they are. nginx, gunicorn and gevent take them as well; PEP 3333 hands them on as Latin-1, as it does quoted ones.
The parser, which would refuse them, is shown a letter in the place of each.
"""

import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy, PyDict_GetItem
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.buffer cimport PyBUF_READ
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memchr, memcmp

from gossamer.http.input cimport BodySource, Input, empty_input
from gossamer.http.transport cimport Settings, Transport, coarse_now, moment

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

from gossamer.http.errors import ClientDisconnected, Expired, Refusal, RequestBodyError

cdef extern from "http/head.h":
    struct request_line:
        size_t size
        size_t method_size
        size_t target_size
        int version

    size_t head_length(const char *data, size_t size, size_t seen) nogil
    const char *head_flaw(const char *data, size_t size, size_t seen) nogil
    request_line request_line_of(const char *head, size_t size) nogil
    bint has_high_bytes(const char *target, size_t size) nogil
    void cover_high_bytes(char *target, size_t size) nogil
    bint is_host(const char *text, size_t size) nogil
    int digit_of(char byte) nogil
    size_t unquote(char *text, size_t size) nogil

# What is kept of the names that clients send, of which a hostile one thinks up as many and as long as it likes.
cdef Py_ssize_t MOST_KEYS = 1024
cdef Py_ssize_t LONGEST_KEPT_NAME = 64
cdef Py_ssize_t LINE = 4096
# Of a line with the size of a chunk and nothing else.
cdef Py_ssize_t PLAIN_SIZE = 18
cdef Py_ssize_t PIECES_AT_ONCE = 65536

cdef int64_t MOST_BODY = <int64_t>1 << 62

cdef str CONTENT_LENGTH = sys.intern("CONTENT_LENGTH")
cdef str CONNECTION = sys.intern("HTTP_CONNECTION")
cdef str COOKIE = sys.intern("HTTP_COOKIE")
cdef str EXPECT = sys.intern("HTTP_EXPECT")
cdef str HOST = sys.intern("HTTP_HOST")
cdef str TRANSFER_ENCODING = sys.intern("HTTP_TRANSFER_ENCODING")
# Those that are compared by identity.
cdef dict KNOWN_KEYS = {key: key for key in (CONTENT_LENGTH, CONNECTION, COOKIE, EXPECT, HOST, TRANSFER_ENCODING)}


cdef str latin(const char *text, Py_ssize_t size):
    return PyUnicode_DecodeLatin1(text, size, NULL)


cdef object key_of(Settings settings, bytes name):
    """The environment's key for a header; None for one that is dropped. Not interned: 3.12 never frees what is."""
    key = None
    if b"_" not in name:
        key = name.upper().replace(b"-", b"_").decode("latin-1")
        key = key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else "HTTP_" + key
        key = KNOWN_KEYS.get(key, key)
    if len(name) <= LONGEST_KEPT_NAME:
        if len(settings.keys) >= MOST_KEYS:
            settings.keys.clear()
        settings.keys[name] = key
    return key


cdef class RequestReader(BodySource):
    def __init__(self, Settings settings, socket, bint encrypted, dict template, str address, str port):
        Transport.__init__(self, settings, socket, encrypted)
        self.template = template
        self.address = address
        self.port = port

    # ---- what the parser calls ----

    def on_url(self, bytes url):
        if self.in_head:
            self.target = latin(PyBytes_AS_STRING(url), PyBytes_GET_SIZE(url))

    def on_header(self, bytes name, bytes value):
        if not self.in_head:
            return  # the trailers of a chunked body
        self.header_count += 1
        cdef PyObject *known = PyDict_GetItem(self.settings.keys, name)
        key = <object>known if known != NULL else key_of(self.settings, name)
        if key is None:
            return
        cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
        cdef const char *text = PyBytes_AS_STRING(value)
        while size > 0 and (text[size - 1] == c" " or text[size - 1] == c"\t"):
            size -= 1
        cdef str decoded = latin(text, size)
        cdef PyObject *before = PyDict_GetItem(self.environ, key)
        if before != NULL:
            if key is HOST or key is CONTENT_LENGTH:
                self.doubled = key
            decoded = <str>before + ("; " if key is COOKIE else ",") + decoded
        self.environ[key] = decoded

    def on_body(self, bytes data):
        self.body_size += PyBytes_GET_SIZE(data)
        if self.body is not None:
            self.body.pieces.append(data)
            self.body.available += PyBytes_GET_SIZE(data)

    def on_message_complete(self):
        self.complete = True

    # ---- heads ----

    cdef bint read_head(self, int64_t first_deadline) except -1:
        """Reads the next request up to its body, and makes its environment. False when there is none any more.

        first_deadline: for the head of the first request of a connection; 0 for others. Raises Refusal, OSError,
        Expired.
        """
        cdef char *data = self.held + self.start
        cdef char *came
        cdef Py_ssize_t size = self.end - self.start, got, length, seen = 0
        cdef bint is_held = size > 0
        cdef int64_t deadline = first_deadline
        if not is_held:
            self.idle = True
            if self.settings.stopping:  # since the last head was sent: nobody would end this wait any more
                raise Expired
            size = self.receive(&data, deadline if deadline else moment(self.settings.idle_time))
            self.idle = False
            if size == 0:
                return False
        while True:
            if seen == 0:  # empty lines before a request are ignored: RFC 9112, 2.2
                while size > 1 and data[0] == c"\r" and data[1] == c"\n":
                    data += 2
                    size -= 2
                    if is_held:
                        self.use_up(2)
                        if size == 0:
                            is_held = False
            length = head_length(data, size, seen)
            self.check(data, length if length > 0 else size, seen)
            if length > 0:
                break
            if not is_held and size > 0:
                self.hold(data, size)
                is_held = True
            if deadline == 0:
                deadline = moment(self.settings.head_time)
            seen = size if size > 1 else 0  # half of an empty line may be there
            got = self.receive(&came, deadline)
            if got == 0:
                return False
            self.hold(came, got)
            is_held = True
            data = self.held + self.start
            size = self.end - self.start
        if not is_held and size > length:  # parsing makes objects, and a finalizer of the collector's may wait
            self.hold(data, size)
            is_held = True
            data = self.held
        self.parse(data, length)
        if is_held:
            self.use_up(length)
        return True

    # ---- heads of which somebody else reads the first line, or what stands in its place: a handler of pywsgi's ----

    cdef Py_ssize_t fetch(self) except -1:
        """Holds some more bytes of a head; 0 at the end. Raises OSError, Expired."""
        cdef char *data
        cdef Py_ssize_t got
        cdef bint is_first = not self.head_begun
        if is_first and self.settings.stopping:
            raise Expired
        if self.head_deadline == 0 and not is_first:
            self.head_deadline = moment(self.settings.head_time)
        self.idle = is_first
        got = self.receive(&data, self.head_deadline if self.head_deadline else moment(self.settings.idle_time))
        self.idle = False
        self.head_begun = True
        if got > 0:
            self.hold(data, got)
        return got

    cdef bytes take(self, Py_ssize_t size):
        cdef bytes taken = PyBytes_FromStringAndSize(self.held + self.start, size) if size > 0 else b""
        self.use_up(size)
        return taken

    def readline(self, Py_ssize_t limit=-1):
        """What comes up to the next line feed, which is the last byte of it, or to the end of the connection.

        limit: the most bytes; negative: as many as a head may have.
        """
        cdef const char *end
        cdef Py_ssize_t size
        if limit < 0:
            limit = self.settings.head
        while True:
            size = min(self.end - self.start, limit)
            end = <const char *>memchr(self.held + self.start, c"\n", size) if size > 0 else NULL
            if end != NULL:
                return self.take(end - (self.held + self.start) + 1)
            if size == limit or self.fetch() == 0:
                return self.take(min(self.end - self.start, limit))

    def read(self, Py_ssize_t size=-1):
        """So many bytes, fewer at the end of the connection; negative: to its end, or as many as a head may have."""
        if size < 0:
            size = self.settings.head
        while self.end - self.start < size and self.fetch() > 0:
            pass
        return self.take(min(self.end - self.start, size))

    def read_request(self, bytes line):
        """Read the head that begins with `line`, which has been read already.

        Raises ClientDisconnected when the connection ends before the head does, and Refusal.
        """
        cdef bytes behind = self.take(self.end - self.start)
        self.hold(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
        self.hold(PyBytes_AS_STRING(behind), PyBytes_GET_SIZE(behind))
        if not self.read_head(self.head_deadline):
            raise ClientDisconnected("the client has closed the connection in the middle of the head")

    cdef int check(self, const char *data, Py_ssize_t size, Py_ssize_t seen) except -1:
        """Refuses a head, or the beginning of one, that is too large or has bytes that no head can have."""
        cdef const char *flaw
        cdef Py_ssize_t line
        cdef const char *end
        if size > self.settings.request_line:
            end = <const char *>memchr(data, c"\r", self.settings.request_line + 1)
            if end == NULL:
                raise Refusal(414, "the request line is too long")
        if size > self.settings.head:
            raise Refusal(431, "the headers are too large")
        flaw = head_flaw(data, size, seen)
        if flaw != NULL:
            raise Refusal(400, flaw.decode("ascii"))
        return 0

    cdef int parse(self, const char *head, Py_ssize_t size) except -1:
        cdef request_line line = request_line_of(head, size)
        if line.version < 0:
            raise Refusal(400, "the first line is not a request of HTTP")
        if line.version == 0:
            raise Refusal(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        # before anything is made that the collector knows: the head may lie in the shared buffer
        cdef bytes whole = PyBytes_FromStringAndSize(head, size)
        cdef char *target = PyBytes_AS_STRING(whole) + line.method_size + 1
        cdef str uncovered = None
        if has_high_bytes(target, line.target_size):
            uncovered = latin(target, line.target_size)
            cover_high_bytes(target, line.target_size)
        self.version = line.version
        self.keep = line.version == 11
        self.environ = PyDict_Copy(self.template)
        self.complete = self.expects_continue = self.chunked = self.upgrade = self.answered = False
        self.doubled = self.target = self.body = self.flaw = None
        self.header_count = 0
        self.body_left = self.body_size = 0
        if line.method_size != 3 or memcmp(PyBytes_AS_STRING(whole), b"GET", 3) != 0:
            self.environ["REQUEST_METHOD"] = latin(PyBytes_AS_STRING(whole), line.method_size)
        if self.parser is None:
            self.parser = HttpRequestParser(self)
        self.in_head = True
        try:
            self.parser.feed_data(whole)
        except HttpParserUpgrade:
            self.upgrade = True
        except HttpParserError as error:
            raise self.refusal(error) from None
        finally:
            self.in_head = False
            if uncovered is not None:
                self.target = uncovered
        if self.header_count > self.settings.header_count:
            raise Refusal(431, "there are too many headers")
        if line.version == 10:
            self.environ["SERVER_PROTOCOL"] = "HTTP/1.0"
        self.environ["REMOTE_ADDR"] = self.address
        self.environ["REMOTE_PORT"] = self.port
        self.take_target()
        self.take_headers()
        self.frame()
        return 0

    def refusal(self, error):
        """What the client is answered for what the parser has refused."""
        if isinstance(error, HttpParserInvalidMethodError):
            return Refusal(501, "no such method is known here")
        if TRANSFER_ENCODING in self.environ and CONTENT_LENGTH not in self.environ:
            coding = self.environ[TRANSFER_ENCODING]
            if coding.lower() != "chunked":
                return Refusal(501, "the only transfer coding known here is 'chunked'")
        return Refusal(400, f"{error}")

    cdef int take_target(self) except -1:
        cdef str target = self.target, authority
        cdef str method = self.environ["REQUEST_METHOD"]
        if method == "CONNECT":
            raise Refusal(501, "this is no proxy")
        self.environ["RAW_URI"] = target
        if "#" in target:
            raise Refusal(400, "the target has a fragment")
        if not target.startswith("/"):
            if target == "*":
                if method != "OPTIONS":
                    raise Refusal(400, "the target '*' is for OPTIONS alone")
                return 0
            scheme, _, rest = target.partition("://")
            if scheme.lower() not in ("http", "https"):
                raise Refusal(400, "the target is no path")
            authority = rest.partition("?")[0].partition("/")[0]
            target = rest[len(authority) :]
            if not authority or "@" in authority:
                raise Refusal(400, "the target names no host, or a user")
            if HOST in self.environ or self.version == 10:
                self.environ[HOST] = authority  # RFC 9112, 3.2.2
            if not target.startswith("/"):
                target = "/" + target
        path, question, query = target.partition("?") if "?" in target else (target, "", "")
        if question:
            self.environ["QUERY_STRING"] = query
        self.environ["PATH_INFO"] = unquoted(path) if "%" in path else path
        return 0

    cdef int take_headers(self) except -1:
        """What the server itself has to know of them."""
        cdef PyObject *value
        cdef bytes text
        if self.doubled is not None:
            raise Refusal(400, f"{self.doubled.removeprefix('HTTP_')} is given twice")
        value = PyDict_GetItem(self.environ, HOST)
        if value != NULL:
            text = (<str>value).encode("latin-1")
            if not is_host(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)):
                raise Refusal(400, "the Host is malformed")
        elif self.version == 11:
            raise Refusal(400, "a Host is missing")
        value = PyDict_GetItem(self.environ, CONNECTION)
        if value != NULL:
            self.take_connection(<str>value)
        value = PyDict_GetItem(self.environ, EXPECT)
        if value != NULL and self.version == 11:
            if (<str>value).lower() != "100-continue":
                raise Refusal(417, "the only expectation known here is '100-continue'")
            self.expects_continue = True
        return 0

    cdef int take_connection(self, str value) except -1:
        options = [option.strip(" \t") for option in value.lower().split(",")]
        if "close" in options:
            self.keep = False
        elif "keep-alive" in options:
            self.keep = True
        return 0

    # ---- bodies ----

    cdef int frame(self) except -1:
        """Finds out how the request's body ends."""
        cdef PyObject *coding = PyDict_GetItem(self.environ, TRANSFER_ENCODING)
        cdef PyObject *length = PyDict_GetItem(self.environ, CONTENT_LENGTH)
        if coding != NULL:
            if self.version == 10:
                raise Refusal(400, "HTTP/1.0 has no Transfer-Encoding")
            if (<str>coding).lower() != "chunked":
                raise Refusal(501, "the only transfer coding known here is 'chunked'")
            self.chunked = True
            self.place = SIZE_LINE
            self.in_size = True
            self.chunk_left = self.line_size = self.extensions = 0
        elif length != NULL:
            size = int(<str>length)
            if size > min(self.settings.body, MOST_BODY):
                raise Refusal(413, "the body is too large")
            self.body_left = size
        if self.upgrade:
            self.begin_anew()
        if not self.chunked and self.body_left == 0:
            self.expects_continue = False
            if not self.complete:
                raise Refusal(400, "the request does not end with its head")
            return 0
        if self.complete:
            raise Refusal(400, "the request ends before its body")
        self.body = empty_input()
        self.body.reader = self
        self.environ["wsgi.input"] = self.body
        return 0

    cdef int begin_anew(self) except -1:
        """A request to change the protocol is served as if it had not asked, but the parser takes it to have ended
        with its head. Another one reads the body, and what follows."""
        self.parser = HttpRequestParser(self)
        if self.chunked:
            self.parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        elif self.body_left > 0:
            self.parser.feed_data(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % self.body_left)
        else:
            return 0
        self.complete = False
        return 0

    cdef int more(self, Input body) except -1:
        """Gives the body at least one more piece, or finds its end. Raises ClientDisconnected or RequestBodyError."""
        cdef char *data
        cdef Py_ssize_t size, used
        cdef Py_ssize_t before = body.available
        if self.flaw is not None:
            raise RequestBodyError(*self.flaw)
        while body.available == before and not self.complete:
            if self.end > self.start:
                used = self.feed_body(self.held + self.start, self.end - self.start)
                self.use_up(used)
                continue
            if self.expects_continue and not self.answered:
                self.expects_continue = False
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n", 25, None, False)
            size = self.receive_body(&data)
            self.hold(data, size)  # for the parser, which makes objects: see read_head()
        return 0

    cdef Py_ssize_t receive_body(self, char **data) except -1:
        cdef Py_ssize_t size
        try:
            size = self.receive(data, moment(self.settings.stall_time))
        except Expired:
            self.keep = False
            raise RequestBodyError(408, "the client has stopped sending the body") from None
        except OSError as error:
            self.broken = True
            raise ClientDisconnected("the client has closed the connection") from error
        if size == 0:
            self.broken = True
            raise ClientDisconnected("the client has closed the connection in the middle of the body")
        return size

    cdef Py_ssize_t feed_body(self, const char *data, Py_ssize_t size) except -1:
        """Feeds what belongs to the body, at most so much that memory stays bounded. Returns how much that was."""
        cdef Py_ssize_t used = min(size, PIECES_AT_ONCE)
        if self.chunked:
            used = self.feed_chunks(data, used)
        else:
            used = min(used, self.body_left)
            self.feed(data, used)
            self.body_left -= used
            if self.complete != (self.body_left == 0):
                self.spoil(400, "the body is malformed")
        if self.body_size > self.settings.body:
            self.spoil(413, "the body is too large")
        return used

    cdef Py_ssize_t feed_chunks(self, const char *data, Py_ssize_t size) except -1:
        cdef Py_ssize_t at = 0, piece
        cdef const char *end
        cdef bint whole
        while at < size and not self.complete:
            if self.place == CHUNK:
                piece = <Py_ssize_t>min(<uint64_t>(size - at), self.chunk_left)
                self.feed(data + at, piece)
                at += piece
                self.chunk_left -= piece
                if self.chunk_left == 0:
                    self.place = SIZE_LINE
                    self.in_size = True
                    self.line_size = 0
                continue
            end = <const char *>memchr(data + at, c"\n", size - at)
            whole = end != NULL
            piece = end - (data + at) + 1 if whole else size - at
            self.line_size += piece
            if self.line_size > (LINE if self.place == SIZE_LINE else self.settings.head):
                self.spoil(400, "a line between chunks is too long")
            self.feed(data + at, piece)
            if self.place == SIZE_LINE:
                self.take_size(data + at, piece)
                if whole:
                    if self.chunk_left > <uint64_t>MOST_BODY:
                        self.spoil(413, "the body is too large")
                    self.extensions += max(self.line_size - PLAIN_SIZE, 0)
                    if self.extensions > self.settings.head:
                        self.spoil(400, "the chunks' extensions are too large")
                    self.place = CHUNK if self.chunk_left > 0 else TRAILERS
                    self.chunk_left += 2  # the CRLF behind it
                    self.line_size = 0
            at += piece
        if self.complete and (self.place != TRAILERS or data[at - 1] != c"\n"):
            self.spoil(400, "the body is malformed")
        return at

    cdef void take_size(self, const char *line, Py_ssize_t size):
        """The digits at the beginning of a line that the parser has found to be good: no overflow."""
        cdef int digit
        for i in range(size):
            digit = digit_of(line[i]) if self.in_size else -1
            if digit < 0:
                self.in_size = False
                return
            self.chunk_left = self.chunk_left << 4 | <uint64_t>digit

    cdef int feed(self, const char *data, Py_ssize_t size) except -1:
        try:
            self.parser.feed_data(PyMemoryView_FromMemory(<char *>data, size, PyBUF_READ))
        except HttpParserError as error:
            self.spoil(400, f"the body is malformed: {error}")
        return 0

    cdef int spoil(self, int status, str reason) except -1:
        """Nothing can be read behind this body, nor any more of it, however often the application tries."""
        self.keep = self.complete = False
        self.flaw = (status, reason)
        if self.body is not None:
            self.body.clear()
        raise RequestBodyError(status, reason)

    cdef bint can_go_on(self):
        if not self.keep:
            return False
        # a client that waits for "100 Continue" may or may not send its body when it is answered without
        return self.complete or not (self.expects_continue or self.body_left > self.settings.unread_body)

    cdef bint drain(self) except -1:
        """Drops the rest of the body. False if that is too much, or cannot be done: the connection is closed then."""
        cdef Input body = self.body
        cdef int64_t most
        if not self.can_go_on():
            return False
        most = self.body_size + self.settings.unread_body
        try:
            while not self.complete:
                body.clear()
                if self.body_size > most:
                    return False
                self.more(body)
        except (RequestBodyError, ClientDisconnected):
            return False
        return True


cdef str unquoted(str path):
    cdef bytes text = path.encode("latin-1")
    cdef bytes room = PyBytes_FromStringAndSize(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return latin(PyBytes_AS_STRING(room), unquote(PyBytes_AS_STRING(room), PyBytes_GET_SIZE(room)))
