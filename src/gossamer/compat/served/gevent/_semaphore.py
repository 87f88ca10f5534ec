"""gevent's private module of that name: see `gevent.lock`."""

from gossamer._sync.lock import BoundedSemaphore, Semaphore

__all__ = ["BoundedSemaphore", "Semaphore"]
