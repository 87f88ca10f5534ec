"""What the alias serves, as data.

A package is served in two ways, which complete each other:

* Its own modules, files under `served/<package>/`: the package itself, so that its `__name__` is the name the program
  knows, and whatever exists for compatibility alone. The ordinary import system runs them from there.
* Aliases, the rows of `modules`: a module of Gossamer under a second name, one object in `sys.modules` twice. The row
  of a package holds for all that is in it.

A name in neither is not served, and nothing of the real package is mixed in. A package without an entry is left alone.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Package:
    """A package that the alias serves.

    version: what `__version__` and `importlib.metadata` answer: the release whose interface is provided, in its plain
        form, because programs compare it, and some of them part by part as integers.
    modules: full name of each aliased module -> full name of Gossamer's module.
    """

    __slots__ = ("modules", "version")

    def __init__(self, version: str, modules: Mapping[str, str]) -> None:
        self.version = version
        self.modules = modules


# The modules that have the same name in both packages. One that Gossamer does not have is not found.
_GEVENT = (
    "backdoor",
    "baseserver",
    "builtins",
    "contextvars",
    "core",
    "event",
    "events",
    "exceptions",
    "fileobject",
    "greenlet",
    "hub",
    "lock",
    "monkey",
    "os",
    "pool",
    "pywsgi",
    "queue",
    "resolver",
    "select",
    "selectors",
    "server",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "thread",
    "threading",
    "threadpool",
    "time",
    "timeout",
    "util",
)

PACKAGES: Mapping[str, Package] = {
    "greenlet": Package(version="3.5.6", modules={"greenlet._greenlet": "gossamer._core"}),
    "gevent": Package(version="26.9.0", modules={f"gevent.{name}": f"gossamer.{name}" for name in _GEVENT}),
}
