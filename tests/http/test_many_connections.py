"""Ten thousand idle connections, and the few that are at work meanwhile."""

import json
import resource
import selectors
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.http.serving import Serving, answers, read_all, serving
from tests.support.sanitizers import measures_memory
from tests.support.scale import patience, scaled

IDLE = 10_000
AT_WORK = 64
ROUNDS = 50
OTHERS = 500
"""Descriptors that are left for everything else."""

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

FIGURES = """
import json
from tests.support.memory import resident_bytes
def application(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/figures':
        return [json.dumps([resident_bytes(), environ['gossamer.server'].stats()]).encode()]
    return [b'hello']
"""


@contextmanager
def all_descriptors() -> Iterator[int]:
    """How many files this process may have open, all of which it may use meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def figures(server: Serving) -> tuple[int, dict[str, int]]:
    """The resident bytes of the server, and what it tells of itself."""
    resident, stats = json.loads(server.get("/figures").body)
    return resident, stats


def latencies(server: Serving) -> list[float]:
    """Seconds that each request took of 64 connections that ask again as soon as they are answered."""
    took: list[float] = []
    with selectors.DefaultSelector() as selector:
        for client in [server.connect() for _ in range(AT_WORK)]:
            client.sendall(GET)
            selector.register(client, selectors.EVENT_READ, (client, time.perf_counter()))
        while len(took) < AT_WORK * ROUNDS:
            ready = selector.select(patience(60))
            assert ready, "the server does not answer"
            for key, _ in ready:
                client, began = key.data
                assert client.recv(4096).endswith(b"hello")
                took.append(time.perf_counter() - began)
                client.sendall(GET)
                selector.modify(client, selectors.EVENT_READ, (client, time.perf_counter()))
    return sorted(took)


def shown(took: list[float]) -> str:
    """The median and the 99th percentile."""
    return f"{statistics.median(took) * 1e3:.2f} ms ({took[len(took) * 99 // 100] * 1e3:.2f} ms for 1 in 100)"


@measures_memory
def test_ten_thousand_idle_connections_are_kept_while_others_are_served() -> None:
    with all_descriptors() as most, serving(FIGURES, "limits=Limits(idle=None)") as server:
        count = min(scaled(IDLE), most - OTHERS)
        if count < IDLE:
            print(f"{count} connections instead of {IDLE}: the limit of open files is {most}, or the scale was set")
        alone = latencies(server)
        before, _ = figures(server)
        idle = [server.connect() for _ in range(count)]
        for client in idle:
            client.sendall(GET)
        for client in idle:
            assert client.recv(4096).endswith(b"hello")
        after, stats = figures(server)
        assert stats["idle_connections"] >= count
        print(f"an idle connection: {(after - before) / count:,.0f} bytes of the server's resident memory")
        print(f"latency of {AT_WORK} others: {shown(alone)} alone, {shown(latencies(server))} beside {count} idle ones")
        assert (after - before) / count < 20_000
        for client in idle:
            client.sendall(GET.replace(b"Host", b"Connection: close\r\nHost"))
        for client in idle:
            assert answers(read_all(client))[0].body == b"hello"
        assert figures(server)[1]["connections"] <= 1 + 2 * AT_WORK
        assert server.stop() == ""
