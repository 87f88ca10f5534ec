"""What servers have in common: gevent's module of that name."""

from gossamer._server.base import BaseServer

__all__ = ["BaseServer"]
