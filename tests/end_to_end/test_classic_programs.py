"""A WSGI application written for gevent, import line and all, served by the standard library's threaded server.

(The classic program of greenlet is in tests/cli/test_run_as_gevent.py.)
"""

import sys
from pathlib import Path

from tests.support.children import run_command

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
