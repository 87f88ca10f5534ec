"""A server in a child process, and raw connections to it.

The child runs source text that defines `application`. It prints its port, serves until SIGTERM, stops gracefully, and
prints what it logged to its standard error. A crash or a hang is the child's.
"""

import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from io import BytesIO
from typing import IO, Any, cast

from tests.support.children import ROOT
from tests.support.scale import patience

PROGRAM = """
import faulthandler, gc, os, resource, signal, socket, sys, time
sys.path.insert(0, {root!r})
faulthandler.enable()
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
from gossamer import _core
from gossamer.http import *

def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [environ['wsgi.input'].read() or b'hello']

listener = None
{source}

listener = listener or socket.create_server(('127.0.0.1', 0))
server = Server(application, [listener], {options})
server.start()
signal.signal(signal.SIGTERM, lambda *_: _core.spawn(server.stop, 20))
print(listener.getsockname()[1] if listener.family != socket.AF_UNIX else 0, flush=True)
server.serve_forever()
assert server.open_connections == 0, server.stats()
print('stopped', flush=True)
"""


@dataclass
class Serving:
    """A running server. `log` is what it logged, once it has been stopped."""

    process: "subprocess.Popen[str]"
    port: int
    log: str = ""
    sockets: list[socket.socket] = field(default_factory=list)

    def connect(self) -> socket.socket:
        """A connection; it is closed with the server at the latest."""
        client = socket.create_connection(("127.0.0.1", self.port), patience(30))
        self.sockets.append(client)
        return client

    def ask(self, *pieces: bytes) -> bytes:
        """Send the pieces on a new connection, and return all that comes until the server closes it."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            return read_all(client)

    def get(self, path: str = "/", **headers: str) -> "Answer":
        """The answer to a simple request."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return answers(self.ask(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n".encode()))[0]

    def stop(self) -> str:
        """Stop it gracefully, insist on a clean end, and return what it logged."""
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> str:
        """Wait for the clean end of one that is being stopped, and return what it logged."""
        try:
            out, self.log = self.process.communicate(timeout=patience(60))
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            out, self.log = self.process.communicate(timeout=patience(10))
        assert (self.process.returncode, out) == (0, "stopped\n"), f"{self.process.returncode} {out}\n{self.log}"
        return self.log


@contextmanager
def serving(source: str = "", options: str = "") -> Iterator[Serving]:
    """A server of what `source` defines: `application`, and `listener` if it is to be another one.

    options: further arguments of `Server`, as source text. By the end it is stopped, if it has not been before, and has
    to end cleanly.
    """
    program = PROGRAM.format(root=str(ROOT), source=textwrap.dedent(source), options=options)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = cast("IO[str]", process.stdout).readline()
        assert line, process.communicate(timeout=patience(30))[1]
        server = Serving(process, int(line))
        try:
            yield server
        finally:
            for client in server.sockets:
                client.close()
        if process.returncode is None:
            server.stop()
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True)
class Answer:
    """One response, decoded. `raw_headers` are its names in lower case and its values."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


class _Source:
    """What http.client reads from instead of a socket."""

    def __init__(self, file: BytesIO) -> None:
        self.file = file

    def makefile(self, *_: Any) -> "_Source":
        return self

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def answers(data: bytes, *methods: str) -> list[Answer]:
    """The responses in `data`, to requests with these methods (GET where there are fewer).

    Interim responses (100 Continue) are left out. Raises AssertionError if anything else than whole responses is there.
    """
    file = BytesIO(data)
    found: list[Answer] = []
    while file.tell() < len(data):
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        response = HTTPResponse(cast("socket.socket", _Source(file)), method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        found.append(Answer(response.status, response.reason, headers, response.read()))
    return found


def read_all(client: socket.socket) -> bytes:
    """All that comes until the end, or until the connection is reset."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def read_until(client: socket.socket, end: bytes) -> bytes:
    """All that comes up to and with `end`, byte by byte."""
    data = b""
    while not data.endswith(end):
        byte = client.recv(1)
        assert byte, data
        data += byte
    return data
