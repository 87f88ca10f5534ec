"""Native threads that make calls for others, and wait for the next one without a hub.

- The threads are the interpreter's own, started and put to rest through the originals of what Gossamer changes: they
  stay native whatever is switched on. They are daemons, which keep no process from exiting.
- What is shared is changed by single operations of C, and guarded by no lock: a signal handler, or a destructor, may
  submit a call in the middle of another's being submitted.
- An idle thread waits for a lock of its own. (A timed `SimpleQueue.get` of 3.11 can wait for ever when two threads want
  the same item.)
- A thread is started when there are more unfinished calls than threads. Whoever finds too little to do ends; it first
  says so, then looks once more: so a call that was submitted in between is seen by one of the two.
- A thread in which a call made a hub ends after that call, and with it what waits in that hub.
- A thread that finds no memory goes on where it was: it is counted on, and what it took is somebody's to wait for.
- Each call has a promise (`gossamer._core.Promise`): idle threads do not keep a hub from noticing that all wait for
  ever, calls that are not finished do.
- In a forked child no thread is left: calls that had not begun are made by new ones, and those that were under way end
  with an error, or are made again if that is harmless.
"""

import _thread
import contextlib
import os
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from gossamer import _core

SECONDS_WITHOUT_MEMORY = 0.01


class Call:
    """A function to be called in a native thread, and what came of it.

    about: what reports say that its waiters wait for.
    callback: called on the hub greenlet of the thread that made this, after the end.
    discard: called with the value, in whichever thread, if nobody wants it any more (`abandon`).
    repeatable: it may be made again if a fork interrupts it.
    """

    __slots__ = (
        "_args",
        "_discard",
        "_function",
        "_kwargs",
        "_parties",
        "begun",
        "error",
        "promise",
        "repeatable",
        "value",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        about: object = None,
        callback: Callable[[], object] | None = None,
        discard: Callable[[Any], object] | None = None,
        repeatable: bool = False,
    ) -> None:
        self._function, self._args, self._kwargs = function, args, kwargs
        self._discard = discard
        self._parties = [True, False] if discard is not None else []  # True: the last one
        self.begun = False
        self.repeatable = repeatable
        self.value: Any = None
        self.error: BaseException | None = None
        self.promise = _core.Promise(function if about is None else about, callback)

    def run(self) -> None:
        """Make the call. Whoever does has to keep the promise."""
        self.begun = True
        try:
            self.value = self._function(*self._args, **self._kwargs)
        except BaseException as error:  # noqa: BLE001 - it is the outcome
            self.error = error
        else:
            self._part()

    def lose(self, error: BaseException) -> None:
        """End it with an error, as it will not be made."""
        self.error = error
        self.promise.keep()

    def outcome(self) -> Any:
        """The value of a finished call, or its exception, raised with the traceback that it has."""
        error, self.error = self.error, None
        if error is None:
            return self.value
        try:
            raise error
        finally:
            del error

    def abandon(self) -> None:
        """Nobody wants the value any more, whether or not there is one by now."""
        self._part()

    def _part(self) -> None:
        """The thread leaves when it has the value, and whoever abandons it: the second of them discards it."""
        if self._discard is not None and self._parties.pop():
            self._discard(self.value)


class _Leave:
    """Taken from the queue by a thread that is to end."""

    __slots__ = ("promise",)

    def __init__(self) -> None:
        self.promise = _core.Promise("a pool thread to end")


class _Inbox:
    """What threads are to do, first come first served, and the locks for which idle ones wait, held by themselves."""

    __slots__ = ("idle", "items")

    def __init__(self) -> None:
        self.items: deque[Call | _Leave] = deque()
        self.idle: list[_thread.LockType] = []

    def put(self, item: Call | _Leave) -> None:
        """Add it, and wake who became idle last."""
        self.items.append(item)
        try:
            lock = self.idle.pop()
        except IndexError:
            return
        native("_thread", "LockType", "release")(lock)

    def take(self) -> Call | _Leave | None:
        """The first item, None when there is none."""
        try:
            return self.items.popleft()
        except IndexError:
            return None

    def wait(self, lock: _thread.LockType, seconds: float | None) -> bool:
        """Wait until it is worth to look again; False: nobody came in that time."""
        acquire = native("_thread", "LockType", "acquire")
        self.idle.append(lock)
        woken = not self.items and acquire(lock, True, -1 if seconds is None else min(seconds, _thread.TIMEOUT_MAX))
        if woken:
            return True
        try:
            self.idle.remove(lock)
        except ValueError:
            acquire(lock)  # somebody took it out, and releases it
            return True
        return bool(self.items)

    def forget(self, lock: _thread.LockType) -> None:
        """Its thread does not wait for it any more. If somebody has taken it out, that one's item is there."""
        with contextlib.suppress(ValueError):
            self.idle.remove(lock)


_everybody: "weakref.WeakSet[Workers]" = weakref.WeakSet()


