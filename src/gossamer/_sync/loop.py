"""gevent's event loop interface over the hub: watchers that call a function on the hub greenlet at each event.

The hub waits by green threads, not by watchers: `hub.wait(watcher)`, which drivers use, does without any, and the
calling greenlet waits itself. What programs call for every message is compiled (`watcher`), the rest is in `watchers`.

A watcher that is active keeps `hub.join()` waiting, and LoopExit away, unless its `ref` is False.
"""

from __future__ import annotations

import math
import select
import time
from typing import TYPE_CHECKING, Any

from gossamer import _core
from gossamer._sync.watcher import Io, LoopCalls, Timer, Watcher
from gossamer._sync.watchers import Async, Check, Child, Fork, Idle, Prepare, Signal, Stat
from gossamer._sync.workers import native

if TYPE_CHECKING:
    from types import TracebackType

    from gossamer._sync.hub import Hub

__all__ = [
    "READ",
    "WRITE",
    "Async",
    "Check",
    "Child",
    "Fork",
    "Idle",
    "Io",
    "Loop",
    "Prepare",
    "Signal",
    "Stat",
    "Timer",
    "Watcher",
    "backends",
    "embeddable_backends",
    "get_version",
]


READ = 1
"""The event of `loop.io`: something can be read."""

WRITE = 2
"""The event of `loop.io`: something can be written."""

LONGEST_SLEEP = 86400.0
"""Seconds that are slept at most in one piece when the loop is run once."""


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


class Loop(LoopCalls):
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
        super().__init__(hub)
        self.default = default is not False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self.backend}>"

    # ---- watchers ----

    def async_(self, ref: bool = True, priority: int | None = None) -> Async:
        """A watcher that fires when its send() is called, from any thread.

        ref, priority: as of `Watcher`.
        """
        return Async(self, ref, priority)

    def fork(self, ref: bool = True, priority: int | None = None) -> Fork:
        """A watcher that fires in a child that its thread forks.

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

    def stat(self, path: str | bytes, interval: float = 0.0, ref: bool = True, priority: int | None = None) -> Stat:
        """A watcher of the file at `path`: fires when the kernel tells of a change.

        interval: where it does not, how many seconds from one look to the next; 0: 5 seconds.
        ref, priority: as of `Watcher`.
        Raises TypeError for what is no path, ValueError for a path with a null character.
        """
        return Stat(self, path, interval, ref, priority)

    def idle(self, ref: bool = True, priority: int | None = None) -> Idle:
        """A watcher that fires over and over, whenever nothing else is ready: the hub does not sleep meanwhile.

        ref, priority: as of `Watcher`.
        """
        return Idle(self, ref, priority)

    def prepare(self, ref: bool = True, priority: int | None = None) -> Prepare:
        """A watcher that fires at each turn of the hub before it asks for events, always before it sleeps.

        ref, priority: as of `Watcher`.
        """
        return Prepare(self, ref, priority)

    def check(self, ref: bool = True, priority: int | None = None) -> Check:
        """A watcher that fires at each turn of the hub after it has asked for events, ahead of what they call.

        ref, priority: as of `Watcher`.
        """
        return Check(self, ref, priority)

    # ---- running ----

    def run(self, nowait: bool = False, once: bool = False) -> None:
        """Let the hub run: until nothing is left to wait for.

        nowait: only all that is ready now.
        once: the same, but wait until something is, unless there is nothing to wait for.

        For programs that drive the loop from outside: call it with nowait when `fileno` can be read, and when
        `next_deadline`, asked anew after each call, has passed. The loop outside has to block natively: switch the
        points of `select` off (`monkey.patch_all(select=False)`).
        """
        if not nowait and not once:
            self.hub.join()
            return
        if once and not nowait and not self.hub.poll() and self.activecnt:
            self._wait_natively()
        self.hub.turn()
        _core.sleep(0)

    def _wait_natively(self) -> None:
        """Until something is ready, which only the caller can wait for: it runs, and all others wait."""
        seconds = self.next_deadline()
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        milliseconds = None if seconds is None else math.ceil(min(seconds, LONGEST_SLEEP) * 1000)
        native("select", "poll", "poll")(poll, milliseconds)

    def next_deadline(self) -> float | None:
        """Seconds until the loop has something to do though no descriptor is ready: 0 when it has now, None for never.

        What was started since the last turn is looked at, so that `fileno` is ready when any of that is. Whoever asks
        is taken to sleep in a loop outside: from now on `fileno` is ready, too, once the code of that loop has started
        greenlets or timers, or has waited.
        """
        return 0.0 if self.hub.poll() else self.hub.next_deadline()

    def closing_fd(self, fd: int) -> bool:  # noqa: ARG002 - gevent's signature
        """Accepted for compatibility, as before a descriptor is closed: nothing is left to do. Returns False.

        fd: the descriptor.
        """
        return False

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
        """How many active watchers, waits and promises hub.join() waits for."""
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
