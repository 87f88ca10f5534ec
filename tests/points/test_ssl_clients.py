"""Stock clients and a stock server over TLS, hundreds at once in the green threads of one OS thread."""

import gc
import http.client
import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import requests
import urllib3

from gossamer._core import get_hub, sleep, spawn
from tests.support.certificates import Certificates, make_certificates, tls_pair, unshaken_pair
from tests.support.memory import instances_of, least_growth, resident_bytes
from tests.support.runtime import joined, open_descriptors
from tests.support.sanitizers import measures_memory
from tests.support.scale import patience, scaled

BODY = b"0123456789" * 5000


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class Meeting:
    """Lets requests go on once so many of them are there at once."""

    def __init__(self, count: int) -> None:
        self.missing = count
        self.all_there = threading.Event()

    def join(self) -> None:
        self.missing -= 1
        if self.missing == 0:
            self.all_there.set()
        assert self.all_there.wait(patience(60))


@contextmanager
def https_server(certificates: Certificates, meeting: Meeting) -> Iterator[str]:
    """The standard library's HTTP server behind TLS, its connections handled in green threads. Yields its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            meeting.join()
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY) + len(self.path)))
            self.end_headers()
            self.wfile.write(BODY + self.path.encode())

        def log_message(self, *_args: object) -> None:
            pass

    context = certificates.for_server()

    class Server(http.server.HTTPServer):
        request_queue_size = 1024

        def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
            spawn(self.handle, request, client_address)

        def handle(self, request: socket.socket, client_address: object) -> None:
            with context.wrap_socket(request, server_side=True) as end:
                Handler(end, client_address, self)

    server = Server(("127.0.0.1", 0), Handler)
    serving = spawn(server.serve_forever, 0.01)
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    joined(serving)
    server.server_close()


def get_by_http_client(url: str, certificates: Certificates) -> bytes:
    host, _, path = url.removeprefix("https://").partition("/")
    connection = http.client.HTTPSConnection(host, context=certificates.for_client(), timeout=patience(60))
    connection.request("GET", f"/{path}")
    body = connection.getresponse().read()
    connection.close()
    return body


def get_by_requests(url: str, certificates: Certificates) -> bytes:
    return requests.get(url, verify=certificates.authority, timeout=patience(60)).content


@pytest.mark.parametrize("get", [get_by_http_client, get_by_requests], ids=lambda it: it.__name__)
def test_two_hundred_requests_are_under_way_at_once(
    certificates: Certificates, get: Callable[[str, Certificates], bytes]
) -> None:
    count = scaled(200)
    with https_server(certificates, Meeting(count)) as url:
        answers = joined(*(spawn(get, f"{url}/{number}", certificates) for number in range(count)))
    assert answers == [BODY + b"/%d" % number for number in range(count)]


def test_a_urllib3_pool_shares_its_connections_among_green_threads(certificates: Certificates) -> None:
    count, connections = scaled(200), 10
    pool = urllib3.PoolManager(maxsize=connections, block=True, ca_certs=certificates.authority)
    with https_server(certificates, Meeting(connections)) as url:
        answers = joined(*(spawn(lambda it: pool.request("GET", it).data, f"{url}/{it}") for it in range(count)))
        assert answers == [BODY + b"/%d" % number for number in range(count)]
        (host,) = (pool.pools.get(key) for key in pool.pools.keys())
        assert host is not None and host.num_connections <= connections
        pool.clear()


def test_a_slow_server_times_a_request_out(certificates: Certificates) -> None:
    with https_server(certificates, Meeting(2)) as url:
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(url, verify=certificates.authority, timeout=(patience(60), 0.1))
        assert requests.get(url, verify=certificates.authority, timeout=patience(60)).content == BODY + b"/"


def test_a_certificate_that_is_not_trusted_ends_a_request(certificates: Certificates) -> None:
    with https_server(certificates, Meeting(1)) as url, pytest.raises(requests.exceptions.SSLError):
        requests.get(url, timeout=patience(60))


# ---- nothing is left behind ----


def talk(certificates: Certificates, client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    ends = tls_pair(certificates, client=client, server=server)
    reader = spawn(ends[0].recv, 100)
    sleep(0)
    ends[1].sendall(b"x")
    joined(reader)
    unwrapping = spawn(ends[0].unwrap)
    ends[1].unwrap()
    joined(unwrapping)
    for end in ends:
        end.close()
    ends = unshaken_pair(certificates, client=client, server=server, timeout=0.001)
    with pytest.raises(TimeoutError), ends[1]:
        ends[0].do_handshake()
    ends[0].close()


def test_connections_leave_no_objects_and_no_descriptors(certificates: Certificates) -> None:
    contexts = certificates.for_client(), certificates.for_server()
    talk(certificates, *contexts)
    gc.collect()
    before = instances_of(socket.SocketType), open_descriptors()
    for _ in range(10):
        talk(certificates, *contexts)
    gc.collect()
    assert (instances_of(socket.SocketType), open_descriptors()) == before


@measures_memory
def test_connections_leave_no_memory(certificates: Certificates) -> None:
    contexts = certificates.for_client(), certificates.for_server()

    def work() -> None:
        for _ in range(scaled(30)):
            talk(certificates, *contexts)

    assert least_growth(work, resident_bytes) < 100_000


@measures_memory
def test_calls_on_one_connection_leave_no_memory(certificates: Certificates) -> None:
    client, server = tls_pair(certificates)

    def work() -> None:
        echoing = spawn(lambda: [server.sendall(server.recv(100)) for _ in range(2000)])
        for _ in range(2000):
            client.sendall(b"x")
            client.recv(100)
        joined(echoing)

    with client, server:
        assert least_growth(work, resident_bytes) < 50_000
