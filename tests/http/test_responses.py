"""What applications may answer, and what the server makes of it (PEP 3333)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.serving import Answer, Serving, answers, read_all, serving

APPLICATIONS = """
import bz2, gzip, io, os, tempfile, time

closed = []
kept = []
big = b'0123456789abcdef' * 65536
file = tempfile.NamedTemporaryFile()
file.write(big)
file.flush()

class Closing:
    def __init__(self, parts):
        self.parts = iter(parts)
    def __iter__(self):
        return self
    def __next__(self):
        part = next(self.parts)
        if isinstance(part, Exception):
            raise part
        return part
    def close(self):
        closed.append('closed')

def start(start_response, status='200 OK', headers=()):
    return start_response(status, [('Content-Type', 'text/plain'), *headers])

def one(environ, start_response):
    start(start_response)
    return [b'hello']
def none(environ, start_response):
    start(start_response)
    return []
def two(environ, start_response):
    start(start_response)
    return [b'hel', b'', b'lo']
def pair(environ, start_response):
    start(start_response)
    return (b'hello',)
def large(environ, start_response):
    start(start_response)
    return [big, b'end']
def generated(environ, start_response):
    start(start_response)
    yield b''
    yield b'hel'
    yield b'lo'
def generated_late(environ, start_response):
    yield b''
    start(start_response)
    yield b'hello'
def generated_large(environ, start_response):
    start(start_response)
    for _ in range(4):
        yield big
def declared(environ, start_response):
    start(start_response, headers=[('Content-Length', '5')])
    return Closing([b'hel', b'lo'])
def written(environ, start_response):
    write = start(start_response)
    write(b'hel')
    write(b'lo')
    return [b'!']
def written_declared(environ, start_response):
    write = start(start_response, headers=[('Content-Length', '6')])
    write(b'hel')
    write(b'lo')
    return [b'!']
def nothing(environ, start_response):
    start_response('204 No Content', [('Content-Length', '0')])  # dropped: RFC 9110, 8.6
    return [b'dropped']
def unchanged(environ, start_response):
    start_response('304 Not Modified', [('ETag', 'x')])
    return Closing([b'dropped'])
def own_date(environ, start_response):
    start_response('200 OK', [('Date', 'Thu, 01 Jan 1970 00:00:00 GMT'), ('SERVER', 'mine')])
    return [b'x']
def twice_the_same(environ, start_response):
    start_response('200 OK', [('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2')])
    return [b'x']
def latin(environ, start_response):
    start_response('200 Sch\\xf6n', [('X', '\\xe9\\t1')])
    return [b'x']
def closes(environ, start_response):
    start(start_response, headers=[('Connection', 'close')])
    return [b'x']
def keeps(environ, start_response):
    start_response('200 OK', [('connection', 'keep-alive'), ('X', 'y')])
    return [b'x']
def own_types(environ, start_response):
    import collections
    class Text(str):
        pass
    pair = collections.namedtuple('Pair', 'name value')
    start_response(Text('200 Fine'), [pair(Text('X'), Text('y')), pair('Content-Length', Text('1'))])
    return [b'x']
def replaced(environ, start_response):
    start_response('200 OK', [('X', '1')])
    try:
        raise ValueError('first')
    except ValueError:
        import sys
        start_response('500 Replaced', [('Y', '2')], sys.exc_info())
    return [b'replaced']
def replaced_too_late(environ, start_response):
    import sys
    start_response('200 OK', [('Content-Length', '10')])
    yield b'hello'
    try:
        raise ValueError('too late')
    except ValueError:
        start_response('500 Replaced', [], sys.exc_info())
    yield b'never'
def whole_file(environ, start_response):
    start(start_response)
    return environ['wsgi.file_wrapper'](open(file.name, 'rb'))
def part_of_a_file(environ, start_response):
    start(start_response, headers=[('Content-Length', '7')])
    opened = open(file.name, 'rb')
    opened.seek(5)
    return environ['wsgi.file_wrapper'](opened, 3)
def not_a_file(environ, start_response):
    start(start_response)
    return environ['wsgi.file_wrapper'](io.BytesIO(big))
def compressed_file(environ, start_response):
    start(start_response)
    with gzip.open(file.name + '.gz', 'wb') as writing:
        writing.write(big)
    return environ['wsgi.file_wrapper'](gzip.open(file.name + '.gz'))
