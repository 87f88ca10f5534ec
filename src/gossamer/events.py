"""Events of patching and of the monitoring thread: gevent's module of that name."""

from gossamer._sync.events import (
    DoNotPatch,
    EventLoopBlocked,
    GeventDidPatchAllEvent,
    GeventDidPatchBuiltinModulesEvent,
    GeventDidPatchEvent,
    GeventDidPatchModuleEvent,
    GeventPatchEvent,
    GeventWillPatchAllEvent,
    GeventWillPatchEvent,
    GeventWillPatchModuleEvent,
    IPeriodicMonitorThread,
    MemoryUsageThresholdExceeded,
    MemoryUsageUnderThreshold,
    PeriodicMonitorThreadStartedEvent,
    notify,
    subscribers,
)

__all__ = [
    "DoNotPatch",
    "EventLoopBlocked",
    "GeventDidPatchAllEvent",
    "GeventDidPatchBuiltinModulesEvent",
    "GeventDidPatchEvent",
    "GeventDidPatchModuleEvent",
    "GeventPatchEvent",
    "GeventWillPatchAllEvent",
    "GeventWillPatchEvent",
    "GeventWillPatchModuleEvent",
    "IPeriodicMonitorThread",
    "MemoryUsageThresholdExceeded",
    "MemoryUsageUnderThreshold",
    "PeriodicMonitorThreadStartedEvent",
    "notify",
    "subscribers",
]
