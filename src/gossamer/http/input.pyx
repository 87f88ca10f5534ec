# cython: language_level=3, boundscheck=False, wraparound=False
"""The body of a request, as the file that applications read: `Input`, which is `wsgi.input`.

Nothing is read from the client before the application asks. Then a `BodySource` (request.pyx) is asked for more: it adds
what has come to the pieces here, or says that the body is complete.

A read that is ended in the middle, by a Timeout of the application's or a kill, gives back what it has taken: the next
one begins where it began.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr

from gossamer.http.transport cimport Transport

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX


cdef class BodySource(Transport):
    cdef int more(self, Input body) except -1:
        raise NotImplementedError


cpdef Input empty_input():
    """The body of a request that has none."""
    return Input.__new__(Input)


@cython.auto_pickle(False)
cdef class Input:
    """The body of a request, as a file: `wsgi.input`.

    It ends where the body does, whatever its framing (`wsgi.input_terminated`). Reading raises
    `gossamer.http.ClientDisconnected` when the client is gone before that, and `gossamer.http.RequestBodyError` when
    the body is malformed, larger than the limits allow, or not sent in time. Once the request has been answered there
    is nothing to read.

    It has what io.BufferedReader and io.TextIOWrapper need of a file that they are given.
    """

    closed = False

    def __cinit__(self):
        self.pieces = []
        self.current = b""

    def __init__(self):
        raise TypeError("the server makes these")

    cdef void clear(self):
        self.pieces = []
        self.current = b""
        self.at = self.available = 0

    cdef void end(self):
        """The request has been answered."""
        self.reader = None
        self.clear()

    cdef bint fetch(self) except -1:
        """Gets more from the client; False at the end."""
        cdef Py_ssize_t before = self.available
        if self.reader is None:
            return False
        if self.reader.complete:
            return False
        self.reader.more(self)
        return self.available > before

    cdef bint next_piece(self):
        """Whether something is left of what has come, with the first of it in `current`."""
        if self.at < PyBytes_GET_SIZE(self.current):
            return True
        self.at = 0
        self.current = self.pieces.pop(0) if self.pieces else b""
        return PyBytes_GET_SIZE(self.current) > 0

    cdef int give_back(self, list parts) except -1:
        """What was taken last is there again. In one piece, as there may be any number of them."""
        cdef bytes taken = b"".join(parts)
        if self.at < PyBytes_GET_SIZE(self.current):
            self.pieces.insert(0, self.current[self.at :])
        self.current = taken
        self.at = 0
        self.available += PyBytes_GET_SIZE(taken)
        return 0

    cdef bytes take(self, Py_ssize_t most):
        """Up to so many bytes, of one piece."""
        cdef Py_ssize_t size = min(most, PyBytes_GET_SIZE(self.current) - self.at)
        cdef bytes taken = self.current
        if size < PyBytes_GET_SIZE(taken):
            taken = PyBytes_FromStringAndSize(PyBytes_AS_STRING(taken) + self.at, size)
        self.at += size
        self.available -= size
        return taken

    def read(self, size=-1):
        """Read `size` bytes, fewer only at the end; all that is left if it is None or negative."""
        cdef Py_ssize_t left = PY_SSIZE_T_MAX if size is None or size < 0 else size
        parts = []
        try:
            while left > 0 and (self.next_piece() or self.fetch()):
                if self.next_piece():
                    part = self.take(left)
                    left -= PyBytes_GET_SIZE(part)
                    parts.append(part)
        except BaseException:
            self.give_back(parts)
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read1(self, size=-1):
        """Read what has come, or else what comes next; at most `size` bytes if that is not None or negative. Returns
        b"" at the end."""
        cdef Py_ssize_t most = PY_SSIZE_T_MAX if size is None or size < 0 else size
        if most == 0 or not (self.next_piece() or self.fetch() and self.next_piece()):
            return b""
        return self.take(most)

    def readinto(self, buffer):
        """Read as `read1()` does, into `buffer`. Returns how many bytes that were; 0 at the end.

        Raises TypeError for a buffer that cannot be written.
        """
        view = memoryview(buffer).cast("B")
        if view.readonly:
            raise TypeError(f"the buffer to read into cannot be written: {buffer!r:.50}")
        data = self.read1(len(view))
        view[: len(data)] = data
        return len(data)

    readinto1 = readinto

    def readline(self, size=-1):
        """Read up to and with the next newline, at most `size` bytes if that is not None or negative."""
        cdef Py_ssize_t left = PY_SSIZE_T_MAX if size is None or size < 0 else size, most
        cdef const char *start
        cdef const char *end
        parts = []
        try:
            while left > 0 and (self.next_piece() or self.fetch()):
                if not self.next_piece():
                    continue
                most = min(left, PyBytes_GET_SIZE(self.current) - self.at)
                start = PyBytes_AS_STRING(self.current) + self.at
                end = <const char *>memchr(start, c"\n", most)
                part = self.take(end - start + 1 if end != NULL else most)
                parts.append(part)
                left = 0 if end != NULL else left - PyBytes_GET_SIZE(part)
        except BaseException:
            self.give_back(parts)
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readlines(self, hint=-1):
        """Read lines until the end, or until they are `hint` bytes together if that is not None, 0 or negative."""
        cdef Py_ssize_t most = -1 if hint is None else hint, total = 0
        lines = []
        try:
            while line := self.readline():
                lines.append(line)
                total += len(line)
                if 0 < most <= total:
                    break
        except BaseException:
            self.give_back(lines)
            raise
        return lines

    def readable(self):
        """True."""
        return True

    def writable(self):
        """False."""
        return False

    def seekable(self):
        """False."""
        return False

    def flush(self):
        """Do nothing."""

    def close(self):
        """Do nothing: what is left of the body is the server's business (PEP 3333)."""

    @property
    def raw(self):
        """What lies beneath, with the connection's socket as its `_sock`, where libraries for gevent look for it.

        Raises AttributeError if the connection cannot be taken over (gossamer.http.takeover).
        """
        if self.connection is None:
            raise AttributeError("the connection of this request cannot be taken over")
        return self.connection

    def __iter__(self):
        return self

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line
