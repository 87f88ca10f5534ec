"""Groups and pools of green threads: `Group`, `Pool`.

A group knows those of its green threads that have not ended; each leaves it by a link at its end. A pool is a group
with a limit: whoever adds to it waits for a place, which is given back exactly once, when its green thread leaves.

The behaviour is that of gevent's documentation of `gevent.pool`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import index
from typing import Any

from gossamer import _core
from gossamer._sync.event import Event
from gossamer._sync.greenlet import Greenlet, joinall
from gossamer._sync.lock import DummySemaphore, Semaphore
from gossamer._sync.mapping import GroupMappingMixin
from gossamer._sync.queue import Full
from gossamer._sync.timeout import Timeout

__all__ = ["Group", "GroupMappingMixin", "Pool", "PoolFull"]


class PoolFull(Full):
    """A queue.Full: there is no free place in the pool, and there was none within the time given."""


class Group(GroupMappingMixin):
    """Green threads that have not ended.

    args: nothing, or an iterable of green threads to begin with.
    """

    greenlet_class: Any = Greenlet
    """What `spawn()` makes."""

    def __init__(self, *args: Iterable[Any]) -> None:
        if len(args) > 1:
            raise TypeError(f"a group is made from one iterable at most, not from {len(args)} arguments")
        self.greenlets: set[Any] = set()
        self.dying: set[Any] = set()
        self._empty = Event()
        self._empty.set()
        for green in args[0] if args else ():
            self.add(green)

    def __len__(self) -> int:
        return len(self.greenlets)

    def __contains__(self, item: object) -> bool:
        return item in self.greenlets

    def __iter__(self) -> Iterator[Any]:
        return iter(self.greenlets)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} at {id(self):#x}>"

    def add(self, greenlet: Any) -> None:
        """Take a green thread, `greenlet`, in; it leaves when it ends."""
        if greenlet not in self.greenlets:
            self._admit(greenlet)

    def _admit(self, greenlet: Any) -> None:
        link = getattr(greenlet, "rawlink", None)
        if link is not None:
            link(self._discard)
        self.greenlets.add(greenlet)
        self._empty.clear()

    def discard(self, greenlet: Any) -> None:
        """Let a green thread, `greenlet`, go on outside of the group."""
        self._discard(greenlet)
        unlink = getattr(greenlet, "unlink", None)
        if unlink is not None:
            unlink(self._discard)

    def _discard(self, greenlet: Any) -> None:
        self.dying.discard(greenlet)
        self.greenlets.discard(greenlet)
        if not self.greenlets:
            self._empty.set()

    def start(self, greenlet: Any) -> None:
        """Take a green thread, `greenlet`, in and start it."""
        self.add(greenlet)
        greenlet.start()

    def spawn(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Start function(*args, **kwargs) in a green thread of the group, and return that."""
        green = self.greenlet_class(function, *args, **kwargs)
        self.start(green)
        return green

    def full(self) -> bool:
        """False: a group has no limit."""
        return False

    def wait_available(self, timeout: float | None = None) -> object:  # noqa: ARG002 - a pool has use for it
        """Nothing, without waiting for `timeout`: a group has a place at any time."""
        return None

    def join(self, timeout: float | None = None, raise_error: bool = False) -> bool:
        """Wait until the group is empty, or `timeout` seconds. Returns whether it is.

        raise_error: raise the error of one that was in it when this was called, if any has ended by one.
        """
        members = list(self.greenlets) if raise_error else ()
        result = bool(self._empty.wait(timeout=timeout)) if self.greenlets else True
        for green in members:
            if green.ready() and not green.successful():
                green.get()
        return result

    def kill(self, exception: Any = _core.GreenletExit, block: bool = True, timeout: float | None = None) -> None:
        """End all that are in the group, those that come in meanwhile too.

        exception: what is raised in them.
        block: wait until the group is empty, `timeout` seconds at most.
        """
        with Timeout(timeout, False):
            while self.greenlets:
                for green in [green for green in self.greenlets if green not in self.dying]:
                    self.dying.add(green)
                    green.kill(exception, block=False)
                if not block:
                    return
                joinall(list(self.greenlets))
                _core.sleep(0)

    def killone(
        self, greenlet: Any, exception: Any = _core.GreenletExit, block: bool = True, timeout: float | None = None
    ) -> None:
        """End one of the group; nothing if it is not in it, or was told to end before. Arguments as of `kill`."""
        if greenlet not in self.greenlets or greenlet in self.dying:
            return
        self.dying.add(greenlet)
        greenlet.kill(exception, block=False)
        if block:
            greenlet.join(timeout)
            if greenlet.ready():
                self._discard(greenlet)  # its link has the hub's next turn, and the caller may count at once

    def _apply_immediately(self) -> bool:
        return _core.getcurrent() in self


class Pool(Group):
    """A group with room for so many.

    size: how many; None for any number.
    greenlet_class: what `spawn()` makes, if not Greenlet.
    Raises ValueError for a negative size, TypeError for one that is no whole number.
    """

    def __init__(self, size: int | None = None, greenlet_class: Any = None) -> None:
        if size is not None and index(size) < 0:
            raise ValueError(f"a pool cannot have {size} places: give a number that is not negative, or None")
        super().__init__()
        self.size = size
        if greenlet_class is not None:
            self.greenlet_class = greenlet_class
        self._places: Any = DummySemaphore() if size is None else Semaphore(size)

    def add(self, greenlet: Any, blocking: bool = True, timeout: float | None = None) -> None:
        """Take a green thread, `greenlet`, in, once there is a place.

        Raises PoolFull if there is none, and `blocking` is false or `timeout` seconds are over.
        """
        if greenlet in self.greenlets:
            return
        if not self._places.acquire(blocking=blocking, timeout=timeout):
            raise PoolFull(f"all {self.size} places of the pool are taken")
        try:
            self._admit(greenlet)
        except BaseException:
            self._places.release()
            raise

    def start(self, greenlet: Any, *args: Any, **kwargs: Any) -> None:
        """Take a green thread in, as `add` with these arguments, and start it."""
        self.add(greenlet, *args, **kwargs)
        greenlet.start()

    def _discard(self, greenlet: Any) -> None:
        was_in = greenlet in self.greenlets
        super()._discard(greenlet)
        if was_in:
            self._places.release()

    def full(self) -> bool:
        """Whether there is no free place."""
        return self.free_count() <= 0

    def free_count(self) -> int:
        """How many places are free; 1 without a limit."""
        return 1 if self.size is None else max(0, self.size - len(self))

    def wait_available(self, timeout: float | None = None) -> object:
        """Wait until there is a free place, `timeout` seconds at most. Returns how many there are, 0 if none."""
        return self._places.wait(timeout=timeout)

    def _apply_async_use_greenlet(self) -> bool:
        return self.full()
