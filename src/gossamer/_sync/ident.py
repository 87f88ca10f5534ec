"""Small numbers for greenlets, for names and logs: the least that no other living one has."""

from __future__ import annotations

import heapq
from weakref import WeakKeyDictionary

from gossamer import _core

_numbers: WeakKeyDictionary[_core.greenlet, _Number] = WeakKeyDictionary()
_free: list[int] = []
_used = 0


class _Number:
    """Gives its number back when the greenlet that it is of has gone."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        global _used  # noqa: PLW0603 - one count for the process
        if _free:
            self.value = heapq.heappop(_free)
        else:
            self.value = _used
            _used += 1

    def __del__(self) -> None:
        heapq.heappush(_free, self.value)


def minimal_ident(greenlet: _core.greenlet) -> int:
    """The greenlet's number: the same for as long as it lives, given at the first question."""
    number = _numbers.get(greenlet)
    if number is None:
        number = _numbers[greenlet] = _Number()
    return number.value
