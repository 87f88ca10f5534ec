# cython: nonecheck=True
"""Watchers of time and of descriptors, and calls: what is hot of gevent's event loop interface.

A watcher calls a function on the hub greenlet at each event, where nobody waits for it. Those of time and of
descriptors are entries of the hub's own tables, with no green thread behind them (_core/runtime/watch.h). The others,
in `watchers`, are Python code on the same base.

What the code rests on:

- A watcher that is started lives until it is stopped, whoever else knows it: the hub, or a promise, holds it.
- A subclass may forget to call `__init__`: a loop that is None is an error, not a crash.
- `_active` is what start() and stop() were asked for. A timer that fires once is not active any more when its callback
  is called, so that this may start it again.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t
from gossamer cimport _core

from gossamer import _core as core
from gossamer._sync.waiter import Waiter

_core.runtime_import()

cdef double NANOSECONDS = 1e9
cdef double LONGEST_REPEAT = 4e9     # seconds; more is as good as never, and does not fit into the clock's nanoseconds


@cython.auto_pickle(False)
cdef class LoopCalls:
    """The part of a loop that programs call for every message: calls, timers, watchers of descriptors.

    hub: whose loop it is; the calling thread's hub, unless given.
    """

    cdef readonly object hub

    def __init__(self, hub=None):
        self.hub = core.get_hub() if hub is None else hub

    def run_callback(self, func, *args):
        """Have func(*args) called on the hub greenlet, in turn, and return what can stop() it. From any thread.

        Raises TypeError for what cannot be called.
        """
        if not callable(func):
            raise TypeError(f"run_callback() needs a function to call, not {func!r}")
        return _core.runtime_callback(self.hub, func, args)

    def run_callback_threadsafe(self, func, *args):
        """The same as `run_callback`, which may be called from any thread.

        Raises TypeError for what cannot be called.
        """
        if not callable(func):
            raise TypeError(f"run_callback_threadsafe() needs a function to call, not {func!r}")
        return _core.runtime_callback(self.hub, func, args)

    def timer(self, double after, double repeat=0.0, ref=True, priority=None):
        """A watcher of time: fires `after` so many seconds, then each `repeat` seconds; only once if that is 0.

        ref, priority: as of `Watcher`.
        Raises ValueError for a negative `repeat`.
        """
        return Timer(self, after, repeat, ref, priority)

    def io(self, int fd, int events, ref=True, priority=None):
        """A watcher of the descriptor `fd`: events 1 for reading, 2 for writing, 3 for either.

        ref, priority: as of `Watcher`.
        Raises ValueError for a negative descriptor and for other events.
        """
        return Io(self, fd, events, ref, priority)


@cython.auto_pickle(False)
cdef class Watcher:
    """Calls callback(*args) on the hub greenlet at each event, between start() and stop().

    loop: the hub's, of the thread in which it is used.
    ref: False: that an event may come is nothing that the hub's join() waits for.
    priority: accepted for compatibility.

    `waiting_greenlet` is who is in wait(), or None.
    """

    cdef readonly LoopCalls loop
    cdef public object priority, waiting_greenlet
    cdef object _callback, _args     # None: stopped, or taken away
    cdef public bint _active
    cdef bint _ref
    cdef object promise
    cdef object __weakref__

    def __init__(self, LoopCalls loop not None, ref=True, priority=None):
        self.loop = loop
        self.priority = priority
        self._ref = ref

    def start(self, callback, *args):
        """Call callback(*args) from now on. Raises TypeError for what cannot be called."""
        self.activate(callback, args)

    def stop(self):
        """Call nothing any more. Does nothing when it is not active."""
        self._callback = self._args = None
        if self._active:
            self._active = False
            self.end()

    def close(self):
        """The same, for good."""
        self.stop()

    def wait(self):
        """Park the calling greenlet until the next event."""
        waiter = Waiter(self.loop.hub)
        self.waiting_greenlet = core.getcurrent()
        self.start(waiter.switch)
        try:
            waiter.get()
        finally:
            self.waiting_greenlet = None
            self.stop()

    def feed(self, _revents, callback, *args):
        """Have callback(*args) called as if the event had come."""
        self.loop.run_callback(callback, *args)

    @property
    def callback(self):
        """What is called at each event; None when not active. May be set. Raises TypeError for what cannot be called."""
        return self._callback

    @callback.setter
    def callback(self, callback):
        if callback is not None and not callable(callback):
            raise TypeError(f"a watcher's callback must be callable, not {callback!r}")
        self._callback = callback

    @property
    def args(self):
        """What it is called with; None when not active. May be set. Raises TypeError for what is no tuple."""
        return self._args

    @args.setter
    def args(self, args):
        if args is not None and not isinstance(args, tuple):
            raise TypeError(f"a watcher's args are a tuple, not {args!r}")
        self._args = args

    @property
    def active(self):
        """Whether it is started."""
        return self._active

    @property
    def pending(self):
        """Whether an event has come whose callback has not been called."""
        return self.is_pending()

    @property
    def ref(self):
        """Whether hub.join() waits for it. May be set."""
        return self._ref

    @ref.setter
    def ref(self, ref):
        self._ref = ref
        self.refer()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, tb):
        self.close()

    def __repr__(self):
        state = f" active callback={self._callback!r} args={self._args!r}" if self._active else ""
        return f"<{type(self).__name__} at {id(self):#x}{self._details()}{state}>"

    def _details(self):
        return ""

    def _begin(self):
        """Start to wait for the event."""

    def _end(self):
        """Stop that."""

    def _fire(self):
        """On the hub greenlet: the event has come."""
        self.call()

    cdef int activate(self, callback, args) except -1:
        if not callable(callback):
            raise TypeError(f"a watcher's callback must be callable, not {callback!r}")
        if not self._active and not self.begin():
            return 0
        self._active = True
        self._callback = callback
        self._args = args
        return 0

    cdef int call(self) except -1:
        callback, args = self._callback, self._args
        if callback is None or args is None:
            return 0
        try:
            callback(*args)
        except BaseException as error:
            self.tell(error)
        return 0

    cdef int tell(self, error) except -1:
        """The hub decides what becomes of it."""
        self.loop.handle_error(self, type(error), error, error.__traceback__)
        return 0

    cdef int begin(self) except -1:
        """Returns whether it has begun."""
        self._begin()
        self.promise_to_come(self._ref)
        return True

    cdef int end(self) except -1:
        self.promise_to_come(False)
        self._end()
        return 0

    cdef bint is_pending(self):
        return False

    cdef int refer(self) except -1:
        """Whether hub.join() waits for it has changed."""
        self.promise_to_come(self._active and self._ref)
        return 0

    cdef int promise_to_come(self, bint wanted) except -1:
        """Hold a promise that something will come, while that is so."""
        if wanted and self.promise is None:
            self.promise = core.Promise(self)
        elif not wanted and self.promise is not None:
            self.promise.keep()
            self.promise = None
        return 0


@cython.auto_pickle(False)
cdef class Watched(Watcher):
    """A watcher that stands in the hub's own tables."""

    cdef _core.watch watch

    def __cinit__(self):
        self.watch.owner = <PyObject *>self
        self.watch.fire = watch_fired

    cdef int fired(self, int events) except -1:
        return 0

    cdef int end(self) except -1:
        _core.runtime_watch_stop(&self.watch)
        return 0

    cdef bint is_pending(self):
        return self.watch.due

    cdef int refer(self) except -1:
        _core.runtime_watch_refer(&self.watch, self._ref)
        return 0


