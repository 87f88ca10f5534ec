"""The event loop: gevent's module of that name, as far as it has a meaning here."""

# ruff: noqa: N813 - gevent's names

from time import time

from gossamer._core import Callback as callback
from gossamer._sync.loop import READ, WRITE, embeddable_backends, get_version
from gossamer._sync.loop import Async as async_
from gossamer._sync.loop import Check as check
from gossamer._sync.loop import Child as child
from gossamer._sync.loop import Fork as fork
from gossamer._sync.loop import Idle as idle
from gossamer._sync.loop import Io as io
from gossamer._sync.loop import Loop as loop
from gossamer._sync.loop import Prepare as prepare
from gossamer._sync.loop import Signal as signal
from gossamer._sync.loop import Stat as stat
from gossamer._sync.loop import Timer as timer
from gossamer._sync.loop import Watcher as watcher
from gossamer._sync.loop import backends as recommended_backends
from gossamer._sync.loop import backends as supported_backends
from gossamer._sync.loop import get_version as get_header_version

__all__ = [
    "READ",
    "WRITE",
    "async_",
    "callback",
    "check",
    "child",
    "embeddable_backends",
    "fork",
    "get_header_version",
    "get_version",
    "idle",
    "io",
    "loop",
    "prepare",
    "recommended_backends",
    "signal",
    "stat",
    "supported_backends",
    "time",
    "timer",
    "watcher",
]
