"""The server as a whole: figures, time limits, stopping, TLS and Unix sockets, and that it leaves nothing behind."""

import io
import json
import re
import signal
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from gossamer.http import Limits
from gossamer.http.access_log import Access, CombinedLog
from tests.http.serving import Serving, answers, read_all, read_until, serving
from tests.support.certificates import make_certificates
from tests.support.children import output_of
from tests.support.memory import least_growth
from tests.support.runtime import PRELUDE
from tests.support.sanitizers import measures_memory
from tests.support.scale import patience, scaled
from tests.support.waiting import eventually

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

FIGURES = """
import json, threading

def application(environ, start_response):
    if environ['PATH_INFO'] == '/slow':
        time.sleep(float(environ['QUERY_STRING']))
    start_response('200 OK', [])
    return [json.dumps(environ['gossamer.server'].stats()).encode()]
"""


# ---- figures


def test_the_application_sees_the_servers_figures() -> None:
    with serving(FIGURES) as server:
        with server.connect() as idle:
            idle.sendall(GET)
            read_until(idle, b"]}")
            with server.connect() as slow:
                slow.sendall(b"GET /slow?60 HTTP/1.1\r\nHost: a\r\n\r\n")
                stats = {}

                def is_slow() -> bool:
                    stats.update(json.loads(server.get().body))
                    return bool(stats["active_requests"] == 2)

                assert eventually(is_slow)
                first, second = stats["slow_requests"]
                assert (stats["connections"], stats["idle_connections"]) == (3, 1)
                assert (first["method"], first["path"], second["path"]) == ("GET", "/slow", "/")
                assert first["seconds"] >= second["seconds"] >= 0
                assert stats["total_requests"] == stats["total_connections"] - 2
                assert stats["refused_requests"] == 0
                server.ask(b"\x00")
                assert json.loads(server.get().body)["refused_requests"] == 1
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()


def test_a_request_counts_when_it_has_been_answered() -> None:
    with serving(FIGURES) as server:
        told = [json.loads(server.get().body) for _ in range(3)]
    assert [(stats["total_requests"], stats["active_requests"]) for stats in told] == [(0, 1), (1, 1), (2, 1)]


def test_a_rate_is_told() -> None:
    with serving(FIGURES) as server:
        deadline = time.monotonic() + patience(30)
        while json.loads(server.get().body)["requests_per_second"] == 0:
            assert time.monotonic() < deadline


# ---- time limits


def test_a_request_that_takes_too_long_is_interrupted_and_answered_with_503() -> None:
    with serving(FIGURES, "timeout=0.2") as server:
        (answer,) = answers(server.ask(b"GET /slow?60 HTTP/1.1\r\nHost: a\r\n\r\n"))
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert server.get().status == 200
        assert server.stop() == "gossamer: GET /slow?60 has taken longer than 0.2 seconds\n"


STUBBORN = """
from gossamer.http import RequestTimeout
seen = []
def application(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/seen':
        return [b'%d' % len(seen)]
    if environ['PATH_INFO'] == '/begun':
        return begun()
    try:
        time.sleep(60)
    except Exception:
        seen.append('Exception')
    except RequestTimeout:
        seen.append('RequestTimeout')
    try:
        time.sleep(60)
    except RequestTimeout:
        seen.append('again')
    return [b'after all']
def begun():
    yield b'begun'
    time.sleep(60)
"""


def test_an_application_that_goes_on_regardless_is_interrupted_again() -> None:
    with serving(STUBBORN, "timeout=0.2") as server:
        assert server.get().body == b"after all"
        assert server.get("/seen").body == b"2"


def test_a_response_that_has_begun_is_cut_short_at_the_time_limit() -> None:
    with serving(STUBBORN, "timeout=0.2") as server:
        data = server.ask(b"GET /begun HTTP/1.1\r\nHost: a\r\n\r\n")
        assert data.endswith(b"\r\n\r\n5\r\nbegun\r\n")
        assert "has taken longer" in server.stop()


ENDLESS = """
count = 0
def application(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/count':
        return [b'%d' % count]
    return endless()
def endless():
    global count
    count += 1
    try:
        while True:
            yield b'x' * 65536
    finally:
        count -= 1
"""


def test_a_client_that_never_reads_is_dropped() -> None:
    with serving(ENDLESS, "limits=Limits(stall=0.3)") as server:
        with server.connect() as client:
            client.sendall(GET)
            assert client.recv(1) == b"H"
            assert eventually(lambda: server.get("/count").body == b"0")
        assert server.stop() == ""


