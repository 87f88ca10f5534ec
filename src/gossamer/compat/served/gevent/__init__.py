"""The module `gevent`, as the alias serves it: Gossamer's names under gevent's.

A module of its own, not a second name for `gossamer`: it is called `gevent`, by which `from gevent import x` looks for
submodules, and has a version of gevent's. Names are looked up in `gossamer` when they are first used; submodules are
Gossamer's own, under a second name, and imported when they are first used: `import gevent` brings some of gevent's
along, and programs say `gevent.event.Event` without importing more.
"""

import importlib
import importlib.util
from typing import Any, NamedTuple

import gossamer
from gossamer.compat._table import PACKAGES

__all__ = [
    "Greenlet",
    "GreenletExit",
    "Timeout",
    "config",
    "fork",
    "get_hub",
    "getcurrent",
    "getswitchinterval",
    "idle",
    "iwait",
    "joinall",
    "kill",
    "killall",
    "reinit",
    "setswitchinterval",
    "signal_handler",
    "sleep",
    "spawn",
    "spawn_later",
    "spawn_raw",
    "wait",
    "with_timeout",
]


class _VersionInfo(NamedTuple):
    """A release, taken apart as `sys.version_info` is."""

    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: int


__version__ = PACKAGES["gevent"].version
_major, _minor, _micro = map(int, PACKAGES["gevent"].version.split("."))
version_info = _VersionInfo(_major, _minor, _micro, "final", 0)


def __getattr__(name: str) -> Any:
    """A name of `gossamer` that is one of gevent's as well, or a submodule."""
    submodule = f"gevent.{name}"
    if submodule in PACKAGES["gevent"].modules and importlib.util.find_spec(submodule) is not None:
        return importlib.import_module(submodule)
    if name not in __all__ or not hasattr(gossamer, name):
        raise AttributeError(f"module 'gevent' has no attribute {name!r}")
    value = globals()[name] = getattr(gossamer, name)
    return value


def __dir__() -> list[str]:
    """Those names too that were not used yet."""
    return sorted({*globals(), *__all__})
