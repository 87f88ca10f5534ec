"""Settings with gevent's names.

Each is a plain attribute. Those that choose among gevent's event loops and resolvers are accepted and have no
meaning here: there is one loop, and `gossamer.resolver` needs no choice.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class _Class:
    """A setting that names a class of which there is one here: reading gives that, setting changes nothing."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __get__(self, settings: Any, owner: type | None = None) -> Any:
        if settings is None:
            return self
        return getattr(import_module(self._module), self._name)

    def __set__(self, settings: Any, value: Any) -> None:
        """Accept it."""


class Config:
    """What `gossamer.config` is. Setting an attribute that is no setting raises AttributeError."""

    # without a meaning here
    loop = _Class("gossamer._sync.loop", "Loop")
    resolver = _Class("gossamer._sync.resolver", "Resolver")
    threadpool = _Class("gossamer._sync.threadpool", "ThreadPool")
    fileobject = _Class("gossamer._sync.fileobject", "FileObjectPosix")
    libev_backend: str | None = None
    disable_watch_children: bool = False
    trace_malloc: bool = False
    ares_flags: Any = None
    ares_ndots: Any = None
    ares_servers: Any = None
    ares_tcp_port: Any = None
    ares_timeout: Any = None
    ares_tries: Any = None
    ares_udp_port: Any = None
    resolver_nameservers: Any = None
    resolver_timeout: Any = None

    max_blocking_time: float = 0.1
    """Seconds after which the monitoring thread tells that a greenlet blocks the hub; 0: it does not look."""

    print_blocking_reports: bool = True
    """Whether it prints that to the hub's exception stream, besides telling `gossamer.events.subscribers`."""

    max_memory_usage: int | None = None
    """The resident bytes beyond which it tells subscribers of the process's memory; None: it does not look."""

    memory_monitor_period: float = 5.0
    """Seconds from one look at the memory to the next."""

    threadpool_idle_task_timeout: float = 5.0
    """Seconds after which an idle thread of a hub's thread pool ends; -1: never."""

    @property
    def monitor_thread(self) -> bool:
        """Whether hubs start a monitoring thread when they are made; the calling thread's does when this is set."""
        return bool(self.__dict__.get("monitor_thread", False))

    @monitor_thread.setter
    def monitor_thread(self, on: bool) -> None:
        from gossamer._sync.hub import get_hub_if_exists

        self.__dict__["monitor_thread"] = bool(on)
        hub = get_hub_if_exists()
        if on and hub is not None:
            hub.start_periodic_monitoring_thread()

    @property
    def format_context(self) -> Any:
        """How `hub.handle_error` writes what failed: a function from an object to text."""
        return self.__dict__.get("format_context", repr)

    @format_context.setter
    def format_context(self, function: Any) -> None:
        self.__dict__["format_context"] = function

    @property
    def track_greenlet_tree(self) -> bool:
        """Whether greenlets keep the stack that started them (`Greenlet.spawning_stack`). Off unless set: it costs."""
        return bool(self.__dict__.get("track_greenlet_tree", False))

    @track_greenlet_tree.setter
    def track_greenlet_tree(self, on: bool) -> None:
        from gossamer._sync.greenlet import follow_spawns

        self.__dict__["track_greenlet_tree"] = bool(on)
        follow_spawns(stacks=bool(on))

    def set(self, name: str, value: Any) -> None:
        """Change the setting of that name. Raises AttributeError for what is no setting."""
        setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or name == "set" or not hasattr(type(self), name):
            raise AttributeError(f"there is no setting named {name!r}")
        super().__setattr__(name, value)


config = Config()
"""The settings, one for the process."""
