# cython: language_level=3, boundscheck=False, wraparound=False
"""One client's stream of bytes, plain or TLS, with its deadlines.

Plain sockets are read and written without Python objects (_points/stream.c); a TLS socket by its methods.

* What receive() gives lies in the buffer that the whole hub shares: whoever wants to keep it across a wait, or a call
  of Python code, holds it first.
* No wait has a timer of its own. It notes its deadline, and the server's sweep (connection.pyx) ends those that are
  past it by an interrupt, `Expired`. Two stores instead of a timer in the heap and out again.
* A send that failed half-way leaves the client with half a message: `broken` says that nothing may follow.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove
from libc.time cimport time, time_t

from gossamer cimport _core
from gossamer._core cimport iovec

from gossamer.http.errors import ClientDisconnected, Expired

_core.stream_import()

cdef extern from "http/head.h":
    void date_write(char *out, time_t when) nogil

cdef Py_ssize_t ENCRYPTED_AT_ONCE = 65536
cdef int64_t FILE_AT_ONCE = 1 << 20
cdef int64_t LINGER_TIME = 2000000000
cdef Py_ssize_t LINGER_BYTES = 1 << 20


cdef int64_t moment(int64_t patience):
    """The point in time so many nanoseconds from now, on the coarse clock."""
    return patience if patience == INT64_MAX else coarse_now() + patience


cdef int64_t nanoseconds(seconds):
    return INT64_MAX if seconds is None else max(<int64_t>(min(seconds, 1e9) * 1e9), 1)


cdef class Settings:
    def __init__(self, limits, str server_name):
        self.request_line = limits.request_line
        self.head = limits.head
        self.header_count = limits.header_count
        self.unread_body = limits.unread_body
        self.body = INT64_MAX if limits.body is None else limits.body
        self.head_time = nanoseconds(limits.head_time)
        self.idle_time = 0 if limits.idle == 0 else nanoseconds(limits.idle)
        self.stall_time = nanoseconds(limits.stall)
        self.keys = {}
        self.server_line = b"\r\nServer: " + server_name.encode("latin-1") if server_name else b""

    cdef const char *date_now(self):
        cdef time_t now = time(NULL)
        if now != self.date_of:
            date_write(self.date, now)
            self.date_of = now
        return self.date


cdef class Transport:
    def __init__(self, Settings settings, socket, bint encrypted):
        self.settings = settings
        self.socket = socket
        self.plain = not encrypted and _core.stream_is_plain(socket)

    def __dealloc__(self):
        free(self.held)

    # ---- receiving ----

    cdef Py_ssize_t receive(self, char **data, int64_t deadline) except -1:
        """Some bytes, 0 at the end. Raises OSError, or Expired after the deadline."""
        cdef Py_ssize_t got
        self.deadline = deadline
        try:
            if self.plain:
                got = _core.stream_receive(self.socket, data, True)
            else:
                self.received = self.socket.recv(ENCRYPTED_AT_ONCE)
                data[0] = PyBytes_AS_STRING(self.received)
                got = PyBytes_GET_SIZE(self.received)
        finally:
            self.deadline = 0
        return got

    cdef Py_ssize_t receive_at_once(self, char **data) except -2:
        """The same without waiting; -1 when nothing is there."""
        cdef Py_ssize_t got
        if not self.plain:
            return -1
        got = _core.stream_receive(self.socket, data, False)
        return -1 if got == _core.STREAM_EMPTY else got

    cdef int hold(self, const char *data, Py_ssize_t size) except -1:
        cdef Py_ssize_t needed
        cdef char *bigger
        if self.start > 0:
            memmove(self.held, self.held + self.start, self.end - self.start)
            self.end -= self.start
            self.start = 0
        needed = self.end + size
        if needed > self.capacity:
            needed = max(needed, 2 * self.capacity)
            bigger = <char *>realloc(self.held, needed)
            if bigger == NULL:
                raise MemoryError
            self.held = bigger
            self.capacity = needed
        memcpy(self.held + self.end, data, size)
        self.end += size
        return 0

    cdef void use_up(self, Py_ssize_t size):
        """Drops so much from the front of what is held; an idle connection holds no memory."""
        self.start += size
        if self.start == self.end:
            free(self.held)
            self.held = NULL
            self.start = self.end = self.capacity = 0

    # ---- sending ----

    cdef int send(self, const char *head, Py_ssize_t size, bytes body, bint line_end) except -1:
        """Sends the bytes at `head`, which may lie in the shared buffer, the body if there is one, and CRLF if so said.

        Raises ClientDisconnected.
        """
        cdef iovec parts[3]
        cdef int count = 1
        cdef Py_ssize_t total = size, sent = 0
        if not self.plain:
            return self.send_encrypted(head, size, body, line_end)
        parts[0].iov_base = <void *>head
        parts[0].iov_len = size
        if body is not None:
            parts[1].iov_base = PyBytes_AS_STRING(body)
            parts[1].iov_len = PyBytes_GET_SIZE(body)
            total += PyBytes_GET_SIZE(body)
            count = 2
        if line_end:
            parts[count].iov_base = b"\r\n"
            parts[count].iov_len = 2
            total += 2
            count += 1
        try:
            sent = _core.stream_send(self.socket, parts, count)
        except OSError as error:
            self.sending_failed(error)
        if sent == total:
            return 0
        return self.send_rest(head, size, body, line_end, sent)

    cdef int send_rest(self, const char *head, Py_ssize_t size, bytes body, bint line_end, Py_ssize_t sent) except -1:
        """What did not go at once."""
        cdef iovec part
        cdef Py_ssize_t at = 0, went
        # others will use the buffer that the head may lie in
        pieces = [PyBytes_FromStringAndSize(head, size), body, b"\r\n" if line_end else None]
        try:
            for piece in pieces:
                if piece is None:
                    continue
                at = min(sent, PyBytes_GET_SIZE(piece))
                sent -= at
                while at < PyBytes_GET_SIZE(piece):
                    part.iov_base = PyBytes_AS_STRING(piece) + at
                    part.iov_len = PyBytes_GET_SIZE(piece) - at
                    went = _core.stream_send(self.socket, &part, 1)
                    at += went
                    if went == 0:
                        self.deadline = moment(self.settings.stall_time)
                        _core.stream_wait_writable(self.socket)
        except BaseException as error:
            self.sending_failed(error)
        finally:
            self.deadline = 0
        return 0

    cdef int send_encrypted(self, const char *head, Py_ssize_t size, bytes body, bint line_end) except -1:
        data = PyBytes_FromStringAndSize(head, size)
        if body is not None:
            data += body
        if line_end:
            data += b"\r\n"
        cdef Py_ssize_t at = 0
        try:
            while at < PyBytes_GET_SIZE(data):
                self.deadline = moment(self.settings.stall_time)
                self.socket.sendall(data[at : at + ENCRYPTED_AT_ONCE])
                at += ENCRYPTED_AT_ONCE
        except BaseException as error:
            self.sending_failed(error)
        finally:
            self.deadline = 0
        return 0

    cdef int send_file(self, int descriptor, int64_t offset, int64_t size) except -1:
        """Sends so much of a file, by sendfile(2). Raises ClientDisconnected; EOFError when the file is shorter."""
        cdef int64_t sent
        try:
            while size > 0:
                self.deadline = moment(self.settings.stall_time)
                sent = os.sendfile(self.socket.fileno(), descriptor, offset, min(size, FILE_AT_ONCE))
                if sent == 0:
                    raise EOFError("the file has become shorter while it was sent")
                offset += sent
                size -= sent
        except BaseException as error:
            self.sending_failed(error)
        finally:
            self.deadline = 0
        return 0

    cdef int sending_failed(self, error) except -1:
        """The client is left with half a message. Raises what that means to whoever was writing: ClientDisconnected for
        an OSError or a deadline, anything else as it is."""
        self.broken = True
        if isinstance(error, Expired):
            raise ClientDisconnected("the client does not read what it is sent") from error
        if isinstance(error, OSError):
            raise ClientDisconnected("the client has closed the connection") from error
        raise error

    cdef int linger(self) except -1:
        """Lets the client read the last response: closing with unread input would make the kernel reset it."""
        cdef char *data
        cdef Py_ssize_t got, left = LINGER_BYTES
        cdef int64_t deadline = moment(LINGER_TIME)
        if not self.plain or self.broken:
            return 0
        try:
            self.socket.shutdown(1)  # SHUT_WR
            while left > 0:
                got = self.receive(&data, deadline)
                if got == 0:
                    break
                left -= got
        except (OSError, Expired):
            pass
        return 0

    cdef int say_goodbye(self) except -1:
        """TLS tells its end by a message, without which what was sent may have been cut off. Nobody waits for another."""
        if self.plain or self.broken:
            return 0
        try:
            self.socket.settimeout(0)
            self.socket.unwrap()
        except (OSError, ValueError, AttributeError):
            pass
        return 0

    cdef bint can_go_on(self):
        """Whether another message can follow the one that is being answered."""
        return True

    cdef bint can_switch(self):
        """Whether the request that is being answered may be answered by going on in another protocol."""
        return False

    cdef int switch_protocols(self) except -1:
        """It is: what follows is none of the server's."""
        return 0