def test_a_client_that_reads_slowly_is_not_dropped() -> None:
    with serving(ENDLESS, "limits=Limits(stall=2)") as server:
        with server.connect() as client:
            client.sendall(GET)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                assert client.recv(1 << 20)
                time.sleep(0.005)
        assert eventually(lambda: server.get("/count").body == b"0")


def status_of(server: Serving, request: bytes) -> int:
    (answer,) = answers(server.ask(request))
    return answer.status


def test_how_much_a_request_may_be_is_configurable() -> None:
    limits = "limits=Limits(request_line=100, head=1000, header_count=10, body=100)"
    chunks = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(options=limits) as server:
        for size, status in [(85, 200), (120, 414)]:
            assert status_of(server, LAST.replace(b" / ", b" /" + b"a" * (size - 15) + b" ")) == status
        for size, status in [(900, 200), (1000, 431)]:
            assert status_of(server, LAST.replace(b": a", b": a\r\nX: " + b"b" * (size - 50))) == status
        for count, status in [(10, 200), (11, 431)]:
            assert status_of(server, LAST.replace(b": a", b": a" + b"\r\nX: b" * (count - 2))) == status
        for size, status in [(100, 200), (101, 413)]:
            length = b": a\r\nContent-Length: %d" % size
            assert status_of(server, LAST.replace(b": a", length) + b"b" * (size if status == 200 else 0)) == status
        assert status_of(server, chunks + b"64\r\n" + b"b" * 100 + b"\r\n1\r\nb\r\n0\r\n\r\n") == 413
        assert server.stop() == ""


def test_a_response_arrives_although_the_client_sends_more_than_is_read() -> None:
    more = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n" + b"b" * 10
    with serving(options="limits=Limits(idle=0)") as server:
        for _ in range(20):
            (answer,) = answers(server.ask(more, *[more] * 50))
            assert answer.body == b"b" * 10


def test_the_limits_hold_for_a_connection_that_comes_as_the_last_one_is_forgotten() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer.http import Limits
from gossamer.http.server import Server

listener = socket.create_server(('127.0.0.1', 0))
server = Server(print, [listener], limits=Limits(head_time=0.04, idle=0.04, stall=0.04))
spawn(server.serve_forever)
turns()
for _ in range(5):
    socket.create_connection(listener.getsockname()).close()
    until(lambda: server.stats()['connections'] == 0)
    with socket.socket() as client:
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        block(0.02)  # it is to be accepted, and it is time to look whether there are any
        turns(1)
        client.settimeout(patience(30))
        client.send(b'GET')
        while client.recv(1000):
            pass
print('ended')
"""
    )
    assert out == "ended\n"


def test_an_idle_connection_is_closed_after_its_time() -> None:
    with serving(options="limits=Limits(idle=0.2)") as server, server.connect() as client:
        client.sendall(GET)
        (answer,) = answers(read_all(client))
        assert "connection" not in answer.headers


def test_without_idle_time_each_connection_serves_one_request() -> None:
    with serving(options="limits=Limits(idle=0)") as server:
        (answer,) = answers(server.ask(GET))
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("head", 0),
        ("head", 1.5),
        ("body", -1),
        ("body", 2**62),
        ("stall", float("nan")),
        ("stall", float("inf")),
        ("idle", -1.0),
        ("head_time", "1"),
        ("header_count", None),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})


# ---- stopping

SLOW = """
entered = 0
def application(environ, start_response):
    global entered
    if environ['PATH_INFO'] == '/entered':
        start_response('200 OK', [])
        return [b'%d' % entered]
    entered += 1
    time.sleep(float(environ['QUERY_STRING']))
    start_response('200 OK', [])
    return [b'done']
