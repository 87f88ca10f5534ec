"""Green threads for CPython: plain, blocking-style code with the concurrency of an event loop.

Importing this package imports nothing else. Each public name is looked up in a table and its module imported
when the name is first used, because `gossamer.compat` has to run before a program imports anything whose behaviour
Gossamer changes (`socket`, `ssl`, `threading`, `select`, `signal`, `subprocess`), and importing `gossamer.compat` runs
this file first.

The names and modules are those of gevent. Beside them:

* `gossamer.switching`: greenlets, switched explicitly, with the interface of the greenlet package.
* `gossamer.compat`: lets programs written for greenlet and gevent run unchanged.
"""

__version__ = "0.1.0.dev0"

# Public modules.
_MODULES = (
    "backdoor",
    "baseserver",
    "builtins",
    "compat",
    "contextvars",
    "core",
    "event",
    "events",
    "exceptions",
    "fileobject",
    "greenlet",
    "hub",
    "local",
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
    "switching",
    "thread",
    "threading",
    "threadpool",
    "time",
    "timeout",
    "util",
)

# Public name -> where it is from, and its name there if that is another.
_NAMES = {
    "Greenlet": ("gossamer._sync.greenlet", "Greenlet"),
    "GreenletExit": ("gossamer._core", "GreenletExit"),
    "Timeout": ("gossamer._sync.timeout", "Timeout"),
    "config": ("gossamer._sync.config", "config"),
    "fork": ("gossamer._sync.hub", "fork"),
    "get_hub": ("gossamer._sync.hub", "get_hub"),
    "getcurrent": ("gossamer._core", "getcurrent"),
    "getswitchinterval": ("sys", "getswitchinterval"),
    "idle": ("gossamer._sync.hub", "idle"),
    "iwait": ("gossamer._sync.wait", "iwait"),
    "joinall": ("gossamer._sync.greenlet", "joinall"),
    "kill": ("gossamer._sync.greenlet", "kill"),
    "killall": ("gossamer._sync.greenlet", "killall"),
    "reinit": ("gossamer._sync.hub", "reinit"),
    "setswitchinterval": ("sys", "setswitchinterval"),
    "signal_handler": ("gossamer._sync.hub", "signal"),
    "sleep": ("gossamer._core", "sleep"),
    "spawn": ("gossamer._sync.greenlet", "spawn"),
    "spawn_later": ("gossamer._sync.greenlet", "spawn_later"),
    "spawn_raw": ("gossamer._sync.greenlet", "spawn_raw"),
    "version_info": ("gossamer._sync.version", "version_info"),
    "wait": ("gossamer._sync.wait", "wait"),
    "with_timeout": ("gossamer._sync.timeout", "with_timeout"),
}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sys import getswitchinterval as getswitchinterval
    from sys import setswitchinterval as setswitchinterval

    from gossamer import compat as compat
    from gossamer import switching as switching
    from gossamer._core import GreenletExit as GreenletExit
    from gossamer._core import getcurrent as getcurrent
    from gossamer._core import sleep as sleep
    from gossamer._sync import hub as _hub
    from gossamer._sync.config import config as config
    from gossamer._sync.greenlet import Greenlet as Greenlet
    from gossamer._sync.greenlet import joinall as joinall
    from gossamer._sync.greenlet import kill as kill
    from gossamer._sync.greenlet import killall as killall
    from gossamer._sync.greenlet import spawn as spawn
    from gossamer._sync.greenlet import spawn_later as spawn_later
    from gossamer._sync.greenlet import spawn_raw as spawn_raw
    from gossamer._sync.hub import fork as fork
    from gossamer._sync.hub import get_hub as get_hub
    from gossamer._sync.hub import idle as idle
    from gossamer._sync.hub import reinit as reinit
    from gossamer._sync.timeout import Timeout as Timeout
    from gossamer._sync.timeout import with_timeout as with_timeout
    from gossamer._sync.version import version_info as version_info
    from gossamer._sync.wait import iwait as iwait
    from gossamer._sync.wait import wait as wait

    signal_handler = _hub.signal
else:
    # Unseen by type checkers, who would take any misspelt name for one that this function knows.
    # Up to 3.14 the interpreter looks an attribute up in full, each time, while its module has such a function: 14 ns
    # on 3.11. `from gossamer import sleep` is spared that. Else only a plain module without the function would be, and
    # all submodules would have to be imported before anybody asks for one of their names.
    def __getattr__(name: str) -> object:
        """Import what is behind a public name when the name is first used (PEP 562)."""
        module, attribute = _NAMES.get(name, (None, None))
        if module is None and name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        if module is None:
            return import_module(f"{__name__}.{name}")
        value = globals()[name] = getattr(import_module(module), attribute)
        return value


def __dir__() -> list[str]:
    """All names of the package, those not imported yet included."""
    return sorted({*globals(), *_MODULES, *_NAMES})


__all__ = list(_NAMES)
