# cython: nonecheck=True
"""Watchers of time and of descriptors, and calls: what is hot of gevent's event loop interface.

A watcher calls a function on the hub greenlet at each event, where nobody waits for it. Watchers are entries of the
hub's own tables, with no green thread behind them (_core/runtime/watch.h). What is watched for seldom is in `watchers`.

What the code rests on:

- A watcher that is started lives until it is stopped, whoever else knows it: the hub holds it.
- A subclass may forget to call `__init__`: a loop that is None is an error, not a crash.
- `_active` is what start() and stop() were asked for. A timer that fires once is not active any more when its callback
  is called, so that this may start it again.
- What stop() lets go of may have a destructor, which may start the watcher anew: it is dropped last.
- `waiting_greenlet` is who waits by itself (`hub.wait`). A watcher serves one: the second is told so, as by gevent.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t
from gossamer cimport _core

from gossamer import _core as core
from gossamer._sync.waiter import ConcurrentObjectUseError, Waiter

_core.runtime_import()

cdef double NANOSECONDS = 1e9
cdef double LONGEST_REPEAT = 4e9     # seconds; more is as good as never, and does not fit into the clock's nanoseconds


@cython.auto_pickle(False)
cdef class LoopCalls:
    """The part of a loop that programs call for every message: calls, timers, watchers of descriptors.

    hub: whose loop it is; the calling thread's hub, unless given.
    """

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
    priority: an integer, kept for programs that ask for it; watchers are called in the order of their events.

    `waiting_greenlet` is who is in wait(), or None.
    """

    def __cinit__(self):
        self.watch.owner = <PyObject *>self
        self.watch.fire = watch_fired

    def __init__(self, LoopCalls loop not None, ref=True, priority=None):
        self.set_up(loop, ref, priority)

    def start(self, callback, *args):
        """Call callback(*args) from now on.

        Raises TypeError for what cannot be called, and gossamer.switching.error in another thread than the loop's.
        """
        self.activate(callback, args)

    def stop(self):
        """Call nothing any more. Does nothing when it is not active."""
        callback, args = self._callback, self._args
        self._callback = self._args = None
        if self._active or self.watch.due:
            self._active = False
            self.end()

    def close(self):
        """The same, for good."""
        self.stop()

    def wait(self):
        """Park the calling greenlet until the next event.

        Raises ConcurrentObjectUseError when the watcher is active already, BlockingSwitchOutError on the hub greenlet.
        """
        self.insist_on_nobody()
        waiter = Waiter(self.loop.hub)
        self.waiting_greenlet = core.getcurrent()
        try:
            self.start(waiter.switch)
            waiter.get()
        finally:
            self.waiting_greenlet = None
            self.stop()

    def feed(self, int _revents, callback, *args):
        """Have callback(*args) called as if the event had come, whether it is active or not. From any thread.

        Raises TypeError for what cannot be called.
        """
        if not callable(callback):
            raise TypeError(f"a watcher's callback must be callable, not {callback!r}")
        self._callback = callback
        self._args = args
        _core.runtime_watch_tell(&self.watch, self.loop.hub)

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
        """Whether it is started, or somebody waits for it."""
        return self._active or self.waiting_greenlet is not None

    @property
    def pending(self):
        """Whether an event has come whose callback has not been called."""
        return self.watch.due

    @property
    def ref(self):
        """Whether hub.join() waits for it. May be set."""
        return self._ref

    @ref.setter
    def ref(self, ref):
        self._ref = ref
        _core.runtime_watch_refer(&self.watch, self._ref)

    @property
    def priority(self):
        """An integer without effect, 0 unless given. May be set while it is not active; AttributeError while it is."""
        return self._priority

    @priority.setter
    def priority(self, int priority):
        self.insist_on_rest("priority")
        self._priority = priority

    def __enter__(self):
        return self

    def __exit__(self, kind, error, tb):
        self.close()

    def __repr__(self):
        state = f" active callback={self._callback!r} args={self._args!r}" if self._active else ""
        return f"<{type(self).__name__} at {id(self):#x}{self._details()}{state}>"

    def _details(self):
        return ""

    cdef int set_up(self, LoopCalls loop, ref, priority) except -1:
        self.loop = loop
        self._priority = 0 if priority is None else priority
        self._ref = ref
        return 0

    cdef int activate(self, callback, args) except -1:
        if not callable(callback):
            raise TypeError(f"a watcher's callback must be callable, not {callback!r}")
        if not self._active and not self.begin():
            return 0
        self._active = True
        self._callback = callback
        self._args = args
        return 0

    cdef int insist_on_rest(self, name) except -1:
        if self._active or self.waiting_greenlet is not None:
            raise AttributeError(f"{name} cannot change while the watcher is active: stop() it first")
        return 0

    cdef int insist_on_nobody(self) except -1:
        user = self._callback if self._callback is not None else self.waiting_greenlet
        if user is not None:
            raise ConcurrentObjectUseError(f"{self!r} is already used by {user!r}: each watcher serves one")
        return 0

    cdef bint call(self) except -1:
        """Returns whether the callback has raised something, of which the hub was told."""
        callback, args = self._callback, self._args
        if callback is None or args is None:
            return False
        try:
            callback(*args)
        except BaseException as error:
            self.tell(error)
            return True
        return False

    cdef int tell(self, error) except -1:
        """The hub decides what becomes of it."""
        self.loop.handle_error(self, type(error), error, error.__traceback__)
        return 0

    cdef int was_told(self) except -1:
        """Somebody tells of its event, in whichever thread."""
        if self._active:
            _core.runtime_watch_tell(&self.watch, self.loop.hub)
        return 0

    cdef int begin(self) except -1:
        """Returns whether it has begun."""
        _core.runtime_watch_stand(&self.watch, self.loop.hub, _core.WATCH_OF_OTHERS, self._ref)
        return True

    cdef int end(self) except -1:
        _core.runtime_watch_stop(&self.watch)
        return 0

    cdef int fired(self, int events) except -1:
        return self.fed()

    cdef int fed(self) except -1:
        """An event has come that may belong to no start()."""
        self.call()
        if not self._active and not self.watch.due:
            self._callback = self._args = None
        return 0


