"""Settings with gevent's names.

Each is an attribute: what it was set to last, or what its environment variable says when it is asked for first, or a
default. Values are checked when they are set, as gevent does it, and words are taken where the environment has nothing
but words. Those that choose among gevent's event loops and resolvers are accepted and have no meaning here: there is
one loop, and `gossamer.resolver` needs no choice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Generic, Self, TypeVar, overload

from gossamer._sync.monitored import MONITORED

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off", "")
_UNITS = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}

Value = TypeVar("Value")


def validate_bool(value: Any) -> bool:
    """What a word, or anything else, means as a yes or no. Raises ValueError for a word that means neither."""
    if not isinstance(value, str):
        return bool(value)
    word = value.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(f"{value!r} is neither of {_TRUE} nor of {_FALSE}")


def _seconds(value: Any) -> float | None:
    """Nothing at all is None."""
    if not value:
        return None
    seconds = float(value)
    if not seconds >= 0:
        raise ValueError(f"{value!r} is no number of seconds")
    return seconds


def _bytes(value: Any) -> int | None:
    """A word is a number, and may have a unit."""
    if value is None:
        return None
    if not isinstance(value, (str, int, float)):
        raise TypeError(f"{value!r} is no number of bytes")
    count = _bytes_of(value) if isinstance(value, str) else int(value)
    if count <= 0:
        raise ValueError(f"{value!r} is no number of bytes, which is positive")
    return count


def _bytes_of(word: str) -> int:
    unit = word[-2:].upper()
    if unit in _UNITS:
        return int(word[:-2]) * _UNITS[unit]
    return int(word)


def _count(value: Any) -> int | None:
    return int(value) if value else None


def _words(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


def _anything(value: Any) -> Any:
    return value


def _function(value: Any) -> Callable[[Any], str]:
    """A function, or where it is: `module.name`."""
    found = value
    if isinstance(value, str):
        module, _, name = value.rpartition(".")
        found = getattr(import_module(module), name) if module else None
    if not callable(found):
        raise TypeError(f"{value!r} is no function, nor the place of one as 'module.name'")
    made: Callable[[Any], str] = found
    return made


class _Setting(Generic[Value]):
    """One of them.

    valid: makes a value of what it is set to, or raises TypeError or ValueError.
    environment: the variable that has its value to begin with; None: there is none.
    changed: called after each time it was set.
    """

    def __init__(
        self,
        valid: Callable[[Any], Value],
        default: Value,
        environment: str | None = None,
        changed: Callable[[Value], object] | None = None,
    ) -> None:
        self._valid = valid
        self._default = default
        self._environment = environment
        self._changed = changed

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, settings: None, owner: type) -> Self: ...

    @overload
    def __get__(self, settings: Config, owner: type) -> Value: ...

    def __get__(self, settings: Config | None, owner: type) -> Self | Value:
        if settings is None:
            return self
        values = settings.__dict__
        if self._name not in values:
            word = os.environ.get(self._environment) if self._environment is not None else None
            values[self._name] = self._default if word is None else self._checked(word, str(self._environment))
        found: Value = values[self._name]
        return found

    def __set__(self, settings: Config, value: Any) -> None:
        settings.__dict__[self._name] = checked = self._checked(value, self._name)
        if self._changed is not None:
            self._changed(checked)

    def _checked(self, value: Any, place: str) -> Value:
        try:
            return self._valid(value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{place}: {error}") from error


class _Class:
    """A setting that names a class of which there is one here: reading gives that, setting changes nothing.

    It takes classes, and what may be one: `module.name`, or one of gevent's short names. Raises ImportError for another
    name and TypeError for what is none.
    """

    def __init__(self, module: str, name: str, *short_names: str) -> None:
        self._module = module
        self._name = name
        self._short_names = short_names

    def __get__(self, settings: Any, owner: type | None = None) -> Any:
        if settings is None:
            return self
        return getattr(import_module(self._module), self._name)

    def __set__(self, settings: Any, value: Any) -> None:
        if isinstance(value, type):
            return
        names = _words(value)
        if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"a class or its name is needed, not {value!r}")
        if not any("." in name or name in self._short_names for name in names):
            raise ImportError(f"{value!r} is not the name of a class: 'module.name', or one of {self._short_names}")


def _monitor_thread_changed(on: bool) -> None:
    from gossamer._sync.hub import get_hub_if_exists

    hub = get_hub_if_exists()
    if on and hub is not None:
        hub.start_periodic_monitoring_thread()


def _track_greenlet_tree_changed(on: bool) -> None:
    from gossamer._sync.greenlet import follow_spawns

    follow_spawns(stacks=on)


class Config:
    """What `gossamer.config` is.

    Setting an attribute that is no setting raises AttributeError, and a value that cannot be meant TypeError or
    ValueError. From gevent's documentation of gevent._config.Config.
    """

    # without a meaning here
    loop = _Class("gossamer._sync.loop", "Loop", "libev-cext", "libev-cffi", "libuv-cffi", "libuv")
    resolver = _Class("gossamer._sync.resolver", "Resolver", "thread", "dnspython", "ares", "block")
    threadpool = _Class("gossamer._sync.threadpool", "ThreadPool")
    fileobject = _Class("gossamer._sync.fileobject", "FileObjectPosix", "posix", "thread", "block")
    libev_backend = _Setting(_words, None)
    disable_watch_children = _Setting(validate_bool, False)
    trace_malloc = _Setting(_count, None)
    ares_flags = _Setting(_anything, None)
    ares_ndots = _Setting(_anything, None)
    ares_servers = _Setting(_anything, None)
    ares_tcp_port = _Setting(_anything, None)
    ares_timeout = _Setting(_anything, None)
    ares_tries = _Setting(_anything, None)
    ares_udp_port = _Setting(_anything, None)
    resolver_nameservers = _Setting(_words, None)
    resolver_timeout = _Setting(_seconds, None)

    max_blocking_time = _Setting[float | None](_seconds, 0.1, "GEVENT_MAX_BLOCKING_TIME")
    """Seconds after which the monitoring thread tells that a greenlet blocks the hub; 0 or None: it does not look."""

    print_blocking_reports = _Setting(validate_bool, True, "GEVENT_MONITOR_PRINT_BLOCKING_REPORTS")
    """Whether it prints that to the hub's exception stream, besides telling `gossamer.events.subscribers`."""

    max_memory_usage = _Setting(_bytes, None, "GEVENT_MONITOR_MEMORY_MAX")
    """The resident bytes beyond which it tells subscribers of the process's memory; None: it does not look.

    A word may have a unit: "500MB".
    """

    memory_monitor_period = _Setting[float | None](_seconds, 5.0, "GEVENT_MONITOR_MEMORY_PERIOD")
    """Seconds from one look at the memory to the next; 0 or None: it does not look."""

    threadpool_idle_task_timeout = _Setting[float | None](_seconds, 5.0, "GEVENT_THREADPOOL_IDLE_TASK_TIMEOUT")
    """Seconds after which an idle thread of a hub's thread pool ends; 0 or None: never."""

    monitor_thread = _Setting(validate_bool, False, MONITORED, _monitor_thread_changed)
    """Whether hubs start a monitoring thread when they are made; the calling thread's does when this is set."""

    format_context = _Setting(_function, repr, "GEVENT_FORMAT_CONTEXT")
    """How `hub.handle_error` writes what failed: a function from an object to text, or where it is, `module.name`."""

    track_greenlet_tree = _Setting(validate_bool, False, "GEVENT_TRACK_GREENLET_TREE", _track_greenlet_tree_changed)
    """Whether greenlets keep the stack that started them (`Greenlet.spawning_stack`). Off unless set: it costs."""

    def set(self, name: str, value: Any) -> None:
        """Change the setting `name` to `value`. Raises AttributeError for what is no setting."""
        setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(vars(type(self)).get(name), (_Setting, _Class)):
            raise AttributeError(f"there is no setting named {name!r}")
        super().__setattr__(name, value)


config = Config()
"""The settings, one for the process."""
