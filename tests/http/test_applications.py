"""Real applications and real clients: wsgiref's validator, Flask, http.client, requests, urllib3."""

import http.client
import resource
import selectors
import socket
import time
from collections.abc import Iterator

import pytest
import requests
import urllib3

from tests.http.serving import Serving, answers, read_all, serving
from tests.support.scale import patience, scaled

VALIDATED = """
import wsgiref.util
from wsgiref.validate import validator

@validator
def application(environ, start_response):
    path = environ['PATH_INFO']
    body = environ['wsgi.input']
    wsgiref.util.request_uri(environ)
    if path == '/file':
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return environ['wsgi.file_wrapper'](open(os.devnull, 'rb'))
    if path == '/empty':
        start_response('204 No Content', [])
        return []
    if path == '/error':
        try:
            raise ValueError
        except ValueError:
            start_response('500 Oh', [('Content-Type', 'text/plain')], sys.exc_info())
        return [b'oh']
    if path == '/write':
        write = start_response('200 OK', [('Content-Type', 'text/plain')])
        write(b'written')
        return []
    data = body.read(3) + body.readline() + b''.join(body.readlines()) + b''.join(body)
    environ['wsgi.errors'].flush()
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return iter([b'read: ', data])
"""


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_wsgirefs_validator_finds_nothing() -> None:
    with serving(VALIDATED) as server:
        for path, method, body in [
            ("/", "GET", b""),
            ("/?query", "POST", b"hello\nworld\nand more"),
            ("/", "PUT", b"x"),
            ("/file", "GET", b""),
            ("/empty", "GET", b""),
            ("/write", "GET", b""),
            ("/error", "GET", b""),
            ("/", "HEAD", b""),
            ("/", "OPTIONS", b""),
        ]:
            head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            (answer,) = answers(server.ask(head.encode() + body), method)
            assert answer.status == {"/error": 500, "/empty": 204}.get(path, 200)
            if method in {"POST", "PUT"}:
                assert answer.body == b"read: " + body
        assert server.stop() == ""


FLASK = """
from flask import Flask, Response, abort, request, send_file, session, stream_with_context
app = application = Flask(__name__)
app.secret_key = 'secret'

@app.get('/')
def index():
    return 'hello ' + request.args.get('name', 'world')
@app.post('/json')
def echo():
    return {'got': request.get_json(), 'chunked': request.headers.get('Transfer-Encoding', '')}
@app.post('/upload')
def upload():
    file = request.files['file']
    return {'name': file.filename, 'size': len(file.read()), 'field': request.form['field']}
@app.get('/stream')
def stream():
    return Response(stream_with_context(f'{number}\\n' for number in range(1000)), mimetype='text/plain')
@app.get('/file')
def download():
    return send_file(__import__('os').__file__, mimetype='text/plain', conditional=True)
@app.get('/count')
def count():
    session['count'] = session.get('count', 0) + 1
    return str(session['count'])
@app.get('/fail')
def fail():
    raise ValueError('on purpose')
@app.get('/slow')
def slow():
    time.sleep(0.5)
    return 'slow ' + request.args['number']
"""


@pytest.fixture(scope="module")
def flask() -> Iterator[Serving]:
    with serving(FLASK) as running:
        yield running


def test_flask_by_requests(flask: Serving) -> None:
    url = f"http://127.0.0.1:{flask.port}"
    with requests.Session() as session:
        assert session.get(url + "/", params={"name": "ü&"}).text == "hello ü&"
        assert session.post(url + "/json", json={"a": [1]}).json() == {"got": {"a": [1]}, "chunked": ""}
        chunked = session.post(url + "/json", data=iter([b"[1,", b" 2]"]), headers={"Content-Type": "application/json"})
        assert chunked.json() == {"got": [1, 2], "chunked": "chunked"}
        upload = session.post(url + "/upload", files={"file": ("f", b"x" * 1_000_000)}, data={"field": "y"})
        assert upload.json() == {"name": "f", "size": 1_000_000, "field": "y"}
        assert session.get(url + "/stream").text.splitlines() == [str(number) for number in range(1000)]
        assert "import" in session.get(url + "/file").text
        part = session.get(url + "/file", headers={"Range": "bytes=10-19"})
        assert (part.status_code, len(part.content)) == (206, 10)
        assert [session.get(url + "/count").text for _ in range(3)] == ["1", "2", "3"]
        assert session.get(url + "/nowhere").status_code == 404
        assert session.get(url + "/fail").status_code == 500
        assert session.head(url + "/").headers["content-length"] == str(len("hello world"))
        assert session.options(url + "/").status_code == 200


