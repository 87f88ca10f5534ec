"""A server for datagrams: UDP and Unix. As gevent's documentation of `gevent.server`."""

import socket
from typing import Any, ClassVar

from gossamer._server.base import BaseServer
from gossamer._server.stream import bound_socket

LARGEST_DATAGRAM = 65536


class DatagramServer(BaseServer):
    """Calls `handle(data, address)` for each datagram that comes; answers go by `sendto()`. As BaseServer."""

    reuse_addr: ClassVar[int | None] = 1

    @classmethod
    def get_listener(cls, address: Any, family: int | None = None) -> socket.socket:
        """A socket bound to `address`. Raises OSError if there can be none.

        family: such as socket.AF_INET6; None: what the address says.
        """
        return bound_socket(address, socket.SOCK_DGRAM, family, reuse_addr=cls.reuse_addr)

    def init_socket(self) -> None:
        """Bind to the address, unless a socket was given."""
        if self.closed:
            self.socket = self.get_listener(self.address, self.family)
            self.address = self.socket.getsockname()

    def do_read(self) -> tuple[Any, ...] | None:
        """The next datagram and where it came from."""
        try:
            return self.socket.recvfrom(LARGEST_DATAGRAM)  # type: ignore[no-any-return]
        except (BlockingIOError, ConnectionError, TimeoutError):
            return None

    def sendto(self, *args: Any) -> int:
        """Send a datagram from the server's socket, as `socket.sendto`, and return how many bytes. Raises OSError."""
        sent: int = self.socket.sendto(*args)
        return sent
