"""What applications are told of requests, and how bodies are read."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.http.serving import Serving, answers, read_all, read_until, serving
from tests.support.children import output_of

ECHO = """
import io, json

def application(environ, start_response):
    path = environ['PATH_INFO']
    body = environ['wsgi.input']
    if path == '/environ':
        data = json.dumps({key: value for key, value in environ.items() if isinstance(value, (str, bool, tuple))})
    elif path == '/read':
        data = body.read()
    elif path == '/sizes':
        parts = []
        while part := body.read(7):
            parts.append(len(part))
        data = json.dumps(parts)
    elif path == '/lines':
        data = json.dumps([body.readline().decode(), body.readline(4).decode(), body.readlines(3) and 'some',
                           [line.decode() for line in body], body.readline().decode(), body.read().decode()])
    elif path == '/wrapped':
        data = json.dumps([io.BufferedReader(body).read(2).decode(), hasattr(body, 'raw'), body.readinto(bytearray())])
    elif path == '/text':
        data = json.dumps(list(io.TextIOWrapper(body, encoding='utf-8')))
    elif path == '/pieces':
        room, parts = bytearray(4), []
        while size := body.readinto(room):
            parts.append(room[:size].decode())
        data = json.dumps([parts, body.read1().decode()])
    elif path == '/as-it-comes':
        first = body.read1()
        data = first + b'|' + body.read1(2) + b'|' + body.read1(0) + body.read1()
    elif path == '/ignore':
        data = 'ignored'
    elif path == '/late':
        data = environ['gossamer.server'].kept.read()
    elif path == '/keep':
        environ['gossamer.server'].kept = body
        data = 'kept'
    else:
        data = path.encode('latin-1')
    data = data if isinstance(data, bytes) else data.encode()
    start_response('200 OK', [('Content-Length', str(len(data)))])
    return [data]
