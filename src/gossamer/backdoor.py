"""A Python prompt inside a running program: gevent's module of that name."""

from gossamer._server.backdoor import BackdoorServer

__all__ = ["BackdoorServer"]
