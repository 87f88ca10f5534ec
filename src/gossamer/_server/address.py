"""Addresses to listen on, as users of gevent write them."""

import socket
from collections.abc import Sequence

Address = tuple[str, int] | Sequence[object] | str | int
HIGHEST_PORT = 65535
Parsed = tuple[socket.AddressFamily, object]


def parse_address(address: object) -> Parsed:
    """The family and the address to bind to.

    `(host, port)`: IPv6 if the host has a colon. A port alone, as a number or text, or a host in a tuple that is empty
    or `*`: every address, of IPv6 as well where there is any. Text `host:port`, with brackets around IPv6; `:port` and
    `*:port` are every address of IPv4. Text with a slash, or that begins with `unix:`: the path of a Unix socket.

    Raises ValueError for anything else.
    """
    if isinstance(address, tuple) and len(address) >= 2 and isinstance(address[0], str):
        return _internet(address[0], address[1], *address[2:])
    if isinstance(address, int):
        return _internet("", address)
    if isinstance(address, str):
        return _parse_text(address)
    raise ValueError(f"cannot listen on {address!r}: give (host, port), a port, 'host:port', a path or a socket")


def _parse_text(text: str) -> Parsed:
    if text.startswith("unix:") or "/" in text:
        return socket.AF_UNIX, text.removeprefix("unix:")
    host, colon, port = text.rpartition(":")
    if not port.isdecimal():
        raise ValueError(f"cannot listen on {text!r}: its port is no number; give 'host:port' or a path")
    if colon and host in {"", "*"}:
        return socket.AF_INET, ("", int(port))
    return _internet(host.removeprefix("[").removesuffix("]"), int(port))


def _internet(host: str, port: object, *rest: object) -> Parsed:
    if not isinstance(port, int) or not 0 <= port <= HIGHEST_PORT:
        raise ValueError(f"cannot listen on port {port!r}: give a number from 0 to {HIGHEST_PORT}")
    if host in {"", "*"}:
        return (socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET), ("", port)
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, port, *rest)
