"""What was there before patching, and replacing names as gevent's plugins do.

A function that is a blocking point still exists as it was, and `get_original` finds it. Classes (`socket.socket`,
`threading.Lock`, `queue.SimpleQueue`) are the very same objects: in an OS thread without a hub they block natively.
`threading.Thread` is the exception, as what its `start()` does depends on nothing but the patch: its original is a
subclass that starts native threads.
"""

# ruff: noqa: ARG001 - gevent has arguments that mean nothing here

import importlib
import sys
from collections.abc import Sequence
from types import BuiltinFunctionType, ModuleType
from typing import Any

from gossamer import _core
from gossamer.monkey._state import PATCHES, patched, saved

__all__ = [
    "get_original",
    "is_anything_patched",
    "is_module_patched",
    "is_object_patched",
    "patch_item",
    "patch_module",
    "saved",
]

_MISSING = object()


def get_original(mod_name: str | Sequence[str], item_name: str | Sequence[str]) -> Any:
    """The object of that name as it is without patching; what is not patched is returned as it is.

    mod_name: a module of the standard library, or several names, of which the first that can be imported counts.
    item_name: a name in it, or several; then a list is returned.

    Raises ImportError if there is no such module, AttributeError if there is no such name.
    """
    module = _first_of([mod_name] if isinstance(mod_name, str) else mod_name)
    if isinstance(item_name, str):
        return _original(module, item_name)
    return [_original(module, name) for name in item_name]


def is_anything_patched() -> bool:
    """Whether anything has been patched in this process."""
    return bool(patched or saved)


def is_module_patched(mod_name: str) -> bool:
    """Whether blocking calls of the module `mod_name` of the standard library have been patched."""
    return mod_name in saved or any(mod_name in PATCHES[name].modules for name in patched)


def is_object_patched(mod_name: str, item_name: str) -> bool:
    """Whether the module `mod_name` has been patched and has the name `item_name`.

    All of a module is patched at once, so that there is no difference between its names.
    """
    if item_name in saved.get(mod_name, ()):
        return True
    return is_module_patched(mod_name) and hasattr(importlib.import_module(mod_name), item_name)


def patch_item(module: ModuleType, attr: str, newitem: object) -> None:
    """Replace the name `attr` of a module by `newitem`, and keep what it was for `get_original`."""
    before = getattr(module, attr, _MISSING)
    if before is not _MISSING:
        saved.setdefault(module.__name__, {}).setdefault(attr, before)
    setattr(module, attr, newitem)


def patch_module(
    target_module: ModuleType, source_module: ModuleType, items: Sequence[str] | None = None, **kwargs: object
) -> bool:
    """Replace names of `target_module` by those of `source_module`, as plugins written for gevent do.

    items: the names; those in `source_module.__implements__` if None. kwargs are taken for gevent's sake.
    Returns True. Raises AttributeError if there is neither, or a name is missing in `source_module`.
    """
    names = source_module.__implements__ if items is None else items
    for name, replacement in [(name, getattr(source_module, name)) for name in names]:
        patch_item(target_module, name, replacement)
    return True


def save_originals(modules: Sequence[str]) -> None:
    """Enter into `saved` what has been patched in those of the modules that are imported: programs look there."""
    _core.points_install()
    for name in modules:
        module = sys.modules.get(name)
        if module is None:
            continue
        originals = saved.setdefault(name, {})
        for item_name, item in list(vars(module).items()):
            original = _original(module, item_name) if _may_be_a_point(module, item_name, item) else item
            if original is not item:
                originals.setdefault(item_name, original)


def _may_be_a_point(module: ModuleType, name: str, item: object) -> bool:
    return isinstance(item, BuiltinFunctionType) or (module.__name__ == "threading" and name == "Thread")


def _first_of(names: Sequence[str]) -> ModuleType:
    """The first module that can be imported."""
    for name in names[:-1]:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return importlib.import_module(names[-1])


def _original(module: ModuleType, name: str) -> Any:
    before = saved.get(module.__name__, {}).get(name, _MISSING)
    item = getattr(module, name) if before is _MISSING else before
    if module.__name__ == "threading" and name == "Thread":
        from gossamer.monkey._native_thread import NativeThread

        return NativeThread
    return _point_original(module, item) if isinstance(item, BuiltinFunctionType) else item


def _point_original(module: ModuleType, function: BuiltinFunctionType) -> Any:
    """The original of a function that is a blocking point; else the function itself."""
    _core.points_install()
    for home in (function.__module__, module.__name__):
        original = _core.original(home, None, function.__name__) if home is not None else None
        if original is not None:
            return original
    return function
