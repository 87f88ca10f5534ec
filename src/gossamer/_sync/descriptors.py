"""Waiting for, reading and writing descriptors, with gevent's names.

`gossamer.socket` and `gossamer.os` add them to the names of the standard library's modules.

Descriptors need not be in non-blocking mode: `os.read` and `os.write` are blocking points, which park for pipes,
sockets and terminals. In non-blocking mode the originals refuse, and the caller is parked here until they do not.
"""

# gevent has arguments that mean nothing:
# ruff: noqa: ARG001

import os
import select
from collections.abc import Callable
from typing import Any

from gossamer import _core
from gossamer._sync.native_call import call_in_own_thread

__all__ = [
    "make_nonblocking",
    "nb_read",
    "nb_write",
    "tp_read",
    "tp_write",
    "wait_read",
    "wait_readwrite",
    "wait_write",
]

TimeoutException = BaseException | type[BaseException] | None


def wait_read(fileno: int, timeout: float | None = None, timeout_exc: TimeoutException = None) -> None:
    """Wait until the descriptor is ready for reading.

    timeout: seconds. timeout_exc: what is raised when they are over, TimeoutError unless given.
    """
    if not _core.wait_read(fileno, timeout):
        raise timeout_exc or TimeoutError("timed out")


def wait_write(
    fileno: int, timeout: float | None = None, timeout_exc: TimeoutException = None, event: object = None
) -> None:
    """Wait until the descriptor is ready for writing. As `wait_read`; `event` is ignored, as by gevent."""
    if not _core.wait_write(fileno, timeout):
        raise timeout_exc or TimeoutError("timed out")


def wait_readwrite(
    fileno: int, timeout: float | None = None, timeout_exc: TimeoutException = None, event: object = None
) -> None:
    """Wait until the descriptor is ready for reading or for writing. As `wait_read`; `event` is ignored."""
    poll = select.poll()
    poll.register(fileno, select.POLLIN | select.POLLOUT)
    if not poll.poll(None if timeout is None else timeout * 1000):
        raise timeout_exc or TimeoutError("timed out")


def make_nonblocking(fd: int) -> bool:
    """Put the descriptor `fd` into non-blocking mode. Returns True if it was not in it before. Raises OSError."""
    if not os.get_blocking(fd):
        return False
    os.set_blocking(fd, False)
    return True


def nb_read(fd: int, n: int) -> bytes:
    """Read and return up to `n` bytes from a descriptor in non-blocking mode, once there are any; b"" at the end.

    Raises OSError as `os.read` does.
    """
    while True:
        try:
            return os.read(fd, n)
        except BlockingIOError:
            _core.wait_read(fd)


def nb_write(fd: int, buf: Any) -> int:
    """Write some of the bytes to a descriptor in non-blocking mode, once it takes any. Returns how many.

    Raises OSError as `os.write` does.
    """
    while True:
        try:
            return os.write(fd, buf)
        except BlockingIOError:
            _core.wait_write(fd)


def tp_read(fd: int, n: int) -> bytes:
    """As `os.read`, in a pool thread: for descriptors whose readiness nobody announces."""
    data: bytes = call_in_own_thread(_native("read", os.read), fd, n)
    return data


def tp_write(fd: int, buf: Any) -> int:
    """As `os.write`, in a pool thread."""
    written: int = call_in_own_thread(_native("write", os.write), fd, buf)
    return written


def _native(name: str, point: Callable[..., Any]) -> Callable[..., Any]:
    """The original of a function of `os`."""
    return _core.original("os", None, name) or point
