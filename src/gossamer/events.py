"""Events of patching: gevent's module of that name."""

from gossamer._sync.events import (
    DoNotPatch,
    GeventDidPatchAllEvent,
    GeventDidPatchBuiltinModulesEvent,
    GeventDidPatchEvent,
    GeventDidPatchModuleEvent,
    GeventPatchEvent,
    GeventWillPatchAllEvent,
    GeventWillPatchEvent,
    GeventWillPatchModuleEvent,
    notify,
    subscribers,
)

__all__ = [
    "DoNotPatch",
    "GeventDidPatchAllEvent",
    "GeventDidPatchBuiltinModulesEvent",
    "GeventDidPatchEvent",
    "GeventDidPatchModuleEvent",
    "GeventPatchEvent",
    "GeventWillPatchAllEvent",
    "GeventWillPatchEvent",
    "GeventWillPatchModuleEvent",
    "notify",
    "subscribers",
]
