"""What the modules that stand for one of the standard library's share.

They import all that a module names in its `__all__`, or that has no underscore. Programs written for gevent take more
from there (`gevent.socket.EBADF`, `gevent.threading._DummyThread`), as gevent copies whole modules.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any


def rest_of(module: ModuleType) -> Callable[[str], Any]:
    """A module's `__getattr__` (PEP 562) that finds the other names in `module`; not those with double underscores.

    It raises AttributeError for names that are not there.
    """

    def look_up(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {module.__name__!r} does not hand on {name!r}")
        return getattr(module, name)

    return look_up
