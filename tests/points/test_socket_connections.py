"""accept and connect, and what the standard library builds of them."""

import errno
import http.client
import http.server
import io
import os
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gossamer._core import GreenThread, get_hub, interrupt, sleep, spawn
from tests.support.runtime import in_thread, joined, turns, until
from tests.support.scale import scaled


@pytest.fixture(autouse=True)
def _points() -> None:
    get_hub()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as it:
        yield it


def refused_address() -> tuple[str, int]:
    with socket.create_server(("127.0.0.1", 0)) as it:
        address: tuple[str, int] = it.getsockname()
        return address


def serve(listener: socket.socket, handle: Callable[[socket.socket], object]) -> GreenThread:
    """Handle each connection in a green thread of its own until the listener is shut down or closed."""

    def loop() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            spawn(handle, connection)

    return spawn(loop)


def echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(1000):
            connection.sendall(data)


def test_accept_waits_while_others_go_on(listener: socket.socket) -> None:
    acceptor = spawn(listener.accept)
    turns()
    assert not acceptor.ready()
    with socket.create_connection(listener.getsockname()) as client:
        connection, address = joined(acceptor)[0]
        with connection:
            assert address == client.getsockname()


def test_many_that_accept_on_one_listener_get_one_connection_each(listener: socket.socket) -> None:
    acceptors = [spawn(listener.accept) for _ in range(30)]
    turns()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(30)]
    served = [connection for connection, _ in joined(*acceptors)]
    assert {it.getpeername() for it in served} == {it.getsockname() for it in clients}
    for it in (*served, *clients):
        it.close()


def test_an_acceptor_that_is_interrupted_does_not_take_a_connection_along(listener: socket.socket) -> None:
    acceptors = [spawn(listener.accept) for _ in range(3)]
    turns()
    with socket.create_connection(listener.getsockname()):
        assert interrupt(acceptors[0], KeyError())
        until(lambda: any(it.value for it in acceptors))
        interrupt(acceptors[1], KeyError())
        interrupt(acceptors[2], KeyError())
        joined(*acceptors)
        [connection] = [it.value[0] for it in acceptors if it.value]
        connection.close()


@pytest.mark.parametrize("timeout", [0.01, 0.0])
def test_accept_of_a_listener_that_does_not_wait_for_ever(listener: socket.socket, timeout: float) -> None:
    listener.settimeout(timeout)
    with pytest.raises(TimeoutError if timeout else BlockingIOError) as error:
        listener.accept()
    assert error.value.args == (("timed out",) if timeout else (11, "Resource temporarily unavailable"))
    assert listener.gettimeout() == timeout
    with socket.create_connection(listener.getsockname()):
        listener.settimeout(None)
        listener.accept()[0].close()


def test_an_accept_with_a_timeout_waits_in_green_though_a_duplicate_blocks(listener: socket.socket) -> None:
    listener.settimeout(60)
    accepted: list[socket.socket] = []
    with listener.dup() as duplicate:
        duplicate.settimeout(None)
        acceptor = spawn(lambda: accepted.append(listener.accept()[0]))
        turns()
        with socket.create_connection(listener.getsockname()):
            until(acceptor.ready)
            accepted.pop().close()
        assert os.get_blocking(listener.fileno())


def test_settimeout_between_two_accepts_changes_nothing(listener: socket.socket) -> None:
    for timeout in (None, 30, None, None, 30):
        listener.settimeout(timeout)
        acceptor = spawn(listener.accept)
        turns()
        assert not acceptor.ready()
        with socket.create_connection(listener.getsockname()):
            joined(acceptor)[0][0].close()


