"""What the actors of the stress program share, each thing with a model of what must have become of it.

    Exclusive   a lock or semaphore: never more inside than it allows, free when nobody is inside
    Line        a queue: an item whose put() returned is taken once, one whose put() raised never; what one producer put
                arrives in its order
    Stream      a socket or pipe, whose bytes are known by their position: a call that raised has moved nothing

Each of them knows how to use itself once (`use`) and what to check when everybody is gone (`settle`).
"""

from __future__ import annotations

import io
import os
import queue
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Protocol

import gossamer.lock
import gossamer.queue
from tests.support.scale import patience

Item = tuple[int, int]
PRIME = 65521
PATTERN = Random(1).randbytes(PRIME) * 8  # of a prime length, so that bytes that were lost shift what follows


class User(Protocol):
    """Who uses a thing, as far as the thing is concerned."""

    number: int
    random: Random
    patient: bool
    """Whether it may wait without an end: somebody will interrupt it."""
    latest: dict[tuple[int, int], int]
    """By queue and producer, the number of the last item that it took."""

    def pause(self) -> None:
        """Wait for a moment, or not at all."""

    def limit(self) -> float | None:
        """How many seconds to wait; None, for ever, only if patient."""

    def next_item(self) -> Item:
        """An item that nobody has put yet."""


class Exclusive:
    """A lock or semaphore, and who is inside."""

    def __init__(self, lock: Any, allowed: int, forever: float | None) -> None:
        self.lock = lock
        self.allowed = allowed
        self.forever = forever
        self.inside: list[int] = []

    def use(self, user: User) -> None:
        """Go in and out, once or not at all."""
        limit = user.limit()
        if not self.lock.acquire(True, self.forever if limit is None else limit):
            return
        self.inside.append(user.number)
        try:
            assert len(self.inside) <= self.allowed, f"{self.lock!r} let {self.inside} in"
            user.pause()
        finally:
            self.inside.remove(user.number)
            self.lock.release()

    def settle(self) -> None:
        """Check that it is as free as it was made."""
        assert self.inside == []
        for _ in range(self.allowed):
            assert self.lock.acquire(False), f"{self.lock!r} is held, and nobody is inside"
        for _ in range(self.allowed):
            self.lock.release()


class Line:
    """A queue, and what was put in it and taken out."""

    def __init__(self, queue: Any, *, meeting: bool = False) -> None:
        """meeting: put() waits until the item is taken, so that somebody can be interrupted after it was."""
        self.queue = queue
        self.meeting = meeting
        self.offered: list[Item] = []
        self.put: list[Item] = []
        self.taken: list[Item] = []

    def use(self, user: User) -> None:
        """Put an item or take one."""
        if user.random.random() < 0.5:
            self._put(user)
        else:
            self._take(user)

    def _put(self, user: User) -> None:
        item = user.next_item()
        self.offered.append(item)
        try:
            self.queue.put(item, True, user.limit())
        except queue.Full:
            return
        self.put.append(item)

    def _take(self, user: User) -> None:
        try:
            item = self.queue.get(True, user.limit())
        except queue.Empty:
            return
        self.taken.append(item)
        producer, number = item
        key = (id(self), producer)
        assert number > user.latest.get(key, -1), f"{self.queue!r}: {item} after {user.latest[key]}"
        user.latest[key] = number

    def settle(self) -> None:
        """Check that what was put is what was taken and what is left."""
        while not self.queue.empty():
            self.taken.append(self.queue.get(False))
        taken, put = sorted(self.taken), sorted(self.put)
        if self.meeting:
            put = sorted(set(put) | set(taken) & set(self.offered))
        assert taken == put, f"{self.queue!r}: {set(taken) ^ set(put)}"


class Stream:
    """Bytes under way from one descriptor to another: one writes at a time, and one reads."""

    def __init__(self, writing: Any, reading: Any, always: bool) -> None:
        """always: whether the calls of native threads cannot block for ever."""
        self.writing = writing
        self.reading = reading
        self.always = always
        self.writer = threading.Lock()
        self.reader = threading.Lock()
        self.written = 0
        self.read = 0

    def use(self, user: User) -> None:
        """Write some bytes or read some, unless somebody else does."""
        if not (user.patient or self.always):
            return
        if user.random.random() < 0.5:
            self._write(user)
        else:
            self._read(user)

    def _write(self, user: User) -> None:
        with alone(self.writer) as mine:
            if mine:
                size = user.random.choice((1, 100, 5_000, 200_000))
                place = self.written % PRIME
                with timing_out():
                    self.written += self.send(user.random, PATTERN[place : place + size])

    def _read(self, user: User) -> None:
        with alone(self.reader) as mine:
            if mine:
                with timing_out():
                    self._check(self.receive(user.random, user.random.choice((1, 100, 10_000, 300_000))))

    def _check(self, data: bytes) -> None:
        place = self.read % PRIME
        assert data == PATTERN[place : place + len(data)], f"{self}: not the bytes that follow the first {self.read}"
        self.read += len(data)

    def settle(self) -> None:
        """Read what is left, and check that it is all that was written."""
        descriptor = self.reading.fileno()
        os.set_blocking(descriptor, False)
        while self.read < self.written:
            arrived, _, _ = select.select([descriptor], [], [], patience(30))
            assert arrived, f"{self}: the rest never arrives"
            self._check(os.read(descriptor, min(100_000, self.written - self.read)))
        try:
            surplus = os.read(descriptor, 1)
        except BlockingIOError:
            surplus = b""
        assert not surplus, "more bytes arrived than were written"

    def __repr__(self) -> str:
        return f"<{self.writing} to {self.reading}, {self.written} written, {self.read} read>"

    def close(self) -> None:
        """Close both ends."""
        self.writing.close()
        self.reading.close()

    def send(self, random: Random, data: bytes) -> int:
        """Write some of `data`; returns how much."""
        raise NotImplementedError

    def receive(self, random: Random, size: int) -> bytes:
        """Read up to `size` bytes."""
        raise NotImplementedError


