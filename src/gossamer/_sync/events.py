"""Events of the patching of modules and of the monitoring thread, for those who subscribe to them.

Programs written for gevent name these classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gossamer._core import greenlet
    from gossamer._sync.hub import Hub
    from gossamer._sync.memory_usage import MemoryInfo

subscribers: list[Callable[[Any], object]] = []
"""Functions that are called with each event."""


def notify(event: Any) -> None:
    """Call each subscriber with the event. What one raises goes to the caller: DoNotPatch says no."""
    for subscriber in tuple(subscribers):
        subscriber(event)


class IPeriodicMonitorThread(Protocol):
    """What a hub's monitoring thread offers to those who want to have something watched."""

    def add_monitoring_function(self, function: Callable[[Any], object], period: float | None) -> None:
        """Have function(hub) called about each `period` seconds, in the monitoring thread; None: no more.

        Raises ValueError for what cannot be called, and for a period that is not positive.
        """


class PeriodicMonitorThreadStartedEvent:
    """A hub has started its monitoring thread, to which functions may be added now.

    monitor: the thread's `IPeriodicMonitorThread`.
    """

    def __init__(self, monitor: IPeriodicMonitorThread) -> None:
        self.monitor = monitor


class EventLoopBlocked:
    """A greenlet has not let the hub run for some time. Told in the monitoring thread.

    greenlet: who ran. blocking_time: for how many seconds at least. info: lines that say where; a subscriber may change
    the list before it is printed. hub: the hub.
    """

    def __init__(self, greenlet: greenlet, blocking_time: float, info: list[str], *, hub: Hub | None = None) -> None:
        self.greenlet = greenlet
        self.blocking_time = blocking_time
        self.info = info
        self.hub = hub


class _MemoryEvent:
    """A look at the memory.

    mem_usage: the process's resident bytes. max_allowed: the bytes that it may have. memory_info: all that is known.
    """

    def __init__(self, mem_usage: int, max_allowed: int, memory_info: MemoryInfo) -> None:
        self.mem_usage = mem_usage
        self.max_allowed = max_allowed
        self.memory_info = memory_info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} used={self.mem_usage} max={self.max_allowed} details={self.memory_info!r}>"


class MemoryUsageThresholdExceeded(_MemoryEvent):
    """The process has more memory than it may, and more than when that was told last."""


class MemoryUsageUnderThreshold(_MemoryEvent):
    """The process had more memory than it may, and has not any more.

    max_usage: the resident bytes that were told last; the attribute is `max_memory_usage`.
    """

    def __init__(self, mem_usage: int, max_allowed: int, memory_info: MemoryInfo, max_usage: int) -> None:
        super().__init__(mem_usage, max_allowed, memory_info)
        self.max_memory_usage = max_usage


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