def bz2_file(environ, start_response):
    start(start_response)
    with bz2.open(file.name + '.bz2', 'wb') as writing:
        writing.write(big)
    return environ['wsgi.file_wrapper'](bz2.open(file.name + '.bz2'))
def temporary_file(environ, start_response):
    start(start_response)
    made = tempfile.NamedTemporaryFile()
    made.write(big)
    made.seek(0)
    return environ['wsgi.file_wrapper'](made)
def closed_wrapper(environ, start_response):
    start(start_response)
    class Closed(io.FileIO):
        def close(self):
            if not self.closed:
                closed.append('closed')
            super().close()
    return environ['wsgi.file_wrapper'](Closed(file.name))
def empty_file(environ, start_response):
    start(start_response)
    return environ['wsgi.file_wrapper'](open('/dev/null', 'rb'))
def pipe(environ, start_response):
    start(start_response)
    reading, writing = os.pipe()
    os.write(writing, b'through a pipe')
    os.close(writing)
    return environ['wsgi.file_wrapper'](os.fdopen(reading, 'rb'))
def closing(environ, start_response):
    start(start_response)
    return Closing([b'hello'])
def closing_failed(environ, start_response):
    start(start_response, headers=[('Content-Length', '10')])
    return Closing([b'hello', KeyError('in the middle')])
def closing_unstarted(environ, start_response):
    return Closing([b'hello'])
def closing_str(environ, start_response):
    start(start_response)
    return Closing(['hello'])
def closing_too_long(environ, start_response):
    start(start_response, headers=[('Content-Length', '3')])
    return Closing([b'hello', b'hello'])
def close_fails(environ, start_response):
    start(start_response)
    class Fails(Closing):
        def close(self):
            raise KeyError('close')
    return Fails([b'hello'])

def close_exits(environ, start_response):
    start(start_response)
    class Exits(Closing):
        def close(self):
            raise SystemExit('close')
    return Exits([b'hello'])

def raises(environ, start_response):
    raise KeyError('before')
def raises_after_start(environ, start_response):
    start(start_response)
    raise KeyError('after')
def raises_while_chunked(environ, start_response):
    start(start_response)
    yield b'hello'
    raise KeyError('chunked')
def exits(environ, start_response):
    raise SystemExit(3)
def never_starts(environ, start_response):
    return [b'hello']
def never_starts_empty(environ, start_response):
    return []
def starts_twice(environ, start_response):
    start(start_response)
    start(start_response)
    return [b'hello']
def returns_none(environ, start_response):
    start(start_response)
def returns_str(environ, start_response):
    start(start_response)
    return 'hello'
def returns_bytes(environ, start_response):
    start(start_response)
    return b'hello'
def yields_str(environ, start_response):
    start(start_response)
    yield 'hello'
def list_of_str(environ, start_response):
    start(start_response)
    return ['hello']
def writes_str(environ, start_response):
    start(start_response)('hello')
    return []
def keeps_write(environ, start_response):
    kept.append(start(start_response))
    return [b'hello']
def writes_late(environ, start_response):
    start(start_response)
    try:
        kept.pop()(b'late')
    except AssertionError as error:
        return [str(error).encode()]
def bytes_status(environ, start_response):
    start_response(b'200 OK', [])
    return []
def number_status(environ, start_response):
    start_response(200, [])
    return []
def bare_status(environ, start_response):
    start_response('200', [])
    return []
def interim_status(environ, start_response):
    start_response('101 Switching Protocols', [])
    return []
def broken_status(environ, start_response):
    start_response('200 OK\\r\\nX: y', [])
    return []
def headers_tuple(environ, start_response):
    start_response('200 OK', (('X', 'y'),))
    return []
def header_list(environ, start_response):
    start_response('200 OK', [['X', 'y']])
    return []
def header_number(environ, start_response):
    start_response('200 OK', [('X', 5)])
    return []
def header_bytes(environ, start_response):
    start_response('200 OK', [('X', b'y')])
    return []
def header_wide(environ, start_response):
    start_response('200 OK', [('X', '\\u20ac')])
    return []
def header_injection(environ, start_response):
    start_response('200 OK', [('X', 'y\\r\\nSet-Cookie: evil')])
    return []
def header_line_feed(environ, start_response):
    start_response('200 OK', [('X', 'y\\nSet-Cookie: evil')])
    return []
def header_null(environ, start_response):
    start_response('200 OK', [('X', 'y\\0')])
    return []
def name_injection(environ, start_response):
    start_response('200 OK', [('X\\r\\nY', 'z')])
    return []
