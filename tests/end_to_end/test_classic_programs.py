"""A WSGI application written for gevent, import line and all, by `gossamer serve` and by the standard library's server.

(The classic program of greenlet is in tests/cli/test_run_as_gevent.py.)
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.children import run_command
from tests.support.scale import patience

AT_ONCE = 50

APPLICATION = """
from gevent import monkey; monkey.patch_all()

import os, socket

def application(environ, start_response):
    with socket.create_connection(('127.0.0.1', int(os.environ['OTHER_PORT']))) as connection:
        connection.sendall(environ['PATH_INFO'].encode())
        body = connection.recv(100)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [body]
"""


@contextlib.contextmanager
def served(folder: Path, **environment: str) -> Iterator[str]:
    """The address of `gossamer serve program:application` in a folder."""
    command = [sys.executable, "-m", "gossamer", "serve", "--bind", "127.0.0.1:0", "program:application"]
    environment = {**os.environ, **environment}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield next(word for word in process.stdout.readline().split() if word.startswith("http:"))
            process.terminate()
            assert process.wait(patience(40)) == 0
        finally:
            process.kill()


def test_requests_to_an_application_written_for_gevent_overlap_under_gossamer_serve(tmp_path: Path) -> None:
    """The service that the application asks answers nobody until all have asked."""
    (tmp_path / "program.py").write_text(APPLICATION)
    answers: list[bytes] = []

    def ask(url: str) -> None:
        with urllib.request.urlopen(url, timeout=patience(60)) as answer:
            answers.append(answer.read())

    with socket.create_server(("127.0.0.1", 0), backlog=AT_ONCE) as other:
        other.settimeout(patience(60))
        with served(tmp_path, OTHER_PORT=str(other.getsockname()[1])) as url:
            clients = [threading.Thread(target=ask, args=[f"{url}{number}"]) for number in range(AT_ONCE)]
            for client in clients:
                client.start()
            for connection in [other.accept()[0] for _ in range(AT_ONCE)]:
                with connection:
                    connection.sendall(connection.recv(100) + b" together")
            for client in clients:
                client.join()
    assert sorted(answers) == sorted(b"/%d together" % number for number in range(AT_ONCE))


PROGRAM = """
from gevent import monkey; monkey.patch_all()

import os, socket, socketserver, threading, urllib.request
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

def application(environ, start_response):
    with socket.create_connection(slow.getsockname()) as connection:
        body = connection.recv(100)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [body]

class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 100

class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass

def answer_all_at_once():
    connections = [slow.accept()[0] for _ in range(20)]
    for connection in connections:
        with connection:
            connection.sendall(b'together')

def ask():
    with urllib.request.urlopen(f'http://127.0.0.1:{server.server_port}/') as answer:
        answers.append(answer.read())

answers = []
slow = socket.create_server(('127.0.0.1', 0), backlog=100)
server = make_server('127.0.0.1', 0, application, Server, Quiet)
threading.Thread(target=answer_all_at_once).start()
threading.Thread(target=server.serve_forever, daemon=True).start()
clients = [threading.Thread(target=ask) for _ in range(20)]
for client in clients: client.start()
for client in clients: client.join()
print(answers == [b'together'] * 20, len(os.listdir('/proc/self/task')))
"""


def test_requests_to_an_application_written_for_gevent_overlap(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    ended = run_command([sys.executable, "-m", "gossamer", "run", "--as-gevent", str(tmp_path / "program.py")])
    assert ended.status == 0, ended.describe()
    assert ended.out.startswith("True "), ended.describe()
