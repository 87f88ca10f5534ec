"""An application takes a connection over: `gossamer.http.takeover`."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.serving import Serving, answers, read_all, read_until, serving
from tests.support.certificates import make_certificates

APPLICATION = """
import copy, errno

SWITCH = b'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\nConnection: Upgrade\\r\\n\\r\\n'
HEADERS = [('Upgrade', 'echo'), ('Connection', 'Upgrade')]
kept = []

def echo(connection):
    while data := connection.recv(100):
        connection.sendall(data.upper())
    connection.sendall(b'bye')

def application(environ, start_response):
    path, connection = environ['PATH_INFO'], environ.get('gossamer.socket')
    if path == '/raw':
        connection.sendall(SWITCH)
        echo(connection)
        return [b'not sent']
    if path == '/quiet':
        connection.sendall(SWITCH)
        while data := connection.recv(100):
            connection.sendall(data.upper())
        return []
    if path == '/below-the-input':
        connection = environ['wsgi.input'].raw._sock
        assert environ['wsgi.input'].read() == b''
        connection.sendall(SWITCH)
        echo(connection)
        return []
    if path == '/stop-iteration':
        environ['gunicorn.socket'].sendall(SWITCH)
        echo(connection)
        raise StopIteration
    if path == '/101':
        write = start_response('101 Switching Protocols', HEADERS)
        write(b'welcome')
        echo(connection)
        return [b', and', b' farewell']
    if path == '/with-length':
        start_response('101 Switching Protocols', [*HEADERS, ('Content-Length', '3')])
        return [b'raw']
    if path == '/fail':
        connection.sendall(SWITCH)
        raise ZeroDivisionError
    if path == '/detach':
        kept.append(socket.socket(fileno=connection.detach()))
        kept[0].sendall(SWITCH)
        _core.spawn(echo, kept[0])
        return []
    if path == '/answer':
        connection.getpeername()
        start_response('200 OK', [])
        return [b'after all']
    if path == '/late':
        kept.append(connection)
    if path == '/take-late':
        try:
            kept.pop().fileno()
        except RuntimeError as error:
            environ['kept'] = str(error)
    copy.copy(environ), repr(environ)
    start_response('200 OK', [])
    offered = ['gossamer.socket' in environ, 'gunicorn.socket' in environ, hasattr(environ['wsgi.input'], 'raw')]
    return [repr([*offered, environ.get('kept')]).encode()]
