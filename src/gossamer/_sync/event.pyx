"""Events and results: many wait, one answers, all go on.

What the code rests on:

- Everything between two parks is atomic for the green threads of one hub, and for other threads as long as no Python
  code runs: they need the GIL, which is only given up there. Making a thread's first hub does run Python code, and so
  does reading a timeout, so that both come before the condition is looked at.
- set() wakes everybody who waits at that moment. Whether the flag is still up when they run does not concern them.
- `links` has the links as keys, in the order of coming: of a crowd each leaves it at once.
- A link is called once, on the hub greenlet of the thread that made it. It leaves the list when it is called, and until
  then it can be taken back.
"""

from types import GenericAlias

cimport cython
from libc.stdint cimport int64_t
from gossamer cimport _core

_core.runtime_import()


cdef int is_negative(object timeout) except -1:
    """Whether it is a time in seconds below zero. None, for no timeout, is not."""
    if timeout is None:
        return False
    try:
        return timeout < 0
    except TypeError:
        raise TypeError(f"a time in seconds must be a number or None, not {type(timeout).__name__}") from None


cdef int deadline_of(object timeout, int64_t *deadline) except -1:
    """The deadline for a timeout in seconds; one that lies in the past for a negative one, as gevent has it."""
    if is_negative(timeout):
        timeout = 0
    return _core.runtime_deadline_from(timeout, deadline)


cdef int time_is_up(object timeout, bint raises) except -1:
    """A wait has ended by this timeout. One that is a Timeout says what is raised; itself, where that is wanted."""
    from gossamer._sync.timeout import Timeout, expired

    if isinstance(timeout, Timeout):
        error = expired(timeout)
        if raises or error is not timeout:
            raise error
    return 0


@cython.final
@cython.internal
cdef class Link:
    """Somebody to be called, and the hub to do it on."""

    cdef object hub
    cdef object callback
    cdef bint scheduled


@cython.auto_pickle(False)
cdef class Linkable:
    """The base of what others wait for and can link to."""

    def __dealloc__(self):
        _core.runtime_abandon(&self.waiting)

    cdef bint is_ready(self):
        return False

    cdef int notify_links(self) except -1:
        """Have each link called that is not on its way yet."""
        cdef Link link
        for link in list(self.links):
            if not link.scheduled:
                link.scheduled = True
                _core.runtime_call_soon(link.hub, self._call_link, (link,))
        return 0

    def _call_link(self, Link link not None):
        link.scheduled = False
        if self.links is None or link not in self.links or not self.is_ready():
            return
        del self.links[link]
        link.callback(self)

    def ready(self):
        """Whether a wait would return at once."""
        return self.is_ready()

    def linkcount(self):
        """How many wait or are linked."""
        return self.waiting.length + (len(self.links) if self.links is not None else 0)

    def rawlink(self, callback):
        """Have callback(self) called on the hub greenlet as soon as this is ready; at the next turn if it is already.

        The callback must not block. It is called once: who wants to hear of the next time links again.
        Raises TypeError if it cannot be called.
        """
        cdef Link link
        if not callable(callback):
            raise TypeError(f"Expected callable: {callback!r}")
        link = Link.__new__(Link)
        link.hub = <object>_core.runtime_hub()
        link.callback = callback
        if self.links is None:
            self.links = {}
        self.links[link] = None
        if self.is_ready():
            self.notify_links()

    def unlink(self, callback):
        """Take the link to `callback` back if it has not been called. Does nothing when there is none."""
        cdef Link link
        if self.links is None:
            return
        for link in list(self.links):            # a comparison may run code that links or unlinks
            if link.callback == callback:
                self.links.pop(link, None)
                return

    def _at_fork_reinit(self):
        """Does nothing: `threading` calls it, in a forked child, for the events and locks that it uses itself.

        The green threads that wait live on there, and the runtime lets go of the threads that do not.
        """


@cython.auto_pickle(False)
cdef class Event(Linkable):
    """A flag that green threads wait for.

    Whoever waits when it goes up is woken, in the order of coming, even if it is put down before they run. It can be
    shared between OS threads.
    """

    cdef bint flag
    cdef Py_ssize_t woken            # were unparked, and have not run since

    cdef bint is_ready(self):
        return self.flag

    def __repr__(self):
        state = "set" if self.flag else "clear"
        return f"<{type(self).__module__}.{type(self).__qualname__} at {id(self):#x} {state} _links[{self.linkcount()}]>"

    def is_set(self):
        """Whether the flag is up."""
        return self.flag

    def isSet(self):
        """The same as `is_set`, by threading's old name."""
        return self.flag

    def set(self):
        """Put the flag up and wake everybody who waits for it. Never blocks; from any thread."""
        self.flag = True
        while _core.runtime_unpark_first(&self.waiting):
            self.woken += 1
        if self.links:
            self.notify_links()

    def clear(self):
        """Put the flag down: who calls wait() from now on waits for the next set()."""
        self.flag = False

    def wait(self, timeout=None):
        """Wait until the flag is up, or `timeout` seconds.

        Returns True if it was up at some moment of the call, False if the time passed without that. Who finds it up
        while others who had to wait for it have not had their turn lets these go first.
        Raises BlockingSwitchOutError on the hub greenlet if it would have to wait.
        """
        cdef int outcome
        cdef int64_t deadline
        if self.flag:
            if self.woken > 0 and not _core.runtime_on_hub():
                _core.runtime_pause(0)
            return True
        deadline_of(timeout, &deadline)
        _core.runtime_hub()
        if self.flag:
            return True
        try:
            outcome = _core.runtime_park(&self.waiting, self, deadline, False)
        except:
            self.take_turn()
            raise
        if outcome == _core.TIMED_OUT:
            if not self.flag:
                time_is_up(timeout, False)
            return self.flag
        self.take_turn()
        return True

    cdef void take_turn(self):
        if self.woken > 0:
            self.woken -= 1


