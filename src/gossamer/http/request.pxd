from libc.stdint cimport int64_t, uint64_t

from gossamer.http.input cimport BodySource, Input


# Where the parser is in a chunked body.
cdef enum chunk_place:
    SIZE_LINE
    CHUNK
    TRAILERS


# The requests of one connection, read and parsed one after the other.
cdef class RequestReader(BodySource):
    cdef dict template                       # what the environments of one listener's requests have in common
    cdef str address, port                   # the client's
    cdef object parser
    cdef bint idle                           # waiting for the first byte of a request
    cdef int64_t head_deadline               # of a head that somebody else begins to read; 0: as other heads have it
    cdef bint head_begun                     # something of it has come
    cdef bint in_head                        # the parser is given a head
    cdef public bint keep                    # the client wants another request on this connection
    cdef bint expects_continue               # the client waits for "100 Continue" before it sends the body
    cdef bint upgrade                        # the client would go on in another protocol
    cdef int version                         # 10 or 11
    cdef int header_count
    cdef str doubled                         # a header that there may be only one of, and was not
    cdef str target                          # as the client sent it
    cdef readonly dict environ
    cdef Input body                          # None: the request has none
    cdef tuple flaw                          # of the body, as RequestBodyError takes it; None: none was found
    # its framing
    cdef int64_t body_left                   # of a body with Content-Length
    cdef int64_t body_size                   # so far
    cdef bint chunked
    cdef chunk_place place
    cdef bint in_size                        # among the digits of a chunk's size
    cdef uint64_t chunk_left
    cdef Py_ssize_t line_size                # of the one that is being read; of all trailers
    cdef Py_ssize_t extensions               # what all lines before chunks have had beyond a size

    cdef Py_ssize_t fetch(self) except -1
    cdef bytes take(self, Py_ssize_t size)
    cdef bint read_head(self, int64_t first_deadline) except -1
    cdef int check(self, const char *data, Py_ssize_t size, Py_ssize_t seen) except -1
    cdef int parse(self, const char *head, Py_ssize_t size) except -1
    cdef int take_target(self) except -1
    cdef int take_headers(self) except -1
    cdef int take_connection(self, str value) except -1
    cdef int frame(self) except -1
    cdef int begin_anew(self) except -1
    cdef int more(self, Input body) except -1
    cdef Py_ssize_t receive_body(self, char **data) except -1
    cdef Py_ssize_t feed_body(self, const char *data, Py_ssize_t size) except -1
    cdef Py_ssize_t feed_chunks(self, const char *data, Py_ssize_t size) except -1
    cdef void take_size(self, const char *line, Py_ssize_t size)
    cdef int feed(self, const char *data, Py_ssize_t size) except -1
    cdef int spoil(self, int status, str reason) except -1
    cdef bint can_go_on(self)
    cdef bint drain(self) except -1
