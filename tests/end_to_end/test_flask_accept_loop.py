"""A plain accept loop on stock sockets serves Flask: the proof that blocking code gets an event loop's concurrency.

Server and clients live in one process and one OS thread, written as anybody writes them: wsgiref's handler, blocking
socket calls, time.sleep in the view. Nothing of the standard library is replaced.
"""

from tests.support.children import output_of
from tests.support.scale import scaled

PROGRAM = """
import resource, socket, sys, threading, time
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from flask import Flask, request

from gossamer import _core

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
app = Flask(__name__)
inside = most = 0

@app.get('/')
def view():
    global inside, most
    inside += 1
    most = max(most, inside)
    time.sleep(0.5)
    inside -= 1
    return 'hello ' + request.args['name']

class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass

_core.get_hub()
server = WSGIServer(('127.0.0.1', 0), Quiet)
server.socket.listen(4096)
server.set_app(app)

def serve(connection, address):
    with connection:
        server.finish_request(connection, address)

def accept():
    while True:
        _core.spawn(serve, *server.socket.accept())

def ask(name):
    with socket.create_connection(server.server_address) as connection:
        connection.sendall(f'GET /?name={name} HTTP/1.0\\r\\n\\r\\n'.encode())
        with connection.makefile('rb') as answer:
            assert b'200' in answer.readline()
            answers.append(answer.read().endswith(f'\\r\\n\\r\\nhello {name}'.encode()))

answers = []
_core.spawn(accept)
threads = [_core.spawn(ask, number) for number in range(int(sys.argv[1]))]
for thread in threads:
    thread.join()
print(len(answers), all(answers), most, threading.active_count())
"""


def test_a_thousand_slow_requests_are_in_the_view_at_the_same_time() -> None:
    count = scaled(1000)
    out = output_of(PROGRAM, str(count), seconds=60)
    answers, right, most, os_threads = out.split()
    assert (int(answers), right, os_threads) == (count, "True", "1")
    assert int(most) > count // 2
