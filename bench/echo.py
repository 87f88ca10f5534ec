"""A TCP echo server in the blocking style on stock sockets, beside gevent, two event loops and Go.

The server has the core of the worker for itself; what loads it, a C program that never sleeps while it is at work,
has another one. Wall-clock time is that of the whole exchange, so the rate; processor time is the server's.
"""

from __future__ import annotations

import sys
from types import ModuleType

from bench.cores import move_away
from bench.model import Cost, CpuAtMost, Faster, Goal, Operation, Row, Side
from bench.programs import Program, built

DISTRIBUTIONS = ("gossamer", "gevent", "uvloop")

MESSAGES = 10_000
"""That many are one unit of work: enough for a crowd of connections to be in full swing."""


def python_server(package: ModuleType, connections: int, size: int) -> Operation:
    """The one of bench/echo_servers.py with the package's name."""
    return _loaded(Program([sys.executable, "-m", "bench.echo_servers", package.__name__]), connections, size)


def go_server(connections: int, size: int) -> Operation:
    """A goroutine for each connection, all on one thread."""
    return _loaded(Program([built("echo_server.go")], {"GOMAXPROCS": "1"}), connections, size)


def _loaded(server: Program, connections: int, size: int) -> Operation:
    load = Program([built("echo_load.c"), "127.0.0.1", server.read(), str(connections), str(size)])
    move_away(load.pid)
    assert load.read() == "connected"
    each = max(1, MESSAGES // connections)

    def run(units: int) -> Cost:
        return load.timed(str(units * each), server)

    return Operation(run, per_unit=each * connections)


def _rows(connections: int) -> list[Row]:
    def python(package: str) -> Side:
        return Side(package, f"{__name__}:python_server", package, parameters)

    def row(peer: Side, *goals: Goal) -> Row:
        return Row(
            f"message of a TCP echo, {connections:,} connections: {peer.label}", "us", python("gossamer"), peer, goals
        )

    parameters = {"connections": connections, "size": 64}
    return [
        row(python("gevent"), Faster(2.2)),
        row(python("asyncio")),
        row(python("uvloop"), CpuAtMost(1)),
        row(Side("Go", f"{__name__}:go_server", None, parameters), CpuAtMost(1)),
    ]


def rows(parked: int) -> list[Row]:
    """The rows of this topic; the largest crowd is not its business."""
    del parked
    return [*_rows(50), *_rows(1_000)]
