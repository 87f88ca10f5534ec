# What has waiters and links, for the other modules of this folder.
from gossamer._core cimport wait_queue
from libc.stdint cimport int64_t


cdef class Linkable:
    cdef wait_queue waiting
    cdef dict links
    cdef object __weakref__
    cdef bint is_ready(self)
    cdef int notify_links(self) except -1


cdef int is_negative(object timeout) except -1
cdef int deadline_of(object timeout, int64_t *deadline) except -1
cdef int time_is_up(object timeout, bint raises) except -1
