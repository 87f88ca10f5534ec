"""Waiting for several objects at once: whatever has rawlink(callback) and unlink(callback).

An object calls the callback on the hub greenlet, with itself, once it is ready. The callback puts it where the waiting
greenlet finds it, in the order of their becoming ready. A process of the standard library's has no links: a green
thread waits for its end, and is given up with the wait.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from types import TracebackType
from typing import Any, Self

from gossamer import _core

__all__ = ["iwait", "wait"]


def deadline_after(seconds: float) -> float:
    """The time, as `monotonic()` tells it, after so many seconds. Raises TypeError for what is no number."""
    try:
        return monotonic() + seconds
    except TypeError:
        raise TypeError(f"a time in seconds must be a number, not {type(seconds).__name__}") from None


class _Process:
    """A process that can be waited for as other objects can.

    process: whatever has `poll()` and `wait()`, as a subprocess.Popen.
    """

    def __init__(self, process: Any) -> None:
        self._process = process
        self._watcher: _core.GreenThread | None = None

    def rawlink(self, callback: Callable[[Any], object]) -> None:
        """Have callback(process) called on the hub greenlet once the process has ended."""
        self._watcher = _core.spawn(self._process.wait)
        self._watcher.rawlink(lambda _: callback(self._process))

    def unlink(self, _: Callable[[Any], object]) -> None:
        """Leave off waiting for its end."""
        if self._watcher is not None and not self._watcher.ready():
            self._watcher.unlink_all()
            _core.interrupt(self._watcher, _core.GreenletExit())


def _link_of(it: Any) -> Any:
    """Whose rawlink() and unlink() tell of `it`."""
    if hasattr(it, "rawlink"):
        return it
    if hasattr(it, "poll") and hasattr(it, "wait"):
        return _Process(it)
    raise TypeError(f"{it!r} cannot be waited for: it has no rawlink()")


class _Waiting(Iterator[Any]):
    """The objects that are ready, one by one. Closed, it lets go of the others."""

    def __init__(self, objects: Iterable[Any], timeout: float | None, count: int | None) -> None:
        given = list(objects)
        self._pending = {id(it): it for it in given}
        self._links: dict[int, Any] = {}
        self._times = Counter(map(id, given))
        self._deadline = None if timeout is None else deadline_after(timeout)
        self._left = len(given) if count is None else min(count, len(given))
        self._ready: deque[Any] = deque()
        self._waiting = _core.WaitQueue("one of several objects")
        self._linked = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._left <= 0:
            self.close()
            raise StopIteration
        try:
            if not self._linked:
                self._link()
            return self._next()
        except BaseException:
            self.close()
            raise

    def _link(self) -> None:
        self._links = {key: _link_of(it) for key, it in self._pending.items()}
        self._linked = True
        for link in list(self._links.values()):
            link.rawlink(self._notify)

    def _next(self) -> Any:
        while not self._ready:
            left = None if self._deadline is None else max(self._deadline - monotonic(), 0)
            if not self._waiting.park(left) and not self._ready:
                raise StopIteration
        it = self._ready.popleft()
        self._left -= 1
        return it

    def _notify(self, it: Any) -> None:
        if self._pending.pop(id(it), None) is not None:
            self._ready.extend([it] * self._times[id(it)])
            self._links.pop(id(it)).unlink(self._notify)
            self._waiting.unpark()

    def close(self) -> None:
        """Stop waiting."""
        self._left = 0
        self._pending = {}
        links, self._links = self._links, {}
        for link in links.values():
            link.unlink(self._notify)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def iwait(objects: Iterable[Any] | None, timeout: float | None = None, count: int | None = None) -> Any:
    """Yield the objects as they become ready: all, or `count`, or those that do in `timeout` seconds.

    An object is anything with rawlink() and unlink(): a Greenlet, an Event, a Semaphore, an AsyncResult, ...; or a
    process, with poll() and wait(): a subprocess.Popen. The iterator is a context manager that lets go of the objects
    at the end of the block. An object that is given twice is yielded twice. objects: None yields once, what `wait()`
    without objects returns.
    Raises TypeError for an object that is neither. From gevent's documentation of iwait.
    """
    if objects is None:
        return map(_core.get_hub().join, (timeout,))
    return _Waiting(objects, timeout, count)


def wait(objects: Iterable[Any] | None = None, timeout: float | None = None, count: int | None = None) -> Any:
    """Wait for objects to become ready and return those that are, in the order in which they became so.

    objects: see `iwait`. None waits until nothing is left to be waited for, no ready greenlet, timer or descriptor,
        and returns whether that came before `timeout` seconds were over.
    count: return as soon as so many are ready; None: all.
    From gevent's documentation of wait.
    """
    if objects is None:
        return _core.get_hub().join(timeout)
    return list(iwait(objects, timeout, count))
