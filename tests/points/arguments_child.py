"""Calls every blocking point with arguments that are wrong in some way, and prints what each call says.

Run with "green" as its argument, a green thread of Gossamer's makes the calls; with "native", Gossamer is not there.
None of the calls can wait: what they are made on is ready, or refuses to wait.
"""

import _io
import _queue
import _socket
import _ssl
import _thread
import contextlib
import faulthandler
import importlib
import json
import os
import re
import select
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Call = tuple[tuple[Any, ...], dict[str, Any]]

ANYTHING = object()
VALUES = {"object()": ANYTHING, "None": None, "'x'": "x", "b'x'": b"x", "1.5": 1.5, "-1": -1, "2**100": 2**100}
MOST = 9

# What waits, or does what a test must not do, when it is called like this.
LEFT_OUT = {
    "_signal.pause": {"()"},
    "_thread._shutdown": {"()"},
    "_thread.interrupt_main": {"()"},
    "os.fork": {"()"},
    "posix.closerange": {"-1*2"},  # closes all there are
    "builtins.input": {"()"},
    "select.poll.poll": {"()", "None*1", "-1*1"},
    "select.epoll.poll": {"()", "None*1", "-1*1", "-1*2"},
    "select.select": {"b'x'*3"},  # 120: the kernel passes over numbers beyond the process's table, and waits
    "threading.Condition.wait": {"None*1", "2**100*1"},
}


def lock() -> Any:
    return _thread.allocate_lock()


def queue() -> Any:
    it: Any = _queue.SimpleQueue()
    it.put(1)
    return it


def stock_socket() -> Any:
    """It has been sent something, and will not be sent any more."""
    left, right = _socket.socketpair()
    right.send(b"abc")
    right.close()
    return left


def tls() -> Any:
    left, right = socket.socketpair()
    left.setblocking(False)
    context: Any = _ssl._SSLContext(_ssl.PROTOCOL_TLS_CLIENT)
    it = context._wrap_socket(left, False)
    KEPT.extend((left, right))
    return it


def filled_pipe() -> int:
    reader, writer = os.pipe()
    os.write(writer, b"abc")
    os.close(writer)
    return reader


def reader() -> Any:
    return _io.FileIO(filled_pipe(), "rb")


def writer() -> Any:
    read_end, write_end = os.pipe()
    KEPT.append(_io.FileIO(read_end))
    return _io.FileIO(write_end, "wb")


def connection() -> Any:
    it = sqlite3.connect(":memory:")
    KEPT.append(it)
    return it


def blob() -> Any:
    it = connection()
    it.execute("create table t (data blob)")
    it.execute("insert into t values (zeroblob(10))")
    return it.blobopen("t", "data", 1)


def semaphore() -> Any:
    module = importlib.import_module("_multiprocessing")
    return module.SemLock(1, 1, 1, f"/gossamer-arguments-{os.getpid()}-{len(KEPT)}", True)


KEPT: list[Any] = []
MAKERS: dict[str, Callable[[], Any]] = {
    "_thread.LockType": lock,
    "_thread.RLock": _thread.RLock,
    "_thread._ThreadHandle": lambda: vars(_thread)["_ThreadHandle"](),
    "threading.Condition": threading.Condition,
    "_socket.socket": stock_socket,
    "select.poll": select.poll,
    "select.epoll": select.epoll,
    "_queue.SimpleQueue": queue,
    "_multiprocessing.SemLock": semaphore,
    "_ssl._SSLSocket": tls,
    "_sqlite3.Connection": connection,
    "_sqlite3.Cursor": lambda: connection().cursor(),
    "_sqlite3.Blob": blob,
    "_io.FileIO": reader,
    "_io.TextIOWrapper": lambda: _io.TextIOWrapper(_io.BufferedReader(reader())),
    "_io.BufferedRWPair": lambda: _io.BufferedRWPair(reader(), writer()),
    "_io.FileIO.write": writer,
    "_io.BufferedReader": lambda: _io.BufferedReader(reader()),
    "_io.BufferedWriter": lambda: _io.BufferedWriter(writer()),
}