def name_space(environ, start_response):
    start_response('200 OK', [('X Y', 'z')])
    return []
def name_empty(environ, start_response):
    start_response('200 OK', [('', 'z')])
    return []
def hop_by_hop(environ, start_response):
    start_response('200 OK', [('Transfer-encoding', 'chunked')])
    return []
def upgrade(environ, start_response):
    start_response('200 OK', [('Upgrade', 'h2c')])
    return []
def keep_alive(environ, start_response):
    start_response('200 OK', [('Keep-Alive', 'timeout=5')])
    return []
def length_twice(environ, start_response):
    start_response('200 OK', [('Content-Length', '1'), ('content-length', '1')])
    return [b'x']
def length_negative(environ, start_response):
    start_response('200 OK', [('Content-Length', '-1')])
    return [b'x']
def headers_huge(environ, start_response):
    start_response('200 OK', [('X', 'y' * 200000)])
    return [b'x']
def too_long(environ, start_response):
    start(start_response, headers=[('Content-Length', '5')])
    return [b'hello world']
def too_long_in_parts(environ, start_response):
    start(start_response, headers=[('Content-Length', '5')])
    return iter([b'hel', b'lo', b' world'])
def too_short(environ, start_response):
    start(start_response, headers=[('Content-Length', '50')])
    return [b'hello']

def application(environ, start_response):
    path = environ['PATH_INFO'][1:]
    if path == 'closed':
        start_response('200 OK', [])
        count = len(closed)
        closed.clear()
        return [b'%d' % count]
    return globals()[path](environ, start_response)
