"""Forked children whose end calls a function, with gevent's names.

The end is seen by a descriptor of the process, and the status read without taking it away: whoever calls os.waitpid()
still gets it. One that nobody asks for is taken a minute later, so that no dead process stays.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from gossamer._sync.hub import get_hub
from gossamer._sync.loop import Child

if TYPE_CHECKING:
    from gossamer._sync.loop import Loop

__all__ = ["fork_and_watch", "forkpty_and_watch"]

STATUS_IS_KEPT = 60.0
"""Seconds that the status of an ended child stays there for os.waitpid()."""

_CORE_DUMPED = 0x80


class WatchedChild(Child):
    """A child whose status stays there for os.waitpid()."""

    def _has_ended(self) -> bool:
        which, number = (os.P_PID, self.pid) if self._descriptor < 0 else (os.P_PIDFD, self._descriptor)
        try:
            ended = os.waitid(which, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody has taken the status already
            return True
        if ended is None:
            return False
        self.rstatus = _status(ended)
        self.loop.hub.call_later(STATUS_IS_KEPT, _reap, self.pid, self._take_descriptor()).unref()
        return True


def _status(ended: os.waitid_result) -> int:
    """What os.waitpid() would say."""
    if ended.si_code == os.CLD_EXITED:
        return ended.si_status << 8
    return ended.si_status | (_CORE_DUMPED if ended.si_code == os.CLD_DUMPED else 0)


def _reap(pid: int, descriptor: int) -> None:
    """Take the status, if nobody has. Without a descriptor (-1) the number may be another child's by then."""
    which, number = (os.P_PID, pid) if descriptor < 0 else (os.P_PIDFD, descriptor)
    with contextlib.suppress(ChildProcessError):
        os.waitid(which, number, os.WEXITED | os.WNOHANG)
    if descriptor >= 0:
        os.close(descriptor)


def fork_and_watch(
    callback: Callable[[Child], object] | None = None,
    loop: Loop | None = None,
    ref: bool = False,
    fork: Callable[[], int] = os.fork,
) -> int:
    """Fork, and have callback(watcher) called on the hub greenlet when the child has ended.

    The watcher has `pid`, `rpid` and `rstatus`; os.waitpid() still gets the status for a minute.
    loop: whose hub; the caller's unless given. ref: whether hub.join() waits for the child. fork: what forks.
    Returns what os.fork() does. From gevent's documentation of gevent.os.
    """
    pid = fork()
    if pid:
        _watch(pid, callback, loop, ref)
    return pid


def forkpty_and_watch(
    callback: Callable[[Child], object] | None = None,
    loop: Loop | None = None,
    ref: bool = False,
    forkpty: Callable[[], tuple[int, int]] = os.forkpty,
) -> tuple[int, int]:
    """Fork a child on a terminal of its own, and have callback(watcher) called when it has ended.

    callback, loop, ref: as of fork_and_watch. forkpty: what forks. Returns what os.forkpty() does.
    """
    pid, terminal = forkpty()
    if pid:
        _watch(pid, callback, loop, ref)
    return pid, terminal


def _watch(pid: int, callback: Callable[[Child], object] | None, loop: Loop | None, ref: bool) -> None:
    if callback is not None:
        watcher = WatchedChild(loop or get_hub().loop, pid, ref=ref)
        watcher.start(callback, watcher)
