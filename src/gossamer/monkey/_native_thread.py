"""`threading.Thread` that always starts a native thread.

Its `start()` is threading's own code, over a copy of that module's names in which what starts a thread is the original.
The copy is made anew at each start, since threading replaces some of its locks after a fork.
"""

import threading
from types import FunctionType

from gossamer import _core

_STARTERS = {"_start_new_thread": "start_new_thread", "_start_joinable_thread": "start_joinable_thread"}
"""Name in `threading`, by version of CPython -> the function of `_thread` that it stands for."""


class _OriginalClass(type):
    """What is known as the original of `threading.Thread`: every thread is an instance of it, the main one too."""

    def __instancecheck__(cls, instance: object) -> bool:
        """Whether it is a thread; a subclass, whether it is one of its own."""
        return isinstance(instance, threading.Thread) if cls is NativeThread else super().__instancecheck__(instance)


class NativeThread(threading.Thread, metaclass=_OriginalClass):
    """A thread of the operating system, whatever is patched. It has no hub until it asks for one."""

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if it was started before, or cannot be."""
        _core.points_install()
        names = dict(vars(threading))
        for name, function in _STARTERS.items():
            if name in names:
                names[name] = _core.original("_thread", None, function)
        FunctionType(threading.Thread.start.__code__, names)(self)
