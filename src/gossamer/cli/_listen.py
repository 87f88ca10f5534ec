"""Where `gossamer serve` listens: addresses as users write them, and sockets bound to them.

Every process of several workers has a TCP socket of its own with SO_REUSEPORT, and the kernel spreads connections over
them (socket(7)). SO_REUSEPORT alone would let a second server of the same user bind the same port and take half of the
first one's connections unnoticed, so the port is first bound without it once. A Unix socket is bound once and
inherited.
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BACKLOG = 2048
"""Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn."""

DEFAULT_PORT = 8000


class ListenError(Exception):
    """The address cannot be listened on; the message is one line for the user."""


class Address(NamedTuple):
    """An address to listen on: a Unix socket's path, or host and port.

    host: an IPv4 or IPv6 address or a name that stands for one; empty for all of IPv4.
    port: 0 for one that is free.
    """

    path: str | None
    host: str
    port: int

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as a client would type it."""
        if self.path is not None:
            return str(self)
        shown = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{self._replace(host=shown)}/"


def parse_address(text: str) -> Address:
    """What `HOST:PORT`, `[IPV6]:PORT`, `HOST`, `:PORT` or `unix:PATH` says.

    Raises ListenError if it is none of these.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ListenError(f"{text!r} names no path; write unix:/path/to/socket")
        return Address(path, "", 0)
    _refuse_likely_mistakes(text)
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ListenError(f"{text!r} is not an address; write [IPV6]:PORT, such as [::1]:8000")
        port = rest[1:] or port
    elif text.count(":") == 1:
        host, port = text.split(":")
    elif ":" in text:
        raise ListenError(f"{text!r} is not an address; IPv6 addresses are written in brackets, such as [::1]:8000")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ListenError(f"{port!r} in {text!r} is not a port, a number from 0 to 65535")
    return Address(None, "" if host == "*" else host, int(port))


def parse_addresses(texts: Iterable[str]) -> list[Address]:
    """What each of `texts` says. Raises ListenError if one is no address, or two are the same."""
    addresses: list[Address] = []
    for text in texts:
        address = parse_address(text)
        if address in addresses and (address.path is not None or address.port != 0):
            raise ListenError(f"{address} is given twice; listen on it once, or give another address")
        addresses.append(address)
    return addresses


def _refuse_likely_mistakes(text: str) -> None:
    if not text:
        raise ListenError("the address to listen on is empty; write HOST:PORT, such as 127.0.0.1:8000")
    if "//" in text:
        raise ListenError(f"{text!r} is a URL; write HOST:PORT, such as 127.0.0.1:8000")
    if text.isdecimal():
        raise ListenError(f"{text!r} is a port alone; write 127.0.0.1:{text}, or :{text} to be reached from elsewhere")


def bind(address: Address) -> socket.socket:
    """A socket bound to `address`, for one process; it does not listen yet.

    Raises ListenError if the address is in use, not this machine's, or not permitted.
    """
    return _bound(address, shared=False)


def reserve(address: Address) -> socket.socket:
    """A bound socket that never listens and keeps a TCP port for `bind_shared()`.

    Raises ListenError as `bind()` does.
    """
    with bind(address) as probe:
        known = local_address(probe)
    return _bound(known, shared=True)


def bind_shared(address: Address) -> socket.socket:
    """A socket bound to a reserved address, one of several; it does not listen yet."""
    return _bound(address, shared=True)


def local_address(listener: socket.socket) -> Address:
    """Where a bound socket is."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return Address(name, "", 0)
    return Address(None, name[0], name[1])


@contextlib.contextmanager
def socket_file(address: Address) -> Iterator[None]:
    """Take the file of the Unix socket that was bound just before away in the end; nothing for others.

    Another server may have put its own in that place meanwhile, when this one listened no more: that stays.
    """
    if address.path is None:
        yield
        return
    path = os.path.abspath(address.path)  # noqa: PTH100 - the application may go to another folder
    ours = _identity(path)
    try:
        yield
    finally:
        if ours is not None and _identity(path) == ours:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108


def _identity(path: str) -> tuple[int, int, int] | None:
    """Which file it is that has that name; None if there is none.

    The number of a file that is gone is soon used again, so that the time counts as well: not that of the last change,
    which is another one when somebody has changed the permissions.
    """
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _bound(address: Address, *, shared: bool) -> socket.socket:
    try:
        if address.path is not None:
            return _bound_unix(address.path)
        family, _, _, _, target = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return _bound_tcp(family, target, shared=shared)
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ListenError(f"cannot listen on {address}: {reason}; give an address of this machine") from error
    except OSError as error:
        raise cannot_listen(error, address) from error


def _bound_tcp(family: int, target: object, *, shared: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(target)  # type: ignore[arg-type]
    except BaseException:
        listener.close()
        raise
    return listener


def _bound_unix(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_abandoned(path)
        listener.bind(path)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_abandoned(path: str) -> None:
    """Take away the socket file of a server that is gone; one that answers stays, and bind() says so.

    Raises ListenError if the file is no socket.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on unix:{path}: what has that name is no socket; choose another one")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)  # a server that is too busy to accept would have us wait
        try:
            client.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108
        except BlockingIOError:
            pass


def cannot_listen(error: OSError, address: Address) -> ListenError:
    """What is to be told of an error of binding to `address`, or of listening there."""
    return ListenError(f"cannot listen on {address}: {_explained(error, address)}")


def _explained(error: OSError, address: Address) -> str:
    if error.errno == errno.EADDRINUSE:
        other = f"port {address.port + 1}" if address.path is None and address.port < 65535 else "another one"
        return f"it is in use; stop what listens there, or choose {other} with --bind"
    if error.errno is None:  # Python's own check of the path of a Unix socket
        return f"{error}; choose a shorter one"
    if error.errno == errno.ENOENT:
        return "its folder does not exist"
    if error.errno == errno.EACCES:
        return "not permitted" + ("; ports below 1024 are root's" if address.path is None else "")
    if error.errno == errno.ENOTDIR:
        return "its folder is no folder"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no interface of this machine has that address"
    return error.strerror or str(error)