def test_flask_by_urllib3(flask: Serving) -> None:
    with urllib3.PoolManager(retries=False) as pool:
        url = f"http://127.0.0.1:{flask.port}"
        for number in range(50):
            assert pool.request("GET", f"{url}/?name={number}").data == f"hello {number}".encode()
        streamed = pool.request("GET", f"{url}/stream", preload_content=False)
        assert len(list(streamed.stream(10))) > 1
        streamed.release_conn()


def test_flask_by_http_client(flask: Serving) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", flask.port, timeout=patience(30))
    for number in range(10):
        connection.request("GET", f"/?name={number}")
        assert connection.getresponse().read() == f"hello {number}".encode()
    connection.request("POST", "/json", iter([b"{", b"}"]), {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()


def test_a_thousand_slow_requests_overlap(flask: Serving) -> None:
    count = scaled(1000, 100)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    waiting = selectors.DefaultSelector()
    began = time.monotonic()
    try:
        for number in range(count):
            client = socket.create_connection(("127.0.0.1", flask.port), patience(30))
            client.sendall(f"GET /slow?number={number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            waiting.register(client, selectors.EVENT_READ, (number, []))
        right = 0
        while waiting.get_map():
            for key, _ in waiting.select():
                assert isinstance(key.fileobj, socket.socket)
                number, parts = key.data
                parts.append(key.fileobj.recv(65536))
                if not parts[-1]:
                    waiting.unregister(key.fileobj)
                    key.fileobj.close()
                    right += answers(b"".join(parts))[0].body == f"slow {number}".encode()
        took = time.monotonic() - began
    finally:
        waiting.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert right == count
    # one after another would take half a second each
    assert took < count * 0.5 / 10


def test_bytes_of_an_applications_own_class_are_sent() -> None:
    source = """
    class Own(bytes):
        def __len__(self):
            return 1000
        def __bytes__(self):
            return b'something else'

    def application(environ, start_response):
        write = start_response('200 OK', [])
        if environ['PATH_INFO'] == '/write':
            write(Own(b'hello'))
            return []
        if environ['PATH_INFO'] == '/iterator':
            return iter([Own(b'hel'), Own(b'lo')])
        if environ['PATH_INFO'] == '/list':
            return [Own(b'hel'), b'lo']
        return [Own(b'hello')]
    """
    with serving(source) as server:
        for path in ("/", "/list", "/iterator", "/write"):
            assert (server.get(path).status, server.get(path).body) == (200, b"hello")


def test_a_list_that_is_changed_while_it_is_sent_is_sent_as_it_was() -> None:
    source = """
    pieces = []

    def application(environ, start_response):
        start_response('200 OK', [])
        if environ['PATH_INFO'] == '/change':
            pieces[:] = []
            return []
        pieces[:] = [b'x' * 4_000_000, b'y' * 4_000_000]
        return pieces
    """
    with serving(source) as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        head = client.recv(1000)
        assert server.get("/change").status == 200
        answer = answers(head + read_all(client))[0]
        assert (len(answer.body), answer.body[-1:]) == (8_000_000, b"y")


def test_a_body_that_somebody_keeps_ends_when_its_request_is_killed() -> None:
    source = """
    kept = []

    def application(environ, start_response):
        if environ['REQUEST_METHOD'] == 'POST':
            kept.append(environ['wsgi.input'])
            raise _core.GreenletExit
        start_response('200 OK', [])
        return [repr(kept[0].read()).encode()]
    """
    with serving(source) as server:
        assert server.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello") == b""
        assert server.get().body == b"b''"
