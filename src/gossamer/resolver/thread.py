"""The resolver that asks the C library in native threads: gevent's module of that name."""

from gossamer._sync.resolver import Resolver

__all__ = ["Resolver"]
