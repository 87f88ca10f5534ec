"""Events of the patching of modules, for those who subscribe to them.

Programs written for gevent name these classes; what is about a blocked loop or memory is not among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

subscribers: list[Callable[[Any], object]] = []
"""Functions that are called with each event."""


def notify(event: Any) -> None:
    """Call each subscriber with the event. What one raises goes to the caller: DoNotPatch says no."""
    for subscriber in tuple(subscribers):
        subscriber(event)


class DoNotPatch(BaseException):
    """Raised by a subscriber to a GeventWillPatchEvent: leave that module or name as it is."""


class GeventPatchEvent:
    """Something is about to be patched, or has been.

    source: the module that names are taken from; None if names stay as they are.
    target: the module that is patched; None if it is not one module.
    """

    def __init__(self, source: Any, target: Any) -> None:
        self.source = source
        self.target = target

    def __repr__(self) -> str:
        return f"<{type(self).__name__} source={self.source!r} target={self.target!r}>"


class GeventWillPatchEvent(GeventPatchEvent):
    """It is about to be."""


class GeventDidPatchEvent(GeventPatchEvent):
    """It has been."""


class GeventWillPatchModuleEvent(GeventWillPatchEvent):
    """A module is about to be patched: `module_name`, and in it the names `target_item_names`.

    items: these names; None if there is no list of them.
    """

    def __init__(self, module_name: str, source: Any, target: Any, items: Any = None) -> None:
        super().__init__(source, target)
        self.module_name = module_name
        self.target_item_names = items


class GeventDidPatchModuleEvent(GeventDidPatchEvent):
    """A module has been patched: `module_name`."""

    def __init__(self, module_name: str, source: Any, target: Any) -> None:
        super().__init__(source, target)
        self.module_name = module_name


class _All:
    """patch_all() with its arguments.

    patch_all_arguments: name -> whether it is to be patched.
    patch_all_kwargs: the arguments that patch_all() does not know.
    """

    def __init__(self, patch_all_arguments: dict[str, Any], patch_all_kwargs: dict[str, Any]) -> None:
        self.source = self.target = None
        self.patch_all_arguments = dict(patch_all_arguments)
        self.patch_all_kwargs = dict(patch_all_kwargs)

    def will_patch_module(self, module_name: str) -> bool:
        """Whether patch_all() was asked to patch the module `module_name`."""
        return bool(self.patch_all_arguments.get(module_name))


class GeventWillPatchAllEvent(_All, GeventWillPatchEvent):
    """patch_all() begins."""


class GeventDidPatchBuiltinModulesEvent(_All, GeventDidPatchEvent):
    """patch_all() has patched the standard library."""


class GeventDidPatchAllEvent(_All, GeventDidPatchEvent):
    """patch_all() has ended."""
