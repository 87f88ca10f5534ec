"""The hub: gevent's module of that name."""

from gossamer._sync.hub import (
    BlockingSwitchOutError,
    ConcurrentObjectUseError,
    GreenletExit,
    Hub,
    HubDestroyed,
    InvalidSwitchError,
    LoopExit,
    Waiter,
    get_hub,
    get_hub_class,
    get_loop,
    getcurrent,
    idle,
    kill,
    reinit,
    set_hub,
    set_hub_class,
    set_loop,
    signal,
    sleep,
    spawn_raw,
)
from gossamer._sync.hub import get_hub_if_exists as _get_hub  # noqa: F401 - a private name that programs ask for
from gossamer._sync.wait import iwait, wait

set_default_hub_class = set_hub_class

__all__ = [
    "BlockingSwitchOutError",
    "ConcurrentObjectUseError",
    "GreenletExit",
    "Hub",
    "HubDestroyed",
    "InvalidSwitchError",
    "LoopExit",
    "Waiter",
    "get_hub",
    "get_hub_class",
    "get_loop",
    "getcurrent",
    "idle",
    "iwait",
    "kill",
    "reinit",
    "set_default_hub_class",
    "set_hub",
    "set_loop",
    "signal",
    "sleep",
    "spawn_raw",
    "wait",
]
