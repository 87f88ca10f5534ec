"""Results of calls that green threads make, as iterators.

A green thread of its own starts the calls, as it may have to wait for places in a pool, or for results to be taken.
It ends with whoever iterates: nothing but the iterator keeps it alive once it waits for room there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from gossamer import _core

__all__ = ["OrderedResults", "Results"]


class Results:
    """The results of `function` for each tuple of arguments, in the order in which the calls end.

    spawn: starts a call in a green thread. maxsize: how many may be under way or not taken; None: any number.
    """

    def __init__(
        self,
        spawn: Callable[..., Any],
        function: Callable[..., Any],
        arguments: Iterator[tuple[Any, ...]],
        maxsize: int | None,
    ) -> None:
        if maxsize is not None and maxsize < 1:
            raise ValueError(f"maxsize is {maxsize}: at least one result has to be allowed, or None for any number")
        self._room = maxsize
        self._waiting_for_room = _core.WaitQueue(self)
        self._calls: deque[Any] = deque()
        self._under_way = 0
        self._news = _core.WaitQueue(self)
        self._error: BaseException | None = None
        self._all_started = False
        _core.spawn(self._start_all, spawn, function, arguments)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """The next result; waits for it. Raises what the call, or the iterable of the arguments, raised."""
        while not self._calls:
            if self._all_started and not self._under_way:
                error, self._error = self._error, None
                raise error or StopIteration
            self._news.park()
        return self._take(self._calls.popleft())

    def _take(self, green: Any) -> Any:
        if self._room is not None:
            self._room += 1
            self._waiting_for_room.unpark()
        return green.get()

    def _start_all(
        self, spawn: Callable[..., Any], function: Callable[..., Any], arguments: Iterator[tuple[Any, ...]]
    ) -> None:
        try:
            for args in arguments:
                self._wait_for_room()
                self._started(spawn(function, *args))
        except BaseException as error:  # noqa: BLE001 - raised where the results are taken
            self._error = error
        finally:
            self._all_started = True
            self._announce()

    def _wait_for_room(self) -> None:
        if self._room is None:
            return
        while self._room == 0:
            self._waiting_for_room.park()
        self._room -= 1

    def _started(self, green: Any) -> None:
        self._under_way += 1
        green.rawlink(self._ended)

    def _ended(self, green: Any) -> None:
        self._under_way -= 1
        self._calls.append(green)
        self._announce()

    def _announce(self) -> None:
        self._news.unpark(len(self._news))


class OrderedResults(Results):
    """The same in the order of the arguments."""

    def __next__(self) -> Any:
        """The next result; waits for it. Raises what the call, or the iterable of the arguments, raised."""
        while not (self._calls and self._calls[0].ready()):
            if not self._calls and self._all_started:
                error, self._error = self._error, None
                raise error or StopIteration
            self._news.park()
        return self._take(self._calls.popleft())

    def _started(self, green: Any) -> None:
        self._calls.append(green)
        green.rawlink(self._ended)

    def _ended(self, green: Any) -> None:  # noqa: ARG002 - it is in its place already
        self._announce()
