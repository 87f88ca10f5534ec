"""What holds for the tests of this folder: none leaves a watcher behind.

One that goes by the hub's turns, as of an Idle, keeps the hub busy for ever: it would have later tests fail, or hang.
"""

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

import pytest

from gossamer import get_hub
from gossamer._sync.loop import Loop, Watcher

KINDS = ("async_", "check", "child", "fork", "idle", "prepare", "signal", "stat")


def recording(make: Callable[..., Watcher], made: WeakSet[Watcher]) -> Callable[..., Watcher]:
    def make_and_record(*args: Any, **kwargs: Any) -> Watcher:
        watcher = make(*args, **kwargs)
        made.add(watcher)
        return watcher

    return make_and_record


@pytest.fixture(autouse=True)
def no_watcher_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stops what a test has left active, for the tests after it, and has this one fail for it."""
    made: WeakSet[Watcher] = WeakSet()
    for kind in KINDS:
        monkeypatch.setattr(Loop, kind, recording(getattr(Loop, kind), made))
    yield
    left = [watcher for watcher in made if watcher.active and watcher.loop.hub is get_hub()]
    for watcher in left:
        watcher.stop()
    assert not left
