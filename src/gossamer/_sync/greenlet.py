"""Greenlet: a green thread with gevent's interface. What is hot in it is the core's GreenThread.

Attributes that few programs ask for are made when they are asked for: a name, tree locals, the description in `repr`.
The stack that spawned a greenlet cannot be found out later, so it is kept only where `config.track_greenlet_tree` is
set: it would be most of what a spawn costs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gossamer import _core
from gossamer._core import GreenletExit, getcurrent
from gossamer._sync.config import config
from gossamer._sync.hub import Hub, get_hub
from gossamer._sync.ident import minimal_ident
from gossamer._sync.raw import exception_from, kill, locals_of_spawner, spawn_raw

if TYPE_CHECKING:
    from gossamer._sync.loop import Loop

__all__ = [
    "Greenlet",
    "GreenletExit",
    "getcurrent",
    "joinall",
    "kill",
    "killall",
    "spawn",
    "spawn_later",
    "spawn_raw",
]


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    """What a greenlet runs that was given no function."""


class _Run:
    """The attribute `_run`: what the greenlet runs. A subclass has a method of that name in place of it."""

    def __get__(self, greenlet: Greenlet | None, owner: type[Greenlet] | None = None) -> Any:
        if greenlet is None:
            return self
        function = greenlet._function
        return _nothing if function is None else function


class _Link:
    """A link that runs callback(greenlet) at once, in a greenlet of its own, which may wait.

    Equal to its callback, by which it is unlinked.
    """

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[Any], object]) -> None:
        if not callable(callback):
            raise TypeError(f"a link must be callable, not {callback!r}")
        self.callback = callback

    def __call__(self, source: Any) -> None:
        _core.greenlet(self.callback, _core.get_hub()).switch(source)

    def __eq__(self, other: object) -> bool:
        return bool(self.callback == (other.callback if isinstance(other, _Link) else other))

    def __hash__(self) -> int:
        return hash(self.callback)


class _ValueLink(_Link):
    __slots__ = ()

    def __call__(self, source: Any) -> None:
        if source.successful():
            super().__call__(source)


class _ExceptionLink(_Link):
    __slots__ = ()

    def __call__(self, source: Any) -> None:
        if not source.successful():
            super().__call__(source)


class Greenlet(_core.GreenThread):
    """Greenlet(run=None, *args, **kwargs): runs run(*args, **kwargs) once it is started, when its turn comes.

    A subclass may define `_run` instead of giving a function, and call `Greenlet.__init__(self)`. Its result is
    `value`, or the error that ended it `exception`; GreenletExit is a result, not an error. True while it is started
    and has not ended. From gevent's documentation of gevent.Greenlet.
    """

    _run: Any = _Run()

    spawning_stack_limit = 10
    """How many frames `spawning_stack` has at most, where config.track_greenlet_tree is set."""

    spawning_stack: Any = None
    """Where it was started: a traceback.StackSummary where config.track_greenlet_tree was set then, else None."""

    # ---- who it is ----

    @property
    def name(self) -> str:
        """A name for people, `Greenlet-N` unless set."""
        name = self.__dict__.get("name")
        if name is None:
            name = self.__dict__["name"] = f"{type(self).__name__}-{self.minimal_ident}"
        return str(name)

    @name.setter
    def name(self, name: str) -> None:
        self.__dict__["name"] = name

    @property
    def minimal_ident(self) -> int:
        """A small number that no other living greenlet has."""
        return minimal_ident(self)

    @property
    def loop(self) -> Loop:
        """The loop of the hub that runs it."""
        return self.parent.loop if isinstance(self.parent, Hub) else get_hub().loop

    @property
    def spawn_tree_locals(self) -> dict[str, Any]:
        """A dictionary shared with the greenlet that made this one, as long as that one lives, and so on upwards."""
        found = self.__dict__.get("spawn_tree_locals")
        if found is None:
            found = self.__dict__["spawn_tree_locals"] = locals_of_spawner(self)
        own: dict[str, Any] = found
        return own

    @spawn_tree_locals.setter
    def spawn_tree_locals(self, own: dict[str, Any]) -> None:
        self.__dict__["spawn_tree_locals"] = own

    def __repr__(self) -> str:
        name = self.__dict__.get("name")
        label = "" if name is None else f'"{name}" '
        return f"<{type(self).__name__} {label}at {id(self):#x}: {self._description()}>"

    def _description(self) -> str:
        """What it runs, as text; kept from the first time on, since an ended greenlet does not know it any more."""
        known: str | None = self.__dict__.get("_described")
        if known is not None:
            return known
        function = self._run
        owner = getattr(function, "__self__", None)
        if function is _nothing or owner is self:
            text = "_run"
        elif owner is not None and not hasattr(owner, "__spec__"):
            text = repr(function)
        else:
            text = getattr(function, "__name__", "") or repr(function)
        values = [repr(value)[:50] for value in self.args]
        values += [f"{name}={value!r:.50}" for name, value in self.kwargs.items()]
        if values:
            text += f"({', '.join(values)})"
        self.__dict__["_described"] = text
        return text

    # ---- how it ended ----

    @property
    def dead(self) -> bool:
        """Whether it has ended, or was killed before it began."""
        return self.ready() or super().dead

    @property
    def exc_info(self) -> tuple[type[BaseException], BaseException, TracebackType | None] | tuple[()] | None:
        """Type, exception and traceback of the error that ended it; () if none did, None while it has not ended."""
        error = self.exception
        if error is None:
            return None
        return type(error), error, self._traceback

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return its value, or raise the error that ended it, with the error's traceback; wait for that.

        block: False raises Timeout at once if it has not ended.
        timeout: raises Timeout after so many seconds.
        """
        if not self.ready():
            from gossamer._sync.timeout import Timeout, expired

            if not block:
                raise Timeout
            self.join(timeout)
            if not self.ready():
                raise expired(timeout)
        if self.exception is not None:
            raise self.exception.with_traceback(self._traceback)
        return self.value

    # ---- ending it ----

    def kill(
        self,
        exception: type[BaseException] | BaseException = GreenletExit,
        block: bool = True,
        timeout: float | None = None,
    ) -> None:
        """Raise an exception in it, from any thread: where it waits, or when it next does; and wait for its end.

        One that has not begun never does. It may catch the exception and go on. Nothing happens if it has ended.

        block: False does not wait for its end.
        timeout: seconds to wait for its end; whether it came, `ready` says.
        """
        if self.ready():
            return
        error = exception_from(exception)
        if block and self is getcurrent():
            raise error
        _core.throw_into(self, error)
        if block and not self.ready():
            self.join(timeout)

    def throw(self, *args: Any) -> Any:
        """Switch to it and raise an exception there: GreenletExit, or the parts of a `raise` statement.

        One that has not begun ends at once. For callbacks on the hub greenlet: `kill` is for everybody else.
        Returns what the caller is switched back with; None if it has ended.
        """
        if self.ready():
            return None
        if not _core.greenlet.__bool__(self):
            _core.throw_into(self, exception_from(*args) if args else GreenletExit())
            return None
        return super().throw(*args)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for its end if the block ended well; kill it otherwise, with the block's exception."""
        if error is not None:
            self.kill(error)
            return
        try:
            self.join()
        finally:
            self.kill()

    # ---- links ----

    def link(self, callback: Callable[[Any], object]) -> None:
        """Have callback(self) run in a new greenlet when it has ended, or now if it has.

        Raises TypeError if it cannot be called.
        """
        self.rawlink(_Link(callback))

    def link_value(self, callback: Callable[[Any], object]) -> None:
        """As `link`, if it ended without an error."""
        self.rawlink(_ValueLink(callback))

    def link_exception(self, callback: Callable[[Any], object]) -> None:
        """As `link`, if an error ended it."""
        self.rawlink(_ExceptionLink(callback))

    # ---- starting ----

    @classmethod
    def spawn_later(cls, seconds: float, *args: Any, **kwargs: Any) -> Self:
        """As `spawn`, but it begins after so many `seconds`. Returns the green thread at once.

        Raises TypeError if there is nothing to run, or it cannot be called. From gevent's documentation of
        gevent.spawn_later.
        """
        it = cls(*args, **kwargs)
        if it._run is _nothing:
            raise TypeError("spawn_later() needs the function to run")
        it.start_later(seconds)
        return it

    @staticmethod
    def add_spawn_callback(callback: Callable[[Greenlet], object]) -> None:
        """Have callback(greenlet) called with each Greenlet that is started from now on."""
        _spawn_callbacks[callback] = None
        follow_spawns()

    @staticmethod
    def remove_spawn_callback(callback: Callable[[Greenlet], object]) -> None:
        """Call `callback` no more. Does nothing when it was not added."""
        _spawn_callbacks.pop(callback, None)
        follow_spawns()


