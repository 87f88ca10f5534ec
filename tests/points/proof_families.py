"""The kinds of waiting that `proof_child` proves, each as a small class: what is waited on, who waits how, who wakes.

Nothing is imported up here but what the interpreter itself needs: the order of imports is part of the proof. A family
imports what it uses when it is made, and keeps references to functions and bound methods from that moment. `wait` and
`wake` use those alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

PIPE = 1 << 16


class Family:
    """Something to wait on. `wait` blocks until `wake` is called by somebody else, and may be repeated."""

    rounds = 60
    """How often it is used before Gossamer comes, so that call sites are specialised by then; each ends at once."""
    waits = True
    """Whether `wait` is sure to wait for `wake`; else it comes to its end by itself."""

    def hold(self) -> None:
        """What the one who will wake has to do before anybody waits."""

    def wait(self) -> object:
        """Wait. Raises AssertionError if what it was woken with is not what it must be."""
        raise NotImplementedError

    def wake(self) -> None:
        """End the wait."""

    def heat(self) -> None:
        """Use `wait` once, so that it does not have to wait."""
        self.wake()
        self.wait()


class Lock(Family):
    def __init__(self) -> None:
        from threading import Lock

        lock = Lock()
        lock.acquire()
        self.acquire, self.release = lock.acquire, lock.release

    def wait(self) -> None:
        assert self.acquire() is True

    def wake(self) -> None:
        self.release()


class LockInWith(Family):
    def __init__(self) -> None:
        from threading import Lock

        self.lock = Lock()

    def hold(self) -> None:
        self.lock.acquire()

    def wait(self) -> None:
        with self.lock:
            pass

    def wake(self) -> None:
        self.lock.release()

    def heat(self) -> None:
        self.wait()


class RLock(LockInWith):
    def __init__(self) -> None:
        from threading import RLock

        self.lock = RLock()  # type: ignore[assignment]


class MultiprocessingLock(LockInWith):
    def __init__(self) -> None:
        import multiprocessing

        self.lock = multiprocessing.get_context("fork").Lock()  # type: ignore[assignment]


class Condition(Family):
    def __init__(self) -> None:
        from threading import Condition

        self.condition = Condition()
        self.tokens = 0

    def wait(self) -> None:
        with self.condition:
            while not self.tokens:
                self.condition.wait()
            self.tokens -= 1

    def wake(self) -> None:
        with self.condition:
            self.tokens += 1
            self.condition.notify()


class Semaphore(Family):
    def __init__(self) -> None:
        from threading import Semaphore

        semaphore = Semaphore(0)
        self.acquire, self.release = semaphore.acquire, semaphore.release

    def wait(self) -> None:
        assert self.acquire() is True

    def wake(self) -> None:
        self.release()


class Event(Family):
    def __init__(self) -> None:
        from threading import Event

        self.event = Event()

    def wait(self) -> None:
        assert self.event.wait() is True
        self.event.clear()

    def wake(self) -> None:
        self.event.set()


class QueueGet(Family):
    def __init__(self) -> None:
        from queue import Queue

        queue: Queue[int] = Queue()
        self.get, self.put = queue.get, queue.put

    def wait(self) -> None:
        assert self.get() == 5

    def wake(self) -> None:
        self.put(5)


class SimpleQueueGet(QueueGet):
    def __init__(self) -> None:
        from queue import SimpleQueue

        queue: SimpleQueue[int] = SimpleQueue()
        self.get, self.put = queue.get, queue.put


class QueuePut(Family):
    def __init__(self) -> None:
        from queue import Queue

        queue: Queue[int] = Queue(1)
        queue.put(0)
        self.get, self.put = queue.get, queue.put

    def wait(self) -> None:
        self.put(0)

    def wake(self) -> None:
        self.get()


class Receive(Family):
    def __init__(self) -> None:
        from socket import socketpair

        self.pair = socketpair()
        self.recv, self.send = self.pair[0].recv, self.pair[1].send

    def wait(self) -> None:
        assert self.recv(10) == b"x"

    def wake(self) -> None:
        self.send(b"x")


class ReceiveInto(Receive):
    def wait(self) -> None:
        room = bytearray(10)
        assert self.pair[0].recv_into(room) == 1


class ReceiveWithTimeout(Receive):
    def __init__(self) -> None:
        super().__init__()
        self.pair[0].settimeout(600)


class ReceiveDatagram(Family):
    def __init__(self) -> None:
        import socket

        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.bind(("127.0.0.1", 0))
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = self.receiver.getsockname()

    def wait(self) -> None:
        assert self.receiver.recvfrom(10)[0] == b"x"

    def wake(self) -> None:
        self.sender.sendto(b"x", self.address)


class SendAll(Family):
    size = 2_000_000

    def __init__(self) -> None:
        from socket import socketpair

        self.pair = socketpair()
        self.data = b"x" * self.size

    def wait(self) -> None:
        self.pair[0].sendall(self.data)

    def wake(self) -> None:
        left = self.size
        while left:
            left -= len(self.pair[1].recv(left))

    def heat(self) -> None:
        self.data = b"y"
        self.wait()
        self.pair[1].recv(1)
        self.data = b"x" * self.size


class Accept(Family):
    def __init__(self) -> None:
        from socket import create_connection, create_server

        self.listener = create_server(("127.0.0.1", 0))
        self.connect = create_connection
        self.clients: list[Any] = []

    def wait(self) -> None:
        self.listener.accept()[0].close()

    def wake(self) -> None:
        self.connect(self.listener.getsockname()).close()


class Tls(Family):
    """Contexts, and sockets that are wrapped already."""

    def __init__(self) -> None:
        import socket
        import ssl

        folder = os.environ["PROOF_CERTIFICATES"]
        self.for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.for_server.load_cert_chain(f"{folder}/server.pem")
        self.for_client = ssl.create_default_context(cafile=f"{folder}/authority.pem")
        left, right = socket.socketpair()
        self.client = self.for_client.wrap_socket(left, server_hostname="localhost", do_handshake_on_connect=False)
        self.server = self.for_server.wrap_socket(right, server_side=True, do_handshake_on_connect=False)
        self.shake_hands()

    def shake_hands(self) -> None:
        import ssl

        ends = [self.client, self.server]
        for end in ends:
            end.settimeout(0)
        while ends:
            for end in list(ends):
                try:
                    end.do_handshake()
                    ends.remove(end)
                except ssl.SSLWantReadError:
                    pass
        self.client.settimeout(None)
        self.server.settimeout(None)


class TlsRead(Tls):
    def wait(self) -> None:
        assert self.server.recv(10) == b"x"

    def wake(self) -> None:
        self.client.sendall(b"x")


class TlsHandshake(Tls):
    rounds = 0

    def __init__(self) -> None:
        import socket

        super().__init__()
        self.left, self.right = socket.socketpair()

    def wait(self) -> None:
        self.for_server.wrap_socket(self.right, server_side=True).close()

    def wake(self) -> None:
        self.for_client.wrap_socket(self.left, server_hostname="localhost").close()


class Select(Receive):
    def __init__(self) -> None:
        from select import select

        super().__init__()
        self.select = select

    def wait(self) -> None:
        assert self.select([self.pair[0]], [], [])[0] == [self.pair[0]]
        self.recv(10)


class Poll(Receive):
    def __init__(self) -> None:
        import select

        super().__init__()
        self.object: Any = select.poll()
        self.object.register(self.pair[0], select.POLLIN)

    def wait(self) -> None:
        assert [number for number, _ in self.object.poll()] == [self.pair[0].fileno()]
        self.recv(10)


class Epoll(Poll):
    def __init__(self) -> None:
        import select

        super().__init__()
        self.object = select.epoll()
        self.object.register(self.pair[0], select.EPOLLIN)


class Selector(Receive):
    def __init__(self) -> None:
        import selectors

        super().__init__()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.pair[0], selectors.EVENT_READ)

    def wait(self) -> None:
        assert len(self.selector.select()) == 1
        self.recv(10)


class Sleep(Family):
    waits = False

    def __init__(self) -> None:
        from time import sleep

        self.sleep = sleep
        self.seconds = 0.05

    def wait(self) -> None:
        self.sleep(self.seconds)

    def heat(self) -> None:
        self.seconds = 0
        self.wait()
        self.seconds = 0.05


class Pipe(Family):
    """The ends of a pipe."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()