"""


def test_stopping_lets_requests_finish_and_closes_idle_connections() -> None:
    with serving(SLOW) as server:
        idle, slow, half = server.connect(), server.connect(), server.connect()
        idle.sendall(b"GET /entered HTTP/1.1\r\nHost: a\r\n\r\n")
        read_until(idle, b"\r\n\r\n0")
        half.sendall(b"GET /?0 HTTP/1.1\r\nHo")
        slow.sendall(b"GET /?1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert eventually(lambda: server.get("/entered").body == b"1")
        server.process.send_signal(signal.SIGTERM)
        assert read_all(idle) == b""
        half.sendall(b"st: a\r\n\r\n")
        for client in (slow, half):
            (answer,) = answers(read_all(client))
            assert (answer.body, answer.headers["connection"]) == (b"done", "close")
        assert server.end() == ""


def test_a_request_that_came_before_the_stop_is_answered() -> None:
    source = """
    def application(environ, start_response):
        start_response('200 OK', [])
        if environ['PATH_INFO'] == '/stop':
            _core.spawn(server.stop)
            time.sleep(0)
            deadline = time.monotonic() + 0.5
            while time.monotonic() < deadline:  # others send meanwhile, and this thread takes no notice
                pass
        return [b'hello']
    """
    with serving(source) as server:
        clients = [server.connect() for _ in range(20)]
        for client in clients[:10]:
            client.sendall(GET)
            read_until(client, b"hello")
        stopper = server.connect()
        stopper.sendall(b"GET /stop HTTP/1.1\r\nHost: a\r\n\r\n")
        for client in clients:
            client.sendall(GET)
        read_all(stopper)
        found = [read_all(client) for client in clients]
        assert [data[-5:] for data in found] == [b"hello"] * 20
        assert server.end() == ""


def test_what_does_not_finish_in_time_is_killed() -> None:
    source = SLOW + "\nsignal.signal(signal.SIGUSR1, lambda *_: _core.spawn(server.stop, 0.3))\n"
    with serving(source) as server:
        client = server.connect()
        client.sendall(b"GET /?3600 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert eventually(lambda: server.get("/entered").body == b"1")
        server.process.send_signal(signal.SIGUSR1)
        assert read_all(client) == b""
        assert server.end() == ""


def test_a_server_without_listeners_or_with_a_wrong_timeout_is_refused() -> None:
    from gossamer.http import Server

    def application(environ: object, start_response: object) -> list[bytes]:
        return []

    with pytest.raises(ValueError, match="listener"):
        Server(application, [])
    with socket.socket() as listener, pytest.raises(ValueError, match="timeout"):
        Server(application, [listener], timeout=0)


# ---- the access log

LOGGING = """
def application(environ, start_response):
    start_response('200 OK', [])
    return [b'x' * 1000]
