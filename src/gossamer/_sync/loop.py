"""gevent's event loop interface over the hub: watchers that call a function on the hub greenlet at each event.

The hub waits by green threads, not by watchers: so those that need to wait here (for descriptors, children, files) have
a green thread of their own while they are active, which makes nothing but the next callback ready. `hub.wait(watcher)`,
which drivers use, does without: the calling greenlet waits itself.

A watcher that is active keeps `hub.join()` waiting, and LoopExit away, unless its `ref` is False.
"""

from __future__ import annotations

import os
import signal as signals
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from gossamer import _core
from gossamer._sync.waiter import Waiter

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from gossamer._sync.hub import Hub

READ = 1
"""The event of `loop.io`: something can be read."""

WRITE = 2
"""The event of `loop.io`: something can be written."""


class Watcher:
    """Calls callback(*args) on the hub greenlet at each event, between start() and stop().

    loop: the hub's, of the thread in which it is used.
    ref: False: that an event may come is nothing that the hub's join() waits for.
    priority: accepted for compatibility.
    """

    def __init__(self, loop: Loop, ref: bool = True, priority: int | None = None) -> None:
        self.loop = loop
        self.priority = priority
        self.callback: Callable[..., object] | None = None
        self.args: tuple[Any, ...] | None = None
        self.waiting_greenlet: _core.greenlet | None = None
        self._ref = ref
        self._active = False
        self._promise: _core.Promise | None = None

    def start(self, callback: Callable[..., object], *args: Any) -> None:
        """Call callback(*args) from now on. Raises TypeError for what cannot be called."""
        if not callable(callback):
            raise TypeError(f"a watcher's callback must be callable, not {callback!r}")
        self.callback = callback
        self.args = args
        if not self._active:
            self._active = True
            self._keep_waiting()
            self._begin()

    def stop(self) -> None:
        """Call nothing any more. Does nothing when it is not active."""
        self.callback = self.args = None
        if self._active:
            self._active = False
            self._keep_waiting()
            self._end()

    def close(self) -> None:
        """The same, for good."""
        self.stop()

    def wait(self) -> None:
        """Park the calling greenlet until the next event."""
        waiter = Waiter(self.loop.hub)
        self.waiting_greenlet = _core.getcurrent()
        self.start(waiter.switch)
        try:
            waiter.get()
        finally:
            self.waiting_greenlet = None
            self.stop()

    def feed(self, _revents: int, callback: Callable[..., object], *args: Any) -> None:
        """Have callback(*args) called as if the event had come."""
        self.loop.run_callback(callback, *args)

    @property
    def active(self) -> bool:
        """Whether it is started."""
        return self._active

    @property
    def pending(self) -> bool:
        """Whether an event has come whose callback has not been called. Events are called at once here: False."""
        return False

    @property
    def ref(self) -> bool:
        """Whether hub.join() waits for it. May be set."""
        return self._ref

    @ref.setter
    def ref(self, ref: bool) -> None:
        self._ref = ref
        self._keep_waiting()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f" active callback={self.callback!r} args={self.args!r}" if self._active else ""
        return f"<{type(self).__name__} at {id(self):#x}{self._details()}{state}>"

    def _details(self) -> str:
        return ""

    def _fire(self) -> None:
        """On the hub greenlet: the event has come."""
        callback, args = self.callback, self.args
        if callback is None or args is None:
            return
        try:
            callback(*args)
        except BaseException as error:  # noqa: BLE001 - the hub decides what becomes of it
            self.loop.handle_error(self, type(error), error, error.__traceback__)

    def _keep_waiting(self) -> None:
        """Hold a promise that something will come, while that is so."""
        wanted = self._active and self._ref
        if wanted and self._promise is None:
            self._promise = _core.Promise(self)
        elif not wanted and self._promise is not None:
            self._promise.keep()
            self._promise = None

    def _begin(self) -> None:
        """Start to wait for the event."""

    def _end(self) -> None:
        """Stop that."""