cdef object UNSET = object()


@cython.auto_pickle(False)
cdef class AsyncResult(Linkable):
    """A value or an exception that will be there some day, and that any number of green threads wait for.

    It can serve as a link of a green thread (`spawn(f).link(result)`), and has the methods of a
    concurrent.futures.Future that make sense for it. It can be shared between OS threads.
    """

    cdef object _value
    cdef object _exc_info            # () until set_exception()
    cdef object _traceback           # the exception's as it was then: each get() begins with it anew

    def __cinit__(self):
        self._value = UNSET
        self._exc_info = ()

    @classmethod
    def __class_getitem__(cls, item):
        return GenericAlias(cls, item)

    cdef bint is_ready(self):
        return self._value is not UNSET or len(self._exc_info) > 0

    def __repr__(self):
        if not self.is_ready():
            state = "unset "
        else:
            state = f"value={self.value!r} " if self._value is not UNSET else "value=None "
            if self._exc_info:
                state += f"exception={self._exc_info[1]!r} "
        return f"<{type(self).__qualname__} {state} _links[{self.linkcount()}]>"

    @property
    def value(self):
        """What was set, None before that or when it is an exception."""
        return None if self._value is UNSET else self._value

    @property
    def exception(self):
        """The exception that was set, or None."""
        return self._exc_info[1] if self._exc_info else None

    @property
    def exc_info(self):
        """Type, exception and traceback (or None) as set_exception() got them; an empty tuple before that."""
        return self._exc_info

    def successful(self):
        """Whether there is a value, and not an exception."""
        return self._value is not UNSET and not self._exc_info

    cdef int announce(self) except -1:
        while _core.runtime_unpark_first(&self.waiting):
            pass
        if self.links:
            self.notify_links()
        return 0

    def set(self, value=None):
        """Store the value and wake everybody who waits for it. Never blocks; from any thread."""
        self._value = value
        self._exc_info = ()
        self.announce()

    def set_exception(self, exception, exc_info=None):
        """Store an exception for get() to raise, and wake everybody who waits.

        exc_info: its (type, value, traceback), when the traceback is to go with it.
        Raises TypeError if it is not an exception.
        """
        if not isinstance(exception, BaseException):
            raise TypeError(f"an exception is needed, not {exception!r}")
        parts = tuple(exc_info) if exc_info else (type(exception), exception, None)
        self._traceback = parts[2] or exception.__traceback__
        self._exc_info = parts
        self.announce()

    cdef bint wait_until_ready(self, timeout) except -1:
        cdef int outcome
        cdef int64_t deadline
        deadline_of(timeout, &deadline)
        _core.runtime_hub()
        while not self.is_ready():
            outcome = _core.runtime_park(&self.waiting, self, deadline, False)
            if outcome == _core.TIMED_OUT:
                if not self.is_ready():
                    time_is_up(timeout, False)
                return self.is_ready()
        return True

    cdef object answer(self):
        if self._exc_info:
            raise self._exc_info[1].with_traceback(self._traceback)
        return self._value

    def get(self, block=True, timeout=None):
        """The value; waits for it, `timeout` seconds at most.

        Raises the exception that was set instead of a value; Timeout if there is neither in time, or at once when
        `block` is false; BlockingSwitchOutError on the hub greenlet if it would have to wait.
        """
        if self.is_ready():
            return self.answer()
        if block and self.wait_until_ready(timeout):
            return self.answer()
        from gossamer._sync.timeout import Timeout

        if block:
            time_is_up(timeout, True)
        raise Timeout(timeout if block else None)

    def get_nowait(self):
        """The value, or the exception, if it is there. Raises Timeout if not."""
        return self.get(False)

    def wait(self, timeout=None):
        """Wait until there is a value or an exception, or `timeout` seconds.

        Returns the value, None for an exception or when the time has passed: see ready().
        """
        if not self.is_ready():
            self.wait_until_ready(timeout)
        return self.value if self.successful() else None

    def __call__(self, source):
        """As a link: take over the value or the exception of a green thread or a result that has ended."""
        if source.successful():
            self.set(source.value)
        else:
            self.set_exception(source.exception, getattr(source, "exc_info", None))

    def result(self, timeout=None):
        """The same as get(timeout=timeout), by concurrent.futures' name: returns the value or raises."""
        return self.get(timeout=timeout)

    def set_result(self, value=None):
        """The same as set(value), by concurrent.futures' name."""
        self.set(value)

    def done(self):
        """Whether there is a value or an exception."""
        return self.is_ready()

    def cancel(self):
        """Does nothing and returns False: what will set this cannot be stopped from here."""
        return False

    def cancelled(self):
        """False: see cancel()."""
        return False
