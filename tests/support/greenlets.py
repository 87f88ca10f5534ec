"""Small greenlets that many tests start from."""

from collections.abc import Callable
from typing import Any

from gossamer.switching import getcurrent, greenlet


def to_parent(*values: Any, **named: Any) -> Any:
    """Switch to the parent of the current greenlet; returns what this one is resumed with."""
    parent = getcurrent().parent
    assert parent is not None
    return parent.switch(*values, **named)


def parked(body: Callable[[], object] = to_parent) -> greenlet:
    """A greenlet that was started and has parked itself inside `body`."""
    it = greenlet(body)
    it.switch()
    assert not it.dead
    return it


def ended(body: Callable[[], object] = int) -> greenlet:
    """A greenlet that has run `body` to its end."""
    it = greenlet(body)
    it.switch()
    assert it.dead
    return it


def below(depth: int, work: Callable[[], Any]) -> Any:
    """Call `work` under `depth` further Python frames and return what it returns."""
    if depth == 0:
        return work()
    return below(depth - 1, work)


def below_c(depth: int, work: Callable[[], Any]) -> Any:
    """Call `work` under `depth` nested C calls, each with a Python frame on top, and return what it returns."""
    results: list[Any] = []

    def key(_: int) -> int:
        results.append(work() if depth == 1 else below_c(depth - 1, work))
        return 0

    if depth == 0:
        return work()
    sorted([0], key=key)
    return results[0]
