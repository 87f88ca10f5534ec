"""What is done with greenlets of every kind: starting a bare one, throwing into any."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any
from weakref import ReferenceType, ref

from gossamer import _core
from gossamer._core import GreenletExit


def exception_from(
    kind: type[BaseException] | BaseException, value: object = None, traceback: TracebackType | None = None
) -> BaseException:
    """The exception that the parts of a `raise` statement stand for.

    Raises TypeError when they fit no exception.
    """
    if isinstance(kind, BaseException):
        error = kind
    elif isinstance(kind, type) and issubclass(kind, BaseException):
        if isinstance(value, kind):
            error = value
        elif value is None:
            error = kind()
        else:
            error = kind(*value) if isinstance(value, tuple) else kind(value)
    else:
        raise TypeError(f"exceptions must be classes, or instances, deriving from BaseException, not {kind!r}")
    return error if traceback is None else error.with_traceback(traceback)


class RawGreenlet(_core.greenlet):
    """A bare greenlet that knows who started it.

    spawning_greenlet: a weak reference to that one. From gevent's documentation of spawn_raw.
    """

    spawning_greenlet: ReferenceType[_core.greenlet]

    @property
    def spawn_tree_locals(self) -> dict[str, Any]:
        """See Greenlet.spawn_tree_locals."""
        found: dict[str, Any] | None = self.__dict__.get("spawn_tree_locals")
        if found is None:
            found = self.__dict__["spawn_tree_locals"] = locals_of_spawner(self)
        return found


def locals_of_spawner(greenlet: RawGreenlet | _core.GreenThread) -> dict[str, Any]:
    """The dictionary that a greenlet shares with whoever started it; a new one if that is a main greenlet, or gone."""
    reference = greenlet.spawning_greenlet
    spawner = reference() if reference is not None else None
    if spawner is None or spawner.parent is None:
        return {}
    shared: dict[str, Any] | None = getattr(spawner, "spawn_tree_locals", None)
    return spawner.__dict__.setdefault("spawn_tree_locals", {}) if shared is None else shared


def spawn_raw(function: Callable[..., Any], *args: Any, **kwargs: Any) -> _core.greenlet:
    """A bare greenlet that runs function(*args, **kwargs) when its turn comes: no value, no join, no kill().

    Its parent is the hub. Raises TypeError for what cannot be called. From gevent's documentation of spawn_raw.
    """
    if not callable(function):
        raise TypeError(f"spawn_raw() needs something callable, not {function!r}")
    hub = _core.get_hub()
    it = RawGreenlet(function, hub)
    it.spawning_greenlet = ref(_core.getcurrent())
    if kwargs:
        from functools import partial

        hub.run_callback(partial(it.switch, *args, **kwargs))
    else:
        hub.run_callback(it.switch, *args)
    return it


def kill(greenlet: _core.greenlet, exception: type[BaseException] | BaseException = GreenletExit) -> None:
    """Raise an exception in a greenlet of any kind, without waiting for its end. See `Greenlet.kill`.

    Raises TypeError for what is no greenlet, and for what is no exception.
    """
    if not isinstance(greenlet, _core.greenlet):
        raise TypeError(f"kill() needs a greenlet, not {greenlet!r}")
    if not greenlet.dead:
        _core.throw_into(greenlet, exception_from(exception))
