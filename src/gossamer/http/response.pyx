# cython: language_level=3, boundscheck=False, wraparound=False
"""Responses, from start_response() to bytes.

A head is put together in the hub's shared buffer and leaves in one system call with the first piece of the body. What
the application gives is checked when it gives it, so that the error is raised where the mistake is.

How the body's end is told (RFC 9112, 6.3): by Content-Length if the application declares one or the whole body is known,
else by chunks, else (HTTP/1.0) by closing the connection.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy

from gossamer cimport _core
from gossamer.http.transport cimport DATE_SIZE, Transport

_core.stream_import()

cdef extern from "Python.h":
    int PyUnicode_KIND(object text)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    enum:
        PyUnicode_1BYTE_KIND

cdef extern from "http/head.h":
    enum header_kind:
        CONTENT_LENGTH
        DATE
        SERVER
        CONNECTION
        UPGRADE
        HOP_BY_HOP

    bint is_token(const char *data, size_t size) nogil
    bint is_one_line(const char *text, size_t size) nogil
    int64_t decimal_of(const char *text, size_t size) nogil
    bint is_status(const char *text, size_t size) nogil
    header_kind kind_of_header "header_kind"(const char *name, size_t size) nogil
    char *decimal_write(char *out, uint64_t number) nogil
    char *hexadecimal_write(char *out, uint64_t number) nogil

# A piece of a body up to this size is copied behind the head, which is cheaper than a second part for the kernel.
cdef Py_ssize_t COPIED = 16384
# Of a response's head; the shared buffer has room for it, for what the server adds, and for COPIED.
cdef Py_ssize_t MOST_HEAD = 131072
cdef Py_ssize_t ADDED = 512


cdef char *add(char *out, const char *text, Py_ssize_t size) noexcept:
    memcpy(out, text, size)
    return out + size


cdef char *add_str(char *out, str text) noexcept:
    """Of one byte a character, which take() has seen to."""
    return add(out, <const char *>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))


cdef const char *latin_text(text):
    """The characters of a str of one byte a character; NULL for anything else."""
    if not isinstance(text, str) or PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND:
        return NULL
    return <const char *>PyUnicode_DATA(text)


cdef object no_latin_text(text, str what):
    """The error for that."""
    if not isinstance(text, str):
        return TypeError(f"{what} must be a str, not {type(text).__name__}: {text!r}")
    return ValueError(f"{what} has characters that Latin-1 has not: {text!r}")


cdef tuple as_tuple(header):
    if not isinstance(header, tuple):
        raise TypeError(f"each header must be a tuple of name and value, not {header!r}")
    return tuple(iter(header))


cdef bytes bytes_of(data, str rule):
    """The bytes of what is not of that type, but holds some; TypeError, which begins with `rule`, for anything else."""
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"{rule} {type(data).__name__}")


cdef class Response:
    """One response of an application; `start_response` is what the application is given."""

    def __init__(self):
        raise TypeError("the server makes these")

    def start_response(self, status, headers, exc_info=None):
        """Take the status and the headers, as PEP 3333 has it; returns the `write` callable.

        With `exc_info`, replaces what was given before, or raises that exception if the head has been sent already.
        Raises AssertionError if called again without it, TypeError and ValueError for what cannot be sent: wrong types,
        characters outside Latin-1, line breaks, hop-by-hop headers.
        """
        if exc_info:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status is not None:
            raise AssertionError("start_response() was called before; to replace its headers, give exc_info")
        if self.transport is None:
            raise AssertionError("start_response() was called after the end of the request")
        self.take(status, headers)
        return self.write

    def write(self, data):
        """Send a piece of the body at once: PEP 3333's way for applications that cannot return an iterable.

        data: bytes; a bytearray or memoryview is taken as well, as gevent does.
        Raises TypeError if it is anything else, gossamer.http.ClientDisconnected if the client is gone.
        """
        if not isinstance(data, bytes):
            data = bytes_of(data, "write() takes bytes, not")
        if self.transport is None:
            raise AssertionError("write() was called after the end of the request")
        if type(data) is not bytes:  # one of a class of their own, which may answer as it likes
            data = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        self.put(<bytes>data, -1)

    # ---- what the application gives ----

    cdef int take(self, status, headers) except -1:
        cdef const char *text = latin_text(status)
        cdef Py_ssize_t size
        if text == NULL:
            raise no_latin_text(status, "the status")
        size = PyUnicode_GET_LENGTH(status)
        if not is_status(text, size):
            raise ValueError(f"the status must be like '200 OK', not {status!r}")
        self.switching = memcmp(text, b"101", 3) == 0 and self.transport.can_switch()
        if (text[0] == c"1" or text[0] == c"0") and not self.switching:
            raise ValueError(f"{status!r} is no final status; an application cannot send others, but for 101 when the "
                             "client asks for another protocol (help('gossamer.http.takeover'))")
        if not isinstance(headers, list):
            raise TypeError(f"the headers must be a list, not {type(headers).__name__}")
        self.declared = -1
        self.has_date = self.has_server = False
        self.head_size = size
        self.without_length = self.switching or memcmp(text, b"204", 3) == 0
        self.unmodified = memcmp(text, b"304", 3) == 0
        self.bodiless = self.for_head or self.unmodified or (self.without_length and not self.switching)
        # copies, down to the tuples: what is checked here is what is sent
        headers = [header if type(header) is tuple else as_tuple(header) for header in headers]
        self.status = self.headers = None
        for header in headers:
            self.take_header(<tuple>header)
        if self.head_size > MOST_HEAD:
            raise ValueError(f"the headers are larger than {MOST_HEAD} bytes")
        if self.without_length:
            self.declared = -1
        self.status = <str>status
        self.headers = headers
        return 0

    cdef int take_header(self, tuple header) except -1:
        cdef const char *name
        cdef const char *value
        cdef Py_ssize_t name_size, value_size
        cdef header_kind kind
        if len(header) != 2:
            raise TypeError(f"each header must be a tuple of name and value, not {header!r}")
        first, second = header
        name = latin_text(first)
        value = latin_text(second)
        if name == NULL:
            raise no_latin_text(first, "a header's name")
        if value == NULL:
            raise no_latin_text(second, f"the value of {first}")
        name_size, value_size = PyUnicode_GET_LENGTH(first), PyUnicode_GET_LENGTH(second)
        if not is_token(name, name_size):
            raise ValueError(f"{first!r} cannot be a header's name")
        if not is_one_line(value, value_size):
            raise ValueError(f"the value of {first} has a line break or another control character: {second!r}")
        kind = kind_of_header(name, name_size)
        if kind == CONTENT_LENGTH:
            if self.declared >= 0 or decimal_of(value, value_size) < 0:
                raise ValueError(f"Content-Length is given twice, or is not a number of bytes: {second!r}")
            self.declared = decimal_of(value, value_size)
        elif kind == DATE:
            self.has_date = True
        elif kind == SERVER:
            self.has_server = True
        elif self.switching and (kind == CONNECTION or kind == UPGRADE):
            pass
        elif kind == CONNECTION and second.strip().lower() == "close":
            self.keep = False
        elif kind == CONNECTION and second.strip().lower() == "keep-alive":
            pass
        elif kind == CONNECTION or kind == UPGRADE or kind == HOP_BY_HOP:
            raise ValueError(f"{first} is between the server and the client; an application cannot set it (PEP 3333)")
        self.head_size += name_size + value_size + 4
        return 0

    # ---- what is sent ----

    cdef int put(self, bytes data, int64_t length) except -1:
        """Sends a piece of the body, and before the first one the head.

        length: of the whole body if that is known; -1. Raises ClientDisconnected.
        """
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), room
        cdef char *buffer
        cdef char *out
        if self.status is None:
            raise AssertionError("the application has not called start_response()")
        if self.finalizer is not None:
            finalizer, self.finalizer = self.finalizer, None
            finalizer()
        out = buffer = _core.stream_buffer(&room)
        if self.declared >= 0 and size > self.declared - self.sent and not self.bodiless:
            self.cut = True
            size = self.declared - self.sent
            data = data[:size]
        if not self.begun:
            out = self.write_head(out, length)
        if self.bodiless:
            size = 0
        self.sent += size
        if size > 0 and self.chunked:
            out = add(hexadecimal_write(out, size), b"\r\n", 2)
        if size > 0 and size <= COPIED:
            out = add(out, PyBytes_AS_STRING(data), size)
            if self.chunked:
                out = add(out, b"\r\n", 2)
            size = 0
        if size > 0:
            self.transport.send(buffer, out - buffer, data, self.chunked)
        elif out > buffer:
            self.transport.send(buffer, out - buffer, None, False)
        return 0

    cdef int put_file(self, int descriptor, int64_t offset, int64_t size) except -1:
        """Sends a file, from `offset` on, as the whole body. Raises ClientDisconnected, EOFError."""
        self.put(b"", size)
        if self.declared >= 0 and size > self.declared:
            size = self.declared
        if not self.bodiless:
            self.transport.send_file(descriptor, offset, size)
            self.sent = size
        return 0

    cdef char *write_head(self, char *out, int64_t length) except NULL:
        """Writes the head, and settles how the body's end is told."""
        cdef header_kind kind
        out = add(out, b"HTTP/1.1 ", 9)
        out = add_str(out, self.status)
        for header in self.headers:
            kind = kind_of_header(<const char *>PyUnicode_DATA(header[0]), PyUnicode_GET_LENGTH(header[0]))
            if (kind == CONNECTION and not self.switching) or (kind == CONTENT_LENGTH and self.without_length):
                continue
            out = add(out, b"\r\n", 2)
            out = add_str(out, <str>header[0])
            out = add(out, b": ", 2)
            out = add_str(out, <str>header[1])
        if not self.has_server:
            out = add(out, PyBytes_AS_STRING(self.transport.settings.server_line),
                      PyBytes_GET_SIZE(self.transport.settings.server_line))
        if not self.has_date:
            out = add(out, b"\r\nDate: ", 8)
            out = add(out, self.transport.settings.date_now(), DATE_SIZE)
        if self.switching:
            self.transport.switch_protocols()
        elif self.declared < 0 and not self.without_length and not self.unmodified:
            if length > 0 or (length == 0 and not self.for_head):
                out = decimal_write(add(out, b"\r\nContent-Length: ", 18), length)
                self.declared = length
            elif self.old_protocol:
                self.keep = False
            elif not self.for_head:
                out = add(out, b"\r\nTransfer-Encoding: chunked", 28)
                self.chunked = True
        if self.transport.settings.stopping or not self.transport.can_go_on():
            self.keep = False
        if self.switching:
            self.keep = False
        elif not self.keep:
            out = add(out, b"\r\nConnection: close", 19)
        elif self.old_protocol:
            out = add(out, b"\r\nConnection: keep-alive", 24)
        self.begun = self.transport.answered = True
        return add(out, b"\r\n\r\n", 4)

    cdef int finish(self) except -1:
        """Sends what is left when the application has given everything."""
        if not self.begun:
            self.put(b"", 0)
        if self.chunked:
            self.chunked = False
            self.transport.send(b"0\r\n\r\n", 5, None, False)
        return 0

    cdef bint is_short(self):
        """Whether less was sent than was declared: the client still waits for the rest."""
        return self.declared > self.sent and not self.bodiless