"""
CLOSE = b"Connection: close\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(ECHO, "limits=Limits(body=1000000, unread_body=1000, stall=0.4, head_time=0.4, idle=30)") as running:
        yield running
    assert running.log == ""


def environ_of(server: Serving, head: bytes) -> dict[str, Any]:
    (answer,) = answers(server.ask(head))
    environ: dict[str, Any] = json.loads(answer.body)
    return environ


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


def post_chunks(path: str, *parts: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks(*parts)


def body_of(server: Serving, request: bytes, *pieces: bytes) -> bytes:
    with server.connect() as client:
        client.sendall(request)
        for piece in pieces:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        (answer,) = answers(read_all(client))
    assert answer.status == 200
    return answer.body


# ---- the environment


def test_the_environment_is_what_pep_3333_asks_for(server: Serving) -> None:
    environ = environ_of(
        server,
        b"DELETE /environ?x=%20&y HTTP/1.1\r\nHost: example.com:81\r\nContent-Type: a/b\r\nX-Thing:  some \t\r\n"
        b"Content-Length: 0\r\nConnection: close\r\n\r\n",
    )
    wanted = {
        "REQUEST_METHOD": "DELETE",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/environ",
        "QUERY_STRING": "x=%20&y",
        "RAW_URI": "/environ?x=%20&y",
        "CONTENT_TYPE": "a/b",
        "CONTENT_LENGTH": "0",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(server.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "example.com:81",
        "HTTP_X_THING": "some",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": [1, 0],
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {key: environ.get(key) for key in wanted} == wanted
    assert environ["REMOTE_PORT"].isdecimal()
    assert "HTTP_CONTENT_LENGTH" not in environ and "HTTP_CONTENT_TYPE" not in environ


def test_one_requests_headers_are_not_in_the_next_ones_environment(server: Serving) -> None:
    first = b"GET /environ?q HTTP/1.1\r\nHost: a\r\nX-Mine: 1\r\n\r\n"
    second = b"GET /environ HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n"
    one, two = (json.loads(answer.body) for answer in answers(server.ask(first + second)))
    assert (one["HTTP_X_MINE"], one["QUERY_STRING"]) == ("1", "q")
    assert "HTTP_X_MINE" not in two and two["QUERY_STRING"] == ""


def test_the_path_is_unquoted_into_latin_1_and_the_target_kept(server: Serving) -> None:
    head = b"GET /%61%2Fb%C3%A9%zz%4 HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n"
    (answer,) = answers(server.ask(head))
    assert answer.body == b"/a/b\xc3\xa9%zz%4"


@pytest.mark.parametrize("target", [b"/environ?caf\xc3\xa9=\xff", b"http://a/environ?caf\xc3\xa9=\xff"])
def test_a_query_may_have_bytes_beyond_ascii(server: Serving, target: bytes) -> None:
    environ = environ_of(server, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n")
    assert environ["QUERY_STRING"] == "caf\xc3\xa9=\xff"
    assert environ["RAW_URI"] == target.decode("latin-1")


def test_a_path_may_have_bytes_beyond_ascii_quoted_or_not(server: Serving) -> None:
    head = b"GET /caf\xc3\xa9/%C3%A9/\x80\xff HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n"
    (answer,) = answers(server.ask(head))
    assert answer.body == b"/caf\xc3\xa9/\xc3\xa9/\x80\xff"


@pytest.mark.parametrize("target", [b"\xe9/path", b"http://caf\xe9/", b"/caf\xe9#part", b"/caf\xe9\x7f", b"*\xe9"])
def test_bytes_beyond_ascii_hide_nothing_that_is_refused(server: Serving, target: bytes) -> None:
    (answer,) = answers(server.ask(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n"))
    assert answer.status == 400


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"http://other:8/environ?q", "/environ", "q", "other:8"),
        (b"HTTP://other/environ", "/environ", "", "other"),
        (b"//a/b", "//a/b", "", "a"),
        (b"/environ?a?b", "/environ", "a?b", "a"),
    ],
)
def test_a_target_with_scheme_and_host_is_taken_apart(
    server: Serving, target: bytes, path: str, query: str, host: str
) -> None:
    (answer,) = answers(server.ask(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n"))
    if path != "/environ":
        assert answer.body == path.encode()
        return
    environ = json.loads(answer.body)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_HOST"]) == (path, query, host)


def test_http_1_0_has_the_host_of_its_target(server: Serving) -> None:
    for headers in (b"", b"Host: a\r\n"):
        (answer,) = answers(server.ask(b"GET http://other/environ HTTP/1.0\r\n" + headers + b"\r\n"))
        assert json.loads(answer.body)["HTTP_HOST"] == "other"


def test_options_may_ask_for_the_server_as_a_whole(server: Serving) -> None:
    (answer,) = answers(server.ask(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n"))
    assert (answer.status, answer.body) == (200, b"")


def test_headers_of_one_name_are_joined(server: Serving) -> None:
    environ = environ_of(
        server,
        b"GET /environ HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=1\r\nCookie: b=2\r\n" + CLOSE + b"\r\n",
    )
    assert (environ["HTTP_X_A"], environ["HTTP_COOKIE"]) == ("1,2", "a=1; b=2")


def test_headers_with_an_underscore_are_dropped(server: Serving) -> None:
    environ = environ_of(
        server,
        b"GET /environ HTTP/1.1\r\nHost: a\r\nX_Forged: 1\r\nContent_Length: 5\r\nX-Good: 2\r\n" + CLOSE + b"\r\n",
    )
    assert "HTTP_X_FORGED" not in environ and "CONTENT_LENGTH" not in environ
    assert environ["HTTP_X_GOOD"] == "2"


def test_a_header_may_have_bytes_beyond_ascii(server: Serving) -> None:
    environ = environ_of(server, b"GET /environ HTTP/1.1\r\nHost: a\r\nX: \xe9\xff\t1\r\n" + CLOSE + b"\r\n")
    assert environ["HTTP_X"] == "\xe9\xff\t1"


def test_more_header_names_than_are_remembered_are_told_right(server: Serving) -> None:
    for part in range(30):
        names = [f"X-{part}-{number}" for number in range(100)]
        head = "".join(f"{name}: {name}\r\n" for name in names).encode()
        environ = environ_of(server, b"GET /environ HTTP/1.1\r\nHost: a\r\n" + head + CLOSE + b"\r\n")
        assert all(environ[f"HTTP_{name.replace('-', '_')}"] == name for name in names)


# ---- bodies


@pytest.mark.parametrize("body", [b"", b"x", b"hello\nworld", b"\x00\r\n\r\n" * 50000], ids=len)
def test_a_body_with_a_length_is_read(server: Serving, body: bytes) -> None:
    assert body_of(server, post("/read", body)) == body


@pytest.mark.parametrize(
    "parts", [(), (b"x",), (b"hello", b" world"), (b"0\r\n\r\n",) * 1000, (b"a" * 200000, b"b" * 100000)], ids=len
)
def test_a_chunked_body_is_read(server: Serving, parts: tuple[bytes, ...]) -> None:
    assert body_of(server, post_chunks("/read", *parts)) == b"".join(parts)


def test_a_body_may_come_byte_by_byte(server: Serving) -> None:
    request = post("/read", b"hello")
    assert body_of(server, b"", *(request[place : place + 1] for place in range(len(request)))) == b"hello"


def test_chunks_may_come_byte_by_byte(server: Serving) -> None:
    request = post_chunks("/read", b"hello", b"x" * 20)
    assert body_of(server, b"", *(request[place : place + 1] for place in range(len(request)))) == b"hello" + b"x" * 20


def test_chunk_extensions_and_trailers_are_ignored(server: Serving) -> None:
    head = b"POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n" + CLOSE + b"\r\n"
    body = b'5;a=b;c="d"\r\nhello\r\n00A\r\n, world!!!\r\n000\r\nHost: x\r\nTrailer: y\r\n\r\n'
    (answer,) = answers(server.ask(head + body))
    assert answer.body == b"hello, world!!!"


@pytest.mark.parametrize("request_bytes", [post("/sizes", b"a" * 20), post_chunks("/sizes", b"a" * 3, b"b" * 17)])
def test_a_body_is_read_in_full_portions(server: Serving, request_bytes: bytes) -> None:
    assert json.loads(body_of(server, request_bytes)) == [7, 7, 6]


LINES = b"first\nsecond\nthird\nfourth\nlast"


@pytest.mark.parametrize(
    "request_bytes",
    [post("/lines", LINES), post_chunks("/lines", LINES), post_chunks("/lines", *(bytes([byte]) for byte in LINES))],
)
def test_a_body_is_read_by_lines(server: Serving, request_bytes: bytes) -> None:
    lines = json.loads(body_of(server, request_bytes))
    assert lines == ["first\n", "seco", "some", ["third\n", "fourth\n", "last"], "", ""]


def test_a_body_is_read_piece_by_piece_as_it_comes(server: Serving) -> None:
    parts, last = json.loads(body_of(server, post_chunks("/pieces", b"hello", b"world")))
    assert (parts, last) == (["hell", "o", "worl", "d"], "")
    assert body_of(server, post_chunks("/as-it-comes", b"hello", b"world", b"!")) == b"hello|wo|rld"


@pytest.mark.parametrize("request_bytes", [post("/wrapped", b"hello"), post_chunks("/wrapped", b"h", b"ello")])
def test_a_body_may_be_wrapped_by_a_buffered_reader(server: Serving, request_bytes: bytes) -> None:
    assert json.loads(body_of(server, request_bytes)) == ["he", False, 0]


def test_a_body_may_be_wrapped_as_text(server: Serving) -> None:
    assert json.loads(body_of(server, post("/text", "gr\u00fcn\nblau".encode()))) == ["gr\u00fcn\n", "blau"]


def test_a_body_is_gone_once_its_request_is_answered(server: Serving) -> None:
    request = post("/keep", b"hello") + b"GET /late HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n"
    kept, late = answers(server.ask(request))
    assert (kept.body, late.body) == (b"kept", b"")


def test_requests_that_are_sent_ahead_are_answered_in_order(server: Serving) -> None:
    requests = []
    for number in range(300):
        requests += [
            b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number,
            post("/read", b"length %d" % number),
            post_chunks("/read", b"chunk", b" %d" % number),
        ]
    found = answers(server.ask(*requests, b"GET /end HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n"))
    wanted = [text % number for number in range(300) for text in (b"/%d", b"length %d", b"chunk %d")]
    assert [answer.body for answer in found] == [*wanted, b"/end"]


def test_a_short_unread_body_is_dropped_and_the_connection_goes_on(server: Serving) -> None:
    requests = (
        post("/ignore", b"x" * 900) + post_chunks("/ignore", b"x" * 900) + post("/read", b"end", "Connection: close")
    )
    assert [answer.body for answer in answers(server.ask(requests))] == [b"ignored", b"ignored", b"end"]


def test_with_a_long_unread_body_the_connection_is_closed(server: Serving) -> None:
    (answer,) = answers(server.ask(post("/ignore", b"x" * 300000)))
    assert (answer.body, answer.headers["connection"]) == (b"ignored", "close")


def test_with_long_unread_chunks_the_connection_is_closed(server: Serving) -> None:
    answer = answers(server.ask(post_chunks("/ignore", *[b"x" * 1000] * 100)))[0]
    assert answer.body == b"ignored"


def test_the_client_is_told_to_go_on_when_the_application_reads(server: Serving) -> None:
    with server.connect() as client:
        client.sendall(post("/read", b"", "Expect: 100-continue", "Connection: close").replace(b"th: 0", b"th: 5"))
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        (answer,) = answers(read_all(client))
    assert answer.body == b"hello"


def test_the_client_is_not_told_to_go_on_when_nobody_reads(server: Serving) -> None:
    head = post("/ignore", b"", "Expect: 100-continue").replace(b"th: 0", b"th: 5")
    data = server.ask(head)
    (answer,) = answers(data)
    assert data.startswith(b"HTTP/1.1 200 ")
    assert answer.headers["connection"] == "close"


def test_a_client_that_does_not_wait_to_be_told_is_served(server: Serving) -> None:
    with server.connect() as client:
        client.sendall(post("/read", b"hello", "Expect: 100-Continue", "Connection: close"))
        assert answers(read_all(client))[0].body == b"hello"


def test_a_request_to_change_the_protocol_is_served_as_any_other(server: Serving) -> None:
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    asked = "".join(f"{line}\r\n" for line in upgrade).encode()
    requests = [
        b"GET /one HTTP/1.1\r\nHost: a\r\n" + asked + b"\r\n",
        post("/read", b"length", *upgrade),
        post_chunks("/read", b"chunks").replace(b"\r\n\r\n", b"\r\n" + asked + b"\r\n", 1),
        post("/read", b"end", "Connection: close"),
    ]
    found = answers(server.ask(b"".join(requests)))
    assert [answer.body for answer in found] == [b"/one", b"length", b"chunks", b"end"]


# ---- connections


def test_a_connection_serves_many_requests(server: Serving) -> None:
    with server.connect() as client:
        for number in range(100):
            client.sendall(b"GET /%03d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            assert read_until(client, b"/%03d" % number).startswith(b"HTTP/1.1 200 OK\r\n")


def test_http_1_0_closes_the_connection(server: Serving) -> None:
    (answer,) = answers(server.ask(b"GET /old HTTP/1.0\r\n\r\n"))
    assert (answer.body, answer.headers["connection"]) == (b"/old", "close")


def test_http_1_0_may_keep_the_connection(server: Serving) -> None:
    request = b"GET /old HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
    first, second = answers(server.ask(request + b"GET /old HTTP/1.0\r\n\r\n"))
    assert (first.headers["connection"], second.headers["connection"]) == ("keep-alive", "close")


def test_half_a_head_and_silence_is_answered_with_408(server: Serving) -> None:
    (answer,) = answers(server.ask(b"GET / HTTP/1.1\r\nHost: a\r\nX: "))
    assert answer.status == 408


def test_silence_from_the_beginning_ends_the_connection(server: Serving) -> None:
    assert server.ask() == b""


def test_a_head_that_drips_is_answered_with_408(server: Serving) -> None:
    with server.connect() as client:
        client.settimeout(0.02)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        data = b""
        for _ in range(2000):
            try:
                data = client.recv(1000)
                break
            except TimeoutError:
                client.send(b"x")
    assert data.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("head", [post("/read", b"12345")[:-3], post_chunks("/read", b"12345")[:-9]])
def test_half_a_body_and_silence_is_answered_with_408(server: Serving, head: bytes) -> None:
    (answer,) = answers(server.ask(head))
    assert answer.status == 408


@pytest.mark.parametrize("head", [b"GET / HT", post("/read", b"12345")[:-3], post_chunks("/read", b"12345")[:-9]])
def test_half_a_request_and_the_end_is_no_error_of_the_server(server: Serving, head: bytes) -> None:
    with server.connect() as client:
        client.sendall(head)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
    assert server.get("/still").body == b"/still"


def test_a_body_that_is_larger_than_allowed_is_refused_at_its_head(server: Serving) -> None:
    (answer,) = answers(server.ask(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 1000001\r\n\r\n"))
    assert answer.status == 413


def test_chunks_that_are_larger_than_allowed_are_refused(server: Serving) -> None:
    answer = answers(server.ask(post_chunks("/read", *[b"x" * 100000] * 11)))[0]
    assert answer.status == 413


SWALLOWS = """
def application(environ, start_response):
    body = environ['wsgi.input']
    if environ['PATH_INFO'] == '/begun':
        write = start_response('200 OK', [])
        write(b'begun ')
        write(body.read())
        return []
    try:
        data = body.read()
    except OSError as error:
        data = str(error).encode()
    start_response('200 OK', [('Content-Length', str(len(data)))])
    return [data]
