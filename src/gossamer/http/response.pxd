from libc.stdint cimport int64_t

from gossamer.http.transport cimport Transport


cdef bytes bytes_of(data, str rule)


# One response: what start_response() was told, and what of it has been sent.
cdef class Response:
    cdef Transport transport                 # None: the request has been answered
    cdef bint for_head, old_protocol         # the request's method is HEAD; HTTP/1.0
    cdef public bint keep                    # the connection may go on
    cdef public object finalizer             # called once, before the head is written; None
    cdef readonly str status
    cdef readonly list headers
    cdef int64_t declared                    # Content-Length, -1: none was given
    cdef readonly int64_t sent               # bytes of the body
    cdef Py_ssize_t head_size                # a bound
    cdef readonly bint begun                 # the head is sent
    cdef bint has_date, has_server, chunked
    cdef bint without_length                 # 101, 204: a status that may not have a Content-Length
    cdef bint unmodified                     # 304
    cdef bint bodiless                       # nothing but the head is sent
    cdef bint switching                      # 101: what follows the head is another protocol's
    cdef readonly bint cut                   # the application gave more than it had declared

    cdef int take(self, status, headers) except -1
    cdef int take_header(self, tuple header) except -1
    cdef int put(self, bytes data, int64_t length) except -1
    cdef int put_file(self, int descriptor, int64_t offset, int64_t size) except -1
    cdef char *write_head(self, char *out, int64_t length) except NULL
    cdef int finish(self) except -1
    cdef bint is_short(self)
