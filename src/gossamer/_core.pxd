# The runtime for the package's Cython modules: what _core/runtime/interface.h says, in Cython's words.
#
# A module does `from gossamer cimport _core` and calls `_core.runtime_import()` when it is imported; from then on each
# function here costs a call through a pointer. Nothing of this is an import at run time.
#
# PyObject * are borrowed references: `<object>` takes one.
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t


cdef extern from "<sys/uio.h>":
    cdef struct iovec:
        void *iov_base
        size_t iov_len


cdef extern from "_core/runtime/interface.h":
    # FIFO of parked greenlets. All zero is an empty one, so that a field of a cdef class needs no initialisation, only
    # runtime_abandon() in __dealloc__.
    cdef struct wait_queue:
        Py_ssize_t length

    # How a wait ended.
    enum:
        UNPARKED
        TIMED_OUT

    const int64_t NO_DEADLINE

    int runtime_import() except -1
    PyObject *runtime_current() except NULL
    PyObject *runtime_hub() except NULL
    bint runtime_on_hub()
    int runtime_deadline_from(object timeout, int64_t *deadline) except -1
    int runtime_park(wait_queue *queue, object subject, int64_t deadline, bint ahead) except -1
    bint runtime_unpark_first(wait_queue *queue)
    void runtime_abandon(wait_queue *queue)
    int runtime_pause(double seconds) except -1
    int runtime_call_soon(object hub, object function, tuple args) except -1
    bint runtime_interrupt(object greenlet, object exception)
    int runtime_wait_descriptor(int descriptor, bint for_writing, int64_t deadline) except -1

    # Calls on the hub greenlet, and events for whoever does not wait (_core/runtime/watch.h).
    enum:
        WATCH_TOLD
        WATCH_OF_OTHERS
        WATCH_IDLE
        WATCH_PREPARE
        WATCH_CHECK

    cdef struct watch:
        PyObject *owner
        int (*fire)(PyObject *owner, int events) except -1
        int64_t when
        bint due

    object runtime_callback(object hub, object function, tuple args)
    int runtime_watch_time(watch *watched, object hub, int64_t when, bint referenced) except -1
    int runtime_watch_descriptor(watch *watched, object hub, int descriptor, int events, bint referenced) except -1
    int runtime_watch_stand(watch *watched, object hub, int kind, bint referenced) except -1
    int runtime_watch_tell(watch *watched, object hub) except -1
    void runtime_watch_stop(watch *watched)
    void runtime_watch_refer(watch *watched, bint referenced)
    int64_t runtime_time_after(double seconds)


# Stream sockets of servers, after stream_import(). Whoever keeps what lies in the buffer copies it before anything waits.
cdef extern from "_points/stream.h":
    enum:
        STREAM_EMPTY

    int stream_import() except -1
    bint stream_is_plain(object socket)
    char *stream_buffer(Py_ssize_t *size) except NULL
    Py_ssize_t stream_receive(object socket, char **data, bint may_wait) except -1
    Py_ssize_t stream_send(object socket, const iovec *parts, int count) except -1
    int stream_wait_writable(object socket) except -1
