"""gevent's private module of that name, as far as programs import it: waiting."""

from gossamer._sync.descriptors import wait_read, wait_readwrite, wait_write
from gossamer._sync.hub import Hub as WaitOperationsGreenlet
from gossamer._sync.wait import iwait as iwait_on_objects
from gossamer._sync.wait import wait as wait_on_objects
from gossamer._sync.waiter import ConcurrentObjectUseError, Waiter

__all__ = [
    "ConcurrentObjectUseError",
    "WaitOperationsGreenlet",
    "Waiter",
    "iwait_on_objects",
    "wait_on_objects",
    "wait_read",
    "wait_readwrite",
    "wait_write",
]
