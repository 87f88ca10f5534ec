"""Small greenlets that many tests start from."""

from collections.abc import Callable
from typing import Any

from gossamer.switching import GreenletExit, getcurrent, greenlet


class Thing:
    """Something that can be referenced weakly and can hold anything."""

    held: Any = None


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


def recording(seen: list[object], word: object = "ended") -> Callable[[], None]:
    """A body that parks, and notes what ends it."""

    def body() -> None:
        try:
            to_parent()
        except BaseException as fault:
            seen.append((word, type(fault)))
            raise
        finally:
            seen.append((word, "finally"))

    return body


def whole_end(word: object = "ended") -> list[object]:
    """What `recording` notes when its greenlet is ended for being unreachable."""
    return [(word, GreenletExit), (word, "finally")]