cdef int watch_fired(PyObject *owner, int events) except -1:
    return (<Watched>owner).fired(events)


@cython.auto_pickle(False)
cdef class Timer(Watched):
    """Fires after so many seconds, and then, if `repeat` is not 0, each `repeat` seconds.

    loop: whose. after: the seconds. ref: whether hub.join() waits for it. priority: has no effect.
    """

    cdef public double after, repeat

    def __init__(self, LoopCalls loop not None, double after, double repeat=0.0, ref=True, priority=None):
        if repeat < 0:
            raise ValueError(f"repeat must be positive or zero: {repeat!r}")
        self.loop = loop
        self.priority = priority
        self._ref = ref
        self.after = after
        self.repeat = repeat

    def start(self, callback, *args, update=None):
        """Call callback(*args) when the time has come. update: has no effect, the time is always the time now.

        Raises TypeError for what cannot be called, and gossamer.switching.error in another thread than the loop's.
        """
        self.activate(callback, args)

    def again(self, callback, *args, update=None):
        """Call callback(*args) `repeat` seconds from now, whether it is active or not; stop it if `repeat` is 0.

        update: as for start(). Raises what start() raises.
        """
        self.activate(callback, args)
        if self.repeat == 0:
            self.stop()
            return
        _core.runtime_watch_stop(&self.watch)
        self.set(_core.runtime_time_after(self.repeat))

    @property
    def at(self):
        """When it fires, in seconds of time.monotonic(); 0 while it is not active."""
        return <double>self.watch.when / NANOSECONDS if self._active else 0.0

    cdef int set(self, int64_t when) except -1:
        _core.runtime_watch_time(&self.watch, self.loop.hub, when, self._ref)
        return True

    cdef int begin(self) except -1:
        return self.set(_core.runtime_time_after(self.after))

    cdef int fired(self, int events) except -1:
        if self.repeat > 0:
            self.set(self.next_time())
            return self.call()
        self._active = False
        self.call()
        if not self._active:
            self._callback = self._args = None
        return 0

    cdef int64_t next_time(self):
        """One interval after the time before, so that lateness does not add up; now, if that is over."""
        cdef int64_t now = _core.runtime_time_after(0)
        if self.repeat > LONGEST_REPEAT:
            return _core.NO_DEADLINE
        cdef int64_t when = self.watch.when + <int64_t>(self.repeat * NANOSECONDS)
        return when if when > now else now


