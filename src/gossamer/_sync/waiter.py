"""Waiter: one value or exception, handed from a callback to the one greenlet that waits for it."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from gossamer import _core
from gossamer._sync.raw import exception_from


class ConcurrentObjectUseError(AssertionError):
    """Two greenlets used at once what serves one."""


ConcurrentObjectUseError.__module__ = "gossamer.exceptions"

_NONE: Any = object()


class Waiter:
    """Hands one value to one greenlet: switch(value) or throw(...) on one side, get() on the other, in any order.

    The low-level part that a driver's callbacks use; `AsyncResult` is for everything else. Nothing of it waits but
    `get`. From gevent's documentation of gevent.hub.Waiter.
    """

    __slots__ = ("__weakref__", "_error", "_greenlet", "_handed", "_value", "_waiting", "hub")

    def __init__(self, hub: _core.Hub | None = None) -> None:
        self.hub = _core.get_hub() if hub is None else hub
        self._waiting = _core.WaitQueue(self)
        self.clear()

    def clear(self) -> None:
        """Forget what was handed over."""
        self._greenlet: _core.greenlet | None = None
        self._value: Any = _NONE
        self._error: BaseException | None = None
        self._handed = False

    def __repr__(self) -> str:
        state = "ready" if self._handed else "waiting" if self._greenlet is not None else "empty"
        return f"<{type(self).__name__} {state} at {id(self):#x}>"

    def ready(self) -> bool:
        """Whether something was handed over that nobody has waited for."""
        return self._handed

    def successful(self) -> bool:
        """Whether that is a value."""
        return self._handed and self._error is None

    @property
    def exc_info(self) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
        """Type, exception and traceback of what was thrown; None if nothing was."""
        error = self._error
        return None if error is None else (type(error), error, error.__traceback__)

    @property
    def value(self) -> Any:
        """The value that was handed over, None before that."""
        return None if self._value is _NONE else self._value

    def switch(self, value: Any = None) -> None:
        """Hand over a value."""
        self._hand(value, None)

    def switch_args(self, *args: Any) -> None:
        """Hand over a tuple."""
        self._hand(args, None)

    __call__ = switch

    def throw(self, *throw_args: Any) -> None:
        """Hand over an exception: the parts of a `raise` statement."""
        self._hand(_NONE, exception_from(*throw_args) if throw_args else _core.GreenletExit())

    def _hand(self, value: Any, error: BaseException | None) -> None:
        self._value, self._error, self._handed = value, error, True
        self._waiting.unpark()

    def get(self) -> Any:
        """Return the value, or raise the exception; wait for it if it was not handed over yet.

        Raises ConcurrentObjectUseError when another greenlet waits already.
        """
        waited = not self._handed
        if waited:
            self._wait()
        value, error = self._value, self._error
        if waited:
            self.clear()  # what was waited for is taken; what lay there stays
        if error is not None:
            raise error
        return value

    def _wait(self) -> None:
        if self._greenlet is not None:
            raise ConcurrentObjectUseError(f"This Waiter is already used by {self._greenlet!r}")
        self._greenlet = _core.getcurrent()
        try:
            while not self._handed:
                self._waiting.park()
        finally:
            self._greenlet = None
