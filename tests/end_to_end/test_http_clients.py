"""HTTP clients, unmodified, in green threads: urllib, http.client, urllib3, requests, asyncio's streams.

Client and server, the standard library's threaded one, live in one process. Each answer waits until MANY requests are
there at the same time: if they did not overlap, none would be answered. All of it runs in one OS thread.
"""

import pytest

from tests.support.children import output_of

PROGRAM = """
from gossamer import monkey
monkey.patch_all()

import http.server, threading

MANY = 40
together = threading.Barrier(MANY, timeout=30)
native_threads = set()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        together.wait()
        native_threads.add(threading.get_native_id())
        body = self.path[1:].encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 2 * MANY

server = Server(('127.0.0.1', 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
host, port = server.server_address

def in_threads(ask):
    answers = {}
    threads = [threading.Thread(target=lambda number=number: answers.update({number: ask(number)}))
               for number in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers

def check(answers):
    print(answers == {number: str(number) for number in range(MANY)},
          native_threads == {threading.main_thread().native_id})
"""

CLIENTS = {
    "urllib": """
import urllib.request
def ask(number):
    with urllib.request.urlopen(f'http://{host}:{port}/{number}') as answer:
        return answer.read().decode()
check(in_threads(ask))
""",
    "http.client": """
import http.client
def ask(number):
    connection = http.client.HTTPConnection(host, port)
    connection.request('GET', f'/{number}')
    text = connection.getresponse().read().decode()
    connection.close()
    return text
check(in_threads(ask))
check(in_threads(ask))
""",
    "urllib3, its connections kept": """
import urllib3
pool = urllib3.HTTPConnectionPool(host, port, maxsize=MANY, block=True)
def ask(number):
    return pool.request('GET', f'/{number}').data.decode()
check(in_threads(ask))
check(in_threads(ask))
print(pool.num_connections == MANY)
pool.close()
""",
    "requests, one session": """
import requests
from requests.adapters import HTTPAdapter
session = requests.Session()
session.mount('http://', HTTPAdapter(pool_maxsize=MANY))
def ask(number):
    return session.get(f'http://{host}:{port}/{number}').text
check(in_threads(ask))
check(in_threads(ask))
session.close()
""",
    "requests in a pool of concurrent.futures": """
import requests
from concurrent.futures import ThreadPoolExecutor
def ask(number):
    return requests.get(f'http://{host}:{port}/{number}').text
with ThreadPoolExecutor(MANY) as pool:
    check(dict(enumerate(pool.map(ask, range(MANY)))))
""",
    "asyncio's streams, half of them beside urllib": """
import asyncio, urllib.request
async def fetch(number):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f'GET /{number} HTTP/1.0\\r\\n\\r\\n'.encode())
    answer = await reader.read()
    writer.close()
    return answer.rpartition(b'\\n')[2].decode()

async def fetch_half():
    return await asyncio.gather(*map(fetch, range(0, MANY, 2)))

def ask(number):
    if number == 0:
        return asyncio.run(fetch_half())
    if number % 2 == 0:
        return None
    with urllib.request.urlopen(f'http://{host}:{port}/{number}') as answer:
        return answer.read().decode()

answers = in_threads(ask)
check(answers | dict(zip(range(0, MANY, 2), answers[0])))
""",
    "asyncio's executor": """
import asyncio, urllib.request
def ask(number):
    with urllib.request.urlopen(f'http://{host}:{port}/{number}') as answer:
        return answer.read().decode()

async def main():
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(MANY) as pool:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(pool, ask, number) for number in range(MANY)))

check(dict(enumerate(asyncio.run(main()))))
""",
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_requests_are_under_way_at_the_same_time_in_one_os_thread(client: str) -> None:
    out = output_of(PROGRAM + client, seconds=90)
    assert set(out.split()) == {"True"}, out