@cython.auto_pickle(False)
cdef class Io(Watched):
    """Fires as long as a descriptor can be read (events 1), written (2) or either (3).

    loop: whose. fd: the descriptor. ref: whether hub.join() waits for it. priority: has no effect.
    """

    cdef int descriptor, wanted
    cdef bint pass_events

    def __init__(self, LoopCalls loop not None, int fd, int events, ref=True, priority=None):
        self.loop = loop
        self.priority = priority
        self._ref = ref
        self.fd = fd
        self.events = events

    @property
    def fd(self):
        """The descriptor. May be set while it is not active; AttributeError while it is."""
        return self.descriptor

    @fd.setter
    def fd(self, int fd):
        self.insist_on_rest("fd")
        if fd < 0:
            raise ValueError(f"fd must be non-negative: {fd!r}")
        self.descriptor = fd

    @property
    def events(self):
        """1 for reading, 2 for writing, 3 for either. May be set while it is not active; AttributeError while it is."""
        return self.wanted

    @events.setter
    def events(self, int events):
        self.insist_on_rest("events")
        if events & ~3:
            raise ValueError(f"illegal event mask: {events!r}")
        self.wanted = events

    def start(self, callback, *args, pass_events=False):
        """Call callback(*args) at each event; with pass_events, callback(events, *args).

        A descriptor that cannot be watched is told to the hub's handle_error(), and ends the watcher.
        Raises TypeError for what cannot be called, and gossamer.switching.error in another thread than the loop's.
        """
        self.pass_events = pass_events
        self.activate(callback, args)

    def wait(self):
        """Park the calling greenlet until the next event."""
        if self._active or self.wanted not in (1, 2):
            super().wait()
            return
        self.waiting_greenlet = core.getcurrent()
        self._active = True
        try:
            _core.runtime_wait_descriptor(self.descriptor, self.wanted == 2, _core.NO_DEADLINE)
        finally:
            self.waiting_greenlet = None
            self._active = False

    def _details(self):
        return f" fd={self.descriptor} events={self.wanted}"

    cdef int insist_on_rest(self, name) except -1:
        if self._active:
            raise AttributeError(f"{name} cannot change while the watcher is active: stop() it first")
        return 0

    cdef int begin(self) except -1:
        if self.wanted == 0:
            return True
        try:
            _core.runtime_watch_descriptor(&self.watch, self.loop.hub, self.descriptor, self.wanted, self._ref)
        except OSError as error:
            self.tell(error)
            return False
        return True

    cdef int fired(self, int events) except -1:
        if events < 0:
            self.stop()
            return self.tell(OSError(-events, f"cannot watch the descriptor {self.descriptor}"))
        if not self.pass_events:
            return self.call()
        try:
            self._callback(events, *self._args)
        except BaseException as error:
            self.tell(error)
        return 0
