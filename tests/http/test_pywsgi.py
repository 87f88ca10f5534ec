"""gevent's interface: `gossamer.pywsgi`."""

import io
import logging
import pickle
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gossamer import _core, pywsgi, spawn, wait
from gossamer.event import Event
from gossamer.pool import Pool
from gossamer.pywsgi import Environ, LoggingLogAdapter, SecureEnviron, WSGIHandler, WSGISecureEnviron, WSGIServer
from tests.http.serving import Answer, answers, read_all, read_until
from tests.support.certificates import make_certificates
from tests.support.children import output_of
from tests.support.scale import patience

GET = b"GET /path?query HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


@contextmanager
def running(*arguments: Any, **options: Any) -> Iterator[WSGIServer]:
    """A started server in green threads of this one, which has to leave no connection."""
    server = WSGIServer(("127.0.0.1", 0), *arguments, **{"log": None, **options})
    server.start()
    try:
        yield server
    finally:
        server.stop(0.5)
        assert server.stats()["connections"] == 0


def ask(server: WSGIServer, request: bytes = GET) -> Answer:
    with socket.create_connection(("127.0.0.1", server.server_port), patience(30)) as client:
        client.sendall(request)
        return answers(read_all(client))[0]


def test_an_application_is_served_on_an_address() -> None:
    with running(hello) as server:
        assert ask(server).body == b"hello"
        assert server.started and server.server_port == server.address[1] and server.server_host == "127.0.0.1"
    assert server.closed and not server.started


def test_an_application_is_served_on_a_socket() -> None:
    server = WSGIServer(socket.create_server(("127.0.0.1", 0)), hello, log=None)
    server.start()
    assert ask(server).status == 200
    server.stop()


def test_a_line_for_each_request_is_logged() -> None:
    log = io.StringIO()
    with running(hello, log=log) as server:
        ask(server)
        ask(server, b"nonsense\r\n\r\n")
    first, second = log.getvalue().splitlines()
    stamp = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]"
    assert re.fullmatch(rf'127\.0\.0\.1 - - {stamp} "GET /path\?query HTTP/1\.1" 200 5 0\.\d{{6}}', first)
    assert re.fullmatch(rf'127\.0\.0\.1 - - {stamp} "- -" 400 \d+ \d\.\d{{6}}', second)


def test_logs_may_be_loggers(caplog: pytest.LogCaptureFixture) -> None:
    port = ""

    def fails(environ: dict[str, Any], start_response: object) -> list[bytes]:
        nonlocal port
        port = environ["REMOTE_PORT"]
        environ["wsgi.errors"].write("from the application\n")
        raise KeyError("on purpose")

    logger = logging.getLogger("pywsgi test")
    with caplog.at_level(logging.INFO, "pywsgi test"), running(fails, log=logger, error_log=logger) as server:
        assert ask(server).status == 500
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors[0] == "from the application"
    shown = {"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": port, "HTTP_HOST": "a"}
    assert errors[1].endswith(f"KeyError: 'on purpose'\n{shown}")
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert '"GET /path?query HTTP/1.1" 500 ' in line


def test_a_log_that_is_none_may_be_written_to(capfd: pytest.CaptureFixture[str]) -> None:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["wsgi.errors"].write("lost")
        environ["wsgi.errors"].flush()
        raise KeyError("lost as well")

    with running(application, error_log=None) as server:
        assert ask(server).status == 500
        server.log.write("lost")
        server.error_log.writelines(["lost"])
    assert capfd.readouterr() == ("", "")


def test_an_adapter_lets_loggers_be_written_to(caplog: pytest.LogCaptureFixture) -> None:
    adapter = LoggingLogAdapter(logging.getLogger("adapter test"), logging.WARNING)
    adapter.write("text %s\n")
    adapter.write("\n")
    adapter.writelines(["one", "two"])
    adapter.flush()
    assert [record.getMessage() for record in caplog.records] == ["text %s", "one", "two"]
    assert adapter.name == "adapter test"
    adapter.thing = 42
    assert vars(logging.getLogger("adapter test"))["thing"] == 42
    del adapter.thing
    assert not hasattr(adapter, "thing")


