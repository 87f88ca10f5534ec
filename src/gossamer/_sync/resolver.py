"""Looking hosts up, as objects with gevent's names. `_socket` does the work: its blocking points or their originals."""

import _socket
from collections.abc import Callable
from typing import Any

from gossamer import _core


class Resolver:
    """The C library's resolver, asked by native threads: its methods are the socket module's functions of their names.

    hub: kept for programs that ask for it; the default is the calling thread's. Each method parks the calling green
    thread, returns and raises what the function of that name does (gevent's documentation of gevent.resolver.thread).
    """

    def __init__(self, hub: _core.Hub | None = None) -> None:
        self.hub = hub if hub is not None else _core.get_hub()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} at 0x{id(self):x}>"

    def close(self) -> None:
        """There is nothing to close: the native threads end when they are idle."""

    def gethostbyname(self, *args: Any) -> str:
        """An IPv4 address of the host."""
        return _socket.gethostbyname(*args)

    def gethostbyname_ex(self, *args: Any) -> tuple[str, list[str], list[str]]:
        """The host's name, its aliases and its IPv4 addresses."""
        return _socket.gethostbyname_ex(*args)

    def getaddrinfo(self, *args: Any, **kwargs: Any) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        """All addresses of a host and service; families and types are plain numbers."""
        found: list[tuple[int, int, int, str, tuple[Any, ...]]] = _socket.getaddrinfo(*args, **kwargs)
        return found

    def gethostbyaddr(self, *args: Any) -> tuple[str, list[str], list[str]]:
        """The name, aliases and addresses of the host that has an address."""
        return _socket.gethostbyaddr(*args)

    def getnameinfo(self, *args: Any) -> tuple[str, str]:
        """The names of host and service at a socket's address."""
        return _socket.getnameinfo(*args)


class BlockingResolver:
    """The C library's resolver, asked by the calling thread itself: until it answers, no green thread of it runs.

    hub: ignored. For looking into things; `socket` and the hub's own resolver never use it, whatever `GEVENT_RESOLVER`
    says. Its methods are the socket module's functions as they are without Gossamer (gevent's documentation of
    gevent.resolver.blocking).
    """

    gethostbyname: Callable[..., str]
    gethostbyname_ex: Callable[..., tuple[str, list[str], list[str]]]
    getaddrinfo: Callable[..., list[tuple[int, int, int, str, tuple[Any, ...]]]]
    gethostbyaddr: Callable[..., tuple[str, list[str], list[str]]]
    getnameinfo: Callable[..., tuple[str, str]]

    def __init__(self, hub: _core.Hub | None = None) -> None:  # noqa: ARG002 - as gevent's
        _core.points_install()
        for name in BlockingResolver.__annotations__:
            setattr(self, name, _core.original("_socket", None, name))

    def close(self) -> None:
        """There is nothing to close."""
