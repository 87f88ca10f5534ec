"""What greenlets there are and where they stand, as text; and small helpers for those who write functions for them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import WRAPPER_ASSIGNMENTS, update_wrapper
from typing import Any

from gossamer import _core
from gossamer._stacks import stacks


class wrap_errors:  # noqa: N801 - gevent's name
    """A function that returns, instead of raising, the errors of some kinds.

    errors: an exception class, or a tuple of them.
    func: the function that is called.
    From gevent's documentation of gevent.util.wrap_errors.
    """

    def __init__(self, errors: type[BaseException] | tuple[type[BaseException], ...], func: Callable[..., Any]) -> None:
        self._errors = errors
        self._func = func
        update_wrapper(self, func, assigned=[name for name in WRAPPER_ASSIGNMENTS if hasattr(func, name)], updated=())

    @property
    def func(self) -> Callable[..., Any]:
        """The function that is called."""
        return self._func

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._func(*args, **kwargs)
        except self._errors as error:
            return error

    def __str__(self) -> str:
        return str(self._func)

    def __repr__(self) -> str:
        return repr(self._func)

    def __getattr__(self, name: str) -> Any:
        if name == "_func":
            raise AttributeError(name)  # not made yet
        return getattr(self._func, name)


def format_run_info(
    thread_stacks: bool = True,
    greenlet_stacks: bool = True,
    limit: int | None = None,
    current_thread_ident: Any = None,  # noqa: ARG001 - gevent's signature
) -> list[str]:
    """Return lines that say where each thread and each greenlet stands.

    thread_stacks, greenlet_stacks: whether their stacks are in it.
    limit: how many frames of a stack, the innermost; None: all.
    current_thread_ident: accepted for compatibility.
    """
    lines = ["*" * 80, "* Threads"]
    for ident, frame in sys._current_frames().items():
        lines.append(f"Thread 0x{ident:x}")
        if thread_stacks:
            lines += _stack_lines(traceback.extract_stack(frame), limit)
    lines += ["*" * 80, "* Greenlets"]
    for greenlet, stack in stacks().items():
        lines.append(repr(greenlet))
        if greenlet_stacks:
            lines += _stack_lines(stack, limit)
    return lines


def _stack_lines(stack: list[traceback.FrameSummary], limit: int | None) -> list[str]:
    entries = stack[-limit:] if limit else stack
    return [line for entry in traceback.format_list(entries) for line in entry.rstrip().split("\n")]


def print_run_info(
    thread_stacks: bool = True, greenlet_stacks: bool = True, limit: int | None = None, file: Any = None
) -> None:
    """Print what `format_run_info` says.

    thread_stacks, greenlet_stacks, limit: as of `format_run_info`.
    file: where to; None: sys.stderr.
    """
    lines = format_run_info(thread_stacks, greenlet_stacks, limit)
    print("\n".join(lines), file=sys.stderr if file is None else file)


@contextmanager
def assert_switches(*, hub_only: bool = False) -> Iterator[None]:
    """Return a context manager which insists that its block lets other greenlets run.

    It raises AssertionError if the block did not.

    hub_only: that the hub greenlet ran. Switches are traced meanwhile, so nothing in it is as fast as ever.
    """
    switched = False
    here, before = _core.getcurrent(), _core.gettrace()

    def follow(event: Any, between: tuple[_core.greenlet, _core.greenlet]) -> None:
        nonlocal switched
        origin, target = between
        if origin is here and (not hub_only or isinstance(target, _core.Hub)):
            switched = True
        if before is not None:
            before(event, between)

    _core.settrace(follow)
    try:
        yield
    finally:
        _core.settrace(before)
    if not switched:
        raise AssertionError("the block did not switch to another greenlet")
