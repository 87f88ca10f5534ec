"""A pool of native threads with gevent's interface, and an executor over the same threads.

A pool belongs to the hub of the thread that makes it: tasks are given to it there, and their results arrive there, by a
callback on the hub greenlet. So whoever counts tasks or waits for a place needs no lock. How the threads work is
`gossamer._sync.workers`' business.
"""

import concurrent.futures
import contextvars
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures.thread import BrokenThreadPool
from functools import partial
from typing import Any

from gossamer import _core
from gossamer._sync.event import AsyncResult
from gossamer._sync.mapping import GroupMappingMixin
from gossamer._sync.workers import Call, Workers, native_ident

__all__ = ["InvalidThreadUseError", "ThreadPool", "ThreadPoolExecutor"]


class InvalidThreadUseError(RuntimeError):
    """Something that belongs to one thread's hub was used in another thread."""


InvalidThreadUseError.__module__ = "gossamer.exceptions"


class ThreadPool(GroupMappingMixin):
    """Up to `maxsize` native threads for what cannot be made green.

    Best for functions that compute without the GIL, or block where no green thread can wait. A function that is called
    there must not use objects of the hub other than by what may be done from any thread. It sees neither the context
    variables of the caller nor those that another task has set; `threading.settrace` and `threading.setprofile` apply
    to it. A pool is true, and its length not 0, while it has unfinished tasks.

    maxsize: how many threads at most. `spawn` waits while more tasks than that are unfinished: one may stand in line.
    hub: the calling thread's, which is the default.
    idle_task_timeout: seconds that a thread waits for a task before it ends; -1: for ever.

    Raises TypeError or ValueError for a maxsize that is not an integer, or negative; InvalidThreadUseError for the hub
    of another thread. From gevent's documentation of gevent.threadpool.ThreadPool.
    """

    def __init__(self, maxsize: int, hub: _core.Hub | None = None, idle_task_timeout: float = -1) -> None:
        own = _core.get_hub()
        if hub is not None and hub is not own:
            raise InvalidThreadUseError(f"a thread pool is made in the thread of its hub, and {hub!r} is another's")
        self.hub = own
        self._thread = native_ident()
        self._maxsize = _valid_maxsize(maxsize)
        self._tasks = 0
        self._waiting = _core.WaitQueue(self)
        self._joining = _core.WaitQueue(self)
        self._workers = Workers(maxsize, idle_seconds=None if idle_task_timeout < 0 else idle_task_timeout)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} at 0x{id(self):x} tasks={self._tasks} size={self.size} "
            f"maxsize={self._maxsize} hub={self.hub!r}>"
        )

    def __len__(self) -> int:
        """How many tasks are unfinished."""
        return self._tasks

    def __del__(self) -> None:
        if hasattr(self, "_workers"):
            _dismiss_all(self._workers)

    @property
    def maxsize(self) -> int:
        """How many threads at most; may be set. Beyond it, threads end when they have nothing to do."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, maxsize: int) -> None:
        self._workers.most = self._maxsize = _valid_maxsize(maxsize)
        self.adjust()
        self._waiting.unpark(len(self._waiting))

    @property
    def size(self) -> int:
        """How many threads there are. Setting it starts some, or has some end and waits until they have.

        Raises ValueError for a number that is negative or beyond `maxsize`.
        """
        return self._workers.size

    @size.setter
    def size(self, size: int) -> None:
        if not 0 <= size <= self._maxsize:
            raise ValueError(f"the size of this pool is a number from 0 to its maxsize, {self._maxsize}, not {size}")
        self._workers.start(size - self._workers.size)
        for ending in self._workers.dismiss(self._workers.size - size):
            ending.wait()

    def adjust(self) -> None:
        """Have threads end that are beyond `maxsize`, and start those for which there are tasks."""
        self._workers.dismiss(self._workers.size - self._maxsize)
        self._workers.start_as_needed()

    def join(self) -> None:
        """Wait until no task is unfinished."""
        while self._tasks:
            self._joining.park()

    def kill(self) -> None:
        """Have all threads end, after the tasks given so far, and wait for that. Further tasks start new ones."""
        self.size = 0

    def spawn(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        """Have func(*args, **kwargs) called in a native thread and return its AsyncResult.

        Waits while there are more than `maxsize` unfinished tasks. What the function raises is told to the hub's
        `handle_error`, too. Raises InvalidThreadUseError in another thread than the pool's, TypeError for what cannot
        be called.
        """
        if native_ident() != self._thread:
            raise InvalidThreadUseError("a task is given to a thread pool in the thread that made the pool")
        if not callable(func):
            raise TypeError(f"the function to run must be callable, not {type(func).__name__}")
        self._wait_for_place()
        result: AsyncResult[Any] = AsyncResult()
        task: list[Call] = []
        call = Call(_run, (func, args, kwargs), {}, about=func, callback=lambda: self._finish(task.pop(), result, func))
        task.append(call)
        self._tasks += 1
        try:
            self._workers.submit(call)
        except BaseException:
            task.clear()
            self._leave_place()
            raise
        return result

    def _wait_for_place(self) -> None:
        try:
            while self._tasks > self._maxsize:
                self._waiting.park()
        except BaseException:
            self._waiting.unpark()  # it may have been this one's turn
            raise

    def _leave_place(self) -> None:
        self._tasks -= 1
        self._waiting.unpark()
        if not self._tasks:
            self._joining.unpark(len(self._joining))

    def _finish(self, call: Call, result: AsyncResult[Any], func: Callable[..., Any]) -> None:
        """On the hub greenlet: the task has come to its end."""
        self._leave_place()
        error = call.error
        if error is None:
            result.set(call.value)
            return
        result.set_exception(error, (type(error), error, error.__traceback__))
        _core.get_hub().handle_error((self, func), type(error), error, error.__traceback__)

    # ---- what the functions that map ask ----

    def _apply_immediately(self) -> bool:
        """A task that applies another calls it itself: it has a native thread already."""
        return native_ident() != self._thread

    def _apply_async_use_greenlet(self) -> bool:
        """apply_async() does not wait for a place: a green thread does."""
        return True


def _valid_maxsize(maxsize: int) -> int:
    if not isinstance(maxsize, int):
        raise TypeError(f"maxsize must be an integer, not {maxsize!r}")
    if maxsize < 0:
        raise ValueError(f"maxsize must not be negative, as {maxsize} is")
    return maxsize


def _dismiss_all(workers: Workers) -> None:
    if not sys.is_finalizing():
        workers.dismiss(workers.size)


def _run(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call it as a thread of the threading module would: with its hooks, and a context of its own."""
    profile, trace = threading.getprofile(), threading.gettrace()
    if profile is None and trace is None:
        return contextvars.Context().run(function, *args, **kwargs)
    sys.setprofile(profile)
    sys.settrace(trace)
    try:
        return contextvars.Context().run(function, *args, **kwargs)
    finally:
        sys.settrace(None)
        sys.setprofile(None)


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """concurrent.futures.ThreadPoolExecutor whose threads are native whatever is switched on.

    Its futures are waited for as any others, by green and native threads, and by `gevent.wait`. Unlike those of the
    standard library the threads do not keep the process from exiting.

    max_workers: how many threads at most; None: as many as the standard library's has.
    thread_name_prefix: accepted, and has no meaning here.
    initializer, initargs: called in each thread at its beginning, as `initializer(*initargs)`.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(max_workers, thread_name_prefix, initializer, initargs)
        self._beginning = _Beginning(partial(initializer, *initargs) if initializer is not None else None)
        self._native = Workers(self._max_workers, begin=self._beginning.run)
        self._pending: dict[concurrent.futures.Future[Any], None] = {}
        self._closed = False

    def __del__(self) -> None:
        if hasattr(self, "_native"):
            _dismiss_all(self._native)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """As the standard library's. Raises RuntimeError after `shutdown`, BrokenThreadPool when broken."""
        self._beginning.check()
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = _Future()
        self._pending[future] = None
        try:
            self._native.submit(_FutureCall(future, self._make, fn, args, kwargs))
        except BaseException:
            del self._pending[future]
            raise
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As the standard library's; `wait` is for the calls, not for the threads' very end."""
        self._closed = True
        pending = list(self._pending)
        if cancel_futures:
            for future in pending:
                future.cancel()
        _dismiss_all(self._native)
        if wait:
            concurrent.futures.wait(pending)

    def kill(self) -> None:
        """Shut down without waiting; what has not begun is cancelled."""
        self.shutdown(wait=False, cancel_futures=True)

    def _make(
        self,
        future: concurrent.futures.Future[Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """In a native thread: make the call and tell the future."""
        try:
            if not future.set_running_or_notify_cancel():
                return
            self._beginning.check()
            value = _run(function, args, kwargs)
        except BaseException as error:  # noqa: BLE001 - it is the outcome
            future.set_exception(error)
        else:
            future.set_result(value)
        finally:
            self._pending.pop(future, None)
            del future


class _Beginning:
    """What an executor's threads run first. The threads hold this, and not the executor, which may be dropped."""

    def __init__(self, initializer: Callable[[], object] | None) -> None:
        self._initializer = initializer
        self._failed = False

    def run(self) -> None:
        if self._initializer is None:
            return
        try:
            self._initializer()
        except BaseException:
            logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
            self._failed = True

    def check(self) -> None:
        """Raise BrokenThreadPool if that failed in any thread."""
        if self._failed:
            raise BrokenThreadPool("A thread initializer failed, the thread pool is not usable anymore")


class _FutureCall(Call):
    """The call that a future stands for."""

    __slots__ = ("_future",)

    def __init__(
        self,
        future: concurrent.futures.Future[Any],
        make: Callable[..., None],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        super().__init__(make, (future, function, args, kwargs), {}, about=function)
        self._future = future

    def lose(self, error: BaseException) -> None:
        super().lose(error)
        if not self._future.done():
            self._future.set_exception(error)


class _Future(concurrent.futures.Future[Any]):
    """A future that tells green threads, too: what `gevent.wait` needs of it."""

    def __init__(self) -> None:
        super().__init__()
        self._links: dict[Any, _core.Promise] = {}
        self.add_done_callback(_tell_links)

    def ready(self) -> bool:
        """Whether it is done."""
        return self.done()

    def rawlink(self, callback: Callable[[Any], object]) -> None:
        """Have callback(self) called on the hub greenlet of this thread when it is done."""
        self._links[callback] = promise = _core.Promise(self, partial(callback, self))
        if self.done():
            promise.keep()

    def unlink(self, callback: Callable[[Any], object]) -> None:
        """Forget the callback."""
        self._links.pop(callback, None)


def _tell_links(future: Any) -> None:
    for promise in list(future._links.values()):
        promise.keep()
