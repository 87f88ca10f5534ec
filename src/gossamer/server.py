"""TCP, Unix and UDP servers: gevent's module of that name."""

from gossamer._server.datagram import DatagramServer
from gossamer._server.stream import StreamServer

__all__ = ["DatagramServer", "StreamServer"]