cdef int watch_fired(PyObject *owner, int events) except -1:
    return (<Watcher>owner).fired(events)


@cython.auto_pickle(False)
cdef class Timer(Watcher):
    """Fires after so many seconds, and then, if `repeat` is not 0, each `repeat` seconds.

    loop: whose. after: the seconds. ref: whether hub.join() waits for it. priority: has no effect.
    """

    cdef public double after, repeat

    def __init__(self, LoopCalls loop not None, double after, double repeat=0.0, ref=True, priority=None):
        if repeat < 0:
            raise ValueError(f"repeat must be positive or zero: {repeat!r}")
        self.set_up(loop, ref, priority)
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
        self.set(_core.runtime_time_after(self.repeat))

    @property
    def at(self):
        """When it fires, in seconds of time.monotonic(); 0 while it is not active."""
        return <double>self.watch.when / NANOSECONDS if self._active else 0.0

    @cython.final
    cdef int set(self, int64_t when) except -1:
        _core.runtime_watch_time(&self.watch, self.loop.hub, when, self._ref)
        return True

    cdef int begin(self) except -1:
        return self.set(_core.runtime_time_after(self.after))

    cdef int fired(self, int events) except -1:
        if events & _core.WATCH_TOLD:
            return self.fed()
        if self.repeat > 0:
            self.set(self.next_time())
            self.call()
            return 0
        self._active = False
        return self.fed()

    cdef int64_t next_time(self):
        """One interval after the time before, so that lateness does not add up; now, if that is over."""
        cdef int64_t now = _core.runtime_time_after(0)
        if self.repeat > LONGEST_REPEAT:
            return _core.NO_DEADLINE
        cdef int64_t when = self.watch.when + <int64_t>(self.repeat * NANOSECONDS)
        return when if when > now else now


@cython.auto_pickle(False)
cdef class Io(Watcher):
    """Fires as long as a descriptor can be read (events 1), written (2) or either (3).

    loop: whose. fd: the descriptor. ref: whether hub.join() waits for it. priority: has no effect.
    """

    cdef int descriptor, wanted
    cdef bint pass_events

    def __init__(self, LoopCalls loop not None, int fd, int events, ref=True, priority=None):
        self.set_up(loop, ref, priority)
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

    @property
    def events_str(self):
        """The events in words, for people."""
        return ("0", "READ", "WRITE", "READ|WRITE")[self.wanted]

    def start(self, callback, *args, pass_events=False):
        """Call callback(*args) at each event; with pass_events, callback(events, *args).

        A descriptor that cannot be watched is told to the hub's handle_error(), and ends the watcher; so does what the
        callback raises.
        Raises TypeError for what cannot be called, and gossamer.switching.error in another thread than the loop's.
        """
        self.pass_events = pass_events
        self.activate(callback, args)

    def wait(self):
        """Park the calling greenlet until the next event.

        Raises ConcurrentObjectUseError when the watcher is active already, BlockingSwitchOutError on the hub greenlet,
        OSError for a descriptor that cannot be watched.
        """
        if self.wanted not in (1, 2):
            super().wait()
            return
        self.insist_on_nobody()
        self.waiting_greenlet = core.getcurrent()
        try:
            _core.runtime_wait_descriptor(self.descriptor, self.wanted == 2, _core.NO_DEADLINE)
        finally:
            self.waiting_greenlet = None

    def _details(self):
        return f" fd={self.descriptor} events={self.events_str}"

    cdef int begin(self) except -1:
        if self.wanted == 0:
            return True
        try:
            _core.runtime_watch_descriptor(&self.watch, self.loop.hub, self.descriptor, self.wanted, self._ref)
        except OSError as error:
            if self.waiting_greenlet is not None:
                raise
            self.tell(error)
            return False
        return True

    cdef int fired(self, int events) except -1:
        if events < 0:
            return self.fail(OSError(-events, f"cannot watch the descriptor {self.descriptor}"))
        if events & _core.WATCH_TOLD:
            return self.fed()
        callback, args = self._callback, self._args
        if callback is None or args is None:
            return 0
        try:
            if self.pass_events:
                callback(events, *args)
            else:
                callback(*args)
        except BaseException as error:
            self.end_for(error)
        return 0

    cdef int fail(self, error) except -1:
        """Nothing can be watched: who waits is told, else the hub."""
        waiting = self.waiting_greenlet
        self.stop()
        if waiting is not None:
            core.throw_into(waiting, error)
            return 0
        return self.tell(error)

    cdef int end_for(self, error) except -1:
        """What has made the callback fail is there still: it would fail over and over."""
        try:
            self.tell(error)
        finally:
            self.stop()
        return 0
