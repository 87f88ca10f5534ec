"""gevent's private module of that name: everything of `gevent.socket`, and what is told to cancelled waits."""

from typing import Any

from gossamer import socket
from gossamer._sync.descriptors import cancel_wait_ex

__all__ = ["cancel_wait_ex"]


def __getattr__(name: str) -> Any:
    """A name of `gevent.socket`."""
    return getattr(socket, name)
