"""Queues and channels between green threads.

What the code rests on (event.pyx says what is atomic):

- An item is in the queue or with whoever took it, never in between: waiting is for an item, or for room, to be there.
  put() wakes the first who waits for an item and get() the first who waits for room; each looks again when it runs. A
  newcomer who did not have to wait may have been faster, as with gevent: then it waits on, ahead of the others.
- Who was woken and does not take what it was woken for (killed, time up, peeked only, a hook raised) wakes the next.
- The hooks _init, _qsize, _put, _get and _peek can be replaced by subclasses in Python, as the standard library's can.
  With the given ones no Python code runs between looking and taking, so that OS threads can share a queue.
"""

import queue as _stock
from collections import deque
from heapq import heapify, heappop, heappush
from types import GenericAlias
from warnings import warn

cimport cython
from libc.stdint cimport int64_t, uint64_t
from gossamer cimport _core
from gossamer._sync.event cimport deadline_of, is_negative, time_is_up

_core.runtime_import()

Empty = _stock.Empty
Full = _stock.Full

if hasattr(_stock, "ShutDown"):
    ShutDown = _stock.ShutDown
else:

    class ShutDown(Exception):
        """Raised by put() and get() of a queue that was shut down; the standard library has it since Python 3.13."""


cdef int refuse_negative(object timeout) except -1:
    if is_negative(timeout):
        raise ValueError("'timeout' must be a non-negative number")
    return 0


