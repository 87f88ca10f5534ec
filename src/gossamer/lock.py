"""Semaphores and the re-entrant lock of green threads: gevent's module of that name."""

from gossamer._sync.lock import BoundedSemaphore, DummySemaphore, RLock, Semaphore

__all__ = ["BoundedSemaphore", "DummySemaphore", "RLock", "Semaphore"]
