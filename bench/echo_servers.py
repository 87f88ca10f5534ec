"""A TCP echo server, several times: `python -m bench.echo_servers NAME`.

It listens on a free port of 127.0.0.1 and prints the number. `gossamer` and `gevent` run the same text, a plain accept
loop on stock sockets with a green thread for each connection; gevent's runs after `monkey.patch_all()`.
`asyncio` and `uvloop` are the same protocol on two loops: the fastest way that an event loop offers.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

BACKLOG = 1024
LARGEST_READ = 4096


def serve_plainly(spawn: Callable[..., object]) -> None:
    """The blocking style."""

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(LARGEST_READ):
                connection.sendall(data)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            spawn(serve, connection)

    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    print(listener.getsockname()[1], flush=True)
    acceptor: Any = spawn(accept)
    acceptor.join()


def serve_on_gossamer() -> None:
    """Stock sockets as they are."""
    serve_plainly(import_module("gossamer").spawn)


def serve_on_gevent() -> None:
    """The same, patched."""
    import_module("gevent.monkey").patch_all()
    serve_plainly(import_module("gevent").spawn)


class Echo(asyncio.Protocol):
    """What a loop calls for each connection."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def serve_by_protocol() -> None:
    """Both loops set TCP_NODELAY themselves."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def serve_on_asyncio() -> None:
    """The standard library's loop."""
    asyncio.run(serve_by_protocol())


def serve_on_uvloop() -> None:
    """The loop that libuv brings."""
    run: Callable[[Coroutine[Any, Any, None]], None] = import_module("uvloop").run
    run(serve_by_protocol())


SERVERS = {
    "gossamer": serve_on_gossamer,
    "gevent": serve_on_gevent,
    "asyncio": serve_on_asyncio,
    "uvloop": serve_on_uvloop,
}


if __name__ == "__main__":
    SERVERS[sys.argv[1]]()
