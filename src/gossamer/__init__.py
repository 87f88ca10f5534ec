"""Green threads for CPython: plain, blocking-style code with the concurrency of an event loop.

Importing this package imports nothing else. Each public name is looked up in the table below and its module imported
when the name is first used, because `gossamer.compat` has to run before a program imports anything whose behaviour
Gossamer changes (`socket`, `ssl`, `threading`, `select`, `signal`, `subprocess`), and importing `gossamer.compat` runs
this file first.

The public modules:

* `gossamer.switching`: greenlets, switched explicitly, with the interface of the greenlet package.
* `gossamer.compat`: lets programs written for greenlet run unchanged.
"""

__version__ = "0.1.0.dev0"

# Public name -> the module that it stands for.
_MODULES = {
    "compat": "gossamer.compat",
    "switching": "gossamer.switching",
}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gossamer import compat as compat
    from gossamer import switching as switching
else:
    # Unseen by type checkers, who would take any misspelt name for one that this function knows.
    def __getattr__(name: str) -> object:
        """Import the module behind a public name when the name is first used (PEP 562)."""
        module = _MODULES.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return import_module(module)


def __dir__() -> list[str]:
    """All names of the package, those not imported yet included."""
    return sorted({*globals(), *_MODULES})
