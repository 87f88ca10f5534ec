"""The module `greenlet`, as the alias serves it: the interface of greenlet, from `gossamer.switching`.

A module of its own, not a second name for `gossamer.switching`: it is called `greenlet`, it has a version of
greenlet's, and it is a package, because `greenlet._greenlet` is imported from it. Its classes and functions are
Gossamer's own objects. `_C_API` is the capsule by which C extensions find the C interface; the core answers for it each
time, and so knows that an extension has been loaded.
"""

from gossamer import _core
from gossamer.compat._table import PACKAGES
from gossamer.switching import (
    GREENLET_USE_CONTEXT_VARS,
    GREENLET_USE_GC,
    GREENLET_USE_STANDARD_THREADING,
    GREENLET_USE_TRACING,
    GreenletExit,
    error,
    getcurrent,
    gettrace,
    greenlet,
    settrace,
)

__all__ = [
    "GREENLET_USE_CONTEXT_VARS",
    "GREENLET_USE_GC",
    "GREENLET_USE_STANDARD_THREADING",
    "GREENLET_USE_TRACING",
    "_C_API",
    "GreenletExit",
    "__version__",
    "error",
    "getcurrent",
    "gettrace",
    "greenlet",
    "settrace",
]

__version__ = PACKAGES["greenlet"].version


def __getattr__(name: str) -> object:
    if name == "_C_API":
        return _core._C_API
    raise AttributeError(f"module 'greenlet' has no attribute {name!r}")