@cython.auto_pickle(False)
cdef class SimpleQueue:
    """A first in, first out queue for green threads of any OS thread.

    It is true even when it is empty; its length is the number of items. Iterating takes items out until one is
    the class StopIteration. `is_shutdown` tells whether shutdown() was called.

    maxsize: how many items it holds; None, zero or less: any number.
    items: what is in it at first.
    """

    cdef _core.wait_queue getters
    cdef _core.wait_queue putters
    cdef object __weakref__
    cdef Py_ssize_t limit            # 0: none
    cdef uint64_t changes            # whoever asks how many there are, and waits then, looks for any in between
    cdef readonly bint is_shutdown
    cdef public object queue

    def __init__(self, maxsize=None, items=()):
        if maxsize is not None and maxsize == 0:
            warn("Queue(0) holds any number of items, as Queue(None); use Channel for a rendezvous", DeprecationWarning, 2)
        self.set_limit(maxsize)
        # a subclass made for the standard library's queue defines _init(self, maxsize)
        if items:
            self._init(maxsize, items)
        else:
            self._init(maxsize)

    def __dealloc__(self):
        _core.runtime_abandon(&self.getters)
        _core.runtime_abandon(&self.putters)

    @classmethod
    def __class_getitem__(cls, item):
        return GenericAlias(cls, item)

    # ---- what subclasses replace ----

    def _init(self, maxsize, items=()):
        self.queue = self._create_queue(items)

    def _create_queue(self, items=()):
        return deque(items)

    cpdef Py_ssize_t _qsize(self) except -1:
        return len(self.queue)

    cpdef object _put(self, item):
        self.queue.append(item)

    cpdef object _get(self):
        return self.queue.popleft()

    cpdef object _peek(self):
        return self.queue[0]

    cdef int count_task(self) except -1:
        return 0

    # ---- what it is ----

    cdef int set_limit(self, maxsize) except -1:
        self.limit = 0 if maxsize is None else max(<Py_ssize_t>maxsize, 0)
        return 0

    @property
    def maxsize(self):
        """How many items it holds, None for any number. Setting it lets those go on for whom there is room now."""
        return self.limit if self.limit > 0 else None

    @maxsize.setter
    def maxsize(self, value):
        self.set_limit(value)
        self.changes += 1
        while _core.runtime_unpark_first(&self.putters):
            pass

    def __repr__(self):
        return f"<{type(self).__qualname__} at {id(self):#x}{self._format()}>"

    def __str__(self):
        return f"<{type(self).__qualname__}{self._format()}>"

    def _format(self):
        parts = []
        if self.limit > 0:
            parts.append(f" maxsize={self.limit}")
        if self.queue:
            parts.append(f" queue={self.queue!r}")
        if self.getters.length:
            parts.append(f" getters[{self.getters.length}]")
        if self.putters.length:
            parts.append(f" putters[{self.putters.length}]")
        return "".join(parts)

    def copy(self):
        """A queue of the same type and size with the same items."""
        return type(self)(self.maxsize, self.queue)

    def qsize(self):
        """How many items are in it."""
        return self._qsize()

    def __len__(self):
        return self._qsize()

    def __bool__(self):
        return True

    def empty(self):
        """Whether there is no item."""
        return self._qsize() == 0

    def full(self):
        """Whether there is no room; never without a maxsize."""
        return self.is_full()

    cdef bint is_full(self) except -1:
        return self.limit > 0 and self._qsize() >= self.limit

    # ---- waiting ----

    cdef int pass_on(self) except -1:
        """Wake whoever can use what the caller was woken for and did not take."""
        if self.getters.length and self._qsize() > 0:
            _core.runtime_unpark_first(&self.getters)
        if self.putters.length and not self.is_full():
            _core.runtime_unpark_first(&self.putters)
        return 0

    cdef int wake_all(self) except -1:
        self.changes += 1
        while _core.runtime_unpark_first(&self.getters) or _core.runtime_unpark_first(&self.putters):
            pass
        return 0

    cdef int wait_for_room(self, object block, object timeout) except -1:
        cdef int64_t deadline
        cdef bint again = False
        cdef uint64_t seen
        if not block or _core.runtime_on_hub():
            raise Full
        deadline_of(timeout, &deadline)
        _core.runtime_hub()
        while not self.is_shutdown:
            seen = self.changes
            if not self.is_full():
                break
            if self.changes != seen:
                continue             # while it was asked: another thread had nobody to wake
            if self.park(&self.putters, deadline, again) == _core.TIMED_OUT:
                if self.is_full() and not self.is_shutdown:
                    time_is_up(timeout, True)
                    raise Full
                break
            again = True
        if self.is_shutdown:
            raise ShutDown
        return 0

    cdef int wait_for_item(self, object block, object timeout) except -1:
        cdef int64_t deadline
        cdef bint again = False
        cdef uint64_t seen
        if self.is_shutdown:
            raise ShutDown
        if not block:
            raise Empty
        refuse_negative(timeout)
        if _core.runtime_on_hub():
            raise Empty
        deadline_of(timeout, &deadline)
        _core.runtime_hub()
        while True:
            seen = self.changes
            if self._qsize() != 0:
                break
            if self.is_shutdown:
                raise ShutDown
            if self.changes != seen:
                continue             # while it was asked: another thread had nobody to wake
            if self.park(&self.getters, deadline, again) == _core.TIMED_OUT:
                if self._qsize() == 0:
                    time_is_up(timeout, True)
                    raise Empty
                break
            again = True
        return 0

    cdef int park(self, _core.wait_queue *queue, int64_t deadline, bint again) except -1:
        try:
            return _core.runtime_park(queue, self, deadline, again)
        except:
            self.pass_on()
            raise

    # ---- putting and getting: what is short for put(), get() and peek() calls those that a subclass has ----

    cdef int add(self, object item, object block, object timeout) except -1:
        if self.is_shutdown:
            raise ShutDown
        if self.limit > 0 and self._qsize() >= self.limit:
            self.wait_for_room(block, timeout)
        elif timeout is not None and block:
            refuse_negative(timeout)
        try:
            self._put(item)
        except:
            self.pass_on()
            raise
        self.count_task()
        self.changes += 1
        _core.runtime_unpark_first(&self.getters)
        return 0

    cdef object take(self, object block, object timeout):
        if self._qsize() == 0:
            self.wait_for_item(block, timeout)
        try:
            item = self._get()
        except:
            self.pass_on()
            raise
        self.changes += 1
        _core.runtime_unpark_first(&self.putters)
        return item

    cpdef object put(self, item, block=True, timeout=None):
        """Put an item in; while there is no room wait, `timeout` seconds at most. Not at all if `block` is false.

        Raises Full if there was no room in time, and on the hub greenlet, which never waits; ValueError for a
        negative timeout; ShutDown after shutdown().
        """
        self.add(item, block, timeout)

    def put_nowait(self, item):
        """Put an item in. Raises Full if there is no room, ShutDown after shutdown()."""
        self.put(item, False)

    cpdef object get(self, block=True, timeout=None):
        """Take the next item out and return it; while there is none wait, `timeout` seconds at most.

        block: False does not wait at all.
        Raises Empty if there was none in time, and on the hub greenlet, which never waits; ValueError for a negative
        timeout; ShutDown after shutdown() once there is no item.
        """
        return self.take(block, timeout)

    def get_nowait(self):
        """Take the next item out and return it. Raises Empty if there is none, ShutDown after shutdown()."""
        return self.get(False)

    cpdef object peek(self, block=True, timeout=None):
        """The next item, which stays where it is. Waits and raises as get() does.

        block, timeout: as of `get`.
        """
        if self._qsize() == 0:
            self.wait_for_item(block, timeout)
            try:
                return self._peek()
            finally:
                self.pass_on()
        return self._peek()

    def peek_nowait(self):
        """The next item, which stays where it is. Raises Empty if there is none, ShutDown after shutdown()."""
        return self.peek(False)

    def __iter__(self):
        return self

    def __next__(self):
        item = self.get()
        if item is StopIteration:
            raise StopIteration
        return item


