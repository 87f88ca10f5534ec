"""Calls that cannot be made green: a native thread makes them while the calling green thread is parked.

Where no native thread can be started (the interpreter is about to end, or the system is out of something) a call that
comes to an end by itself is made where it is: late for others, but right.

Someone whose wait is ended by an exception abandons the call: it goes on in its thread, and what it returns is dropped
(or closed, for what was opened). Nothing can end a function of C in mid-call.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from gossamer import _core
from gossamer._sync.workers import Call, Workers

Result = TypeVar("Result")

IDLE_SECONDS = 30.0
"""How long a native thread waits for the next call before it ends."""

_pool = Workers(10, idle_seconds=IDLE_SECONDS)
_own_threads = Workers(None, idle_seconds=IDLE_SECONDS)


def call_in_pool(function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Result:
    """Return function(*args, **kwargs), called by one of ten native threads, or raise what it raises.

    For calls that come to an end without anybody else's doing, and can be made again: a fork's child does so. With all
    threads busy it waits for one.
    Raises BlockingSwitchOutError on the hub greenlet.
    """
    return _wait_for(_pool, function, args, kwargs, repeatable=True)


def call_in_own_thread(function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Result:
    """The same in a native thread that nobody else waits for: the call's end may take another green thread's doing.

    Raises RuntimeError in the child of a fork that comes in between.
    """
    return _wait_for(_own_threads, function, args, kwargs)


def open_in_own_thread(function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Result:
    """The same for a function that returns a descriptor or a file, which is closed if the wait for it was ended.

    Raises RuntimeError if no thread can be started.
    """
    return _wait_for(_own_threads, function, args, kwargs, discard=_close)


def begin_in_own_thread(function: Callable[..., Any], /, *args: Any) -> Call:
    """Begin a call whose end is somebody's to wait for (`Call.promise`), and whose outcome may be fetched later."""
    call = Call(function, args, {})
    _own_threads.submit(call)
    return call


def _wait_for(
    workers: Workers,
    function: Callable[..., Result],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    repeatable: bool = False,
    discard: Callable[[Any], object] | None = None,
) -> Result:
    if sys.is_finalizing():
        return function(*args, **kwargs)  # no thread but this one will run any more
    if _core.getcurrent() is _core.get_hub():
        raise _core.BlockingSwitchOutError(
            "the hub greenlet cannot wait: run what blocks in a green thread (gossamer.spawn)"
        )
    call = Call(function, args, kwargs, repeatable=repeatable, discard=discard)
    try:
        workers.submit(call)
    except RuntimeError:
        if discard is not None:
            raise  # somebody else's doing may be what it waits for
        return function(*args, **kwargs)
    try:
        call.promise.wait()
    except BaseException:
        call.abandon()
        raise
    result: Result = call.outcome()
    return result


def _close(opened: Any) -> None:
    if isinstance(opened, int):
        os.close(opened)
    else:
        opened.close()
