"""The WSGI server beside others: hello world, one process on one core, loaded by wrk from another one.

An operation is a request; 64 connections are kept alive. Wall-clock time is the inverse of the rate, processor time
what all processes and threads of the server have used, user and system. Beside gevent's servers processor time is what
counts: the rate of pywsgi with connections that are kept alive is bounded by delayed acknowledgements of TCP.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.cores import move_away
from bench.model import Cost, CpuAtMost, Faster, Goal, Operation, Row, Side
from bench.programs import processor_clock
from bench.worker import Unavailable

DISTRIBUTIONS = ("gossamer", "gevent", "gunicorn", "granian", "bjoern")

CONNECTIONS = 64
REQUESTS = 1_000
"""That many are one unit of work."""
SECONDS = 1
"""wrk runs for a time, not for a number of requests: what one of them costs is multiplied."""
PATIENCE = 30.0

ROOT = Path(__file__).parent.parent

GOSSAMER = """
import socket, sys
from bench.wsgi import hello
from gossamer.http import Server
Server(hello, [socket.create_server(("127.0.0.1", int(sys.argv[1])))]).serve_forever()
"""

PYWSGI = """
import sys
from gevent import monkey; monkey.patch_all()
from bench.wsgi import hello
from gevent.pywsgi import WSGIServer
WSGIServer(("127.0.0.1", int(sys.argv[1])), hello, log=None).serve_forever()
"""

BJOERN = """
import sys
import bjoern
from bench.wsgi import hello
bjoern.run(hello, "127.0.0.1", int(sys.argv[1]))
"""

GUNICORN = ["gunicorn", "--worker-class", "gevent", "--workers", "1", "--log-level", "critical", "bench.wsgi:hello"]
GRANIAN = ["granian", "--interface", "wsgi", "--workers", "1", "--log-level", "critical", "bench.wsgi:hello"]

SERVERS: dict[str, Callable[[int], list[str]]] = {
    "gossamer.http": lambda port: ["-c", GOSSAMER, str(port)],
    "gevent.pywsgi": lambda port: ["-c", PYWSGI, str(port)],
    "gunicorn": lambda port: ["-m", *GUNICORN, "--bind", f"127.0.0.1:{port}"],
    "granian": lambda port: ["-m", *GRANIAN, "--host", "127.0.0.1", "--port", str(port)],
    "bjoern": lambda port: ["-c", BJOERN, str(port)],
}


def hello(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """The application."""
    del environ
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "14")])
    return [b"Hello, world!\n"]


def hello_requests(server: ModuleType) -> Operation:
    """Requests to `hello`, served as `SERVERS` says."""
    if shutil.which("wrk") is None:
        raise Unavailable("wrk is not installed: tools/debian-packages bench")
    if server.__name__ == "gunicorn" and importlib.util.find_spec("gevent") is None:
        raise Unavailable("gunicorn's gevent worker needs gevent")
    port = _free_port()
    process = _started(SERVERS[server.__name__](port))
    _wait_for(port, process)

    def run(units: int) -> Cost:
        before = _processor_time(process.pid)
        requests, seconds = _load(port)
        share = units * REQUESTS / requests
        return Cost(seconds * share, (_processor_time(process.pid) - before) * share)

    return Operation(run, per_unit=REQUESTS)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _started(arguments: list[str]) -> subprocess.Popen[bytes]:
    """A server that is asked to end when this process has ended, so that it can end its workers."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, *arguments]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not answer (exit status {process.poll()}): {process.args!r}")


def _load(port: int) -> tuple[int, float]:
    """How many requests wrk had answered, and in how many seconds."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", f"http://127.0.0.1:{port}/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wrk:
        move_away(wrk.pid)
        told, _ = wrk.communicate()
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s)", told)
    if found is None or int(found[1]) == 0 or "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(f"wrk was not served as it should be:\n{told}")
    return int(found[1]), float(found[2]) * (1e-3 if found[3] == "ms" else 1.0)


def _processor_time(process: int) -> float:
    """Seconds that a process and its children have used."""
    total = time.clock_gettime(processor_clock(process))
    for task in Path(f"/proc/{process}/task").iterdir():
        total += sum(_processor_time(int(child)) for child in (task / "children").read_text().split())
    return total


def _row(peer: str, label: str, *goals: Goal) -> Row:
    workload = f"{__name__}:hello_requests"
    name = f"WSGI hello world, {CONNECTIONS} connections: {label}"
    return Row(name, "us", Side("gossamer", workload, "gossamer.http"), Side(label, workload, peer), goals)


def rows(parked: int) -> list[Row]:
    """The rows of this topic; the largest crowd is not its business."""
    del parked
    return [
        _row("gunicorn", "gunicorn's gevent worker", CpuAtMost(1 / 10)),
        _row("gevent.pywsgi", "gevent.pywsgi", CpuAtMost(1 / 12)),
        _row("granian", "granian", Faster(1)),
        _row("bjoern", "bjoern"),
    ]