@cython.auto_pickle(False)
cdef class Queue(SimpleQueue):
    """A queue that knows when all that was put in has been dealt with: task_done() and join().

    maxsize, items: see SimpleQueue. unfinished_tasks: how many calls of task_done() are due at first; as many as there
    are `items` if it is not given.
    """

    cdef _core.wait_queue joiners
    cdef readonly Py_ssize_t unfinished_tasks

    def __init__(self, maxsize=None, items=(), unfinished_tasks=None):
        SimpleQueue.__init__(self, maxsize, items)
        self.unfinished_tasks = unfinished_tasks or self._qsize()

    def __dealloc__(self):
        _core.runtime_abandon(&self.joiners)

    cdef int count_task(self) except -1:
        self.unfinished_tasks += 1
        return 0

    def _format(self):
        tasks = f" tasks={self.unfinished_tasks}" if self.unfinished_tasks else ""
        return SimpleQueue._format(self) + tasks

    def copy(self):
        """A queue of the same type and size with the same items and as many unfinished tasks."""
        return type(self)(self.maxsize, self.queue, self.unfinished_tasks)

    def task_done(self):
        """Say that an item which was taken out has been dealt with. Raises ValueError if there was no such item."""
        if self.unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        self.unfinished_tasks -= 1
        if self.unfinished_tasks == 0:
            while _core.runtime_unpark_first(&self.joiners):
                pass

    def join(self, timeout=None):
        """Wait until everything that was put in has been dealt with, or `timeout` seconds. Returns whether it has."""
        cdef int64_t deadline
        if self.unfinished_tasks == 0:
            return True
        deadline_of(timeout, &deadline)
        _core.runtime_hub()
        if self.unfinished_tasks > 0 and _core.runtime_park(&self.joiners, self, deadline, False) == _core.TIMED_OUT:
            if self.unfinished_tasks > 0:
                time_is_up(timeout, False)
            return self.unfinished_tasks == 0
        return True

    def shutdown(self, immediate=False):
        """Have put() raise ShutDown from now on, and get() once there is no item; whoever waits in them as well.

        immediate: drop the items that are in it, each counted as dealt with.
        """
        self.is_shutdown = True
        if immediate:
            while self._qsize() > 0:
                self._get()
                if self.unfinished_tasks > 0:
                    self.task_done()
        self.wake_all()


JoinableQueue = Queue


@cython.auto_pickle(False)
cdef class PriorityQueue(Queue):
    """A queue that gives its smallest item first: usually items are tuples (priority, data)."""

    def _create_queue(self, items=()):
        heap = list(items)
        heapify(heap)
        return heap

    cpdef object _put(self, item):
        heappush(self.queue, item)

    cpdef object _get(self):
        return heappop(self.queue)


@cython.auto_pickle(False)
cdef class LifoQueue(Queue):
    """A queue that gives the item first that was put in last."""

    def _create_queue(self, items=()):
        return list(items)

    cpdef object _get(self):
        return self.queue.pop()

    cpdef object _peek(self):
        return self.queue[-1]


@cython.final
@cython.internal
cdef class Offer:
    """An item on its way through a channel."""

    cdef object item
    cdef _core.wait_queue putter     # whoever waits for it to be taken; one that is on its way out is not in it any more
    cdef bint waited_for             # False: handed over by somebody who does not wait
    cdef bint taken

    def __dealloc__(self):
        _core.runtime_abandon(&self.putter)