def test_accepted_sockets_block_by_their_own_timeout(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.gettimeout() is None
            assert os.get_blocking(connection.fileno())


def test_a_listener_that_is_shut_down_wakes_those_who_accept(listener: socket.socket) -> None:
    acceptors = [spawn(listener.accept) for _ in range(3)]
    turns()
    listener.shutdown(socket.SHUT_RDWR)
    until(lambda: all(it.ready() for it in acceptors))
    assert {getattr(it.exception, "errno", None) for it in acceptors} == {errno.EINVAL}


# ---- connect ----


@pytest.mark.parametrize("timeout", [None, 30])
def test_connecting_to_nobody_is_refused(timeout: float | None) -> None:
    with socket.socket() as client:
        client.settimeout(timeout)
        with pytest.raises(ConnectionRefusedError) as error:
            client.connect(refused_address())
        assert error.value.args == (111, "Connection refused")
        assert client.gettimeout() == timeout
        assert os.get_blocking(client.fileno()) is (timeout is None)


@pytest.mark.parametrize("timeout", [None, 30])
def test_connecting_again_and_again_gives_what_it_gives_in_a_native_thread(
    listener: socket.socket, timeout: float | None
) -> None:
    def attempts() -> list[int]:
        with socket.socket() as client:
            client.settimeout(timeout)
            addresses = [refused_address(), refused_address(), *[listener.getsockname()] * 4]
            return [client.connect_ex(address) for address in addresses]

    assert joined(spawn(attempts)) == [in_thread(attempts)]


def test_a_socket_whose_connection_was_refused_can_be_connected_again(listener: socket.socket) -> None:
    with socket.socket() as client:
        assert client.connect_ex(refused_address()) == errno.ECONNREFUSED
        assert client.connect_ex(listener.getsockname()) == 0
        server = serve(listener, echo)
        client.sendall(b"again")
        assert client.recv(10) == b"again"
        listener.close()
        joined(server)


def crowded(listener: socket.socket) -> list[socket.socket]:
    """Fill the listener's backlog: the next connection has to wait."""
    clients = []
    while True:
        client = socket.socket(listener.family)
        client.setblocking(False)
        number = client.connect_ex(listener.getsockname())
        clients.append(client)
        if number == errno.EAGAIN:
            return clients
        if number == errno.EINPROGRESS:
            sleep(0.02)
            if client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and not connected(client):
                return clients


def connected(client: socket.socket) -> bool:
    try:
        client.getpeername()
    except OSError:
        return False
    return True


def test_a_connection_that_nobody_takes_times_out() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        crowd = crowded(listener)
        with socket.socket() as client:
            client.settimeout(0.02)
            with pytest.raises(TimeoutError) as error:
                client.connect(listener.getsockname())
            assert error.value.args == ("timed out",)
        with socket.socket() as client:
            client.settimeout(0.02)
            assert client.connect_ex(listener.getsockname()) == errno.EWOULDBLOCK
        with socket.socket() as client:
            waiting = spawn(client.connect, listener.getsockname())
            sleep(0.02)
            assert not waiting.ready()
            interrupt(waiting, KeyError("enough"))
            until(waiting.ready)
            assert isinstance(waiting.exception, KeyError)
        for it in crowd:
            it.close()


def test_connecting_to_a_unix_listener_whose_backlog_is_full_waits_for_room(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "listener"))
        listener.listen(0)
        crowd = crowded(listener)
        with socket.socket(socket.AF_UNIX) as client:
            waiting = spawn(client.connect, str(tmp_path / "listener"))
            sleep(0.01)
            assert not waiting.ready()
            for _ in range(len(crowd) - 1):
                listener.accept()[0].close()
            joined(waiting)
            assert waiting.exception is None
        with socket.socket(socket.AF_UNIX) as missing, pytest.raises(FileNotFoundError):
            missing.connect(str(tmp_path / "missing"))
        for it in crowd:
            it.close()


def test_a_name_that_does_not_exist_is_the_error_of_the_resolver() -> None:
    with socket.socket() as client, pytest.raises(socket.gaierror):
        client.connect(("no.such.name.invalid.", 1))


def test_a_socket_that_does_not_block_is_told_that_it_is_under_way(listener: socket.socket) -> None:
    with socket.socket() as client:
        client.setblocking(False)
        assert client.connect_ex(listener.getsockname()) in {0, errno.EINPROGRESS}


