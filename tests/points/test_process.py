"""os.wait() and its kin park a green thread until a child has something to tell."""

import contextlib
import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import spawn
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, joined, open_descriptors, until

FORK_WARNING = "ignore:This process .* is multi-threaded:DeprecationWarning"

pytestmark = pytest.mark.filterwarnings(FORK_WARNING)


@pytest.fixture(autouse=True)
def _points() -> None:
    _core.get_hub()


class Child:
    """A forked process that ends with a status when it is told to."""

    def __init__(self, status: int = 0, group: bool = False) -> None:
        reading, self.ending = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                os.close(self.ending)
                _core.original("os", None, "read")(reading, 1)
            finally:
                os._exit(status)
        os.close(reading)
        if group:
            os.setpgid(self.pid, self.pid)

    def end(self) -> None:
        if self.ending >= 0:
            with contextlib.suppress(BrokenPipeError):
                os.write(self.ending, b"x")  # closing it would not do: later children have a copy
            os.close(self.ending)
            self.ending = -1


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    made: list[Child] = []

    def make(*args: Any, **kwargs: Any) -> Child:
        made.append(Child(*args, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.end()
        try:
            os.kill(each.pid, signal.SIGCONT)
            _core.original("os", None, "waitpid")(each.pid, 0)
        except (ChildProcessError, ProcessLookupError):
            pass


def parked(function: Callable[..., object], *args: Any) -> _core.GreenThread:
    """A green thread that is in the middle of the call: the others have had turns, and it has not come to its end."""
    thread = spawn(function, *args)
    for _ in range(3):
        _core.sleep(0.001)
    assert not thread.ready()
    return thread


def os_threads() -> set[str]:
    return {task.name for task in Path("/proc/self/task").iterdir()}


def by_waitid(kind: int, pid: int) -> tuple[int, int]:
    found = os.waitid(kind, pid, os.WEXITED)
    assert found is not None
    return found.si_pid, found.si_status << 8


ONE: dict[str, Callable[[int], Any]] = {
    "waitpid": lambda pid: os.waitpid(pid, 0),
    "wait4": lambda pid: os.wait4(pid=pid, options=0)[:2],
    "waitid": lambda pid: by_waitid(os.P_PID, pid),
    "waitpid, its group": lambda pid: os.waitpid(-pid, 0),
    "waitid, its group": lambda pid: by_waitid(os.P_PGID, pid),
    "waitpid, stops too": lambda pid: os.waitpid(pid, os.WUNTRACED | os.WCONTINUED),
}
ANY: dict[str, Callable[[], Any]] = {
    "wait": lambda: os.wait(),
    "waitpid -1": lambda: os.waitpid(-1, 0),
    "waitpid 0": lambda: os.waitpid(0, 0),
    "wait3": lambda: os.wait3(options=0)[:2],
    "wait4": lambda: os.wait4(-1, 0)[:2],
    "waitid": lambda: by_waitid(os.P_ALL, 0),
}


@pytest.fixture(params=ONE)
def wait_for(request: pytest.FixtureRequest) -> Callable[[int], Any]:
    return ONE[request.param]


@pytest.fixture(params=ANY)
def wait_for_any(request: pytest.FixtureRequest) -> Callable[[], Any]:
    return ANY[request.param]


def test_all_points_are_installed() -> None:
    names = {name for name, _, _, on in _core.points() if on}
    assert names >= {"os.wait", "os.waitpid", "os.wait3", "os.wait4", "os.waitid", "os.fork"}
    assert "_posixsubprocess.fork_exec" in names


def test_who_waits_for_a_child_lets_the_others_run(wait_for: Callable[[int], Any], child: Callable[..., Child]) -> None:
    process = child(3, group=True)
    waiter = parked(wait_for, process.pid)
    process.end()
    assert joined(waiter) == [(process.pid, 3 << 8)]


def test_who_waits_for_any_child_gets_the_first_that_ends(
    wait_for_any: Callable[[], Any], child: Callable[..., Child]
) -> None:
    processes = [child(status) for status in range(3)]
    waiter = parked(wait_for_any)
    processes[1].end()
    assert joined(waiter) == [(processes[1].pid, 1 << 8)]


def test_a_child_that_came_after_the_wait_began_ends_it(child: Callable[..., Child]) -> None:
    child()
    waiter = parked(os.wait)
    late = child(5)
    late.end()
    assert joined(waiter) == [(late.pid, 5 << 8)]


def test_a_child_that_has_ended_is_had_at_once(wait_for: Callable[[int], Any], child: Callable[..., Child]) -> None:
    process = child(7, group=True)
    process.end()
    assert os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT) is not None
    order: list[str] = []
    other = spawn(order.append, "other")
    assert wait_for(process.pid) == (process.pid, 7 << 8)
    assert order == []
    joined(other)


def test_with_wnohang_nobody_waits(child: Callable[..., Child]) -> None:
    process = child()
    assert os.waitpid(process.pid, os.WNOHANG) == (0, 0)
    assert os.waitpid(-1, os.WNOHANG) == (0, 0)
    assert os.wait3(os.WNOHANG)[0] == 0
    assert os.wait4(process.pid, os.WNOHANG)[0] == 0
    assert os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG) is None