@cython.auto_pickle(False)
cdef class Channel:
    """A place where green threads meet: put() returns once somebody has taken the item.

    Iterating takes items until one is the class StopIteration; `next` is what `__next__` is.

    maxsize: 1, for gevent's signature.
    Raises ValueError for another maxsize.
    """

    cdef _core.wait_queue getters
    cdef object __weakref__
    cdef object offers

    def __init__(self, maxsize=1):
        if maxsize != 1:
            raise ValueError("Channels have a maxsize of 1")
        self.offers = deque()

    def __dealloc__(self):
        _core.runtime_abandon(&self.getters)

    @classmethod
    def __class_getitem__(cls, item):
        return GenericAlias(cls, item)

    def __repr__(self):
        return f"<{type(self).__qualname__} at {id(self):#x} {self._format()}>"

    def __str__(self):
        return f"<{type(self).__qualname__} {self._format()}>"

    def _format(self):
        getters = f" getters[{self.getters.length}]" if self.getters.length else ""
        putters = self.count_putters()
        return getters + (f" putters[{putters}]" if putters else "")

    cdef Py_ssize_t count_putters(self):
        cdef Offer offer
        cdef Py_ssize_t count = 0
        for offer in self.offers:
            count += offer.putter.length
        return count

    @property
    def balance(self):
        """How many more wait to put than to get; negative when more wait to get."""
        return self.count_putters() - self.getters.length

    def qsize(self):
        """0: nothing stays in a channel."""
        return 0

    def empty(self):
        """True."""
        return True

    def full(self):
        """True."""
        return True

    cdef int hand_over(self, object item) except -1:
        """Without waiting, which takes somebody who waits for it. Should that one be killed, the item is the next one's."""
        cdef Offer offer
        if self.getters.length == 0:
            raise Full
        offer = Offer.__new__(Offer)
        offer.item = item
        self.offers.append(offer)
        _core.runtime_unpark_first(&self.getters)
        return 0

    def put(self, item, block=True, timeout=None):
        """Hand an item to whoever takes it; wait for that, `timeout` seconds at most. Not at all if `block` is false.

        Raises Full if nobody took it in time; on the hub greenlet, which never waits, if nobody waits for it.
        """
        cdef int64_t deadline
        cdef Offer offer
        if not block or _core.runtime_on_hub():
            self.hand_over(item)
            return
        deadline_of(timeout, &deadline)
        _core.runtime_hub()
        offer = Offer.__new__(Offer)
        offer.item = item
        offer.waited_for = True
        self.offers.append(offer)
        _core.runtime_unpark_first(&self.getters)
        try:
            _core.runtime_park(&offer.putter, self, deadline, False)
        finally:
            if not offer.taken and offer in self.offers:
                self.offers.remove(offer)
        if not offer.taken:
            time_is_up(timeout, True)
            raise Full

    cdef Offer take_offer(self):
        """The first that is still meant, None if there is none. Whoever was killed or has given up takes nothing along
        but its own item, and what it put was never put."""
        cdef Offer offer
        while self.offers:
            offer = self.offers.popleft()
            if not offer.waited_for or offer.putter.length:
                offer.taken = True
                _core.runtime_unpark_first(&offer.putter)
                return offer
        return None

    def put_nowait(self, item):
        """Hand an item to somebody who waits for it. Raises Full if nobody does."""
        self.put(item, False)

    def get(self, block=True, timeout=None):
        """Take the item that was offered first and return it; wait for one, `timeout` seconds at most.

        block: False does not wait at all.
        Raises Empty if there was none in time; BlockingSwitchOutError on the hub greenlet if it would have to wait.
        """
        cdef int64_t deadline
        cdef bint again = False
        cdef Offer offer = self.take_offer()
        if offer is not None:
            return offer.item
        if not block:
            raise Empty
        deadline_of(timeout, &deadline)
        _core.runtime_hub()
        while True:
            offer = self.take_offer()
            if offer is not None:
                return offer.item
            if self.offers:          # since: those passed over were dropped, which may run any code
                continue
            try:
                if _core.runtime_park(&self.getters, self, deadline, again) == _core.TIMED_OUT and not self.offers:
                    time_is_up(timeout, True)
                    raise Empty
            except:
                if self.offers:
                    _core.runtime_unpark_first(&self.getters)
                raise
            again = True

    def get_nowait(self):
        """Take the item that was offered first and return it. Raises Empty if there is none."""
        return self.get(False)

    def __iter__(self):
        return self

    def __next__(self):
        item = self.get()
        if item is StopIteration:
            raise StopIteration
        return item

    next = __next__
