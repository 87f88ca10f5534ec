"""fork_and_watch: a callback at the end of a forked child, which leaves the status for os.waitpid()."""

import os
import signal

import pytest

from gossamer import os as green_os
from gossamer import sleep
from gossamer._sync import children
from tests.support.runtime import open_descriptors, until

# pytest's watch over tests that hang is a native thread, and CPython warns of forks beside one: from 3.15 on as an
# error.
pytestmark = pytest.mark.filterwarnings("ignore:.*is multi-threaded:DeprecationWarning")

Ends = list[tuple[int, int]]


def forked(how: str, ends: Ends) -> int:
    """A child that exits with 3, or is killed by SIGTERM; its end is noted in the list."""
    pid = green_os.fork_and_watch(lambda watcher: ends.append((watcher.rpid, watcher.rstatus)))
    if pid == 0:
        if how == "killed":
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        os._exit(3)
    return pid


@pytest.mark.parametrize("how", ["exit", "killed"])
def test_the_callback_and_waitpid_are_told_the_same_status(how: str) -> None:
    ends: Ends = []
    pid = forked(how, ends)
    until(lambda: bool(ends))
    assert os.waitpid(pid, 0) == ends[0]
    code = os.waitstatus_to_exitcode(ends[0][1])
    assert code == (3 if how == "exit" else -signal.SIGTERM)


def test_a_status_that_nobody_asks_for_is_taken_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "STATUS_IS_KEPT", 0.001)
    before = open_descriptors()
    ends: Ends = []
    pid = forked("exit", ends)
    until(lambda: bool(ends))
    until(lambda: open_descriptors() == before)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_without_a_callback_it_is_fork() -> None:
    pid = green_os.fork_and_watch()
    if pid == 0:
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4


def test_a_child_on_a_terminal_is_watched_as_well() -> None:
    ends: Ends = []
    pid, terminal = green_os.forkpty_and_watch(lambda watcher: ends.append((watcher.rpid, watcher.rstatus)))
    if pid == 0:
        os._exit(0 if os.isatty(0) else 1)
    until(lambda: bool(ends))
    assert ends == [(pid, 0)]
    assert os.waitpid(pid, 0) == (pid, 0)
    os.close(terminal)
    sleep(0)