def test_create_connection_and_create_server_work_over_both_families() -> None:
    families = [("127.0.0.1", socket.AF_INET)] + ([("::1", socket.AF_INET6)] if socket.has_dualstack_ipv6() else [])
    for host, family in families:
        with socket.create_server((host, 0), family=family) as listener:
            server = serve(listener, echo)
            with socket.create_connection(listener.getsockname()[:2], timeout=30) as client:
                client.sendall(b"hello")
                assert client.recv(10) == b"hello"
            listener.shutdown(socket.SHUT_RDWR)
            joined(server)


# ---- what is built of them ----


def test_a_thousand_connections_at_once_are_served(listener: socket.socket) -> None:
    count = scaled(1000, least=100)
    server = serve(listener, echo)
    everybody_is_there = []

    def talk(number: int) -> bytes:
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"first")
            assert client.recv(100) == b"first"
            everybody_is_there.append(number)
            until(lambda: len(everybody_is_there) == count)
            client.sendall(b"%d" % number)
            return client.recv(100)

    answers = joined(*[spawn(talk, number) for number in range(count)])
    assert answers == [b"%d" % number for number in range(count)]
    listener.shutdown(socket.SHUT_RDWR)
    joined(server)


def test_makefile_reads_and_writes_lines() -> None:
    left, right = socket.socketpair()

    def serve_lines() -> None:
        with right, right.makefile("rw", encoding="utf-8") as file:
            for line in file:
                file.write(line.upper())
                file.flush()

    server = spawn(serve_lines)
    with left, left.makefile("rwb") as file:
        answers = []
        for number in range(20):
            file.write(b"line %d\n" % number)
            file.flush()
            answers.append(file.readline())
        assert answers == [b"LINE %d\n" % number for number in range(20)]
    left.close()
    joined(server)


@pytest.mark.parametrize("regular", [True, False])
def test_sendfile_sends_a_large_file_to_a_slow_reader(tmp_path: Path, regular: bool) -> None:
    content = os.urandom(1000) * 3000
    (tmp_path / "file").write_bytes(content)
    left, right = socket.socketpair()
    with left, right:
        file: io.IOBase = (tmp_path / "file").open("rb") if regular else io.BytesIO(content)
        with file:
            sender = spawn(left.sendfile, file, 1000)
            received = b""
            while len(received) < len(content) - 1000:
                received += right.recv(50_000)
            assert joined(sender) == [len(content) - 1000]
        assert received == content[1000:]
        assert os.get_blocking(left.fileno())


def test_os_sendfile_on_what_does_not_block_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(5_000_000))
    left, right = socket.socketpair()
    left.setblocking(False)
    with left, right, (tmp_path / "file").open("rb") as file:
        assert 0 < os.sendfile(left.fileno(), file.fileno(), 0, 5_000_000) < 5_000_000
        with pytest.raises(BlockingIOError):
            os.sendfile(left.fileno(), file.fileno(), 0, 5_000_000)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        sleep(0.01)
        body = f"you asked for {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, *arguments: object) -> None:
        pass


def test_urllib_and_http_client_talk_to_http_server() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_port

        def serve_requests() -> None:
            while True:
                try:
                    request, address = server.get_request()
                except OSError:
                    return
                spawn(server.process_request, request, address)

        def fetch(number: int) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=30) as answer:
                text: str = answer.read().decode()
                return text

        def post() -> bytes:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            answers = []
            for _ in range(3):
                connection.request("POST", "/", body=b"x" * 300_000 + b"end")
                answers.append(connection.getresponse().read())
            connection.close()
            return answers[-1]

        loop = spawn(serve_requests)
        pages = joined(*[spawn(fetch, number) for number in range(20)], spawn(post))
        assert pages[:20] == [f"you asked for /{number}" for number in range(20)]
        assert pages[20] == b"dne" + b"x" * 300_000
        server.socket.shutdown(socket.SHUT_RDWR)
        joined(loop)
