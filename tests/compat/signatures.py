"""A program that prints the signatures of gevent's public functions and methods, as it finds them, as JSON.

On gevent itself, or under the alias if its argument says `ours`. A default is its repr if it is a plain constant.
"""

import importlib
import inspect
import json
import sys
from typing import Any

MODULES = """gevent gevent.backdoor gevent.baseserver gevent.event gevent.greenlet gevent.hub gevent.lock gevent.monkey
gevent.pool gevent.pywsgi gevent.queue gevent.server gevent.threadpool gevent.timeout gevent.util""".split()
PLAIN = (int, float, str, bool, type(None), tuple)


def parameters(function: Any) -> dict[str, list[str]] | None:
    """Each parameter's kind and default; None when that is not known."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return {it.name: [it.kind.name, repr(it.default) if isinstance(it.default, PLAIN) else ""] for it in found}


def public(module: Any) -> dict[str, Any]:
    """The functions and classes that a module lists, and the methods of the classes."""
    found: dict[str, Any] = {}
    for name in module.__all__:
        it = getattr(module, name, None)
        if not str(getattr(it, "__module__", "")).startswith(("gevent", "gossamer")):
            continue
        if callable(it):
            found[f"{module.__name__}.{name}"] = it
        if inspect.isclass(it):
            methods = {member: getattr(it, member, None) for member in dir(it) if not member.startswith("_")}
            found.update(
                {f"{module.__name__}.{name}.{key}": method for key, method in methods.items() if callable(method)}
            )
    return found


if __name__ == "__main__":
    if "ours" in sys.argv:
        import gossamer.compat

        gossamer.compat.install(children=False)
    signatures: dict[str, Any] = {}
    for module_name in MODULES:
        its = public(importlib.import_module(module_name))
        signatures.update({key.replace("gossamer", "gevent"): parameters(it) for key, it in its.items()})
    print(json.dumps(signatures))
