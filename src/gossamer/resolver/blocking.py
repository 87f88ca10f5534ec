"""The resolver that blocks its thread: gevent's module of that name."""

from gossamer._sync.resolver import BlockingResolver as Resolver

__all__ = ["Resolver"]
