"""Looking hosts up: gevent's package of that name, of which `gossamer.resolver.thread` is the one in use."""

from gossamer._sync.resolver import Resolver

__all__ = ["Resolver"]
