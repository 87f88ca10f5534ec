"""Semaphores and the re-entrant lock of green threads.

What the code rests on (event.pyx says what is atomic):

- release() adds to the counter and wakes the first who waits; that one looks again when it runs. Somebody who came
  later and did not have to wait may have been faster, as with gevent: then it waits on, ahead of the others.
- Who was woken and cannot take what it was woken for, because it was killed or its time was up, wakes the next.
"""

cimport cython
from libc.stdint cimport int64_t
from gossamer cimport _core
from gossamer._sync.event cimport Linkable, deadline_of, time_is_up

_core.runtime_import()


@cython.auto_pickle(False)
cdef class Semaphore(Linkable):
    """A counter that acquire() takes from, waiting while it is zero, and release() adds to.

    value: what it counts from. hub: taken for gevent's signature, and not needed: waiters of any OS thread can share it.
    Raises ValueError for a negative value.
    """

    cdef readonly Py_ssize_t counter

    def __init__(self, Py_ssize_t value=1, hub=None):
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self.counter = value

    cdef bint is_ready(self):
        return self.counter > 0

    def __repr__(self):
        return f"<{type(self).__qualname__} at {id(self):#x} counter={self.counter} _links[{self.linkcount()}]>"

    def locked(self):
        """Whether acquire() would have to wait."""
        return self.counter <= 0

    cpdef object release(self):
        """Add one and wake the first who waits. Never blocks; from any thread. Returns the counter."""
        return self.give()

    cdef Py_ssize_t give(self) except -1:
        self.counter += 1
        _core.runtime_unpark_first(&self.waiting)
        if self.links:
            self.notify_links()
        return self.counter

    cdef bint wait_for_one(self, timeout) except -1:
        """Wait until the counter is not zero. False: the time was up before."""
        cdef int64_t deadline
        cdef bint again = False
        deadline_of(timeout, &deadline)
        _core.runtime_hub()
        while self.counter == 0:
            try:
                if _core.runtime_park(&self.waiting, self, deadline, again) == _core.TIMED_OUT:
                    if self.counter == 0:
                        time_is_up(timeout, False)
                    return self.counter > 0
            except:
                self.wake_next()
                raise
            again = True
        return True

    cdef void wake_next(self):
        if self.counter > 0:
            _core.runtime_unpark_first(&self.waiting)

    cpdef object acquire(self, blocking=True, timeout=None):
        """Take one; while there is none wait, `timeout` seconds at most. Not at all if `blocking` is false.

        Returns whether it was taken.
        Raises BlockingSwitchOutError on the hub greenlet if it would have to wait.
        """
        if self.counter == 0 and (not blocking or not self.wait_for_one(timeout)):
            return False
        self.counter -= 1
        return True

    def wait(self, timeout=None):
        """Wait until there is one to take, `timeout` seconds at most, and leave it there. Returns the counter."""
        if self.counter == 0 and self.wait_for_one(timeout):
            self.wake_next()
        return self.counter

    def __enter__(self):
        self.acquire()

    def __exit__(self, kind, value, traceback):
        self.release()


@cython.auto_pickle(False)
cdef class BoundedSemaphore(Semaphore):
    """A semaphore that cannot be released more often than it was acquired: ValueError tells of the mistake."""

    cdef Py_ssize_t bound

    def __init__(self, Py_ssize_t value=1, hub=None):
        Semaphore.__init__(self, value, hub)
        self.bound = value

    cdef Py_ssize_t give(self) except -1:
        if self.counter >= self.bound:
            raise ValueError("Semaphore released too many times")
        return Semaphore.give(self)


class DummySemaphore:
    """What looks like a semaphore and never makes anybody wait, for code that may or may not need one.

    value: taken for Semaphore's signature, as the arguments of all methods are.
    """

    def __init__(self, value=None):
        """Nothing is kept."""

    def __repr__(self):
        return f"<{type(self).__qualname__}>"

    def locked(self):
        """False."""
        return False

    def ready(self):
        """True."""
        return True

    def release(self):
        """Does nothing."""

    def rawlink(self, callback):
        """Does nothing with `callback`."""

    def unlink(self, callback):
        """Does nothing with `callback`."""

    def wait(self, timeout=None):
        """Returns 1 at once, whatever `timeout` is."""
        return 1

    def acquire(self, blocking=True, timeout=None):
        """Returns True at once, whatever `blocking` and `timeout` are."""
        return True

    def __enter__(self):
        pass

    def __exit__(self, kind, value, traceback):
        pass


@cython.auto_pickle(False)
cdef class RLock:
    """A lock that the greenlet which holds it may take again; it is free after as many releases.

    hub: taken for gevent's signature. It works as the lock of a threading.Condition.
    """

    cdef _core.wait_queue waiting
    cdef object __weakref__
    cdef readonly object _owner
    cdef readonly Py_ssize_t _count

    def __init__(self, hub=None):
        pass

    def __dealloc__(self):
        _core.runtime_abandon(&self.waiting)

    def __repr__(self):
        return f"<{type(self).__qualname__} at {id(self):#x} _count={self._count} _owner={self._owner!r}>"

    cdef bint take(self, object blocking, object timeout) except -1:
        """For who does not own it."""
        cdef int64_t deadline
        cdef bint again = False
        me = <object>_core.runtime_current()
        if self._count > 0:
            if not blocking:
                return False
            deadline_of(timeout, &deadline)
            _core.runtime_hub()
        while self._count > 0:
            try:
                if _core.runtime_park(&self.waiting, self, deadline, again) == _core.TIMED_OUT and self._count > 0:
                    time_is_up(timeout, False)
                    return False
            except:
                if self._count == 0:
                    _core.runtime_unpark_first(&self.waiting)
                raise
            again = True
        self._count = 1
        self._owner = me
        return True

    cdef bint is_mine(self) except -1:
        return self._count > 0 and <void *>self._owner == <void *>_core.runtime_current()

    cdef int let_go(self) except -1:
        self._count = 0
        owner, self._owner = self._owner, None
        _core.runtime_unpark_first(&self.waiting)
        return 0

    def acquire(self, blocking=True, timeout=None):
        """Take it, once more if the caller holds it; else wait for it, `timeout` seconds at most.

        Returns whether it was taken: False when the time was up, or at once if `blocking` is false.
        Raises BlockingSwitchOutError on the hub greenlet if it would have to wait.
        """
        if self.is_mine():
            self._count += 1
            return True
        return self.take(blocking, timeout)

    def release(self):
        """Undo one acquire(). Raises RuntimeError if the caller does not hold it."""
        if not self.is_mine():
            raise RuntimeError(
                f"cannot release un-acquired lock. Owner: {self._owner!r} Current: {<object>_core.runtime_current()!r}"
            )
        if self._count > 1:
            self._count -= 1
        else:
            self.let_go()

    def locked(self):
        """Whether somebody holds it."""
        return self._count > 0

    def __enter__(self):
        return self.acquire()

    def __exit__(self, kind, value, traceback):
        self.release()

    def _is_owned(self):
        return self.is_mine()

    def _release_save(self):
        if self._count == 0:
            raise RuntimeError("cannot release un-acquired lock")
        state = (self._count, self._owner)
        self.let_go()
        return state

    def _acquire_restore(self, state):
        cdef Py_ssize_t count
        count, owner = state
        self.take(True, None)
        self._count = count
        self._owner = owner