class Timer(Watcher):
    """Fires after so many seconds, and then, if `repeat` is not 0, each `repeat` seconds.

    loop: whose. after: the seconds. ref: whether hub.join() waits for it. priority: has no effect.
    """

    def __init__(
        self, loop: Loop, after: float, repeat: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> None:
        if repeat < 0:
            raise ValueError(f"repeat must be positive or zero: {repeat!r}")
        super().__init__(loop, ref, priority)
        self.after = after + 0.0
        self.repeat = repeat + 0.0
        self._at = 0.0
        self._timer: _core.Callback | None = None

    def start(self, callback: Callable[..., object], *args: Any, update: bool | None = None) -> None:  # noqa: ARG002 - gevent's signature
        """Call callback(*args) when the time has come. update: has no effect, the time is always the time now."""
        super().start(callback, *args)

    def again(self, callback: Callable[..., object], *args: Any, update: bool | None = None) -> None:  # noqa: ARG002 - gevent's signature
        """Call callback(*args) `repeat` seconds from now, whether it is active or not. update: as for start()."""
        self.stop()
        self.after, after = self.repeat, self.after
        try:
            self.start(callback, *args)
        finally:
            self.after = after

    @property
    def at(self) -> float:
        """When it fires, in seconds of time.monotonic(); 0 while it is not active."""
        return self._at if self._active else 0.0

    def _begin(self) -> None:
        self._set(self.after)

    def _set(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds
        self._timer = self.loop.hub.call_later(max(seconds, 0.0), self._expire)
        if not self._ref:
            self._timer.unref()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _keep_waiting(self) -> None:
        """The timer itself is what is waited for."""
        if self._active and not self._ref and self._timer is not None:
            self._timer.unref()

    def _expire(self) -> None:
        if self.repeat > 0:
            self._set(self.repeat)
            self._fire()
            return
        self._timer = None
        callback, args = self.callback, self.args
        self.stop()
        if callback is not None and args is not None:
            self.callback, self.args = callback, args
            try:
                self._fire()
            finally:
                if not self._active:
                    self.callback = self.args = None


class _Pumped(Watcher):
    """Has green threads that wait while it is active."""

    _pumps: tuple[_core.GreenThread, ...] = ()

    def _end(self) -> None:
        pumps, self._pumps = self._pumps, ()
        for pump in pumps:
            if pump is not _core.getcurrent():
                _core.throw_into(pump, _core.GreenletExit())

    def _fire_and_wait(self) -> None:
        """Let the hub call the callback, and come back after that."""
        self.loop.hub.run_callback(self._fire)
        _core.sleep(0)


class Io(_Pumped):
    """Fires as long as a descriptor can be read (events 1), written (2) or either (3).

    loop: whose. fd: the descriptor. ref: whether hub.join() waits for it. priority: has no effect.
    """

    def __init__(self, loop: Loop, fd: int, events: int, ref: bool = True, priority: int | None = None) -> None:
        if fd < 0:
            raise ValueError(f"fd must be non-negative: {fd!r}")
        if events & ~(READ | WRITE):
            raise ValueError(f"illegal event mask: {events!r}")
        super().__init__(loop, ref, priority)
        self.fd = fd
        self.events = events

    def _details(self) -> str:
        return f" fd={self.fd} events={self.events}"

    def wait(self) -> None:
        """Park the calling greenlet until the next event."""
        if self._active or self.events not in (READ, WRITE):
            super().wait()
            return
        self.waiting_greenlet = _core.getcurrent()
        self._active = True
        try:
            (_core.wait_read if self.events == READ else _core.wait_write)(self.fd)
        finally:
            self.waiting_greenlet = None
            self._active = False

    def _keep_waiting(self) -> None:
        """The hub knows that it waits for a descriptor."""

    def _begin(self) -> None:
        waits = [wait for bit, wait in ((READ, _core.wait_read), (WRITE, _core.wait_write)) if self.events & bit]
        self._pumps = tuple(_core.spawn(self._pump, wait) for wait in waits)

    def _pump(self, wait: Callable[[int], bool]) -> None:
        while self._active:
            try:
                wait(self.fd)
            except OSError as error:
                self.loop.handle_error(self, type(error), error, error.__traceback__)
                self.stop()
                return
            self._fire_and_wait()


class Async(Watcher):
    """Fires once after each send(), which may be called from any thread; several may become one."""

    _sent = False

    @property
    def pending(self) -> bool:
        """Whether send() was called and the callback has not been."""
        return self._sent

    def send(self) -> None:
        """Have the callback called soon."""
        if not self._sent:
            self._sent = True
            self.loop.hub.run_callback(self._take)

    def send_ignoring_arg(self, _ignored: object) -> None:
        """send(), for links, which are called with an argument."""
        self.send()

    def _take(self) -> None:
        self._sent = False
        self._fire()


class Child(_Pumped):
    """Fires when a child process has ended, and reaps it: `rpid`, `rstatus` are what os.waitpid() returns.

    loop: whose. pid: the child's number. trace: has no effect. ref: whether hub.join() waits for it.
    """

    def __init__(self, loop: Loop, pid: int, trace: int = 0, ref: bool = True) -> None:  # noqa: ARG002 - gevent's signature
        if pid <= 0:
            raise ValueError(f"a child watcher needs the number of one child, not {pid!r}")
        super().__init__(loop, ref)
        self.pid = self.rpid = pid
        self.rstatus = 0

    def _details(self) -> str:
        return f" pid={self.pid} rstatus={self.rstatus}"

    def _begin(self) -> None:
        self._pumps = (_core.spawn(self._pump),)

    def _pump(self) -> None:
        descriptor = os.pidfd_open(self.pid)
        try:
            _core.wait_read(descriptor)
        finally:
            os.close(descriptor)
        self.rpid, self.rstatus = os.waitpid(self.pid, os.WNOHANG)
        self._fire_and_wait()
        self.stop()


class Stat(_Pumped):
    """Fires when what os.stat() says of a path has changed: `prev` and `attr`, None where there is no such file.

    loop: whose. interval: seconds from one look to the next; zero or less: 5. ref: whether hub.join() waits for it.
    priority: has no effect.
    """

    def __init__(
        self, loop: Loop, path: str, interval: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> None:
        super().__init__(loop, ref, priority)
        self.path = path
        self.interval = interval if interval > 0 else 5.0
        self.attr = self.prev = self._look()

    def _details(self) -> str:
        return f" path={self.path!r}"

    def _look(self) -> os.stat_result | None:
        try:
            return os.stat(self.path)  # noqa: PTH116 - the path may be bytes
        except OSError:
            return None

    def _begin(self) -> None:
        self.attr = self._look()
        self._pumps = (_core.spawn(self._pump),)

    def _pump(self) -> None:
        while self._active:
            _core.sleep(self.interval)
            now = self._look()
            if now != self.attr:
                self.prev, self.attr = self.attr, now
                self._fire_and_wait()


class Signal(Watcher):
    """Fires after each signal of a kind. In the main thread only; the handler before is put back at the end.

    loop: whose. signum: the signal's number. ref: whether hub.join() waits for it. priority: has no effect.
    """

    _started: ClassVar[dict[int, list[Signal]]] = {}
    _before: ClassVar[dict[int, Any]] = {}

    def __init__(self, loop: Loop, signum: int, ref: bool = True, priority: int | None = None) -> None:
        if not 0 < signum < signals.NSIG:
            raise ValueError(f"illegal signal number: {signum!r}")
        super().__init__(loop, ref, priority)
        self.signum = signum

    def _details(self) -> str:
        return f" signum={self.signum}"

    def _begin(self) -> None:
        watchers = self._started.setdefault(self.signum, [])
        if not watchers:
            try:
                self._before[self.signum] = signals.signal(self.signum, _signal_came)
            except BaseException:
                self._active = False
                self._keep_waiting()
                raise
        watchers.append(self)

    def _end(self) -> None:
        watchers = self._started[self.signum]
        watchers.remove(self)
        if not watchers:
            before = self._before.pop(self.signum)
            signals.signal(self.signum, before if before is not None else signals.SIG_DFL)


def _signal_came(signum: int, _frame: FrameType | None) -> None:
    for watcher in tuple(Signal._started.get(signum, ())):
        watcher.loop.hub.run_callback(watcher._fire)


class Fork(Watcher):
    """Fires in the child after each os.fork()."""

    def _begin(self) -> None:
        _fork_watchers.append(self)

    def _end(self) -> None:
        _fork_watchers.remove(self)


_fork_watchers: list[Fork] = []


def _forked() -> None:
    for watcher in tuple(_fork_watchers):
        watcher.loop.hub.run_callback(watcher._fire)


os.register_at_fork(after_in_child=_forked)


class Idle(Watcher):
    """Fires over and over, whenever everybody who was ready has run. While it is active the hub does not sleep."""

    _next: _core.Callback | None = None

    def _begin(self) -> None:
        self._next = self.loop.hub.run_callback(self._again)

    def _end(self) -> None:
        if self._next is not None:
            self._next.stop()
            self._next = None

    def _again(self) -> None:
        if self.loop.hub.poll() == 0:
            self._fire()
        if self._active:
            self._begin()


class Check(Idle):
    """Fires each 10 milliseconds: gevent's fires at each turn of its loop, and this one has no turns."""

    def _begin(self) -> None:
        self._next = self.loop.hub.call_later(0.01, self._again)
        self._next.unref()

    def _again(self) -> None:
        self._fire()
        if self._active:
            self._begin()


class Prepare(Check):
    """The same as Check."""


def get_version() -> str:
    """Return the name and version of what watches."""
    from gossamer import __version__

    return f"gossamer-{__version__}"


def backends() -> list[str]:
    """Return what can be asked for events: epoll."""
    return ["epoll"]


def embeddable_backends() -> list[str]:
    """Return those that another loop can watch: none. See `Loop.fileno`."""
    return []


class Loop:
    """hub.loop: makes watchers, and calls functions on the hub greenlet.

    It is one way to reach the events of a hub, which has no others.
    flags: has no effect. default: what the attribute of that name is, True unless given. hub: the calling thread's,
    unless it is given.

    From gevent's documentation of gevent._interfaces.ILoop.
    """

    WatcherType = Watcher

    MINPRI = -2
    """The lowest priority of a watcher. Priorities are accepted and have no effect."""

    MAXPRI = 2
    """The highest priority of a watcher."""

    backend = "epoll"
    """How the kernel is asked for events: always epoll."""

    backend_int = 4
    """libev's number for epoll."""

    approx_timer_resolution = 1e-06
    """Seconds between two times that timers can tell apart."""

    error_handler: Any = None
    """Accepted for compatibility: errors go to `hub.handle_error`."""

    def __init__(
        self,
        flags: object = None,  # noqa: ARG002 - gevent's signature
        default: bool | None = None,
        *,
        hub: Hub | None = None,
    ) -> None:
        self.hub = _core.get_hub() if hub is None else hub
        self.default = default is not False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self.backend}>"

    # ---- calls ----

    def run_callback(self, func: Callable[..., object], *args: Any) -> _core.Callback:
        """Have func(*args) called on the hub greenlet, in turn, and return what can stop() it. From any thread."""
        return self.hub.run_callback(func, *args)

    run_callback_threadsafe = run_callback

    # ---- watchers ----

    def io(self, fd: int, events: int, ref: bool = True, priority: int | None = None) -> Io:
        """A watcher of the descriptor `fd`: events 1 for reading, 2 for writing, 3 for either.

        ref, priority: as of `Watcher`.
        Raises ValueError for a negative descriptor and for other events.
        """
        return Io(self, fd, events, ref, priority)

    def timer(self, after: float, repeat: float = 0.0, ref: bool = True, priority: int | None = None) -> Timer:
        """A watcher of time: fires `after` so many seconds, then each `repeat` seconds; only once if that is 0.

        ref, priority: as of `Watcher`.
        Raises ValueError for a negative `repeat`.
        """
        return Timer(self, after, repeat, ref, priority)

    def async_(self, ref: bool = True, priority: int | None = None) -> Async:
        """A watcher that fires when its send() is called, from any thread.

        ref, priority: as of `Watcher`.
        """
        return Async(self, ref, priority)

    def fork(self, ref: bool = True, priority: int | None = None) -> Fork:
        """A watcher that fires in a forked child.

        ref, priority: as of `Watcher`.
        """
        return Fork(self, ref, priority)

    def child(self, pid: int, trace: int = 0, ref: bool = True) -> Child:
        """A watcher of a child process's end.

        pid: the number of the child.
        trace: accepted for compatibility.
        ref: as of `Watcher`.
        Raises ValueError for a number that is not one child's.
        """
        return Child(self, pid, trace, ref)

    def signal(self, signum: int, ref: bool = True, priority: int | None = None) -> Signal:
        """A watcher of the signal `signum`.

        ref, priority: as of `Watcher`.
        Raises ValueError for a number that is no signal's.
        """
        return Signal(self, signum, ref, priority)

    def stat(self, path: str, interval: float = 0.0, ref: bool = True, priority: int | None = None) -> Stat:
        """A watcher of the file at `path`, looked at each `interval` seconds; 0: 5 seconds.

        ref, priority: as of `Watcher`.
        """
        return Stat(self, path, interval, ref, priority)

    def idle(self, ref: bool = True, priority: int | None = None) -> Idle:
        """A watcher that fires whenever nothing else is ready.

        ref, priority: as of `Watcher`.
        """
        return Idle(self, ref, priority)

    def prepare(self, ref: bool = True, priority: int | None = None) -> Prepare:
        """A watcher that fires regularly while the hub runs.

        ref, priority: as of `Watcher`.
        """
        return Prepare(self, ref, priority)

    def check(self, ref: bool = True, priority: int | None = None) -> Check:
        """A watcher that fires regularly while the hub runs.

        ref, priority: as of `Watcher`.
        """
        return Check(self, ref, priority)

    # ---- running ----

    def run(self, nowait: bool = False, once: bool = False) -> None:
        """Let the hub run: until nothing is left to wait for, or, with nowait or once, all that is ready now.

        For programs that drive the loop from outside: `fileno` and `next_deadline` say when to call.
        """
        if not nowait and not once:
            self.hub.join()
            return
        self.hub.poll()
        _core.sleep(0)

    def next_deadline(self) -> float | None:
        """Seconds until the first timer expires, None without one."""
        return self.hub.next_deadline()

    def fileno(self) -> int:
        """The descriptor of the epoll instance."""
        return self.hub.fileno()

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def update_now(self) -> None:
        """Does nothing: the time is always the time now."""

    update = update_now

    @property
    def iteration(self) -> int:
        """How often the hub has asked for events so far."""
        return self.hub.polls()

    @property
    def activecnt(self) -> int:
        """How many timers, descriptors and promises hub.join() waits for."""
        return self.hub.waits()

    @property
    def pendingcnt(self) -> int:
        """How many greenlets and callbacks are ready to run."""
        return self.hub.poll()

    def handle_error(
        self, context: object, kind: type[BaseException], value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Tell the hub that `context` raised an error: its type `kind`, its `value` and traceback `tb`."""
        self.hub.handle_error(context, kind, value, tb)

    def reinit(self) -> None:
        """Does nothing: os.fork() has done it."""

    def install_sigchld(self) -> None:
        """Does nothing: children are watched by descriptors, not by signals."""

    reset_sigchld = install_sigchld

    def destroy(self) -> None:
        """Does nothing: the loop ends with its thread."""


setattr(Loop, "async", Loop.async_)
