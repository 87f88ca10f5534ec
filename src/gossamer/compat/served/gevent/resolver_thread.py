"""gevent's module of that name, from before `gevent.resolver` was a package."""

from gossamer.resolver.thread import Resolver

__all__ = ["Resolver"]
