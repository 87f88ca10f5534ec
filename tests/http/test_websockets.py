"""WebSockets by libraries that people use, unmodified, on both servers, with real clients."""

import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import websocket

from tests.support.children import output_of
from tests.support.scale import patience

FLASK_SOCK = """
import flask, flask_sock
app = flask.Flask(__name__)
sock = flask_sock.Sock(app)

@app.route('/')
def index():
    return 'a page'

@sock.route('/echo')
def echo(ws):
    while True:
        ws.send(ws.receive())

@sock.route('/bye')
def bye(ws):
    ws.close(4001, 'bye')
"""

SOCKET_IO = """
import flask, flask_socketio, sys
app = flask.Flask(__name__)
io = flask_socketio.SocketIO(app, async_mode='gevent' if __name__ == '__main__' else 'threading')

@io.on('double')
def double(value):
    flask_socketio.emit('news', value)
    return 2 * value
"""

GEVENT_WEBSOCKET = """
from geventwebsocket.handler import WebSocketHandler

def app(environ, start_response):
    socket = environ.get('wsgi.websocket')
    if socket is None:
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [b'a page']
    if environ['PATH_INFO'] == '/bye':
        socket.send_frame((4001).to_bytes(2, 'big') + b'bye', socket.OPCODE_CLOSE)  # close() forgets the code
        return []
    while (message := socket.receive()) is not None:
        socket.send(message)
    return []
"""

PYWSGI = """
import signal
import gevent, gevent.monkey
gevent.monkey.patch_all()
from gevent import pywsgi
{application}
server = pywsgi.WSGIServer(('127.0.0.1', 0), app, log=None, {options})
server.start()
print('serving app on http://127.0.0.1:%d/' % server.server_port, flush=True)
gevent.signal_handler(signal.SIGTERM, server.stop)
server.serve_forever()
"""

SOCKET_IO_CLIENT = """
import sys, socketio
client = socketio.Client()
news = []
client.on('news', news.append)
client.connect(sys.argv[1], transports=[sys.argv[2]])
print(client.transport(), [client.call('double', n) for n in range(5)], news)
client.disconnect()
"""

HAS_GEVENT_WEBSOCKET = importlib.util.find_spec("geventwebsocket") is not None
NEEDS_GEVENT_WEBSOCKET = pytest.mark.skipif(
    not HAS_GEVENT_WEBSOCKET, reason="gevent-websocket is not installed: the dependency group `gevent` has it"
)


class Program:
    """A running server and where it is."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self.address = address
        self.sockets: list[socket.socket] = []

    def connect(self, path: str) -> websocket.WebSocket:
        """A client; its socket is closed with the program at the latest: the library forgets some."""
        client = websocket.create_connection(f"ws://{self.address}{path}", timeout=patience(30))
        assert client.sock is not None
        self.sockets.append(client.sock)
        return client

    def stop(self) -> int:
        """End it by SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience(30))


@contextlib.contextmanager
def running(folder: Path, *words: str) -> Iterator[Program]:
    """`gossamer WORDS` in `folder`."""
    command = [sys.executable, "-m", "gossamer", *words]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"serving .+ on http://(\S+)/", line)
            assert found is not None, line
            program = Program(process, found[1])
            yield program
            for connection in program.sockets:
                connection.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(params=["gossamer serve", "pywsgi", pytest.param("gevent-websocket", marks=NEEDS_GEVENT_WEBSOCKET)])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    """Each server with each library that can be used there."""
    (tmp_path / "sockets.py").write_text(FLASK_SOCK)
    application, options = FLASK_SOCK, ""
    if request.param == "gevent-websocket":
        application, options = GEVENT_WEBSOCKET, "handler_class=WebSocketHandler"
    (tmp_path / "program.py").write_text(PYWSGI.format(application=application, options=options))
    words = ["run", "--as-gevent", "program.py"]
    if request.param == "gossamer serve":
        words = ["serve", "sockets:app", "--bind", "127.0.0.1:0", "--timeout", "1"]
    with running(tmp_path, *words) as program:
        yield program


def test_many_clients_are_echoed_at_once(server: Program) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(server.connect("/echo"))) for _ in range(20)]
        for turn in range(3):
            for number, client in enumerate(clients):
                client.send(f"{turn} of {number}")
            for number, client in enumerate(clients):
                assert client.recv() == f"{turn} of {number}"
        clients[0].send_binary(bytes(range(256)) * 1000)
        assert clients[0].recv() == bytes(range(256)) * 1000


def test_an_application_says_why_it_closes(server: Program) -> None:
    with contextlib.closing(server.connect("/bye")) as client:
        opcode, data = client.recv_data()
    assert (opcode, data) == (websocket.ABNF.OPCODE_CLOSE, (4001).to_bytes(2, "big") + b"bye")


def test_a_closed_client_leaves_the_others_and_pages_alone(server: Program) -> None:
    with contextlib.closing(server.connect("/echo")) as staying:
        server.connect("/echo").close()
        server.connect("/echo")
        server.sockets[-1].close()
        staying.send("still here")
        assert staying.recv() == "still here"
        page = output_of(
            "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read())", f"http://{server.address}/"
        )
        assert page == "b'a page'\n"


def test_stopping_ends_websockets(server: Program) -> None:
    with contextlib.closing(server.connect("/echo")) as client:
        client.send("one")
        assert client.recv() == "one"
        assert server.stop() == 0


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("mode", ["threading", "gevent"])
def test_socket_io_talks_by_either_transport(tmp_path: Path, mode: str, transport: str) -> None:
    words = ["serve", "sockets:app", "--bind", "127.0.0.1:0"]
    (tmp_path / "sockets.py").write_text(SOCKET_IO)
    if mode == "gevent":
        handler = "handler_class=WebSocketHandler" if HAS_GEVENT_WEBSOCKET else ""
        imports = "from geventwebsocket.handler import WebSocketHandler\n" if HAS_GEVENT_WEBSOCKET else ""
        (tmp_path / "program.py").write_text(PYWSGI.format(application=imports + SOCKET_IO, options=handler))
        words = ["run", "--as-gevent", "program.py"]
    with running(tmp_path, *words) as program:
        said = output_of(SOCKET_IO_CLIENT, f"http://{program.address}", transport)
        assert said == f"{transport} [0, 2, 4, 6, 8] [0, 1, 2, 3, 4]\n"
