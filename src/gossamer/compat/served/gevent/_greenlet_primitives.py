"""gevent's private module of that name, as far as programs import it."""

from gossamer import _core
from gossamer._stacks import stacks
from gossamer._sync.raw import RawGreenlet as TrackedRawGreenlet

__all__ = ["TrackedRawGreenlet", "get_reachable_greenlets"]


def get_reachable_greenlets() -> list[_core.greenlet]:
    """Each greenlet of any thread that has begun and not ended."""
    return list(stacks())
