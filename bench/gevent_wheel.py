"""gevent's own wheel, on Gossamer's greenlets and on greenlet's: the C interface must cost nobody anything.

The package that a workload gets is `gossamer.compat` on our side, which puts Gossamer in greenlet's place before gevent
is imported, and `greenlet` on the other. gevent itself is the same on both.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from types import ModuleType
from typing import Any

from bench.model import Faster, Operation, Row, Side
from bench.worker import Unavailable

DISTRIBUTIONS = ("gossamer", "greenlet", "gevent")


def sleep_zero(package: ModuleType) -> Operation:
    """Ten greenlets that let each other run."""
    gevent = _gevent(package)
    count = 10

    def run(units: int) -> None:
        def turns() -> None:
            for _ in repeat(None, units):
                gevent.sleep(0)

        gevent.joinall([gevent.spawn(turns) for _ in range(count)], raise_error=True)

    return Operation(run, count)


def spawn_and_join(package: ModuleType) -> Operation:
    """A greenlet's life, a hundred at a time."""
    gevent = _gevent(package)
    count = 100

    def run(units: int) -> None:
        for _ in repeat(None, units):
            gevent.joinall([gevent.spawn(int) for _ in range(count)])

    return Operation(run, count)


def queue_item(package: ModuleType) -> Operation:
    """One item through a Queue(1), from one greenlet to another."""
    gevent = _gevent(package)
    from gevent.queue import Queue

    items = Queue(1)

    def run(units: int) -> None:
        putting = gevent.spawn(lambda: [items.put(None) for _ in range(units)] and None)
        for _ in repeat(None, units):
            items.get()
        putting.join()

    return Operation(run)


def http_request(package: ModuleType) -> Operation:
    """Connecting to gevent's WSGI server, one small request, the end of the connection; the client is a greenlet too.

    A connection each: on one that stays open the server's second packet waits until the first is acknowledged.
    """
    gevent = _gevent(package)
    from gevent import socket
    from gevent.pywsgi import WSGIServer

    def application(_environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    server = WSGIServer(("127.0.0.1", 0), application, log=None)
    server.start()
    gevent.sleep(0)

    def run(units: int) -> None:
        for _ in repeat(None, units):
            with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                while connection.recv(4096):
                    pass

    return Operation(run)


def _gevent(package: ModuleType) -> Any:
    """gevent, on the greenlets of that package."""
    if package.__name__ == "gossamer.compat":
        package.install(names=["greenlet"], children=False)
    try:
        import gevent
    except ImportError as error:
        raise Unavailable(f"gevent can't be imported: {error}") from error
    return gevent


def _pair(workload: str) -> tuple[Side, Side]:
    name = f"{__name__}:{workload}"
    return Side("gevent on gossamer", name, "gossamer.compat"), Side("gevent on greenlet", name, "greenlet")


def rows(parked: int) -> list[Row]:  # noqa: ARG001 - every topic is asked with the size of the largest crowd
    """The rows of this topic."""
    return [
        Row("gevent's wheel: sleep(0) among 10", "ns", *_pair("sleep_zero"), (Faster(1),)),
        Row("gevent's wheel: spawn and join", "us", *_pair("spawn_and_join"), (Faster(1),)),
        Row("gevent's wheel: Queue(1), an item", "us", *_pair("queue_item"), (Faster(1),)),
        Row("gevent's wheel: request to its WSGI server", "us", *_pair("http_request"), (Faster(1),)),
    ]