"""
UPGRADE = b"Host: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(APPLICATION) as running:
        yield running
    assert running.log == ""


def upgrade(path: str) -> bytes:
    return b"GET %s HTTP/1.1\r\n%s\r\n" % (path.encode(), UPGRADE)


@pytest.mark.parametrize("path", ["/raw", "/below-the-input", "/stop-iteration"])
def test_an_application_answers_by_itself_and_the_server_adds_nothing(server: Serving, path: str) -> None:
    with server.connect() as client:
        client.sendall(upgrade(path))
        assert read_until(client, b"\r\n\r\n") == SWITCHED
        client.sendall(b"one")
        assert read_until(client, b"ONE") == b"ONE"
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.shutdown(1)
        assert read_all(client) == b"GET / HTTP/1.1\r\n\r\nbye"


def test_an_application_switches_by_start_response(server: Serving) -> None:
    with server.connect() as client:
        client.sendall(upgrade("/101"))
        head = read_until(client, b"\r\n\r\n").decode().splitlines()
        names = [line.partition(":")[0] for line in head[1:-1]]
        assert (head[0], names) == ("HTTP/1.1 101 Switching Protocols", ["Upgrade", "Connection", "Server", "Date"])
        assert head[1:3] == ["Upgrade: echo", "Connection: Upgrade"]
        assert read_until(client, b"welcome") == b"welcome"
        client.sendall(b"one")
        assert read_until(client, b"ONE") == b"ONE"
        client.shutdown(1)
        assert read_all(client) == b"bye, and farewell"


def test_a_101_has_no_length(server: Serving) -> None:
    head, _, rest = server.ask(upgrade("/with-length")).partition(b"\r\n\r\n")
    assert b"Content-Length" not in head and rest == b"raw"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n",
        b"GET / HTTP/1.0\r\n" + UPGRADE + b"\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\n" + UPGRADE + b"\r\nx",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + UPGRADE + b"\r\n0\r\n\r\n",
        upgrade("/") + LAST,
    ],
    ids=["no Connection", "no Upgrade", "HTTP/1.0", "body", "chunks", "more behind it"],
)
def test_the_connection_is_not_offered(server: Serving, request_bytes: bytes) -> None:
    with server.connect() as client:
        client.sendall(request_bytes)
        client.shutdown(1)
        found = answers(read_all(client))
    assert [(answer.status, answer.body) for answer in found] == [(200, b"[False, False, False, None]")] * len(found)
    assert len(found) == request_bytes.count(b"HTTP/1.")


def test_looking_at_the_environment_takes_nothing(server: Serving) -> None:
    with server.connect() as client:
        client.sendall(upgrade("/"))
        assert b"[True, True, True, None]" in read_until(client, b"None]")
        client.sendall(LAST)
        assert answers(read_all(client))[0].status == 200


def test_a_socket_may_be_used_before_an_ordinary_answer_which_is_the_last_then(server: Serving) -> None:
    (answer,) = answers(server.ask(upgrade("/answer")))
    assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"after all", "close")


def test_a_connection_cannot_be_taken_over_after_its_request(server: Serving) -> None:
    with server.connect() as client:
        client.sendall(upgrade("/late"))
        assert read_until(client, b"None]")
        client.sendall(b"GET /take-late HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        (answer,) = answers(read_all(client))
    assert b"the request has been answered" in answer.body


def test_a_detached_socket_outlives_its_request(server: Serving) -> None:
    with server.connect() as client:
        client.sendall(upgrade("/detach"))
        assert read_until(client, b"\r\n\r\n") == SWITCHED
        client.sendall(b"one")
        assert read_until(client, b"ONE") == b"ONE"


def test_an_application_that_fails_is_logged_and_nothing_is_sent() -> None:
    with serving(APPLICATION) as server:
        assert server.ask(upgrade("/fail")) == SWITCHED
        assert "ZeroDivisionError" in server.stop()


def test_101_is_refused_when_the_client_has_not_asked() -> None:
    with serving(APPLICATION) as server:
        assert answers(server.ask(b"GET /101 HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n"))[0].status == 500
        assert "'101 Switching Protocols' is no final status" in server.stop()


@pytest.mark.parametrize("path", ["/raw", "/101"])
def test_the_servers_times_are_over_for_a_connection_that_was_taken_over(path: str) -> None:
    with serving(APPLICATION, "timeout=0.2, limits=Limits(head_time=0.2, idle=0.2, stall=0.2)") as server:
        with server.connect() as client:
            client.sendall(upgrade(path))
            read_until(client, b"\r\n\r\n")
            time.sleep(1.0)  # all of them are past then
            client.sendall(b"one")
            assert read_until(client, b"ONE")
            client.shutdown(1)
            assert b"bye" in read_all(client)
        assert server.stop() == ""


@pytest.mark.parametrize("path", ["/raw", "/101"])
def test_stopping_ends_reading_and_leaves_time_to_say_goodbye(path: str) -> None:
    with serving(APPLICATION) as server, server.connect() as client:
        client.sendall(upgrade(path))
        read_until(client, b"\r\n\r\n")
        log = server.stop()  # the client closes nothing
        assert b"bye" in read_all(client) and log == ""


def test_tls_is_taken_over_with_the_connection(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    source = f"""
import ssl
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain({certificates.server!r})
"""
    with serving(source + APPLICATION, "ssl_context=context") as server, server.connect() as connection:
        with certificates.for_client().wrap_socket(connection, server_hostname="localhost") as client:
            client.sendall(upgrade("/quiet"))
            assert read_until(client, b"\r\n\r\n") == SWITCHED
            client.sendall(b"one")
            assert read_until(client, b"ONE") == b"ONE"
            assert server.stop() == ""


def test_the_access_log_has_a_connection_that_was_taken_over() -> None:
    source = APPLICATION + "\ndef log(access): print(access.status, access.target, file=sys.stderr)\n"
    with serving(source, "access_log=log") as server:
        with server.connect() as client:
            client.sendall(upgrade("/raw"))
            client.shutdown(1)
            assert read_all(client) == SWITCHED + b"bye"
        assert server.stop() == "101 /raw\n"