class Workers:
    """Up to `most` native threads (None: any number) that make calls in the order in which they are submitted.

    idle_seconds: how long a thread waits for something to do before it ends; None: for ever.
    begin: called in each thread first; must not raise.
    """

    def __init__(
        self, most: int | None, *, idle_seconds: float | None = None, begin: Callable[[], object] | None = None
    ) -> None:
        self.most = most
        self._idle_seconds = idle_seconds
        self._begin = begin
        self._threads: list[None] = []
        self._unfinished: dict[Call, None] = {}
        self._inbox = _Inbox()
        _core.points_install()
        _everybody.add(self)

    @property
    def size(self) -> int:
        """How many threads there are, without those that are asked to end."""
        return len(self._threads)

    @property
    def unfinished(self) -> int:
        """How many calls have been submitted and are not finished."""
        return len(self._unfinished)

    def submit(self, call: Call) -> None:
        """Have the call made. Raises RuntimeError if there is no thread for it and none can be started."""
        self._unfinished[call] = None
        self._inbox.put(call)
        try:
            self.start_as_needed()
        except RuntimeError:
            if not self._threads:
                self._give_up()
                raise

    def start(self, count: int) -> None:
        """Start that many threads, needed or not. Raises RuntimeError when the system refuses."""
        for _ in range(count):
            self._threads.append(None)
            try:
                native("_thread", None, "start_new_thread")(self._work, (self._inbox,))
            except BaseException:
                self._threads.pop()
                raise

    def dismiss(self, count: int) -> list[_core.Promise]:
        """Ask that many threads to end once they are through with all submitted so far. Returns a promise for each."""
        leaving = []
        for _ in range(count):
            if not self._leave():
                break
            leave = _Leave()
            leaving.append(leave.promise)
            self._inbox.put(leave)
        return leaving

    def start_as_needed(self) -> None:
        """Start a thread for each call for which there is none, up to `most`. Raises RuntimeError as `start` does."""
        wanted = len(self._unfinished) if self.most is None else min(self.most, len(self._unfinished))
        self.start(wanted - len(self._threads))

    def _give_up(self) -> None:
        """Nobody will ever come for what has been submitted."""
        while (item := self._inbox.take()) is not None:
            if isinstance(item, Call):
                self._unfinished.pop(item, None)
                item.lose(RuntimeError("no native thread could be started for the call"))
            else:
                item.promise.keep()

    def _leave(self) -> bool:
        """One thread less is counted on. False when there was none to be counted off."""
        try:
            self._threads.pop()
        except IndexError:
            return False
        return True

    # ---- in the thread ----

    def _work(self, inbox: _Inbox) -> None:
        _core.pool_thread_begin()
        try:
            if self._begin is not None:
                self._begin()
            while not self._is_through(inbox):
                native("time", None, "sleep")(SECONDS_WITHOUT_MEMORY)
        finally:
            _core.pool_thread_end()

    def _is_through(self, inbox: _Inbox) -> bool:
        """See to what there is to do until the thread is to end. False: there was no memory for it."""
        lock = None
        try:
            lock = _thread.allocate_lock()
            self._see_to(inbox, lock)
        except MemoryError:
            if lock is not None:
                inbox.forget(lock)
            return False
        return True

    def _see_to(self, inbox: _Inbox, lock: _thread.LockType) -> None:
        native("_thread", "LockType", "acquire")(lock)
        while inbox is self._inbox:
            item = inbox.take()
            if item is None:
                if not inbox.wait(lock, self._idle_seconds) and self._leave() and not self._comes_back(inbox):
                    return
                continue
            if isinstance(item, _Leave):
                item.promise.keep()
                return
            try:
                item.run()
            except MemoryError as error:
                item.error = error  # there was none for the call of run() itself
            self._unfinished.pop(item, None)
            promise = item.promise
            del item
            promise.keep()
            del promise
            if _core.thread_has_hub():
                if self._leave():
                    self.start_as_needed()
                return

    def _comes_back(self, inbox: _Inbox) -> bool:
        if not inbox.items:
            return False
        self._threads.append(None)
        return True

    # ---- in a forked child ----

    def _after_fork(self) -> None:
        lost = RuntimeError("a fork interrupted this call: its native thread does not exist in the child process")
        stale, self._inbox = self._inbox, _Inbox()
        self._threads.clear()
        for call in list(self._unfinished):
            if call.begun and not call.repeatable:
                del self._unfinished[call]
                call.lose(lost)
            else:
                self._inbox.put(call)
        for item in stale.items:
            if isinstance(item, _Leave):
                item.promise.keep()
        try:
            self.start_as_needed()
        except RuntimeError:
            if not self._threads:
                self._give_up()


def native(module: str, owner: str | None, name: str) -> Callable[..., Any]:
    """What is native whatever is switched on: the point's original, or the function itself where it is no point."""
    found: Callable[..., Any] | None = _core.original(module, owner, name)
    if found is not None:
        return found
    place: Any = __import__(module)
    native: Callable[..., Any] = getattr(place if owner is None else getattr(place, owner), name)
    return native


def native_ident() -> int:
    """Number of the calling OS thread, whatever green thread runs in it. A fork's child keeps it."""
    ident: int = native("_thread", None, "get_ident")()
    return ident


def _after_fork_in_child() -> None:
    for workers in list(_everybody):
        workers._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