_spawn_callbacks: dict[Callable[[Greenlet], object], None] = {}
_tracks_stacks = False


def _spawned(greenlet: Greenlet) -> None:
    if _tracks_stacks:
        from traceback import StackSummary, walk_stack

        greenlet.spawning_stack = StackSummary.extract(
            walk_stack(sys._getframe(1)), limit=greenlet.spawning_stack_limit, lookup_lines=False
        )
    for callback in tuple(_spawn_callbacks):
        callback(greenlet)


def follow_spawns(*, stacks: bool | None = None) -> None:
    """Say whether stacks are to be kept; have the core call here at each start if anybody needs that."""
    global _tracks_stacks  # noqa: PLW0603 - asked at each start, by the core
    if stacks is not None:
        _tracks_stacks = stacks
    _core.set_green_class(Greenlet, _spawned if _tracks_stacks or _spawn_callbacks else None)


Greenlet.__module__ = "gossamer.greenlet"
follow_spawns(stacks=config.track_greenlet_tree)
spawn = Greenlet.spawn
spawn_later = Greenlet.spawn_later


def joinall(
    greenlets: Iterable[Any], timeout: float | None = None, raise_error: bool = False, count: int | None = None
) -> list[Any]:
    """Wait until all of the `greenlets`, or `count`, have ended, or `timeout` seconds; return those that have.

    raise_error: raise what ended one of them as soon as that happens.
    From gevent's documentation of joinall.
    """
    if raise_error:
        from gossamer._sync.wait import iwait

        done = []
        for it in iwait(greenlets, timeout, count):
            if getattr(it, "exception", None) is not None:
                it.get()
            done.append(it)
        return done
    crowd = list(greenlets)
    if count is None and timeout is None and _core.join_all(crowd):
        return crowd
    if count is not None or not all(issubclass(kind, _core.GreenThread) for kind in set(map(type, crowd))):
        from gossamer._sync.wait import wait

        waited: list[Any] = wait(crowd, timeout, count)
        return waited
    return _join_each(crowd, timeout)


def _join_each(crowd: list[_core.GreenThread], timeout: float | None) -> list[_core.GreenThread]:
    """One after the other: nothing is lost by that when all are waited for."""
    if timeout is None:
        _core.join_all(crowd)
        return crowd
    from gossamer._sync.wait import deadline_after

    deadline = deadline_after(timeout)
    for it in crowd:
        if not it.ready():
            it.join(max(deadline - monotonic(), 0))
    return [it for it in crowd if it.ready()]


def killall(
    greenlets: Iterable[_core.greenlet],
    exception: type[BaseException] | BaseException = GreenletExit,
    block: bool = True,
    timeout: float | None = None,
) -> None:
    """Kill each of them, as `kill` does, and wait for their ends. Those that have not begun never do.

    block: False does not wait.
    timeout: raises Timeout when not all have ended after so many seconds.
    From gevent's documentation of killall.
    """
    crowd = list(greenlets)
    for it in crowd:
        kill(it, exception)
    if not block:
        return
    waited_for = [it for it in crowd if isinstance(it, _core.GreenThread) and it is not getcurrent()]
    if len(_join_each(waited_for, timeout)) < len(waited_for):
        from gossamer._sync.timeout import Timeout

        raise Timeout(timeout)
