"""The base of all watchers, for those that are compiled elsewhere: see watcher.pyx."""

cimport cython
from gossamer cimport _core


cdef class LoopCalls:
    cdef readonly object hub


cdef class Watcher:
    cdef readonly LoopCalls loop
    cdef readonly object waiting_greenlet
    cdef public bint _active
    cdef bint _ref
    cdef int _priority
    cdef object _callback, _args     # None: stopped, or taken away
    cdef object __weakref__
    cdef _core.watch watch

    @cython.final
    cdef int set_up(self, LoopCalls loop, ref, priority) except -1
    @cython.final
    cdef int activate(self, callback, args) except -1
    @cython.final
    cdef int insist_on_rest(self, name) except -1
    @cython.final
    cdef int insist_on_nobody(self) except -1
    @cython.final
    cdef bint call(self) except -1
    @cython.final
    cdef int tell(self, error) except -1
    @cython.final
    cdef int was_told(self) except -1
    cdef int begin(self) except -1
    cdef int end(self) except -1
    cdef int fired(self, int events) except -1
    @cython.final
    cdef int fed(self) except -1