class OsRead(Pipe):
    def wait(self) -> None:
        assert os.read(self.reading, 10) == b"x"

    def wake(self) -> None:
        os.write(self.writing, b"x")


class OsWrite(Pipe):
    def __init__(self) -> None:
        super().__init__()
        self.data = b"x" * (PIPE * 4)

    def wait(self) -> None:
        assert os.write(self.writing, self.data) == len(self.data)

    def wake(self) -> None:
        left = PIPE * 4
        while left:
            left -= len(os.read(self.reading, left))

    def heat(self) -> None:
        self.data = b"y"
        self.wait()
        os.read(self.reading, 1)
        self.data = b"x" * (PIPE * 4)


class OsSplice(Pipe):
    def __init__(self) -> None:
        super().__init__()
        self.onward = os.pipe()

    def wait(self) -> None:
        assert os.splice(self.reading, self.onward[1], 10) == 1
        os.read(self.onward[0], 1)

    def wake(self) -> None:
        os.write(self.writing, b"x")


class RawFile(Pipe):
    def __init__(self) -> None:
        super().__init__()
        self.file: Any = open(self.reading, "rb", buffering=0, closefd=False)

    def wait(self) -> None:
        assert self.file.read(10) == b"x\n"

    def wake(self) -> None:
        os.write(self.writing, b"x\n")


