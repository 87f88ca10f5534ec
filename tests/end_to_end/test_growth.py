"""Spawns, connections and connections that are broken off leave nothing: no memory, descriptor, registration or wait.

Each runs in a child process of its own, once to warm up and then many times more.
"""

import pytest

from tests.support.children import output_of
from tests.support.sanitizers import measures_memory
from tests.support.scale import scaled

PRELUDE = """
import gc, socket, struct, sys
import gossamer
from gossamer._core import counts
from tests.support.memory import resident_bytes
from tests.support.runtime import open_descriptors
from tests.support.waiting import eventually

def registrations():
    found = 0
    for number, kind in open_descriptors().items():
        if 'eventpoll' in kind:
            with open(f'/proc/self/fdinfo/{number}') as lines:
                found += sum(line.startswith('tfd:') for line in lines)
    return found

def state():
    gc.collect()
    return counts()['alive'], len(open_descriptors()), registrations(), gossamer.get_hub().waits()

def leaves_nothing(work, count, is_over=lambda: True):
    "After a tenth of it to warm up, `count` times `work` adds less than two bytes each, and a little."
    for _ in range(count // 10):
        work()
    assert eventually(is_over)
    before, blocks, memory = state(), sys.getallocatedblocks(), resident_bytes()
    for _ in range(count):
        work()
    eventually(lambda: state() == before)
    assert state() == before, (before, state())
    assert sys.getallocatedblocks() - blocks < 300 + count // 100, sys.getallocatedblocks() - blocks
    assert resident_bytes() - memory < 4_000_000 + 2 * count, resident_bytes() - memory
    print('nothing left')
"""
SPAWNS = """
def work():
    gossamer.joinall([gossamer.spawn(int) for _ in range(100)])
leaves_nothing(work, int(sys.argv[1]) // 100)
"""
CONNECTIONS = """
listener = socket.create_server(('127.0.0.1', 0), backlog=1024)
begun = handled = 0
ABORT = struct.pack('ii', 1, 0)

def echo(connection):
    global handled
    with connection:
        try:
            while data := connection.recv(100):
                connection.sendall(data)
        except ConnectionError:
            pass
    handled += 1

def serve():
    while True:
        gossamer.spawn(echo, listener.accept()[0])

def aborted(ask):
    # a reset leaves no port behind that cannot be used for a while
    with socket.create_connection(listener.getsockname()) as client:
        if ask:
            client.sendall(b'x')
            assert client.recv(10) == b'x'
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)

def given_up():
    with socket.create_connection(listener.getsockname()) as client:
        waiting = gossamer.spawn(client.recv, 1)
        gossamer.sleep(0)
        waiting.kill()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)

def work():
    global begun
    gossamer.joinall([gossamer.spawn(aborted, True), gossamer.spawn(aborted, False), gossamer.spawn(given_up)])
    begun += 3

gossamer.spawn(serve)
# a connection that its client gave up is the server's for a little longer
leaves_nothing(work, int(sys.argv[1]) // 3, lambda: handled == begun)
"""


@measures_memory
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(30_000),
        pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
    ],
)
def test_spawns_leave_nothing(count: int) -> None:
    assert output_of(PRELUDE + SPAWNS, str(scaled(count)), seconds=1000) == "nothing left\n"


@measures_memory
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(3_000),
        pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
    ],
)
def test_connections_that_are_used_broken_off_or_given_up_leave_nothing(count: int) -> None:
    assert output_of(PRELUDE + CONNECTIONS, str(scaled(count)), seconds=1000) == "nothing left\n"
