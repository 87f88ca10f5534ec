from libc.stdint cimport int64_t
from libc.time cimport time_t


cdef extern from "http/head.h":
    enum:
        DATE_SIZE

    int64_t coarse_now() nogil


# What all connections of a server share: its limits as C numbers, and what is made once for many requests.
cdef class Settings:
    cdef Py_ssize_t request_line, head, header_count, unread_body
    cdef int64_t body                        # bytes, INT64_MAX: no bound
    cdef int64_t head_time, idle_time, stall_time      # nanoseconds, INT64_MAX: no bound
    cdef bint stopping              # connections end with the request that is under way
    cdef dict keys                           # name of a header, as sent -> key in the environment, or None
    cdef bytes server_line                   # "\r\nServer: ..."
    cdef char date[DATE_SIZE + 1]
    cdef time_t date_of
    cdef const char *date_now(self)


# One client's stream of bytes.
cdef class Transport:
    cdef readonly object socket
    cdef Settings settings
    cdef bint plain                          # not TLS
    cdef bint answered                       # the head of the response has been sent: nothing may come before it any more
    cdef bint broken                         # the client is gone, or has to be taken for it
    cdef int64_t deadline                    # of the wait that is under way, on the coarse clock; 0: there is none
    cdef bytes received                      # what the TLS layer gave last
    cdef char *held                          # received, and not yet used up: held[start:end]
    cdef Py_ssize_t start, end, capacity

    cdef Py_ssize_t receive(self, char **data, int64_t deadline) except -1
    cdef Py_ssize_t receive_at_once(self, char **data) except -2
    cdef int hold(self, const char *data, Py_ssize_t size) except -1
    cdef void use_up(self, Py_ssize_t size)
    cdef int send(self, const char *head, Py_ssize_t size, bytes body, bint line_end) except -1
    cdef int send_rest(self, const char *head, Py_ssize_t size, bytes body, bint line_end, Py_ssize_t sent) except -1
    cdef int send_encrypted(self, const char *head, Py_ssize_t size, bytes body, bint line_end) except -1
    cdef int send_file(self, int descriptor, int64_t offset, int64_t size) except -1
    cdef int sending_failed(self, error) except -1
    cdef int linger(self) except -1
    cdef int say_goodbye(self) except -1
    cdef bint can_go_on(self)
    cdef bint can_switch(self)
    cdef int switch_protocols(self) except -1


cdef int64_t moment(int64_t patience)
cdef int64_t nanoseconds(seconds)