class BufferedFile(RawFile):
    def __init__(self) -> None:
        Pipe.__init__(self)
        self.file = open(self.reading, "rb", closefd=False)

    def wait(self) -> None:
        assert self.file.readline() == b"x\n"


class TextFile(RawFile):
    def __init__(self) -> None:
        Pipe.__init__(self)
        self.file = open(self.reading, closefd=False)

    def wait(self) -> None:
        assert next(self.file) == "x\n"


class Input(RawFile):
    """One standard input for all."""

    ends: tuple[int, int] | None = None

    def __init__(self) -> None:
        import sys

        if Input.ends is None:
            Input.ends = os.pipe()
            sys.stdin = open(Input.ends[0], closefd=False)
        self.reading, self.writing = Input.ends
        self.input = input

    def wait(self) -> None:
        assert self.input() == "x"


class Children(Family):
    """`cat`, which ends when its standard input does."""

    rounds = 0

    def __init__(self) -> None:
        from subprocess import PIPE, Popen

        reading, self.writing = os.pipe()
        self.process = Popen(["cat"], stdin=reading, stdout=PIPE)
        os.close(reading)

    def wake(self) -> None:
        os.write(self.writing, b"some bytes")
        os.close(self.writing)


class WaitPid(Children):
    rounds = 60

    def __init__(self) -> None:
        super().__init__()
        self.options = 0

    def wait(self) -> None:
        pid, status = os.waitpid(self.process.pid, self.options)
        assert self.options or (pid == self.process.pid and status == 0)

    def heat(self) -> None:
        self.options = os.WNOHANG
        self.wait()
        self.options = 0


class SubprocessWait(Children):
    def wait(self) -> None:
        assert self.process.wait() == 0


class SubprocessCommunicate(Children):
    def wait(self) -> None:
        assert self.process.communicate()[0] == b"some bytes"


class SqliteBusy(Family):
    rounds = 20

    def __init__(self) -> None:
        import sqlite3
        import tempfile

        path = tempfile.mkdtemp() + "/base"
        self.first, self.second = (
            sqlite3.connect(path, timeout=600, isolation_level=None, check_same_thread=False) for _ in range(2)
        )
        self.first.execute("CREATE TABLE rows (number)")

    def hold(self) -> None:
        self.first.execute("BEGIN IMMEDIATE")

    def wait(self) -> None:
        self.second.execute("INSERT INTO rows VALUES (1)")

    def wake(self) -> None:
        self.first.execute("COMMIT")

    def heat(self) -> None:
        self.wait()


class Flock(Family):
    def __init__(self) -> None:
        import fcntl
        import tempfile

        path = tempfile.mkdtemp() + "/file"
        self.first, self.second = (os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2))
        self.flock = fcntl.flock
        self.exclusive, self.nothing = fcntl.LOCK_EX, fcntl.LOCK_UN

    def hold(self) -> None:
        self.flock(self.first, self.exclusive)

    def wait(self) -> None:
        self.flock(self.second, self.exclusive)
        self.flock(self.second, self.nothing)

    def wake(self) -> None:
        self.flock(self.first, self.nothing)

    def heat(self) -> None:
        self.wait()


class OpenFifo(Family):
    rounds = 0

    def __init__(self) -> None:
        import tempfile

        self.path = tempfile.mkdtemp() + "/fifo"
        os.mkfifo(self.path)

    def wait(self) -> None:
        open(self.path, "rb").close()

    def wake(self) -> None:
        os.close(os.open(self.path, os.O_WRONLY))


class GetAddrInfo(Family):
    waits = False

    def __init__(self) -> None:
        from socket import getaddrinfo

        self.getaddrinfo = getaddrinfo

    def wait(self) -> None:
        assert self.getaddrinfo("localhost", 80)


class System(Family):
    waits = False
    rounds = 3

    def wait(self) -> None:
        assert os.system("true") == 0


FAMILIES: dict[str, Callable[[], Family]] = {
    family.__name__: family
    for family in (
        Lock, LockInWith, RLock, MultiprocessingLock, Condition, Semaphore, Event, QueueGet, SimpleQueueGet, QueuePut,
        Receive, ReceiveInto, ReceiveWithTimeout, ReceiveDatagram, SendAll, Accept, TlsRead, TlsHandshake, Select, Poll,
        Epoll, Selector, Sleep, OsRead, OsWrite, OsSplice, RawFile, BufferedFile, TextFile, Input, WaitPid,
        SubprocessWait, SubprocessCommunicate, SqliteBusy, Flock, OpenFifo, GetAddrInfo, System,
    )
}  # fmt: skip