def test_each_child_goes_to_one_of_those_who_wait_for_any(child: Callable[..., Child]) -> None:
    processes = [child(status) for status in range(5)]
    waiters = [parked(os.wait) for _ in processes]
    for process in processes:
        process.end()
    assert sorted(joined(*waiters)) == sorted((process.pid, status << 8) for status, process in enumerate(processes))


def test_of_two_who_wait_for_one_child_the_other_learns_that_it_is_gone(
    wait_for: Callable[[int], Any], child: Callable[..., Child]
) -> None:
    process = child(group=True)
    first, second = parked(wait_for, process.pid), parked(wait_for, process.pid)
    process.end()
    joined(first, second)
    assert {first.value, second.value} == {(process.pid, 0), None}
    assert {type(first.exception), type(second.exception)} == {type(None), ChildProcessError}


def test_native_and_green_threads_may_wait_for_the_same_child(child: Callable[..., Child]) -> None:
    process = child(group=True)
    waiters = [parked(wait, process.pid) for wait in ONE.values()]
    results: list[Any] = []

    def take() -> None:
        with contextlib.suppress(ChildProcessError):
            results.append(os.waitpid(process.pid, 0))

    native = threading.Thread(target=take, daemon=True)
    native.start()
    process.end()
    for waiter in waiters:
        waiter.join(timeout=60)
    until(lambda: not native.is_alive())
    got = [waiter.value for waiter in waiters if waiter.successful()] + results
    assert got == [(process.pid, 0)]
    assert {type(waiter.exception) for waiter in waiters} <= {ChildProcessError, type(None)}


def test_stops_and_continuations_are_told_to_who_asks_for_them(child: Callable[..., Child]) -> None:
    process = child()
    exits = parked(os.waitpid, process.pid, 0)
    stops = parked(os.waitid, os.P_PID, process.pid, os.WSTOPPED)
    os.kill(process.pid, signal.SIGSTOP)
    (stopped,) = joined(stops)
    assert (stopped.si_pid, stopped.si_code, stopped.si_status) == (process.pid, os.CLD_STOPPED, signal.SIGSTOP)
    continued = parked(os.waitpid, process.pid, os.WCONTINUED)
    os.kill(process.pid, signal.SIGCONT)
    ((pid, status),) = joined(continued)
    assert pid == process.pid and os.WIFCONTINUED(status)
    again = parked(os.waitpid, -1, os.WUNTRACED)
    os.kill(process.pid, signal.SIGSTOP)
    ((pid, status),) = joined(again)
    assert pid == process.pid and os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP
    assert not exits.ready()
    os.kill(process.pid, signal.SIGKILL)
    assert joined(exits) == [(process.pid, signal.SIGKILL)]


def test_a_look_with_wnowait_leaves_the_child_to_others(child: Callable[..., Child]) -> None:
    process = child(2)
    looks = [parked(os.waitid, kind, process.pid, os.WEXITED | os.WNOWAIT) for kind in (os.P_PID, os.P_ALL)]
    process.end()
    assert [found.si_status for found in joined(*looks)] == [2, 2]
    assert os.waitpid(process.pid, 0) == (process.pid, 2 << 8)


def test_a_pidfd_can_be_waited_for(child: Callable[..., Child]) -> None:
    process = child(4)
    descriptor = os.pidfd_open(process.pid)
    waiter = parked(by_waitid, os.P_PIDFD, descriptor)
    process.end()
    assert joined(waiter) == [(process.pid, 4 << 8)]
    os.close(descriptor)


