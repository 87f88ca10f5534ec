"""The event loop: gevent's module of that name, as far as it has a meaning here."""

from gossamer._sync.loop import READ, WRITE
from gossamer._sync.loop import Loop as loop  # noqa: N813 - gevent's name
from gossamer._sync.loop import Watcher as watcher  # noqa: N813 - gevent's name

__all__ = ["READ", "WRITE", "loop", "watcher"]
