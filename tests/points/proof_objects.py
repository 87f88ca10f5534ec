"""Families that wait for others of the same program: locks, conditions, queues; and for time to pass."""

from __future__ import annotations

from tests.points.proof_family import Family


class Lock(Family):
    def __init__(self) -> None:
        from threading import Lock

        lock = Lock()
        lock.acquire()
        self.acquire, self.release = lock.acquire, lock.release

    def wait(self) -> None:
        assert self.acquire() is True

    def wake(self) -> None:
        self.release()


class LockInWith(Family):
    def __init__(self) -> None:
        from threading import Lock

        self.lock = Lock()

    def hold(self) -> None:
        self.lock.acquire()

    def wait(self) -> None:
        with self.lock:
            pass

    def wake(self) -> None:
        self.lock.release()

    def heat(self) -> None:
        self.wait()


class RLock(LockInWith):
    def __init__(self) -> None:
        from threading import RLock

        self.lock = RLock()  # type: ignore[assignment]


class MultiprocessingLock(LockInWith):
    def __init__(self) -> None:
        import multiprocessing

        self.lock = multiprocessing.get_context("fork").Lock()  # type: ignore[assignment]


class Condition(Family):
    def __init__(self) -> None:
        from threading import Condition

        self.condition = Condition()
        self.tokens = 0

    def wait(self) -> None:
        with self.condition:
            while not self.tokens:
                self.condition.wait()
            self.tokens -= 1

    def wake(self) -> None:
        with self.condition:
            self.tokens += 1
            self.condition.notify()


class Semaphore(Family):
    def __init__(self) -> None:
        from threading import Semaphore

        semaphore = Semaphore(0)
        self.acquire, self.release = semaphore.acquire, semaphore.release

    def wait(self) -> None:
        assert self.acquire() is True

    def wake(self) -> None:
        self.release()


class Event(Family):
    def __init__(self) -> None:
        from threading import Event

        self.event = Event()

    def wait(self) -> None:
        assert self.event.wait() is True
        self.event.clear()

    def wake(self) -> None:
        self.event.set()


class QueueGet(Family):
    def __init__(self) -> None:
        from queue import Queue

        queue: Queue[int] = Queue()
        self.get, self.put = queue.get, queue.put

    def wait(self) -> None:
        assert self.get() == 5

    def wake(self) -> None:
        self.put(5)


class SimpleQueueGet(QueueGet):
    def __init__(self) -> None:
        from queue import SimpleQueue

        queue: SimpleQueue[int] = SimpleQueue()
        self.get, self.put = queue.get, queue.put


class QueuePut(Family):
    def __init__(self) -> None:
        from queue import Queue

        queue: Queue[int] = Queue(1)
        queue.put(0)
        self.get, self.put = queue.get, queue.put

    def wait(self) -> None:
        self.put(0)

    def wake(self) -> None:
        self.get()


class Sleep(Family):
    waits = False

    def __init__(self) -> None:
        from time import sleep

        self.sleep = sleep
        self.seconds = 0.05

    def wait(self) -> None:
        self.sleep(self.seconds)

    def heat(self) -> None:
        self.seconds = 0
        self.wait()
        self.seconds = 0.05


FAMILIES = (
    Lock, LockInWith, RLock, MultiprocessingLock, Condition, Semaphore, Event, QueueGet, SimpleQueueGet, QueuePut,
    Sleep,
)  # fmt: skip
