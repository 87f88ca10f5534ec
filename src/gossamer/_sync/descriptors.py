"""Waiting for, reading and writing descriptors, with gevent's names.

`gossamer.socket` and `gossamer.os` add them to the names of the standard library's modules.

Descriptors need not be in non-blocking mode: `os.read` and `os.write` are blocking points, which park for pipes,
sockets and terminals. In non-blocking mode the originals refuse, and the caller is parked here until they do not.
"""

# gevent has arguments that mean nothing:
# ruff: noqa: ARG001

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gossamer import _core
from gossamer._sync.hub import get_hub
from gossamer._sync.loop import READ, WRITE
from gossamer._sync.native_call import call_in_own_thread
from gossamer._sync.timeout import Timeout
from gossamer._sync.waiter import ConcurrentObjectUseError

if TYPE_CHECKING:
    from gossamer._sync.loop import Watcher

__all__ = [
    "cancel_wait",
    "cancel_wait_ex",
    "make_nonblocking",
    "nb_read",
    "nb_write",
    "tp_read",
    "tp_write",
    "wait",
    "wait_read",
    "wait_readwrite",
    "wait_write",
]

TimeoutException = BaseException | type[BaseException] | None
_TIMED_OUT: Any = object()


class cancel_wait_ex(OSError):  # noqa: N801 - gevent's name
    """What `cancel_wait` raises in the greenlet that waits: its descriptor was closed meanwhile."""

    def __init__(self) -> None:
        super().__init__(errno.EBADF, "File descriptor was closed in another greenlet")


def _over(timeout: float | None, given: TimeoutException) -> BaseException | type[BaseException]:
    """What is raised when the seconds are over."""
    if given is _TIMED_OUT:
        return TimeoutError("timed out")
    return Timeout(timeout) if given is None else given


def wait(watcher: Watcher, timeout: float | None = None, timeout_exc: TimeoutException = _TIMED_OUT) -> None:
    """Wait for the event of a watcher of `hub.loop`. As `wait_read`.

    Raises ConcurrentObjectUseError when somebody waits for it already.
    """
    if watcher.callback is not None or watcher.waiting_greenlet is not None:
        raise ConcurrentObjectUseError(f"This socket is already used by another greenlet: {watcher.callback!r}")
    with Timeout(timeout, _over(timeout, timeout_exc)):
        get_hub().wait(watcher)


def cancel_wait(watcher: Watcher, error: BaseException | type[BaseException] = cancel_wait_ex) -> None:
    """End the wait for a watcher of `hub.loop` with an error. Does nothing if nobody waits for it."""
    get_hub().cancel_wait(watcher, error)


def wait_read(fileno: int, timeout: float | None = None, timeout_exc: TimeoutException = _TIMED_OUT) -> None:
    """Wait until the descriptor is ready for reading.

    timeout: seconds. timeout_exc: what is raised when they are over, TimeoutError unless given; None: a Timeout.
    """
    if not _core.wait_read(fileno, timeout):
        raise _over(timeout, timeout_exc)


def wait_write(
    fileno: int, timeout: float | None = None, timeout_exc: TimeoutException = _TIMED_OUT, event: object = None
) -> None:
    """Wait until the descriptor is ready for writing. As `wait_read`; `event` is ignored, as by gevent."""
    if not _core.wait_write(fileno, timeout):
        raise _over(timeout, timeout_exc)


def wait_readwrite(
    fileno: int, timeout: float | None = None, timeout_exc: TimeoutException = _TIMED_OUT, event: object = None
) -> None:
    """Wait until the descriptor is ready for reading or for writing. As `wait_read`; `event` is ignored."""
    with Timeout(timeout, _over(timeout, timeout_exc)):
        get_hub().loop.io(fileno, READ | WRITE).wait()


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
