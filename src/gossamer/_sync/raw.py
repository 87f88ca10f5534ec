"""What is done with greenlets of every kind: starting a bare one, throwing into any."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

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


def spawn_raw(function: Callable[..., Any], *args: Any, **kwargs: Any) -> _core.greenlet:
    """A bare greenlet that runs function(*args, **kwargs) when its turn comes: no value, no join, no kill().

    Its parent is the hub. Raises TypeError for what cannot be called. From gevent's documentation of spawn_raw.
    """
    if not callable(function):
        raise TypeError(f"spawn_raw() needs something callable, not {function!r}")
    hub = _core.get_hub()
    it = _core.greenlet(function, hub)
    if kwargs:
        from functools import partial

        hub.run_callback(partial(it.switch, *args, **kwargs))
    else:
        hub.run_callback(it.switch, *args)
    return it


def kill(greenlet: _core.greenlet, exception: type[BaseException] | BaseException = GreenletExit) -> None:
    """Raise an exception in a greenlet of any kind, without waiting for its end. See `Greenlet.kill`."""
    if not greenlet.dead:
        _core.throw_into(greenlet, exception_from(exception))