"""


def test_nothing_is_read_behind_a_body_that_was_too_large_even_if_the_application_answers() -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(SWALLOWS, "limits=Limits(body=10)") as server, server.connect() as client:
        client.sendall(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled) + smuggled)
        (answer,) = answers(read_all(client))
    assert (answer.body, answer.headers["connection"]) == (b"the body is too large", "close")


def test_no_request_to_go_on_comes_in_the_middle_of_a_response() -> None:
    with serving(SWALLOWS) as server, server.connect() as client:
        client.sendall(post("/begun", b"", "Expect: 100-continue").replace(b"th: 0", b"th: 5"))
        begun = read_until(client, b"begun \r\n")
        client.sendall(b"hello")
        data = begun + read_all(client)
    assert b"100 Continue" not in data
    assert [answer.body for answer in answers(data)] == [b"begun hello"]


def test_an_input_that_the_server_did_not_make_is_empty() -> None:
    source = """
        from gossamer.http.input import Input
        made = Input.__new__(Input)
        print(made.read(), made.readline(), made.read1(), list(made))
    """
    assert output_of(source) == "b'' b'' b'' []\n"


def test_a_connection_is_not_made_without_a_service() -> None:
    source = """
        from gossamer.http.connection import Connection
        for make in (lambda: Connection(None, None, {}, '', ''), lambda: Connection.__new__(Connection)):
            try:
                make()
            except TypeError:
                print('refused')
    """
    assert output_of(source) == "refused\nrefused\n"