class SocketStream(Stream):
    """A stream over sockets."""

    writing: socket.socket
    reading: socket.socket

    def send(self, random: Random, data: bytes) -> int:
        """By send or sendmsg, perhaps after select.

        Without a time-out it is always after select: there send() waits until it is rid of all bytes, and who is
        interrupted then cannot tell how many those were.
        """
        endless = self.writing.gettimeout() is None
        if endless or random.random() < 0.2:
            select.select([], [self.writing], [], None if endless else 0.005)
        flags = socket.MSG_DONTWAIT if endless else 0
        try:
            if random.random() < 0.7:
                return self.writing.send(data, flags)
            return self.writing.sendmsg([data[:7], data[7:]], [], flags)
        except BlockingIOError:
            return 0

    def receive(self, random: Random, size: int) -> bytes:
        """By recv or recv_into, perhaps after poll."""
        if random.random() < 0.2:
            poll = select.poll()
            poll.register(self.reading, select.POLLIN)
            if not poll.poll(5):
                return b""
        if random.random() < 0.7:
            return self.reading.recv(size)
        room = bytearray(size)
        return bytes(room[: self.reading.recv_into(room)])


class PipeStream(Stream):
    """A stream through a pipe, by the functions of `os` and by files without a buffer."""

    writing: io.FileIO
    reading: io.FileIO

    def send(self, random: Random, data: bytes) -> int:
        """By os.write or a file's write: little at once, as who is interrupted cannot tell how much was written."""
        data = data[: select.PIPE_BUF]
        if random.random() < 0.5:
            return os.write(self.writing.fileno(), data)
        return self.writing.write(data) or 0

    def receive(self, random: Random, size: int) -> bytes:
        """By os.read or a file's read."""
        if random.random() < 0.5:
            return os.read(self.reading.fileno(), size)
        return self.reading.read(size) or b""


@contextmanager
def alone(lock: threading.Lock) -> Iterator[bool]:
    """Whether nobody else is there."""
    mine = lock.acquire(False)
    try:
        yield mine
    finally:
        if mine:
            lock.release()


@contextmanager
def timing_out() -> Iterator[None]:
    """Go on after the time-out of a socket."""
    try:
        yield
    except TimeoutError:
        return


def connected(timeout: float | None) -> tuple[socket.socket, socket.socket]:
    """Two sockets with a TCP connection between them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    for it in (client, server):
        it.settimeout(timeout)
    return client, server


def local_pair(timeout: float | None) -> tuple[socket.socket, socket.socket]:
    """Two Unix sockets that are connected."""
    pair = socket.socketpair()
    for it in pair:
        it.settimeout(timeout)
    return pair


def pipe() -> tuple[io.FileIO, io.FileIO]:
    """The files at the ends of a pipe, first the one to write to."""
    reading, writing = os.pipe()
    return io.FileIO(writing, "w"), io.FileIO(reading)


Thing = Exclusive | Line | Stream


def stock() -> list[Thing]:
    """Things of the standard library that anybody may use, however it is interrupted."""
    return [
        Exclusive(threading.Lock(), 1, -1),
        Exclusive(threading.RLock(), 1, -1),
        *(SocketStream(*pair, always=True) for pair in (connected(0.005), local_pair(0.005))),
        *(SocketStream(*pair, always=False) for pair in (connected(None), local_pair(None))),
        PipeStream(*pipe(), always=False),
    ]


def delicate() -> list[Thing]:
    """Things made of conditions, which an exception from outside can leave in disorder by their own code."""
    return [
        Exclusive(threading.BoundedSemaphore(2), 2, None),
        Line(queue.Queue()),
        Line(queue.Queue(2)),
    ]


def ours() -> list[Thing]:
    """Things with gevent's names, which give who uses them a hub; and one that is to be used by who has one.

    In CPython 3.11 a native thread can wait for ever in a timed `get` of a SimpleQueue, when two want the same item.
    """
    makers: list[Callable[[], Any]] = [
        gossamer.queue.SimpleQueue,
        gossamer.queue.Queue,
        lambda: gossamer.queue.Queue(2),
        queue.SimpleQueue,
        gossamer.queue.JoinableQueue,
    ]
    return [
        Exclusive(gossamer.lock.BoundedSemaphore(1), 1, None),
        Exclusive(gossamer.lock.BoundedSemaphore(3), 3, None),
        Exclusive(gossamer.lock.RLock(), 1, None),
        *(Line(make()) for make in makers),
        Line(gossamer.queue.Channel(), meeting=True),
    ]