access_log = CombinedLog(sys.stderr)
"""


def test_the_access_log_has_a_line_for_each_request() -> None:
    with serving(LOGGING, "access_log=access_log") as server:
        server.get('/a"b', Referer="http://r/", **{"User-Agent": 'agent "\\'})
        server.ask(b"nonsense\r\n\r\n")
        first, second = server.stop().splitlines()
    stamp = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    assert re.fullmatch(
        rf'127\.0\.0\.1 - - {stamp} "GET /a\\x22b HTTP/1\.1" 200 1000 "http://r/" "agent \\x22\\x5c" 0\.\d{{6}}', first
    )
    assert re.fullmatch(rf'127\.0\.0\.1 - - {stamp} "- - -" 400 \d+ "-" "-" 0\.\d{{6}}', second)


# ---- other sockets


def test_a_unix_socket_is_served(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    source = f"""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind({str(path)!r})
    def application(environ, start_response):
        start_response('200 OK', [])
        return [repr((environ['REMOTE_ADDR'], environ['SERVER_NAME'], environ['SERVER_PORT'])).encode()]
    """
    with serving(source) as server, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(patience(30))
        assert eventually(path.exists)
        client.connect(str(path))
        client.sendall(GET + LAST)
        bodies = [answer.body for answer in answers(read_all(client))]
        assert bodies == [b"('', 'localhost', '80')"] * 2
        assert server.stop() == ""


TLS = """
import ssl, tempfile
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain({certificate!r})
file = tempfile.NamedTemporaryFile()
file.write(b'f' * 300000)
file.flush()
def application(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/file':
        return environ['wsgi.file_wrapper'](open(file.name, 'rb'))
    return iter([environ['wsgi.url_scheme'].encode(), environ['wsgi.input'].read()])
"""


def test_tls_is_served(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    options = "ssl_context=context, limits=Limits(head_time=0.5)"
    with serving(TLS.format(certificate=certificates.server), options) as server:
        silent, plain, half = server.connect(), server.connect(), server.connect()
        plain.sendall(GET)
        half.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a handshake
        client = certificates.for_client().wrap_socket(
            server.connect(), server_hostname="localhost", suppress_ragged_eofs=False
        )
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"b" * 100000)
        client.sendall(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n" + LAST)
        first, second, third = answers(read_all(client))
        assert (first.body, second.body, third.body) == (b"https" + b"b" * 100000, b"f" * 300000, b"https")
        assert client.recv(1) == b""  # a clean end, not a cut: TLS tells
        client.close()
        assert read_all(silent) == read_all(half) == b""
        assert b"HTTP" not in read_all(plain)
        with pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(server.connect(), server_hostname="localhost")
        assert server.stop() == ""


def test_several_listeners_are_served() -> None:
    source = """
    other = socket.create_server(('127.0.0.1', 0))
    def application(environ, start_response):
        start_response('200 OK', [])
        return [b'%d %s' % (other.getsockname()[1], environ['SERVER_PORT'].encode())]
    class Server(Server):
        def __init__(self, application, listeners):
            super().__init__(application, [*listeners, other])
    """
    with serving(source) as server:
        port, first = server.get().body.split()
        with socket.create_connection(("127.0.0.1", int(port)), patience(30)) as client:
            client.sendall(LAST)
            assert answers(read_all(client))[0].body == port + b" " + port
        assert int(first) == server.port


# ---- what is left

MEASURING = """
from tests.support.memory import resident_bytes
def watched():
    return sum(open(f'/proc/self/fdinfo/{number}').read().count('tfd:') for number in os.listdir('/proc/self/fdinfo')
               if os.path.exists(f'/proc/self/fdinfo/{number}'))
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    if environ['PATH_INFO'] == '/measure':
        gc.collect()
        stats = environ['gossamer.server'].stats()
        figures = [stats['connections'], len(os.listdir('/proc/self/fd')), stats['green_threads']]
        return [' '.join(map(str, [*figures, watched(), resident_bytes()])).encode()]
    return [environ['wsgi.input'].read() or b'hello']
"""
REQUESTS = (b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + GET) * 50
ABORTED = [b"", b"GET", GET[:-2], GET, REQUESTS[:-70], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhal"]


def leaves_nothing(requests: int, connections: int) -> None:
    """After a warm-up, so many requests and aborted connections leave no descriptor, no green thread, nothing that is
    watched by epoll, and no memory.
    """

    def load() -> None:
        with server.connect() as client:
            for _ in range(requests // 100):
                client.sendall(REQUESTS)
                data = b""
                while data.count(b"hello") < 100:
                    data += client.recv(100000)
        for number in range(connections):
            with socket.create_connection(("127.0.0.1", server.port), patience(30)) as client:
                client.sendall(ABORTED[number % len(ABORTED)])
                if number % 2:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert eventually(lambda: measured()[0] == 1)

    def measured() -> list[int]:
        return [int(figure) for figure in server.get("/measure").body.split()]

    def lasting() -> list[int]:
        """The least of several looks: one who was asked for just before may be on its way out in some."""
        return [min(figures) for figures in zip(*(measured() for _ in range(10)), strict=True)]

    with serving(MEASURING) as server:
        load()
        before = lasting()
        assert least_growth(load, lambda: measured()[-1], warm_up=1) < 100_000
        after = lasting()
        assert after[:3] == before[:3]
        assert after[3] <= before[3] + 1  # the connection that asks may or may not have waited
        assert server.stop() == ""


def test_an_access_log_whose_stream_has_been_closed_harms_nobody() -> None:
    stream = io.StringIO()
    log = CombinedLog(stream)
    stream.close()
    log(Access("127.0.0.1", "GET", "/", "HTTP/1.1", 200, 5, 0.1, None, None))


@measures_memory
def test_header_names_that_nobody_else_sends_leave_nothing() -> None:
    source = """
def application(environ, start_response):
    start_response('200 OK', [])
    gc.collect()
    return [b'%d blocks' % sys.getallocatedblocks()]
"""
    numbers = iter(range(10**9))

    def load() -> None:
        for length in (10, 200):
            for _ in range(40):
                names = "".join(f"X{next(numbers):0{length}}: a\r\n" for _ in range(50))
                client.sendall(f"GET / HTTP/1.1\r\nHost: a\r\n{names}\r\n".encode())
                blocks.append(int(answers(read_until(client, b" blocks"))[0].body.split()[0]))

    blocks: list[int] = []
    with serving(source) as server, server.connect() as client:
        assert least_growth(load, lambda: blocks[-1], warm_up=1) < 500
        assert server.stop() == ""


@measures_memory
def test_requests_and_aborted_connections_leave_nothing() -> None:
    leaves_nothing(scaled(20_000, 400), scaled(2000, 40))


@measures_memory
@pytest.mark.soak
def test_a_million_requests_and_a_hundred_thousand_aborted_connections_leave_nothing() -> None:
    leaves_nothing(1_000_000 // 6, 100_000 // 6)


def test_two_clients_of_which_one_sends_ahead_without_end_are_both_served() -> None:
    with serving() as server, server.connect() as greedy:
        greedy.setblocking(False)
        waiting = GET * 10000
        sent = 0
        try:
            while True:
                sent += greedy.send(waiting)
        except BlockingIOError:
            pass
        assert server.get().body == b"hello"
        assert sent > len(GET)