"""
BIG = b"0123456789abcdef" * 65536


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(APPLICATIONS) as running:
        yield running


@pytest.fixture(scope="module")
def quiet() -> Iterator[Serving]:
    """One that has nothing to log."""
    with serving(APPLICATIONS) as running:
        yield running
    assert running.log == ""


def ask(server: Serving, path: str, method: str = "GET", version: str = "1.1") -> tuple[bytes, Answer]:
    """The answer on a connection of its own, its head as it came."""
    data = server.ask(f"{method} /{path} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    (answer,) = answers(data, method)
    return data.partition(b"\r\n\r\n")[0] + b"\r\n", answer


def two_requests(path: str, method: str = "GET") -> bytes:
    """One for the path, and another that is the last on the connection."""
    first = f"{method} /{path} HTTP/1.1\r\nHost: a\r\n\r\n"
    return f"{first}GET /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()


WHOLE = {
    "one": b"hello",
    "none": b"",
    "two": b"hello",
    "pair": b"hello",
    "large": BIG + b"end",
    "declared": b"hello",
    "written_declared": b"hello!",
    "whole_file": BIG,
    "temporary_file": BIG,
    "part_of_a_file": BIG[5:12],
}
OPEN_ENDED = {
    "generated": b"hello",
    "generated_late": b"hello",
    "generated_large": BIG * 4,
    "written": b"hello!",
    "not_a_file": BIG,
    "compressed_file": BIG,
    "bz2_file": BIG,
    "closing": b"hello",
    "pipe": b"through a pipe",
}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("path", WHOLE)
def test_a_body_of_known_length_is_sent_with_its_length(quiet: Serving, path: str, version: str) -> None:
    _, answer = ask(quiet, path, version=version)
    assert (answer.status, answer.reason, answer.body) == (200, "OK", WHOLE[path])
    assert answer.headers["content-length"] == str(len(WHOLE[path]))
    assert "transfer-encoding" not in answer.headers


@pytest.mark.parametrize("path", OPEN_ENDED)
def test_a_body_of_unknown_length_is_sent_in_chunks(quiet: Serving, path: str) -> None:
    _, answer = ask(quiet, path)
    assert (answer.status, answer.body) == (200, OPEN_ENDED[path])
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("path", OPEN_ENDED)
def test_to_http_1_0_it_is_ended_by_closing_the_connection(quiet: Serving, path: str) -> None:
    request = f"GET /{path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode()
    head, _, body = quiet.ask(request).partition(b"\r\n\r\n")
    assert body == OPEN_ENDED[path]
    assert b"Connection: close" in head and b"Transfer-Encoding" not in head


@pytest.mark.parametrize("path", [*WHOLE, *OPEN_ENDED])
def test_head_has_no_body_and_the_connection_goes_on(quiet: Serving, path: str) -> None:
    data = quiet.ask(two_requests(path, "HEAD"))
    first, second = answers(data, "HEAD", "GET")
    assert (first.status, first.body, second.body) == (200, b"", b"hello")
    if path in WHOLE and path not in {"none", "empty_file"}:
        assert first.headers["content-length"] == str(len(WHOLE[path]))


@pytest.mark.parametrize("path", [*WHOLE, *OPEN_ENDED])
def test_after_a_whole_response_the_connection_goes_on(quiet: Serving, path: str) -> None:
    data = quiet.ask(two_requests(path))
    first, second = answers(data)
    assert (first.body, second.body) == ((WHOLE | OPEN_ENDED)[path], b"hello")


@pytest.mark.parametrize("path", ["nothing", "unchanged"])
def test_204_and_304_have_no_body_and_the_connection_goes_on(quiet: Serving, path: str) -> None:
    data = quiet.ask(two_requests(path))
    first, second = answers(data)
    assert (first.status, first.body, second.body) == (204 if path == "nothing" else 304, b"", b"hello")
    assert "content-length" not in first.headers and "transfer-encoding" not in first.headers


def test_date_and_server_are_added(quiet: Serving) -> None:
    _, answer = ask(quiet, "one")
    assert answer.headers["server"].startswith("gossamer/")
    assert answer.headers["date"].endswith(" GMT") and len(answer.headers["date"]) == 29


def test_the_applications_own_date_and_server_are_kept(quiet: Serving) -> None:
    head, answer = ask(quiet, "own_date")
    assert head.lower().count(b"\r\ndate:") == head.lower().count(b"\r\nserver:") == 1
    assert (answer.headers["date"], answer.headers["server"]) == ("Thu, 01 Jan 1970 00:00:00 GMT", "mine")


def test_headers_of_one_name_are_sent_in_order(quiet: Serving) -> None:
    assert b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n" in ask(quiet, "twice_the_same")[0]


def test_latin_1_is_sent_as_it_is(quiet: Serving) -> None:
    head, _ = ask(quiet, "latin")
    assert head.startswith(b"HTTP/1.1 200 Sch\xf6n\r\nX: \xe9\t1\r\n")


def test_an_application_may_ask_for_the_connection_to_be_closed(quiet: Serving) -> None:
    (answer,) = answers(quiet.ask(b"GET /closes HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert answer.headers["connection"] == "close"


def test_that_an_application_wants_to_keep_the_connection_is_the_servers_to_tell(quiet: Serving) -> None:
    first, second = answers(quiet.ask(two_requests("keeps")))
    assert (first.headers["x"], second.body) == ("y", b"hello")
    assert "connection" not in first.headers


def test_status_and_headers_may_be_of_derived_types(quiet: Serving) -> None:
    _, answer = ask(quiet, "own_types")
    assert (answer.reason, answer.headers["x"], answer.body) == ("Fine", "y", b"x")


def test_an_answer_may_be_replaced_before_it_is_sent(quiet: Serving) -> None:
    _, answer = ask(quiet, "replaced")
    assert (answer.status, answer.reason, answer.body, answer.headers["y"]) == (500, "Replaced", b"replaced", "2")
    assert "x" not in answer.headers


def test_nothing_can_be_written_after_the_end_of_the_request(quiet: Serving) -> None:
    ask(quiet, "keeps_write")
    assert ask(quiet, "writes_late")[1].body == b"write() was called after the end of the request"


@pytest.mark.parametrize("path", ["closing", "declared", "unchanged", "closed_wrapper"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_result_is_closed_once(quiet: Serving, path: str, method: str) -> None:
    ask(quiet, "closed")
    ask(quiet, path, method)
    assert ask(quiet, "closed")[1].body == b"1"


def test_the_result_is_closed_when_the_client_goes_away(quiet: Serving, tmp_path: Path) -> None:
    ask(quiet, "closed")
    for _ in range(20):
        with quiet.connect() as client:
            client.sendall(b"GET /generated_large HTTP/1.1\r\nHost: a\r\n\r\n")
            client.recv(10)
    assert ask(quiet, "one")[1].status == 200


@pytest.mark.parametrize("path", ["closing_failed", "closing_unstarted", "closing_str", "closing_too_long"])
def test_the_result_is_closed_once_when_sending_it_fails(path: str) -> None:
    with serving(APPLICATIONS) as server:
        server.ask(f"GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        assert ask(server, "closed")[1].body == b"1"


# ---- mistakes

MISTAKES = {
    "raises": "KeyError: 'before'",
    "raises_after_start": "KeyError: 'after'",
    "exits": "SystemExit: 3",
    "never_starts": "has not called start_response()",
    "never_starts_empty": "has not called start_response()",
    "starts_twice": "start_response() was called before",
    "returns_none": "'NoneType' object is not iterable",
    "returns_str": "must be an iterable of bytes, not of str",
    "returns_bytes": "must be an iterable of bytes, not of int",
    "yields_str": "must be an iterable of bytes, not of str",
    "list_of_str": "must be an iterable of bytes, not of str",
    "writes_str": "write() takes bytes, not str",
    "bytes_status": "the status must be a str, not bytes",
    "number_status": "the status must be a str, not int",
    "bare_status": "the status must be like '200 OK', not '200'",
    "interim_status": "is no final status",
    "broken_status": "the status must be like '200 OK'",
    "headers_tuple": "the headers must be a list, not tuple",
    "header_list": "each header must be a tuple",
    "header_number": "the value of X must be a str, not int",
    "header_bytes": "the value of X must be a str, not bytes",
    "header_wide": "characters that Latin-1 has not",
    "header_injection": "has a line break",
    "header_line_feed": "has a line break",
    "header_null": "has a line break or another control character",
    "name_injection": "cannot be a header's name",
    "name_space": "cannot be a header's name",
    "name_empty": "cannot be a header's name",
    "hop_by_hop": "an application cannot set it",
    "upgrade": "an application cannot set it",
    "keep_alive": "an application cannot set it",
    "length_twice": "Content-Length is given twice",
    "length_negative": "not a number of bytes: '-1'",
    "headers_huge": "the headers are larger than",
}


@pytest.mark.parametrize("path", MISTAKES)
def test_a_mistake_of_the_application_is_answered_with_500_and_logged_with_its_traceback(path: str) -> None:
    with serving(APPLICATIONS) as server:
        data = server.ask(two_requests(path))
        first, second = answers(data)
        assert (first.status, first.reason, second.body) == (500, "Internal Server Error", b"hello")
        assert b"evil" not in data
        log = server.stop()
    assert f"gossamer: GET /{path}: the application failed\nTraceback (most recent call last):\n" in log
    assert MISTAKES[path] in log
    assert log.count("Traceback") == 1


@pytest.mark.parametrize("path", ["raises_while_chunked", "replaced_too_late", "closing_failed", "too_short"])
def test_a_response_that_fails_half_way_is_cut_short_so_that_the_client_can_tell(path: str) -> None:
    with serving(APPLICATIONS) as server:
        data = server.ask(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 2)
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"hello" in body
        assert not body.endswith(b"0\r\n\r\n") and b"HTTP/1.1" not in body
        assert ask(server, "one")[1].body == b"hello"
        assert f"GET /{path}" in server.stop()


@pytest.mark.parametrize("path", ["too_long", "too_long_in_parts"])
def test_more_than_was_declared_is_not_sent_but_logged(path: str) -> None:
    with serving(APPLICATIONS) as server:
        first, second = answers(server.ask(two_requests(path)))
        assert (first.body, second.body) == (b"hello", b"hello")
        assert "more than its Content-Length of 5 bytes" in server.stop()


@pytest.mark.parametrize(
    ("path", "error"), [("close_fails", "KeyError: 'close'"), ("close_exits", "SystemExit: close")]
)
def test_an_error_of_close_is_logged_and_the_response_stands(path: str, error: str) -> None:
    with serving(APPLICATIONS) as server:
        first, second = answers(server.ask(two_requests(path)))
        assert (first.body, second.body) == (b"hello", b"hello")
        assert error in server.stop()


def test_a_client_that_resets_the_connection_is_nobodys_error(server: Serving) -> None:
    for _ in range(50):
        with server.connect() as client:
            client.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: closing resets
            client.sendall(b"GET /generated_large HTTP/1.1\r\nHost: a\r\n\r\n")
            client.recv(10)
    assert ask(server, "one")[1].body == b"hello"
    assert server.stop() == ""


def test_a_slow_client_gets_all_of_a_large_response(quiet: Serving) -> None:
    with quiet.connect() as client:
        client.setsockopt(1, 8, 65536)  # SO_RCVBUF
        client.sendall(b"GET /generated_large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        (answer,) = answers(read_all(client))
    assert answer.body == BIG * 4
