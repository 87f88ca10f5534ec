from gossamer.http.transport cimport Transport


cdef class Input


# Where bodies come from: the connection, by a reader of requests.
cdef class BodySource(Transport):
    cdef bint complete                       # the end of the request has been seen

    # Gives the body at least one more piece, or finds its end. Raises ClientDisconnected or RequestBodyError.
    cdef int more(self, Input body) except -1


# wsgi.input: the body of a request, read from the connection when it is asked for.
cdef class Input:
    cdef BodySource reader                   # None: everything has been read
    cdef list pieces                         # beyond `current`
    cdef bytes current
    cdef Py_ssize_t at                       # in `current`
    cdef Py_ssize_t available                # bytes in `current` and `pieces`
    cdef object connection                   # a RawConnection; None: it cannot be taken over

    cdef void clear(self)
    cdef void end(self)
    cdef bint fetch(self) except -1
    cdef bint next_piece(self)
    cdef int give_back(self, list parts) except -1
    cdef bytes take(self, Py_ssize_t most)


cpdef Input empty_input()
