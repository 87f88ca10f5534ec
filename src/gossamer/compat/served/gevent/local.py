"""gevent's module of that name.

gevent's `patch_thread()` makes `threading.local` and its own `local` one class, and programs look for that to find out
whether threads are green (bottle does). Here `threading.local` stays what it is, and becomes each green thread's own.
So `local` says for it what is asked: that its objects are of this class, while threads are green.
"""

import threading
from abc import ABCMeta
from typing import Any

from gossamer._sync.local import local as _local
from gossamer.monkey import is_module_patched

__all__ = ["local"]


class _Local(ABCMeta):
    """Of `local`. An ABCMeta, so that a class may be derived from `local` and an abstract class."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        return cls is local and type.__instancecheck__(threading.local, instance) and is_module_patched("threading")


class local(_local, metaclass=_Local):  # noqa: N801 - gevent's name
    """Attributes of a greenlet's own; as `gossamer.local.local`."""

    __slots__ = ()
