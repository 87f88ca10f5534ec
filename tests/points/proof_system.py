"""Families that wait for the rest of the system: pipes, files, child processes, databases and the C library."""

from __future__ import annotations

import os
from typing import Any

from tests.points.proof_family import Family

PIPE = 1 << 16


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


FAMILIES = (
    OsRead, OsWrite, OsSplice, RawFile, BufferedFile, TextFile, Input, WaitPid, SubprocessWait, SubprocessCommunicate,
    SqliteBusy, Flock, OpenFifo, GetAddrInfo, System,
)  # fmt: skip
