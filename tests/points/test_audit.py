"""Audit hooks are told of a call once, however often it is tried before it has not to wait any more."""

import sys

import pytest

from tests.support.children import output_of

BEFORE = """
import contextlib, fcntl, os, socket, sys, tempfile, time
from gossamer import _core
from gossamer._core import sleep, spawn

events = []
def hook(event, details):
    if event.startswith(('socket.', 'fcntl.', 'time.')) and event != 'socket.__new__':
        events.append(event)
sys.addaudithook(hook)

def fill(it, *address):
    it.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            it.sendmsg([b'.' * 1000], (), 0, *address)
    it.setblocking(True)

def after_many_tries(end_the_wait, function, *args):
    waiter = spawn(function, *args)
    sleep(0)
    for _ in range(5):
        sleep(0.02)
    end_the_wait()
    waiter.join()
    return waiter
"""

WAITS = {
    "flock": (
        """
import fcntl
path = tempfile.mktemp()
one, two = os.open(path, os.O_CREAT | os.O_RDWR), os.open(path, os.O_RDWR)
fcntl.flock(one, fcntl.LOCK_EX)
events.clear()
after_many_tries(lambda: os.close(one), fcntl.flock, two, fcntl.LOCK_EX)
""",
        ["fcntl.flock"],
    ),
    "sendmsg": (
        """
left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
fill(left)
def some():
    while left_over():
        right.recv(10000)
def left_over():
    with contextlib.suppress(BlockingIOError):
        return right.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
events.clear()
after_many_tries(some, left.sendmsg, [b'x'])
""",
        ["socket.sendmsg"],
    ),
    "sendto": (
        """
receiver, sender = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
receiver.bind(b'\\0gossamer-audit-%d' % os.getpid())
fill(sender, receiver.getsockname())
events.clear()
after_many_tries(lambda: receiver.recv(10000), sender.sendto, b'x', receiver.getsockname())
""",
        ["socket.sendto"],
    ),
    "connect": (
        """
listener = socket.socket(socket.AF_UNIX)
listener.bind(b'\\0gossamer-audit-connect-%d' % os.getpid())
listener.listen(0)
first = socket.socket(socket.AF_UNIX)
first.connect(listener.getsockname())
second = socket.socket(socket.AF_UNIX)
events.clear()
after_many_tries(lambda: os.close(listener._accept()[0]), second.connect, listener.getsockname())
""",
        ["socket.connect"],
    ),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_call_that_is_tried_again_and_again_is_audited_once(name: str) -> None:
    source, expected = WAITS[name]
    ignore = "events[:] = [event for event in events if not event.startswith('time.')]\n"
    assert output_of(BEFORE + source + ignore + "print(events)") == f"{expected}\n"


def test_other_threads_and_later_calls_are_audited_as_ever() -> None:
    source, expected = WAITS["flock"]
    out = output_of(
        BEFORE
        + source
        + """
import threading
sys.addaudithook(lambda event, details: events.append('second') if event == 'fcntl.flock' else None)
fcntl.flock(two, fcntl.LOCK_UN)
thread = threading.Thread(target=fcntl.flock, args=(two, fcntl.LOCK_SH))
thread.start()
thread.join()
print([event for event in events if not event.startswith('time.')])
"""
    )
    assert out == f"{expected + ['fcntl.flock', 'second'] * 2}\n"


def test_a_hook_that_refuses_the_call_refuses_it_before_any_wait() -> None:
    out = output_of(
        BEFORE
        + """
def refuse(event, details):
    if event == 'fcntl.flock' and details[1] & fcntl.LOCK_SH:
        raise PermissionError('no')
sys.addaudithook(refuse)
def work():
    try:
        fcntl.flock(0, fcntl.LOCK_SH)
    except PermissionError as error:
        return str(error)
thread = spawn(work)
thread.join()
print(thread.value)
"""
    )
    assert out == "no\n"


def test_sleep_is_audited_as_it_is_without_a_hub() -> None:
    out = output_of(
        BEFORE
        + """
spawn(time.sleep, 0.001).join()
print([event for event in events if event == 'time.sleep'])
"""
    )
    assert out == f"{['time.sleep'] if sys.version_info >= (3, 13) else []}\n"