def test_a_pidfd_that_is_not_to_block_does_not(child: Callable[..., Child]) -> None:
    descriptor = os.pidfd_open(child().pid, os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
    os.close(descriptor)


def test_the_main_greenlet_waits_like_any_other(child: Callable[..., Child]) -> None:
    process = child(1)
    order: list[str] = []
    spawn(lambda: (order.append("other"), process.end()))
    assert os.waitpid(process.pid, 0) == (process.pid, 1 << 8)
    assert order == ["other"]


def test_a_wait_that_is_interrupted_leaves_nothing_behind(child: Callable[..., Child]) -> None:
    process = child(9, group=True)
    joined(spawn(lambda: None))
    descriptors, threads = open_descriptors(), os_threads()
    for wait in [*ONE.values(), lambda _: os.wait()]:
        waiter = parked(wait, process.pid)
        assert _core.interrupt(waiter, LookupError("enough"))
        joined(waiter)
        assert str(waiter.exception) == "enough"
    assert open_descriptors() == descriptors
    assert os_threads() <= threads  # one of another test's may have ended meanwhile
    process.end()
    assert os.waitpid(process.pid, 0) == (process.pid, 9 << 8)


def test_many_waits_leave_no_descriptors_and_no_threads() -> None:
    joined(spawn(lambda: None))
    descriptors, threads = open_descriptors(), os_threads()
    for wait in [*ONE.values(), lambda _: os.wait()]:
        for _ in range(20):
            process = Child(group=True)
            waiter = parked(wait, process.pid)
            process.end()
            joined(waiter)
    assert open_descriptors() == descriptors
    assert os_threads() <= threads  # one of another test's may have ended meanwhile


def test_fifty_children_end_in_any_order(child: Callable[..., Child]) -> None:
    processes = [child(number) for number in range(50)]
    waiters = [spawn(os.waitpid, process.pid, 0) for process in processes]
    for process in processes[::-1]:
        process.end()
    assert joined(*waiters) == [(process.pid, number << 8) for number, process in enumerate(processes)]


def test_who_is_killed_by_a_signal_is_reported_so(child: Callable[..., Child]) -> None:
    process = child()
    waiter = parked(os.waitpid, process.pid, 0)
    os.kill(process.pid, signal.SIGKILL)
    assert joined(waiter) == [(process.pid, signal.SIGKILL)]


def test_a_wait_on_the_hub_greenlet_is_refused(child: Callable[..., Child]) -> None:
    process, results = child(), []

    def wait() -> None:
        try:
            os.waitpid(process.pid, 0)
        except BaseException as error:
            results.append(type(error))

    _core.get_hub().run_callback(wait)
    _core.sleep(0)
    assert results == [_core.BlockingSwitchOutError]


# ---- errors ----


def outcome(function: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as fault:
        return (type(fault), str(fault), getattr(fault, "errno", None))


class Index:
    def __index__(self) -> int:
        return os.getpid()


BAD: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("wait", (1,), {}), ("waitpid", (), {}), ("waitpid", (1,), {}), ("waitpid", ("x", 0), {}),
    ("waitpid", (1, 0), {}), ("waitpid", (1 << 80, 0), {}), ("waitpid", (1, 1 << 40), {}),
    ("waitpid", (-1, 1 << 20), {}), ("waitpid", (-(1 << 31), 0), {}), ("waitpid", (Index(), 0), {}),
    ("waitpid", (1.5, 0), {}),
    ("wait3", (), {}), ("wait3", ("x",), {}), ("wait3", (), {"other": 1}), ("wait3", (1, 2), {}),
    ("wait3", (0,), {"options": 0}), ("wait4", (1,), {}), ("wait4", (1, 0), {}), ("wait4", (), {"pid": 1}),
    ("wait4", (1,), {"options": 0}), ("wait4", (1,), {"pid": 1}), ("wait4", (), {"pid": 1, "option": 0}),
    ("waitid", (), {}), ("waitid", (0, 0), {}), ("waitid", (os.P_PID, 1, os.WEXITED), {}),
    ("waitid", (os.P_PID, 0, os.WEXITED), {}), ("waitid", (os.P_PID, 1, 0), {}), ("waitid", (99, 1, os.WEXITED), {}),
    ("waitid", (os.P_PIDFD, 999_999, os.WEXITED), {}), ("waitid", (os.P_PIDFD, 0, os.WEXITED), {}),
    ("waitid", ("x", 1, 4), {}), ("waitid", (os.P_PID, 1, 1 << 40), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs"), BAD, ids=str)
def test_what_the_original_refuses_is_refused_in_its_words(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    expected = outcome(_core.original("os", None, name), *args, **kwargs)
    assert isinstance(expected[0], type)
    assert outcome(getattr(os, name), *args, **kwargs) == expected


# Waits for any child, in interpreters of their own: in the tests' there may be children of other tests.


def test_without_children_there_is_an_error_at_once() -> None:
    out = output_of(
        PRELUDE
        + """
import os
waits = [os.wait, lambda: os.waitpid(-1, 0), lambda: os.waitpid(0, 0), lambda: os.wait3(0), lambda: os.wait4(-1, 0),
         lambda: os.waitid(os.P_ALL, 0, os.WEXITED)]
for wait in waits:
    try:
        print(wait())
    except ChildProcessError as error:
        print(error.errno)
"""
    )
    assert out.split() == [str(errno.ECHILD)] * 6


def test_the_last_child_that_somebody_else_takes_ends_the_wait_for_any() -> None:
    out = output_of(
        PRELUDE
        + """
import os, time
def wait():
    try:
        return os.wait()[1]
    except ChildProcessError:
        return 'nobody left'
if os.fork() == 0:
    time.sleep(0.2)
    os._exit(0)
waiters = [spawn(wait), spawn(wait)]
for waiter in waiters:
    waiter.join()
print(sorted(str(waiter.value) for waiter in waiters))
"""
    )
    assert out == "['0', 'nobody left']\n"


def test_where_children_are_not_kept_the_wait_ends_with_the_last_of_them() -> None:
    out = output_of(
        PRELUDE
        + """
get_hub()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
children = []
for wait in [lambda: os.waitpid(children[-1], 0), os.wait]:
    reading, writing = os.pipe()
    children.append(os.fork())
    if not children[-1]:
        os.close(writing)
        _core.original('os', None, 'read')(reading, 1)
        os._exit(0)
    it = spawn(wait)
    turns()
    print(it.ready())
    os.close(writing)
    joined(it)
    print(type(it.exception).__name__)
"""
    )
    assert out == "False\nChildProcessError\n" * 2


def test_without_pidfds_the_wait_parks_all_the_same() -> None:
    """A process limit on descriptors stands for a kernel or a sandbox that has no pidfd_open()."""
    out = output_of(
        PRELUDE
        + """
import resource
get_hub()
reading, writing = os.pipe()
child = os.fork()
if not child:
    os.close(writing)
    _core.original('os', None, 'read')(reading, 1)
    os._exit(3)
order = []
def other():
    for _ in range(3):
        sleep(0.001)
        order.append('other')
    os.close(writing)
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir('/proc/self/fd')) - 1, limit[1]))
spawn(other)
print(os.waitpid(child, 0)[1] >> 8, order)
"""
    )
    assert out == "3 ['other', 'other', 'other']\n"


# ---- native threads, switching off, programs from before ----


def test_a_thread_without_a_hub_blocks_natively(child: Callable[..., Child]) -> None:
    process, results = child(6), []
    native = threading.Thread(target=lambda: results.append(os.waitpid(process.pid, 0)), daemon=True)
    native.start()
    _core.sleep(0.01)
    process.end()
    until(lambda: not native.is_alive())
    assert results == [(process.pid, 6 << 8)]


@pytest.mark.parametrize("first", ["", "from gossamer import _core; _core.get_hub()\n"])
def test_references_from_before_park(first: str) -> None:
    out = output_of(
        first
        + """
from os import waitpid, wait, fork, _exit, pipe, read, close
from gossamer import _core
hub = _core.get_hub()
for call in (lambda child: waitpid(child, 0), lambda child: wait()):
    reading, writing = pipe()
    child = fork()
    if not child:
        close(writing)
        _core.original('os', None, 'read')(reading, 1)
        _exit(2)
    _core.spawn(close, writing)
    print(call(child) == (child, 512))
"""
    )
    assert out == "True\nTrue\n"


def test_points_that_are_off_block_the_thread(child: Callable[..., Child]) -> None:
    order: list[str] = []
    process = child()
    assert _core.points_switch("os", False) >= 6
    try:
        other = spawn(order.append, "other")
        process.end()
        os.waitpid(process.pid, 0)
        assert order == []
    finally:
        _core.points_switch("os", True)
    joined(other)


def test_points_look_like_the_originals() -> None:
    for name in ("wait", "waitpid", "wait3", "wait4", "waitid", "fork"):
        point, original = getattr(os, name), _core.original("os", None, name)
        assert point is not original
        assert (point.__name__, point.__doc__) == (original.__name__, original.__doc__)
        assert (point.__module__, point.__text_signature__) == (original.__module__, original.__text_signature__)
