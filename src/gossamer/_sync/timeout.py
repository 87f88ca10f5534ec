"""Timeouts: an exception raised in the green thread that set them, wherever it waits by then.

The type is the core's: a timer of the hub throws, and what waits is interrupted, so a timeout ends every kind of wait:
sockets, locks, queues, sleep. One that is cancelled leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gossamer._core import Timeout

__all__ = ["Timeout", "with_timeout"]

_NOTHING = object()


def expired(timeout: Any) -> BaseException | type[BaseException]:
    """What a wait raises when it has ended by this timeout, a number of seconds or a Timeout.

    A Timeout is raised itself, or what it was given to be raised.
    """
    if not isinstance(timeout, Timeout):
        return Timeout(timeout)
    given = timeout.exception
    return given if isinstance(given, BaseException | type) else timeout


def with_timeout(
    seconds: float | None,
    function: Callable[..., Any],
    *args: Any,
    timeout_value: Any = _NOTHING,
    **kwargs: Any,
) -> Any:
    """Call `function` and end it after `seconds` seconds.

    Returns what it returns, or `timeout_value` if that is given and the time is over. Raises Timeout if it is not,
    and whatever `function` raises. (gevent's documentation of with_timeout.)
    """
    timeout = Timeout.start_new(seconds)
    try:
        return function(*args, **kwargs)
    except Timeout as raised:
        if raised is timeout and timeout_value is not _NOTHING:
            return timeout_value
        raise
    finally:
        timeout.cancel()
