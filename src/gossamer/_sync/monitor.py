"""The monitoring thread of a hub: a native thread that calls functions now and then, and tells what it found.

Two functions come with it: whether somebody blocks the hub, and how much memory the process has. What they find goes to
`gossamer.events.subscribers`, in this thread.

What the code rests on:

- Nothing is asked of the hub's own thread, and nothing is traced: the core says which greenlet runs there, and counts
  the hub's turns anyway (`Hub.progress`). A hub that is not monitored, and one that is, run at the same speed.
- The hub is blocked when it has had no turn between two looks, the same greenlet ran at both, and it did not sleep. A
  look comes each `config.max_blocking_time` seconds, so that is how long the greenlet has run at least.
- The thread is native whatever is patched, a daemon, and unparks nobody: hubs may still notice that all wait for ever.
- It knows the hub weakly, and ends when that is gone. In a forked child it is started again.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import sys
import time
import traceback
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gossamer import _core
from gossamer._sync.config import config
from gossamer._sync.events import (
    EventLoopBlocked,
    MemoryUsageThresholdExceeded,
    MemoryUsageUnderThreshold,
    notify,
)
from gossamer._sync.memory_usage import MemoryInfo, memory_info
from gossamer._sync.workers import native, native_ident

if TYPE_CHECKING:
    from gossamer._sync.hub import Hub

MonitoringFunction = Callable[[Any], object]


class MonitorWarning(RuntimeWarning):
    """Something cannot be monitored here."""


class MonitorEntry:
    """A function that is called each `period` seconds; 0 or None: it is not. `last_run_time`: when that was, of
    time.perf_counter().
    """

    __slots__ = ("function", "last_run_time", "period")

    def __init__(self, function: MonitoringFunction, period: float | None) -> None:
        self.function = function
        self.period = period
        self.last_run_time = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.function!r} each {self.period} s>"


class PeriodicMonitoringThread:
    """Calls functions with the hub, from a native thread. Made by `Hub.start_periodic_monitoring_thread`.

    hub: whose. From gevent's documentation of gevent.events.IPeriodicMonitorThread.
    """

    inactive_sleep_time = 2.0
    """Seconds between two looks at whether there is something to do, while nothing is to be monitored."""

    min_sleep_time = 0.005
    """The least number of seconds that it sleeps."""

    min_memory_monitor_period = 2.0
    """The least number of seconds from one look at the memory to the next."""

    def __init__(self, hub: Hub) -> None:
        self._hub = weakref.ref(hub, self._hub_is_gone)
        self._rest = _thread.allocate_lock()
        self._seen: tuple[int, int] | None = None
        self._ignored: tuple[int, int] | None = None
        self._exceeded = 0
        self._blocking = MonitorEntry(self.monitor_blocking, config.max_blocking_time)
        self._others: list[MonitorEntry] = []
        self._start()
        _running.add(self)

    def _start(self) -> None:
        self.should_run = True
        self.pid = os.getpid()
        native("_thread", "LockType", "acquire")(self._rest, False)
        self.monitor_thread_ident: int = native("_thread", None, "start_new_thread")(self, ())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} in thread {self.monitor_thread_ident:#x} for {self.hub!r}>"

    @property
    def hub(self) -> Hub | None:
        """Whose it is; None when that is gone."""
        return self._hub()

    # ---- what is called when ----

    def monitoring_functions(self) -> list[MonitorEntry]:
        """Return what is called, each with its `function`, `period` and `last_run_time`."""
        self._blocking.period = config.max_blocking_time
        return [self._blocking, *self._others]

    def add_monitoring_function(self, function: MonitoringFunction, period: float | None) -> None:
        """Have function(hub) called about each `period` seconds, in the monitoring thread; None: no more.

        It must not wait for anything of the hub. One that is called already gets the new period.
        Raises ValueError for what cannot be called, and for a period that is not positive.
        """
        if not callable(function):
            raise ValueError(f"a monitoring function must be callable, not {function!r}")
        if period is not None and period <= 0:
            raise ValueError(f"the period of a monitoring function must be positive, not {period!r}")
        found = next((entry for entry in self._others if entry.function == function), None)
        if period is None:
            self._others = [entry for entry in self._others if entry is not found]
        elif found is not None:
            found.period = period
        else:
            self._others = [*self._others, MonitorEntry(function, period)]

    def calculate_sleep_time(self) -> float:
        """Return how many seconds it sleeps until it looks again."""
        periods = [entry.period for entry in self.monitoring_functions() if entry.period and entry.period > 0]
        return max(min(periods), self.min_sleep_time) if periods else self.inactive_sleep_time

    def kill(self) -> None:
        """Call no function any more, and end the thread. Harmless when it has ended."""
        self.should_run = False
        _running.discard(self)
        with contextlib.suppress(RuntimeError):  # somebody else has told it by now
            native("_thread", "LockType", "release")(self._rest)

    def _hub_is_gone(self, _hub: object) -> None:
        self.kill()

    def __call__(self) -> None:
        """What the thread runs."""
        _core.pool_thread_begin()
        try:
            acquire = native("_thread", "LockType", "acquire")
            while self.should_run and not acquire(self._rest, True, self.calculate_sleep_time()):
                self._look()
        except SystemExit:
            return
        finally:
            _core.pool_thread_end()

    def _look(self) -> None:
        hub = self.hub
        if hub is None or hub.dead:
            self.kill()
            return
        now = time.perf_counter()
        for entry in self.monitoring_functions():
            if not self.should_run or not entry.period or entry.period <= 0:
                continue
            if now >= entry.last_run_time + entry.period - self.min_sleep_time:
                entry.last_run_time = now
                self._call(entry.function, hub)

    def _call(self, function: MonitoringFunction, hub: Hub) -> None:
        try:
            function(hub)
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001 - the hub decides what becomes of it
            self._tell_hub(hub, error)

    def _tell_hub(self, hub: Hub, error: BaseException) -> None:
        """What fails in telling, as for a closed stream, does not end the thread."""
        try:
            hub.handle_error(self, type(error), error, error.__traceback__)
        except Exception:  # noqa: BLE001 - nobody is left to be told but sys.stderr, if there is one
            with contextlib.suppress(Exception):
                traceback.print_exc()

    # ---- who blocks the hub ----

    def ignore_current_greenlet_blocking(self) -> None:
        """Take no notice of the calling greenlet's blocking the hub, until the hub has its next turn."""
        hub = self.hub
        progress = hub.progress() if hub is not None else None
        self._ignored = _turn(progress) if progress is not None else None

    def monitor_current_greenlet_blocking(self) -> None:
        """Take notice again."""
        self._ignored = None

    def monitor_blocking(self, hub: Hub) -> EventLoopBlocked | None:
        """Tell subscribers, and the hub's exception stream, when somebody has blocked the hub since the last look.

        hub: the hub. Returns the event, or None when nobody has.
        """
        progress, before = hub.progress(), self._seen
        self._seen = _turn(progress) if progress is not None else None
        if progress is None or self._seen != before or self._seen == self._ignored:
            return None
        return self._tell_of(hub, progress[1])

    def _tell_of(self, hub: Hub, greenlet: _core.greenlet) -> EventLoopBlocked:
        info = self._report(hub, greenlet)
        event = EventLoopBlocked(greenlet, config.max_blocking_time or 0, info, hub=hub)
        notify(event)
        stream = hub.exception_stream
        if config.print_blocking_reports and stream is not None:
            stream.write("\n".join([*event.info, ""]))
        return event

    def _report(self, hub: Hub, greenlet: _core.greenlet) -> list[str]:
        from gossamer._sync.introspection import format_run_info

        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        lines = [
            "=" * 80,
            f"{stamp}: {greenlet!r} has blocked its hub for {config.max_blocking_time or 0:g} seconds or more",
            f"told by {self!r}",
        ]
        frame = sys._current_frames().get(hub.thread_ident)
        if frame is not None:
            lines.append("it runs here (most recent call last):")
            lines += "".join(traceback.format_stack(frame)).rstrip().split("\n")
        return [*lines, "all greenlets:", *format_run_info(thread_stacks=False)]

    # ---- memory ----

    def can_monitor_memory_usage(self) -> bool:
        """Return whether the system tells how much memory the process has."""
        return memory_info() is not None

    def install_monitor_memory_usage(self) -> None:
        """Look at the memory each `config.memory_monitor_period` seconds; a MonitorWarning where there is no /proc."""
        if not self.can_monitor_memory_usage():
            warnings.warn("the memory of this process cannot be monitored: no /proc", MonitorWarning, stacklevel=2)
            return
        period = config.memory_monitor_period
        if period is not None:
            period = max(period, self.min_memory_monitor_period)
        self.add_monitoring_function(self.monitor_memory_usage, period)

    def monitor_memory_usage(
        self, _hub: Hub | None
    ) -> MemoryUsageThresholdExceeded | MemoryUsageUnderThreshold | int | None:
        """Tell subscribers when the process has more memory than `config.max_memory_usage`, and more than last time.

        Another event tells when it is below that again. Returns the event, None without one, -1 without a maximum.
        """
        allowed = config.max_memory_usage
        if not allowed:
            return -1
        info = memory_info()
        if info is None:
            return None
        return self._compare(info, allowed)

    def _compare(
        self, info: MemoryInfo, allowed: int
    ) -> MemoryUsageThresholdExceeded | MemoryUsageUnderThreshold | None:
        event: MemoryUsageThresholdExceeded | MemoryUsageUnderThreshold | None = None
        if info.rss > allowed and info.rss > self._exceeded:
            event = MemoryUsageThresholdExceeded(info.rss, allowed, info)
            self._exceeded = info.rss
        elif info.rss <= allowed and self._exceeded:
            event = MemoryUsageUnderThreshold(info.rss, allowed, info, self._exceeded)
            self._exceeded = 0
        if event is not None:
            notify(event)
        return event

    # ---- fork ----

    def _after_fork(self) -> None:
        """The thread is gone with the others; so is the hub, if it was another thread's."""
        hub = self.hub
        self._rest = _thread.allocate_lock()
        self._seen = self._ignored = None
        if hub is not None and hub.thread_ident == native_ident():
            self._start()
        else:
            self.should_run = False
            _running.discard(self)


def _turn(progress: tuple[int, _core.greenlet]) -> tuple[int, int]:
    """The same without a reference: greenlets are freed in their own thread, and not later for being looked at."""
    turn, greenlet = progress
    return turn, id(greenlet)


_running: set[PeriodicMonitoringThread] = set()


def _forked() -> None:
    for monitor in tuple(_running):
        monitor._after_fork()


os.register_at_fork(after_in_child=_forked)