# Beside those that every point is called with.
SPECIAL: dict[str, dict[str, Call]] = {
    "_thread.LockType.acquire": {
        "timeout": ((True, -2), {}),
        "timeout without waiting": ((False, 1), {}),
        "named twice": ((True,), {"blocking": True}),
        "text": ((), {"timeout": "x"}),
    },
    "_thread.RLock.acquire": {"timeout": ((True, -2), {}), "timeout without waiting": ((False, 1), {})},
    "_queue.SimpleQueue.get": {"timeout": ((True, -2), {}), "text": ((), {"timeout": "x"})},
    "_socket.socket.recv": {"flags": ((1, "x"), {}), "large flags": ((1, 2**40), {})},
    "_socket.socket.recv_into": {
        "read-only": ((b"abc",), {}),
        "too much": ((bytearray(3), 4), {}),
        "negative": ((bytearray(3), -4), {}),
    },
    "_socket.socket.recvfrom_into": {
        "read-only": ((b"abc",), {}),
        "too much": ((bytearray(3), 4), {}),
        "negative": ((bytearray(3), -4), {}),
    },
    "_socket.socket.recvmsg": {"negative": ((1, -1), {}), "flags": ((1, 1, "x"), {})},
    "_socket.socket.recvmsg_into": {"read-only": (([b"abc"],), {}), "numbers": (([1, 2],), {})},
    "_socket.socket.sendmsg": {
        "numbers": (([1, 2],), {}),
        "ancillary data": (([b"x"], [1]), {}),
        "a pair": (([b"x"], [(1, 2)]), {}),
        "flags": (([b"x"], [], "x"), {}),
    },
    "_socket.socket.sendto": {"text": (("x", ("127.0.0.1", 1)), {}), "flags": ((b"x", "x", "y"), {})},
    "_socket.socket.send": {"flags": ((b"x", "x"), {})},
    "_signal.default_int_handler": {"text": (("x", None), {})},
    "_signal.signal": {"number": ((0, None), {}), "handler": ((10, 5), {})},
    "_signal.sigtimedwait": {"negative": (((), -1), {}), "numbers": ((("x",), 0), {})},
    "_signal.sigwait": {"numbers": ((("x",),), {}), "too large": (((1000,),), {})},
    "_signal.sigwaitinfo": {"numbers": ((("x",),), {}), "too large": (((1000,),), {})},
    "_signal.pthread_sigmask": {"how": ((100, ()), {}), "numbers": ((0, ("x",)), {})},
    "os.read": {"negative": ((0, -1), {}), "text": (("x", 1), {}), "large": ((0, 2**40), {})},
    "os.write": {"text": ((1, "x"), {})},
    "os.readv": {"read-only": ((0, [b"x"]), {}), "text": ((0, "x"), {})},
    "os.writev": {"text": ((1, ["x"]), {}), "no sequence": ((1, 5), {})},
    "os.waitid": {"kind": ((100, 0, 4), {}), "three": ((0, 1.5, 4), {})},
    "os.waitpid": {"text": ((1, "x"), {})},
    "os.splice": {"negative": ((0, 1, -1), {}), "offset": ((0, 1, 1, "x"), {})},
    "posix.sendfile": {"three": ((1, 0, 0), {}), "text": ((1, 0, 0, "x"), {})},
    "fcntl.flock": {"text": ((0, "x"), {}), "float": ((0, 1.0), {})},
    "fcntl.lockf": {"text": ((0, "x"), {}), "command": ((0, 64), {}), "length": ((0, 2, "x"), {})},
    "fcntl.fcntl": {"text": ((0, "x"), {}), "argument": ((0, 7, 1.5), {}), "long": ((0, 7, b"x" * 2000), {})},
    "os.lockf": {"text": ((0, 1, "x"), {}), "command": ((0, 100, 0), {})},
    "os.open": {"flags": (("/", "x"), {}), "directory": (("x", 0), {"dir_fd": "x"})},
    "_io.open": {"mode": (("/", "q"), {}), "both": (("/", "rw"), {}), "opener": (("/nowhere",), {"opener": 5})},
    "select.select": {"no sets": ((1, 2, 3), {}), "text": (([], [], [], "x"), {}), "negative": (([], [], [], -1), {})},
    "select.poll.poll": {"text": (("x",), {})},
    "select.epoll.poll": {"text": (("x",), {}), "most": ((0, -5), {}), "none": ((0, 0), {})},
    "_socket.socket.connect": {"host": (((5, 1),), {}), "three": ((("127.0.0.1", 1, 1),), {})},
    "time.sleep": {"text": (("x",), {}), "not a number": ((float("nan"),), {})},
    "threading.Condition.notify": {"number": (("x",), {})},
}


def ordinary_calls() -> Iterator[tuple[str, Call]]:
    yield "()", ((), {})
    for text, value in VALUES.items():
        for count in range(1, MOST + 1):
            yield f"{text}*{count}", ((value,) * count, {})
        yield f"{text}, nonsense=1", ((value,), {"nonsense": 1})
    yield "nonsense=1", ((), {"nonsense": 1})


def calls_of(point: str) -> Iterator[tuple[str, Call]]:
    left_out = LEFT_OUT.get(point, set())
    yield from ((text, call) for text, call in ordinary_calls() if text not in left_out)
    yield from SPECIAL.get(point, {}).items()


def target_of(point: str) -> Callable[..., Any] | None:
    """What to call: the point itself, of a new object where it is a method; None if it is not there."""
    owner, name = point.rsplit(".", 1)
    maker = MAKERS.get(point) or MAKERS.get(owner)
    found = maker() if maker is not None else importlib.import_module(owner)
    if maker is None:
        return getattr(found, name, None)
    method = getattr(type(found), name)
    return lambda *args, **kwargs: method(found, *args, **kwargs)


def said(point: str, call: Call) -> str:
    target = target_of(point)
    assert target is not None, point
    args, kwargs = call
    try:
        result = target(*args, **kwargs)
    except BaseException as error:
        return re.sub(r"0x[0-9a-f]+|\d{6,}", "N", f"{type(error).__name__}: {error}")
    if point in ("posix.dup2", "os.open", "os.dup2") and isinstance(result, int):
        os.close(result)
    with contextlib.suppress(AttributeError):
        result.close()
    return f"returned {type(result).__name__}"


def say_all(points: list[str]) -> dict[str, str]:
    answers = {}
    for point in points:
        for text, call in calls_of(point):
            answers[f"{point}: {text}"] = said(point, call)
            KEPT.clear()
    return answers


def main() -> None:
    faulthandler.dump_traceback_later(float(sys.argv[4]), exit=True)
    os.chdir(sys.argv[2])
    points = json.loads(sys.argv[3])
    if sys.argv[1] == "green":
        from gossamer import _core

        _core.get_hub()
        _core.points_switch("green-threads", True)
        thread = _core.spawn(say_all, points)
        thread.join()
        answers: Any = thread.value
    else:
        answers = say_all(points)
    Path("answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
