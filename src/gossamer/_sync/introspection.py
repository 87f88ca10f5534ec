"""What greenlets there are and where they stand, as text; and small helpers for those who write functions for them.

A greenlet that starts the next one, and so on, is a tree as deep as there are greenlets: nothing here recurses into it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import WRAPPER_ASSIGNMENTS, update_wrapper
from time import monotonic
from typing import Any, ClassVar

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
    """Return lines that say where each thread stands, and each greenlet, below the one that started it.

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
    wanted = GreenletTree.DEFAULT_DETAILS | {"running_stacks": greenlet_stacks, "running_stack_limit": limit}
    found = stacks() if greenlet_stacks else {}
    for tree in GreenletTree.forest():
        lines += tree._lines(found, wanted)
    return lines


def _stack_lines(stack: list[traceback.FrameSummary], limit: int | None) -> list[str]:
    entries = stack[-limit:] if limit else stack
    return [line for entry in traceback.format_list(entries) for line in entry.rstrip().split("\n")]


class GreenletTree:
    """The greenlets below one: those that it started, and what these started.

    greenlet: the one at the root. child_trees: the trees of those that it started.
    From gevent's documentation of gevent.util.GreenletTree.
    """

    DEFAULT_DETAILS: ClassVar[dict[str, Any]] = {
        "running_stacks": True,
        "running_stack_limit": None,
        "spawning_stacks": True,
        "locals": True,
    }
    """What is shown of each greenlet; `running_stack_limit` is how many frames at most, None: all."""

    def __init__(self, greenlet: _core.greenlet) -> None:
        self.greenlet = greenlet
        self.child_trees: list[GreenletTree] = []
        self.is_current_tree = False

    def add_child(self, tree: GreenletTree) -> None:
        """Put a tree below this one."""
        if tree is not self:
            self.child_trees.append(tree)

    @property
    def root(self) -> bool:
        """Whether nobody started it, or whoever did is gone."""
        return _spawner(self.greenlet) is None

    @classmethod
    def forest(cls) -> list[GreenletTree]:
        """The trees of all threads: their roots are main greenlets, hubs, and greenlets whose starter is gone."""
        trees = {greenlet: cls(greenlet) for greenlet, _ in _core.frames()}
        roots = []
        for greenlet, tree in trees.items():
            below = trees.get(_spawner(greenlet))  # type: ignore[arg-type]
            if below is None or below is tree:
                roots.append(tree)
            else:
                below.add_child(tree)
        here = _core.getcurrent()
        for tree in roots:
            tree.is_current_tree = any(greenlet is here for greenlet in tree._greenlets())
        return roots

    @classmethod
    def current_tree(cls) -> GreenletTree:
        """The tree with the greenlet that asks."""
        return next(tree for tree in cls.forest() if tree.is_current_tree)

    def _greenlets(self) -> Iterator[_core.greenlet]:
        trees = [self]
        while trees:
            tree = trees.pop()
            yield tree.greenlet
            trees += tree.child_trees

    def format_lines(self, details: bool | dict[str, Any] = True) -> list[str]:
        """Return lines that show the tree.

        details: False leaves stacks and locals out; a dictionary says which to show, see DEFAULT_DETAILS.
        """
        wanted = dict.fromkeys(self.DEFAULT_DETAILS, False) if details is False else dict(self.DEFAULT_DETAILS)
        if isinstance(details, dict):
            wanted.update(details)
        return self._lines(stacks() if wanted["running_stacks"] else {}, wanted)

    def format(self, details: bool | dict[str, Any] = True) -> str:
        """Return the lines of `format_lines` as one text. details: as there."""
        return "\n".join(self.format_lines(details))

    def __str__(self) -> str:
        return self.format(details=False)

    def _lines(self, found: dict[_core.greenlet, traceback.StackSummary], wanted: dict[str, Any]) -> list[str]:
        lines = []
        to_show = [(self, "", "")]  # trees, and what stands before their first line and the others
        while to_show:
            tree, before_first, before = to_show.pop()
            lines.append(before_first + repr(tree.greenlet))
            for title, content in tree._details(found, wanted):
                lines += [f"{before} :    {title}", *(f"{before} :      {line}" for line in content)]
            last = tree.child_trees[-1] if tree.child_trees else None
            to_show += [
                (child, before + " +--- ", before + ("      " if child is last else " |    "))
                for child in reversed(tree.child_trees)
            ]
        return lines

    def _details(
        self, found: dict[_core.greenlet, traceback.StackSummary], wanted: dict[str, Any]
    ) -> Iterator[tuple[str, list[str]]]:
        greenlet = self.greenlet
        if greenlet.parent is not None:
            yield f"Parent: {greenlet.parent!r}", []
        if wanted["running_stacks"] and found.get(greenlet):
            yield "Running:", _stack_lines(found[greenlet], wanted["running_stack_limit"])
        if wanted["spawning_stacks"] and getattr(greenlet, "spawning_stack", None):
            yield "Spawned at:", _stack_lines(list(greenlet.spawning_stack), None)  # type: ignore[attr-defined]
        if wanted["locals"]:
            tree_locals = greenlet.__dict__.get("spawn_tree_locals")
            if tree_locals:
                yield f"Spawn Tree Locals: {tree_locals!r}", []


def _spawner(greenlet: _core.greenlet) -> _core.greenlet | None:
    reference = greenlet.spawning_greenlet if isinstance(greenlet, _core.GreenThread) else None
    return reference() if reference is not None else None


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
def assert_switches(max_blocking_time: float | None = None, hub_only: bool = False) -> Iterator[None]:
    """Return a context manager which insists that its block lets other greenlets run.

    It raises AssertionError if the block did not.

    max_blocking_time: that it did so at least every so many seconds; None: at all.
    hub_only: that the hub greenlet ran. Switches are traced meanwhile, so nothing in it is as fast as ever.
    """
    switched = False
    longest, since = 0.0, monotonic()
    here, before = _core.getcurrent(), _core.gettrace()

    def follow(event: Any, between: tuple[_core.greenlet, _core.greenlet]) -> None:
        nonlocal switched, longest, since
        origin, target = between
        if target is here:
            since = monotonic()
        elif origin is here and (not hub_only or isinstance(target, _core.Hub)):
            switched = True
            longest = max(longest, monotonic() - since)
        if before is not None:
            before(event, between)

    _core.settrace(follow)
    try:
        yield
    finally:
        _core.settrace(before)
    if not switched:
        raise AssertionError("the block did not switch to another greenlet")
    longest = max(longest, monotonic() - since)
    if max_blocking_time is not None and longest > max_blocking_time:
        raise AssertionError(f"no other greenlet had a turn for {longest:.3g} seconds, not {max_blocking_time:g}")
