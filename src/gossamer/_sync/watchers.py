"""Watchers of what happens seldom: children, signals, forks, files, messages of other threads, the loop itself.

Those that need to wait (for children, files) have a green thread of their own while they are active, which makes
nothing but the next callback ready. Watchers of time and of descriptors are compiled: `watcher`.
"""

from __future__ import annotations

import contextlib
import os
import signal as signals
from typing import TYPE_CHECKING, Any, ClassVar

from gossamer import _core
from gossamer._sync.watcher import Watcher

if TYPE_CHECKING:
    from types import FrameType

    from gossamer._sync.loop import Loop


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

    Where somebody else has reaped it, it fires all the same, and `rstatus` is 0.

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
        try:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):  # somebody has taken the status already
                self._wait_and_reap()
            self._fire_and_wait()
        finally:
            self.stop()

    def _wait_and_reap(self) -> None:
        descriptor = os.pidfd_open(self.pid)
        try:
            _core.wait_read(descriptor)
        finally:
            os.close(descriptor)
        self.rpid, self.rstatus = os.waitpid(self.pid, os.WNOHANG)


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
            self._before[self.signum] = signals.signal(self.signum, _signal_came)
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