def test_an_adapter_needs_no_more_of_a_logger_than_a_level_and_a_text() -> None:
    class Plain:
        def __init__(self) -> None:
            self.lines: list[tuple[int, str]] = []

        def log(self, level: int, text: str) -> None:
            self.lines.append((level, text))

    plain: Any = Plain()
    LoggingLogAdapter(plain).write("50 % done\n")
    assert plain.lines == [(logging.INFO, "50 % done")]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_environment_is_a_dict(protocol: int) -> None:
    read = pickle.loads(pickle.dumps(WSGISecureEnviron({"PATH_INFO": "/"}), protocol))
    assert (type(read), read) == (dict, {"PATH_INFO": "/"})


def pieces(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    write = start_response("200 OK", [])
    path = environ["PATH_INFO"]
    if path == "/written":
        write(bytearray(b"one"))
        write(memoryview(b", two"))
        return []
    result = [bytearray(b"one"), memoryview(b", t"), b"wo"]
    return result if path == "/list" else iter(result)


@pytest.mark.parametrize("path", ["list", "iterator", "written"])
def test_a_body_may_be_of_bytearrays_and_memoryviews(path: str) -> None:
    with running(pieces) as server:
        assert ask(server, GET.replace(b"path", path.encode())).body == b"one, two"


def test_entries_are_added_to_the_environment() -> None:
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.update(environ)
        return hello(environ, start_response)

    with running(application, environ={"MINE": "yes", "SERVER_NAME": "other"}) as server:
        ask(server)
        assert server.get_environ()["MINE"] == "yes"
    assert (seen["MINE"], seen["SERVER_NAME"], seen["PATH_INFO"]) == ("yes", "other", "/path")


def test_a_handler_class_may_change_the_environment_and_the_log() -> None:
    lines: list[str] = []

    class Handler(WSGIHandler):
        def get_environ(self) -> dict[str, Any]:
            return {**super().get_environ(), "HANDLER": f"{type(self).__name__} {self.path}"}

        def log_request(self) -> None:
            lines.append(f"{self.client_address[0]} {self.requestline} {self.status!r} {self.response_length}")

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["HANDLER"].encode()]

    with running(application, handler_class=Handler, log=io.StringIO()) as server:
        assert ask(server).body == b"Handler /path?query"
    assert lines == ["127.0.0.1 GET /path?query HTTP/1.1 '200 OK' 19"]


def test_a_handler_class_may_take_the_errors() -> None:
    errors: list[str] = []

    class Handler(WSGIHandler):
        def log_error(self, msg: str, *args: Any) -> None:
            errors.append(f"{self.environ['PATH_INFO']} {msg % args if args else msg}")

    def fails(environ: dict[str, Any], start_response: object) -> list[bytes]:
        raise KeyError("100 % on purpose")

    with running(fails, handler_class=Handler) as server:
        assert ask(server).status == 500
    (error,) = errors
    assert error.startswith("/path ") and "KeyError: '100 % on purpose'" in error


