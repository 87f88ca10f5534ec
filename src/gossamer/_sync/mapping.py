"""Calls in green threads, many at a time: what groups, pools and thread pools have in common.

The behaviour is that of gevent's documentation of `gevent.pool`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gossamer._sync.imap import OrderedResults, Results

__all__ = ["GroupMappingMixin"]


class GroupMappingMixin:
    """Calls of functions in green threads, in terms of `spawn()` of the class that has this for a base."""

    def spawn(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Start function(*args, **kwargs) in a green thread, and return that.

        Raises NotImplementedError here: a class that has this for a base says how.
        """
        raise NotImplementedError(f"{type(self).__name__} has no spawn()")

    def _apply_immediately(self) -> bool:
        """Whether a call is made by the caller itself: one that waited for a place of its own pool might wait for
        ever.
        """
        return False

    def _apply_async_use_greenlet(self) -> bool:
        """Whether `spawn()` might wait now."""
        return False

    def apply(
        self, func: Callable[..., Any], args: Iterable[Any] | None = None, kwds: dict[str, Any] | None = None
    ) -> Any:
        """Call func(*args, **kwds) in a green thread, wait for it, and return or raise what it does."""
        if self._apply_immediately():
            return func(*(args or ()), **(kwds or {}))
        return self.spawn(func, *(args or ()), **(kwds or {})).get()

    def apply_cb(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] | None = None,
        kwds: dict[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
    ) -> Any:
        """As `apply`; the callback is called with the result, in a green thread of its own."""
        result = self.apply(func, args, kwds)
        if callback is not None:
            _spawn(callback, result)
        return result

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] | None = None,
        kwds: dict[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
    ) -> Any:
        """Begin func(*args, **kwds) and return its green thread at once, also if there is no place for it yet.

        callback: called with the result in a green thread of its own, if the call succeeds.
        """
        if self._apply_async_use_greenlet():
            return _spawn(self.apply_cb, func, args, kwds, callback)
        green = self.spawn(func, *(args or ()), **(kwds or {}))
        if callback is not None:
            green.link(_calling_with_value(callback))
        return green

    def map(self, func: Callable[..., Any], iterable: Iterable[Any]) -> list[Any]:
        """The results of `func` for each item of `iterable`, in order. Raises what the first call to fail raised."""
        return list(self.imap(func, iterable))

    def map_cb(
        self, func: Callable[..., Any], iterable: Iterable[Any], callback: Callable[[Any], object] | None = None
    ) -> list[Any]:
        """As `map`; the callback is called with the list."""
        result = self.map(func, iterable)
        if callback is not None:
            callback(result)
        return result

    def map_async(
        self, func: Callable[..., Any], iterable: Iterable[Any], callback: Callable[[Any], object] | None = None
    ) -> Any:
        """Begin `map_cb` in a green thread, which is returned and is not one of the group. Arguments as of `map_cb`."""
        return _spawn(self.map_cb, func, iterable, callback)

    def imap(self, func: Callable[..., Any], *iterables: Iterable[Any], maxsize: int | None = None) -> Iterator[Any]:
        """An iterator over the results of `func`, called with one item of each iterable, in order.

        maxsize: how many calls may be under way or have results that nobody has taken; None: any number.
        Raises, when its turn comes, what a call raised; iterating may go on after that.
        """
        return OrderedResults(self.spawn, func, zip(*iterables, strict=False), maxsize)

    def imap_unordered(
        self, func: Callable[..., Any], *iterables: Iterable[Any], maxsize: int | None = None
    ) -> Iterator[Any]:
        """As `imap`, in the order in which the calls end."""
        return Results(self.spawn, func, zip(*iterables, strict=False), maxsize)


def _spawn(function: Callable[..., Any], *args: Any) -> Any:
    """A green thread outside of any group. Imported late: what Greenlet is made of has pools of its own."""
    from gossamer._sync.greenlet import Greenlet

    return Greenlet.spawn(function, *args)


def _calling_with_value(callback: Callable[[Any], object]) -> Callable[[Any], None]:
    def link(green: Any) -> None:
        if green.successful():
            callback(green.value)

    return link
