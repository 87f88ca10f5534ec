"""The hub with gevent's interface: the core's, and around it what programs written for gevent ask of it.

Importing this module makes every hub a `Hub`, those that exist included: so __init__ gives it nothing, and each
attribute is made when it is first asked for.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from gossamer import _core
from gossamer._core import (
    BlockingSwitchOutError,
    GreenletExit,
    InvalidSwitchError,
    LoopExit,
    getcurrent,
    sleep,
)
from gossamer._sync.config import config
from gossamer._sync.ident import minimal_ident
from gossamer._sync.raw import exception_from, kill, spawn_raw
from gossamer._sync.waiter import ConcurrentObjectUseError, Waiter

if TYPE_CHECKING:
    from gossamer._sync.loop import Loop, Watcher
    from gossamer._sync.monitor import PeriodicMonitoringThread

__all__ = [
    "BlockingSwitchOutError",
    "ConcurrentObjectUseError",
    "GreenletExit",
    "Hub",
    "HubDestroyed",
    "InvalidSwitchError",
    "LoopExit",
    "Waiter",
    "get_hub",
    "get_hub_class",
    "get_hub_if_exists",
    "get_loop",
    "getcurrent",
    "idle",
    "kill",
    "reinit",
    "set_hub",
    "set_hub_class",
    "set_loop",
    "signal",
    "sleep",
    "spawn_raw",
]


class HubDestroyed(GreenletExit):
    """Raised in gevent when a destroyed hub is used; a hub of Gossamer lives as long as its thread."""


HubDestroyed.__module__ = "gossamer.exceptions"


class Hub(_core.Hub):
    """The greenlet on which a thread's callbacks run; the parent of its green threads. See `get_hub`.

    From gevent's documentation of gevent.hub.Hub.
    """

    SYSTEM_ERROR: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, SystemError)
    """Errors that `handle_error` raises in the main greenlet."""

    NOT_ERROR: tuple[type[BaseException], ...] = (GreenletExit, SystemExit)
    """Errors that `handle_error` does not print."""

    name = ""
    """A name for people; it may be set."""

    threadpool_size = 10
    """How many native threads `threadpool` has at most; to be set before it is used first."""

    periodic_monitoring_thread: PeriodicMonitoringThread | None = None
    """What watches the hub from another thread, once `start_periodic_monitoring_thread` was called."""

    backend = "epoll"
    """How the kernel is asked for events: always epoll."""

    default_loop = True
    """Whether `loop` is the process's default loop: always true."""

    def __init__(self) -> None:
        super().__init__()
        if config.monitor_thread:
            self.start_periodic_monitoring_thread()

    @property
    def loop(self) -> Loop:
        """What watches time, descriptors, signals and children for callbacks."""
        return cast("Loop", self._made("loop", self._new_loop))

    @property
    def threadpool(self) -> Any:
        """The hub's pool of `threadpool_size` native threads."""
        return self._made("threadpool", self._new_threadpool)

    @threadpool.setter
    def threadpool(self, pool: Any) -> None:
        self.__dict__["threadpool"] = pool

    @property
    def resolver(self) -> Any:
        """What answers questions about host names."""
        return self._made("resolver", self._new_resolver)

    @resolver.setter
    def resolver(self, resolver: Any) -> None:
        self.__dict__["resolver"] = resolver

    @property
    def loop_class(self) -> type[Loop]:
        """What `loop` is an instance of."""
        return type(self.loop)

    @property
    def threadpool_class(self) -> type[Any]:
        """What `threadpool` is an instance of."""
        from gossamer._sync.threadpool import ThreadPool

        return ThreadPool

    @property
    def resolver_class(self) -> type[Any]:
        """What `resolver` is an instance of."""
        from gossamer._sync.resolver import Resolver

        return Resolver

    @property
    def main_hub(self) -> bool:
        """Whether it is the hub of the process's main thread."""
        import threading

        return self.thread_ident == threading.main_thread().ident

    @property
    def thread_ident(self) -> int:
        """The number of the OS thread that it belongs to."""
        return int(self._made("thread_ident", _native_ident))

    @property
    def minimal_ident(self) -> int:
        """A small number that no other living greenlet has."""
        return minimal_ident(self)

    @property
    def format_context(self) -> Callable[[object], str]:
        """How `handle_error` writes what failed."""
        return config.format_context

    @property
    def exception_stream(self) -> Any:
        """Where errors are printed: sys.stderr as it is then, unless set; None: nowhere."""
        return self.__dict__.get("exception_stream", sys.stderr)

    @exception_stream.setter
    def exception_stream(self, stream: Any) -> None:
        self.__dict__["exception_stream"] = stream

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} at {id(self):#x} {self.backend}>"

    def _made(self, name: str, make: Callable[[], Any]) -> Any:
        found = self.__dict__.get(name)
        if found is None:
            found = self.__dict__[name] = make()
        return found

    def _new_loop(self) -> Loop:
        from gossamer._sync.loop import Loop

        return Loop(hub=self)

    def _new_threadpool(self) -> Any:
        return self.threadpool_class(self.threadpool_size, self, config.threadpool_idle_task_timeout or -1)

    def _new_resolver(self) -> Any:
        return self.resolver_class()

    # ---- being watched ----

    def start_periodic_monitoring_thread(self) -> PeriodicMonitoringThread:
        """Start a native thread that tells `gossamer.events.subscribers` when a greenlet blocks this hub.

        That of the main thread's hub looks at the process's memory as well. It is started once; a
        PeriodicMonitorThreadStartedEvent tells of it. Hubs do this by themselves where `config.monitor_thread` is set.
        Returns what watches: functions of one's own can be added to it.
        """
        from gossamer._sync.events import PeriodicMonitorThreadStartedEvent, notify
        from gossamer._sync.monitor import PeriodicMonitoringThread

        monitor = self.periodic_monitoring_thread
        if monitor is None:
            monitor = self.periodic_monitoring_thread = PeriodicMonitoringThread(self)
            if self.main_hub:
                monitor.install_monitor_memory_usage()
            notify(PeriodicMonitorThreadStartedEvent(monitor))
        return monitor

    # ---- errors ----

    def handle_error(
        self,
        context: object,
        kind: type[BaseException],
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Called with what a callback or a greenlet, the context, raised: prints it to `exception_stream`.

        What is in NOT_ERROR is not printed. What is in SYSTEM_ERROR, or has no context, is raised in the main greenlet.

        kind, value, tb: the error's class, the error and its traceback.
        """
        if not issubclass(kind, self.NOT_ERROR):
            self.print_exception(context, kind, value, tb)
        if context is None or issubclass(kind, self.SYSTEM_ERROR):
            self.handle_system_error(kind, value, tb)

    def print_exception(
        self,
        context: object,
        kind: type[BaseException],
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Write the traceback, and a line that says what failed and when.

        context: what failed, shown by `format_context`; None: no such line.
        kind, value, tb: the error's class, the error and its traceback.
        """
        stream = self.exception_stream
        if stream is None:
            return
        import traceback

        traceback.print_exception(kind, value, tb, file=stream)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if context is None:
            stream.write(f"{stamp}\n\n")
            return
        try:
            text = context if isinstance(context, str) else self.format_context(context)
        except Exception:  # noqa: BLE001 - whatever it is, it must not hide the error that is reported
            text = f"<{type(context).__name__} that cannot be shown>"
        stream.write(f"{stamp} {text} failed with {kind.__name__}\n\n")

    # ---- waiting ----

    def wait(self, watcher: Watcher) -> None:
        """Park the calling greenlet until the watcher's event comes.

        Raises BlockingSwitchOutError on the hub greenlet, ConcurrentObjectUseError when the watcher is active already.
        """
        watcher.wait()

    def cancel_wait(
        self, watcher: Watcher, error: BaseException | type[BaseException], close_watcher: bool = False
    ) -> None:
        """End a wait() for this watcher with an error, when the hub's turn comes.

        Does nothing if nobody waits, or whoever does has gone on by then: a wait that another has begun lasts.
        error: the exception, or its class. close_watcher: close the watcher as well.
        Raises TypeError for an error that is no exception.
        """
        exception, greenlet = exception_from(error), watcher.waiting_greenlet
        if greenlet is not None:
            self.run_callback(self._cancel_wait, watcher, greenlet, exception, close_watcher)
        elif close_watcher:
            watcher.close()

    def _cancel_wait(
        self, watcher: Watcher, greenlet: _core.greenlet, error: BaseException, close_watcher: bool
    ) -> None:
        waits = watcher.waiting_greenlet is greenlet
        if close_watcher:
            watcher.close()
        if waits:
            _core.throw_into(greenlet, error)

    def switch_out(self) -> None:
        """What gevent calls when something on the hub greenlet tries to wait. Raises BlockingSwitchOutError."""
        raise BlockingSwitchOutError("the hub greenlet cannot wait: run what blocks in a green thread (gossamer.spawn)")

    def destroy(self, destroy_loop: bool | None = None) -> None:  # noqa: ARG002 - gevent's signature
        """Stop the threads of the hub's pool, and the one that watches it. The hub itself ends with its thread.

        destroy_loop: accepted for compatibility.
        """
        monitor = self.__dict__.pop("periodic_monitoring_thread", None)
        if monitor is not None:
            monitor.kill()
        pool = self.__dict__.pop("threadpool", None)
        if pool is not None:
            pool.kill()
        self.__dict__.pop("resolver", None)


def _native_ident() -> int:
    """The OS thread's number, whoever's thread the caller is taken for."""
    return int(_core.original("_thread", None, "get_ident")())


def get_hub() -> Hub:
    """The calling thread's hub, made if there is none yet."""
    return cast("Hub", _core.get_hub())


def get_hub_if_exists() -> Hub | None:
    """The calling thread's hub, or None if it has none yet."""
    return get_hub() if _core.thread_has_hub() else None


def get_hub_class() -> type[_core.Hub]:
    """The class of the calling thread's hub."""
    return type(get_hub())


set_hub_class = _core.set_hub_class


def set_hub(hub: Hub) -> None:
    """Accepts the calling thread's own hub: a thread keeps the hub it has. Raises ValueError for another."""
    if hub is not get_hub():
        raise ValueError(f"{hub!r} cannot become the hub of this thread, which has {get_hub()!r} for its life")


def get_loop() -> Loop:
    """The loop of the calling thread's hub."""
    return get_hub().loop


def set_loop(loop: Loop) -> None:
    """Accepts the calling thread's own loop. Raises ValueError for another."""
    if loop is not get_loop():
        raise ValueError(f"{loop!r} cannot become the loop of this thread, which has {get_loop()!r} for its life")


def idle(priority: int = 0) -> None:  # noqa: ARG001 - gevent's signature
    """Wait until everybody who is ready has run and nobody is ready any more.

    priority: accepted for compatibility.
    """
    get_hub().wait(get_loop().idle())


def reinit(hub: Hub | None = None) -> None:
    """Prepare a forked child for green threads. Nothing is left to do here: os.fork() has done it.

    hub: accepted for compatibility.
    """


class signal:  # noqa: N801 - gevent's name
    """Calls handler(*args, **kwargs) in a greenlet of its own at each signal `signalnum`. In the main thread only.

    What it raises is raised in the main greenlet. `cancel()` ends that. `ref` is False: that a signal may come is
    nothing that `wait()` waits for.
    Raises TypeError for a handler that cannot be called; ValueError for a number that is no signal, and outside of the
    main thread. From gevent's documentation of gevent.signal_handler.
    """

    def __init__(self, signalnum: int, handler: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        if not callable(handler):
            raise TypeError(f"a signal handler must be callable, not {handler!r}")
        self.hub = get_hub()
        self.handler = handler
        self.args = args
        self.kwargs = kwargs
        self.watcher = self.hub.loop.signal(signalnum, ref=False)
        self.watcher.start(self._start)

    @property
    def ref(self) -> bool:
        """Whether `wait()` waits for this signal. May be set."""
        return self.watcher.ref

    @ref.setter
    def ref(self, ref: bool) -> None:
        self.watcher.ref = ref

    def cancel(self) -> None:
        """Call the handler no more."""
        self.watcher.stop()

    def _start(self) -> None:
        _core.spawn(self._handle)

    def _handle(self) -> None:
        """What the handler raises is raised in the main greenlet, as what any signal handler raises."""
        try:
            self.handler(*self.args, **self.kwargs)
        except GreenletExit:
            return
        except BaseException:  # noqa: BLE001 - whatever it is, it is the program's
            self.hub.handle_error(None, *sys.exc_info())


def fork() -> int:
    """os.fork(): the other green threads live on in the child, on an event loop of its own.

    Returns 0 in the child, its number in the parent. Raises OSError if there can be no child.
    """
    return os.fork()


Hub.__module__ = Waiter.__module__ = signal.__module__ = "gossamer.hub"
_core.set_hub_class(Hub)

# the calling thread's may have been made before, without this class's `__init__`
if config.monitor_thread and _core.thread_has_hub():
    get_hub().start_periodic_monitoring_thread()
