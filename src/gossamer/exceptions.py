"""Exceptions of the hub: gevent's module of that name."""

from gossamer._sync.hub import (
    BlockingSwitchOutError,
    ConcurrentObjectUseError,
    GreenletExit,
    HubDestroyed,
    InvalidSwitchError,
    LoopExit,
)
from gossamer._sync.threadpool import InvalidThreadUseError

__all__ = [
    "BlockingSwitchOutError",
    "ConcurrentObjectUseError",
    "GreenletExit",
    "HubDestroyed",
    "InvalidSwitchError",
    "InvalidThreadUseError",
    "LoopExit",
]
