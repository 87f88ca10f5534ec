"""What the tests of the runtime share: joining with patience, errors reported to the hub, other OS threads.

`PRELUDE` opens the source of child interpreters with the same tools.
"""

import _thread
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from gossamer._core import GreenThread, get_hub, sleep, spawn
from tests.support.scale import patience

Result = TypeVar("Result")

PRELUDE = """
import gc, os, random, select, signal, socket, sys, threading, time, warnings, weakref
from gossamer import _core
from gossamer._core import (BlockingSwitchOutError, Callback, GreenletExit, GreenThread, Hub, InvalidSwitchError,
    LoopExit, WaitQueue, counts, error, get_hub, getcurrent, greenlet, interrupt, set_hub_class, settrace, sleep,
    spawn, wait_read, wait_write)
from tests.support.runtime import block, in_thread, joined, open_descriptors, reported, turns, until
from tests.support.scale import patience, scaled
warnings.simplefilter('ignore', DeprecationWarning)
main = getcurrent()

def leave(check):
    "End this forked child with status 0 if `check` passes."
    try:
        check()
        sys.stdout.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)

def wait_for(child):
    "Wait for a forked child, letting others run, and insist on status 0."
    until(lambda: os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, status
"""


@dataclass(frozen=True)
class Report:
    """One call of `Hub.handle_error`."""

    context: object
    type: type[BaseException]
    value: BaseException | None
    traceback: TracebackType | None


@contextmanager
def reported() -> Iterator[list[Report]]:
    """Collect what is reported to this thread's hub instead of printing it."""
    attributes = get_hub().__dict__
    reports: list[Report] = []

    def handle_error(
        context: object, kind: type[BaseException], value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        reports.append(Report(context, kind, value, traceback))

    attributes["handle_error"] = handle_error
    try:
        yield reports
    finally:
        del attributes["handle_error"]


def joined(*green_threads: GreenThread) -> list[Any]:
    """Join each green thread and return their values; one that does not end is an AssertionError."""
    for it in green_threads:
        it.join(timeout=patience(30))
        assert it.ready(), f"{it!r} did not end"
    return [it.value for it in green_threads]


def ended(*green_threads: GreenThread) -> list[Any]:
    """As `joined`, but what one of them has raised is raised."""
    values = joined(*green_threads)
    for it in green_threads:
        if it.exception is not None:
            raise it.exception
    return values


def parked(function: Callable[..., object], *args: Any) -> GreenThread:
    """A green thread that is in the middle of the call: the others have had turns, and it has not come to its end."""
    it = spawn(function, *args)
    turns()
    assert not it.ready(), it.exception
    return it


def turns(count: int = 3) -> None:
    """Let everybody who is ready go first, `count` times."""
    for _ in range(count):
        sleep(0)


def until(condition: Callable[[], object]) -> None:
    """Sleep, a millisecond at a time, until `condition` holds."""
    deadline = time.monotonic() + patience(30)
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        sleep(0.001)


def block(seconds: float) -> None:
    """Keep this OS thread busy, so that nothing else runs in it, whatever blocking calls have been taught."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        continue


def in_thread(work: Callable[[], Result]) -> Result:
    """Run `work` in an OS thread of its own, to the thread's very end, while nothing else runs in the calling one.

    Returns or raises what `work` does. Like `block`, it makes no call that a green thread might be parked in.
    """
    results: list[Result] = []
    errors: list[BaseException] = []
    tasks: list[str] = []

    def run() -> None:
        # a plain string: pathlib interns the parts of a path, and 3.12 never frees what is interned
        tasks.append(f"/proc/self/task/{threading.get_native_id()}")
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    _thread.start_new_thread(run, ())
    deadline = time.monotonic() + patience(60)
    while not tasks or os.access(tasks[0], os.F_OK):
        assert time.monotonic() < deadline, "the thread did not end"
    if errors:
        raise errors.pop()
    return results.pop()


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run `work` in an OS thread of its own during the block, which lets the hub run while it waits for its end."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield thread
    until(lambda: not thread.is_alive())
    if errors:
        raise errors.pop()


def open_descriptors() -> dict[str, str]:
    """The descriptors of this process, and what each refers to."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found[entry.name] = str(entry.readlink())
        except FileNotFoundError:
            continue
    return found
