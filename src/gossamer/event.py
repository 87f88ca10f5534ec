"""Events and results that green threads wait for: gevent's module of that name."""

from gossamer._sync.event import AsyncResult, Event

__all__ = ["AsyncResult", "Event"]