def test_a_handler_class_may_detach_the_connection_as_ws4py_does() -> None:
    class Handler(WSGIHandler):
        def run_application(self) -> None:
            connection = self.socket
            self.result = self.server.application(self.environ, self.start_response)
            self.process_result()
            self.socket = None
            self.rfile.close()
            while data := connection.recv(100):
                connection.sendall(data.upper())
            connection.close()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("101 Switching Protocols", [("Upgrade", "echo"), ("Connection", "Upgrade")])
        return [b"welcome"]

    with running(application, handler_class=Handler) as server:
        with socket.create_connection(("127.0.0.1", server.server_port), patience(30)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
            assert read_until(client, b"welcome").startswith(b"HTTP/1.1 101 ")
            client.sendall(b"one")
            assert read_until(client, b"ONE") == b"ONE"
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""


def test_a_server_is_gevents_under_the_alias() -> None:
    program = """
import gossamer.compat; gossamer.compat.install()
from gevent import monkey, spawn; monkey.patch_all()
from gevent.pywsgi import WSGIServer
import gevent.pywsgi, gossamer.pywsgi, urllib.request
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'hello']
server = WSGIServer(('127.0.0.1', 0), application, log=None)
server.start()
with urllib.request.urlopen(f'http://127.0.0.1:{server.server_port}/') as answer:
    print(answer.read(), gevent.pywsgi is gossamer.pywsgi)
server.stop()
"""
    assert output_of(program) == "b'hello' True\n"


def test_connections_may_be_limited_by_a_pool() -> None:
    inside = most = 0

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        _core.sleep(0.01)
        inside -= 1
        return hello(environ, start_response)

    with running(application, spawn=Pool(2)) as server:
        clients = [_core.spawn(ask, server) for _ in range(10)]
        for client in clients:
            client.join()
        assert [client.value.body for client in clients] == [b"hello"] * 10
    assert most == 2


def test_tls_is_served(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    schemes = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        schemes.append(environ["wsgi.url_scheme"])
        return hello(environ, start_response)

    with running(application, certfile=certificates.server) as server:
        plain = socket.create_connection(("127.0.0.1", server.server_port), patience(30))
        with certificates.for_client().wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(GET)
            assert answers(read_all(client))[0].body == b"hello"
    assert schemes == ["https"]


def test_stopping_closes_idle_connections_and_lets_requests_finish() -> None:
    entered = _core.WaitQueue()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        entered.unpark()
        _core.sleep(0.2)
        return hello(environ, start_response)

    server = WSGIServer(("127.0.0.1", 0), slow, log=None)
    server.start()
    with socket.create_connection(("127.0.0.1", server.server_port)) as idle:
        request = _core.spawn(ask, server)
        entered.park(patience(30))
        server.stop(patience(30))
        request.join()
        assert request.value.body == b"hello"
        assert read_all(idle) == b""


def test_serve_forever_ends_when_it_is_stopped() -> None:
    server = WSGIServer(("127.0.0.1", 0), hello, log=None)
    serving = _core.spawn(server.serve_forever)
    _core.sleep(0)
    _core.sleep(0)
    assert ask(server).body == b"hello"
    server.stop()
    serving.join(patience(30))
    assert serving.successful()


@pytest.mark.parametrize("options", [{"log": "wrong"}, {"environ": 5}, {"spawn": "wrong"}, {"application": 5}])
def test_an_argument_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        WSGIServer(("127.0.0.1", 0), **{"application": hello, **options})


def test_environments_print_as_their_types_say() -> None:
    values = {"HTTP_HOST": "a", "HTTP_COOKIE": "secret"}
    assert repr(Environ(values)) == repr(values) and type(Environ(values).copy()) is Environ
    assert "secret" not in repr(SecureEnviron(values)) and "keys: 2" in str(SecureEnviron(values))
    assert repr(WSGISecureEnviron(values)) == "{'HTTP_HOST': 'a'}"
    shown = SecureEnviron(values)
    shown.whitelist_keys = ("HTTP_HOST",)
    assert repr(shown) == "{'HTTP_HOST': 'a', 'HTTP_COOKIE': '<MASKED>'}"
    shown.secure_repr = False
    assert repr(shown) == repr(values)
    with pytest.raises(AttributeError):
        shown.other


def test_a_handler_may_do_something_around_each_response() -> None:
    done: list[object] = []

    class Handler(WSGIHandler):
        def handle_one_response(self) -> None:
            done.append("before")
            super().handle_one_response()
            done.append(("after", self.code, self.command))

    with running(hello, handler_class=Handler) as server:
        assert ask(server).body == b"hello"
    assert done == ["before", ("after", 200, "GET")]


def test_a_handler_is_told_of_errors_and_may_answer_itself() -> None:
    told: list[object] = []

    class Handler(WSGIHandler):
        def handle_error(self, t: Any, v: Any, tb: Any) -> None:
            told.append((t, str(v), tb.tb_frame.f_code.co_name))
            if self.path == "/again":
                super().handle_error(t, v, tb)
            self.start_response("503 Service Unavailable", [])
            self.write(b"later")

    def fails(environ: dict[str, Any], start_response: object) -> list[bytes]:
        raise KeyError("on purpose")

    log = io.StringIO()
    with running(fails, handler_class=Handler, error_log=log) as server:
        answer = ask(server)
        assert (answer.status, answer.body) == (503, b"later")
        assert log.getvalue() == ""
        assert ask(server, GET.replace(b"/path?query", b"/again")).status == 500
    assert told == [(KeyError, "'on purpose'", "handle_one_response")] * 2
    assert "KeyError: 'on purpose'" in log.getvalue()


def test_a_handler_has_the_requests_headers_when_it_logs() -> None:
    logged: list[str] = []

    class Handler(WSGIHandler):
        def log_request(self) -> None:
            logged.append(f"{self.headers.get('x-forwarded-for')} {(self._orig_status or '000').split()[0]}")

    with running(hello, handler_class=Handler) as server:
        ask(server, GET.replace(b"Host: a", b"Host: a\r\nX-Forwarded-For: 192.0.2.1"))
        ask(server, GET.replace(b"Host: a", b"Host: a\r\nContent-Length: x"))
    assert logged == ["192.0.2.1 200", "None 400"]


def test_an_application_that_returns_nothing_has_failed() -> None:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
        start_response("200 OK", [])

    log = io.StringIO()
    with running(application, error_log=log) as server:
        assert ask(server).status == 500
    assert "'NoneType' object is not iterable" in log.getvalue()


def test_a_refused_request_is_logged_with_what_it_asked_for() -> None:
    log = io.StringIO()
    with running(hello, log=log) as server:
        assert ask(server, GET.replace(b"Host: a", b"Host: a\r\nContent-Length: x")).status == 400
    assert '"GET /path?query HTTP/1.1" 400 ' in log.getvalue()


# ---- the steps of a request, overridden

KEPT = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


def exchange(server: WSGIServer, *pieces: bytes) -> bytes:
    """All that comes for the pieces, sent on one connection of which the client ends its side."""
    with socket.create_connection(("127.0.0.1", server.server_port), patience(30)) as client:
        for piece in pieces:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        return read_all(client)


def path_of(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REQUEST_METHOD"].encode(), environ["PATH_INFO"].encode("latin-1"), environ["wsgi.input"].read()]


@pytest.mark.parametrize("name", ["handle_one_request", "read_requestline", "read_request"])
def test_a_step_that_is_overridden_is_taken_for_each_request_of_a_connection(name: str) -> None:
    steps: list[object] = []

    def step(self: WSGIHandler, *arguments: Any) -> Any:
        result = getattr(WSGIHandler, name)(self, *arguments)
        steps.append((arguments, result, self.requestline, self.close_connection))
        return result

    with running(path_of, handler_class=type("Handler", (WSGIHandler,), {name: step})) as server:
        body = b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        data = exchange(server, KEPT % 1 + body + KEPT % 2, GET)
    assert [answer.body for answer in answers(data)] == [b"GET/1", b"POST/posthello", b"GET/2", b"GET/path"]
    assert len(steps) == 4
    first, last = b"GET /1 HTTP/1.1\r\n".decode(), b"GET /path?query HTTP/1.1\r\n".decode()
    if name == "read_requestline":
        assert steps[0] == ((), first, "", False) and steps[3][1] == last  # type: ignore[index]
    elif name == "read_request":
        assert steps[0] == ((first,), True, first, False) and steps[3] == ((last,), True, last, True)
    else:
        assert steps[0] == ((), True, first.strip(), False) and steps[3] == ((), None, last.strip(), True)


def test_a_step_may_be_overridden_in_the_base_class_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[bytes] = []

    def read_requestline(self: WSGIHandler) -> bytes:
        lines.append(self.rfile.readline(8192))
        return lines[-1]

    monkeypatch.setattr(WSGIHandler, "read_requestline", read_requestline)
    with running(hello) as server:
        assert ask(server).body == b"hello"
    assert lines == [GET.partition(b"\n")[0] + b"\n"]


def test_what_is_no_http_may_be_read_in_place_of_the_first_line() -> None:
    class Handler(WSGIHandler):
        def read_requestline(self) -> Any:
            data = self.rfile.read(7)
            if data != b"<policy":
                return data + self.rfile.readline()
            assert self.rfile.read(16) == b"-file-request/>\0"
            self.socket.sendall(b"<cross-domain-policy/>")
            return None

    with running(path_of, handler_class=Handler) as server:
        assert exchange(server, b"<policy-fi", b"le-request/>\0") == b"<cross-domain-policy/>"
        assert ask(server).body == b"GET/path"
        (answer,) = answers(
            exchange(server, b"POST /a HT", b"TP/1.1\r\nHost: a\r\nContent-Length: 2\r\n", b"\r\n", b"hi")
        )
        assert answer.body == b"POST/ahi"


def test_the_first_line_may_be_read_by_another_green_thread_and_be_given_up() -> None:
    stopping = Event()

    class Handler(WSGIHandler):
        def read_requestline(self) -> Any:
            reading = spawn(super().read_requestline)
            wait([stopping, reading], count=1)
            if not stopping.ready():
                return reading.get()
            reading.kill()
            return None

    with running(path_of, handler_class=Handler) as server:
        with socket.create_connection(("127.0.0.1", server.server_port), patience(30)) as client:
            client.sendall(KEPT % 1)
            assert read_until(client, b"GET/1").startswith(b"HTTP/1.1 200 ")
            stopping.set()
            assert read_all(client) == b""


def test_a_request_may_be_changed_before_it_is_read() -> None:
    class Handler(WSGIHandler):
        def read_request(self, raw_requestline: str) -> bool:
            return super().read_request(raw_requestline.strip().replace("/path", "/other"))

    with running(path_of, handler_class=Handler) as server:
        assert ask(server).body == b"GET/other"


def test_a_handler_may_refuse_a_request() -> None:
    log, errors = io.StringIO(), io.StringIO()

    class Handler(WSGIHandler):
        def read_request(self, raw_requestline: str) -> bool:
            if "/false" in raw_requestline:
                return False
            if "/error" in raw_requestline:
                raise ValueError("not with me")
            return super().read_request(raw_requestline)

        def handle_one_request(self) -> Any:
            if self.server.environ["TEAPOT"]:
                return "418 Teapot", b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n"
            return super().handle_one_request()

    environ = {"TEAPOT": False}
    with running(hello, handler_class=Handler, log=log, error_log=errors, environ=environ) as server:
        assert ask(server, b"GET /false HTTP/1.1\r\nHost: a\r\n\r\n").status == 400
        assert ask(server, b"GET /error HTTP/1.1\r\nHost: a\r\n\r\n").status == 400
        assert ask(server, b"nonsense\r\n\r\n").status == 400
        server.environ["TEAPOT"] = True
        assert ask(server).status == 418
    assert "not with me" in errors.getvalue()
    assert re.findall(r'" (\d+) ', log.getvalue()) == ["400", "400", "400", "418"]


@pytest.mark.parametrize("where", ["read_request", "handle_one_response", "start_response"])
def test_a_handler_may_close_the_connection(where: str) -> None:
    def closing(self: WSGIHandler, *arguments: Any) -> Any:
        result = getattr(WSGIHandler, where)(self, *arguments)
        self.close_connection = True
        return result

    with running(path_of, handler_class=type("Handler", (WSGIHandler,), {where: closing})) as server:
        (answer,) = answers(exchange(server, KEPT % 1 + KEPT % 2))
    assert answer.body == b"GET/1"
    assert where == "handle_one_response" or answer.headers["connection"] == "close"


def test_a_response_is_sent_by_the_method_that_processes_the_result() -> None:
    order: list[str] = []

    class Handler(WSGIHandler):
        def process_result(self) -> None:
            if self.path == "/1":
                super().process_result()
            else:
                for data in self.result or ():
                    self.write(data.upper())
            order.append(f"sent {self.headers_sent}")

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one "
        yield b"two"
        order.append("read")

    with running(application, handler_class=Handler) as server:
        first, second = answers(exchange(server, KEPT % 1 + KEPT % 2))
    assert (first.body, second.body) == (b"one two", b"ONE TWO")
    assert order == ["read", "sent True"] * 2


def test_headers_may_be_changed_before_they_are_sent() -> None:
    class Handler(WSGIHandler):
        def finalize_headers(self) -> None:
            super().finalize_headers()
            self.response_headers = [header for header in self.response_headers if header[0] != b"X-Secret"]
            self.response_headers.append((b"X-Added", b"%d" % (self.code or 0)))

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("X-Secret", "1"), ("X-Kept", "2")])
        return [b"hello"]

    with running(application, handler_class=Handler) as server:
        for answer in answers(exchange(server, KEPT % 1 + KEPT % 2)):
            assert (answer.headers["x-kept"], answer.headers["x-added"]) == ("2", "200")
            assert answer.headers["content-length"] == "5" and "x-secret" not in answer.headers


def test_headers_that_cannot_be_sent_fail_as_an_applications_do() -> None:
    class Handler(WSGIHandler):
        def finalize_headers(self) -> None:
            self.response_headers.append((b"X-Bad", b"two\r\nlines"))

    log = io.StringIO()
    with running(hello, handler_class=Handler, error_log=log) as server:
        assert ask(server).status == 500
    assert "the value of X-Bad has a line break" in log.getvalue()


def test_who_overrides_what_nothing_calls_is_warned() -> None:
    with pytest.warns(RuntimeWarning, match="Handler overrides MessageClass, _sendall, which nothing calls here"):
        type("Handler", (WSGIHandler,), {"_sendall": None, "MessageClass": None})


def test_who_answers_a_request_that_the_base_class_has_not_read_is_told() -> None:
    class Handler(WSGIHandler):
        def handle_one_request(self) -> Any:
            self.requestline = self.read_requestline() or ""
            self.read_request(self.requestline)
            with pytest.raises(RuntimeError, match="calls the base class's"):
                self.handle_one_response()
            return "200 OK", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    with running(hello, handler_class=Handler) as server:
        assert ask(server).status == 200


def test_a_connection_of_overridden_steps_ends_when_the_server_stops() -> None:
    class Handler(WSGIHandler):
        def read_requestline(self) -> Any:
            return super().read_requestline()

    with running(hello, handler_class=Handler) as server:
        clients = [socket.create_connection(("127.0.0.1", server.server_port), patience(30)) for _ in range(2)]
        clients[1].sendall(KEPT % 1)
        read_until(clients[1], b"hello")
        server.stop(patience(30))
        assert [read_all(client) for client in clients] == [b"", b""]
        for client in clients:
            client.close()


def test_the_longest_first_line_is_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    def line(size: int) -> bytes:
        return b"GET /" + b"a" * (size - 16) + b" HTTP/1.1\r\n"

    rest = b"Host: a\r\nConnection: close\r\n\r\n"
    for most in (pywsgi.MAX_REQUEST_LINE, 100, 200000):
        monkeypatch.setattr(pywsgi, "MAX_REQUEST_LINE", most)
        for handler in (WSGIHandler, type("Handler", (WSGIHandler,), {"read_request": _read_request})):
            with running(hello, handler_class=handler) as server:
                assert ask(server, line(most) + rest).status == 200
                assert ask(server, line(most + 1) + rest).status == 414


def _read_request(self: WSGIHandler, raw_requestline: str) -> bool:
    return WSGIHandler.read_request(self, raw_requestline)
