"""Arguments that are numbers by their __index__(), as NumPy's integers are: the call parks with them as with an int."""

import pytest

from tests.support.children import output_of

PRELUDE = """
import os, queue, select, signal, socket, threading, time
from gossamer import monkey, spawn

class Number:
    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value

    def __lt__(self, other):
        return self.value < other

order = []

def waits(call, *args):
    order.append(call(*args))

def empty(*args):
    try:
        return queue.SimpleQueue().get(*args)
    except queue.Empty:
        return "empty"

reading, writing = os.pipe()
left, right = socket.socketpair()
taken = threading.Lock()
taken.acquire()
"""

WAITS: dict[str, tuple[str, str, object]] = {
    "time.sleep": ("time.sleep, Number(1)", "pass", None),
    "SimpleQueue.get, a timeout": ("empty, True, Number(1)", "pass", "empty"),
    "SimpleQueue.get, block": ("empty, 1, 0.5", "pass", "empty"),
    "Lock.acquire": ("taken.acquire, True, Number(1)", "pass", False),
    "select.select": ("select.select, [reading], [], [], Number(1)", "pass", ([], [], [])),
    "signal.sigtimedwait": ("signal.sigtimedwait, [signal.SIGUSR1], Number(1)", "pass", None),
    "os.read": ("os.read, Number(reading), Number(5)", "os.write(writing, b'x')", b"x"),
    "os.read, a bool": ("os.read, reading, True", "os.write(writing, b'x')", b"x"),
    "FileIO.read": ("open(reading, 'rb', 0).read, Number(5)", "os.write(writing, b'x')", b"x"),
    "recvfrom": ("left.recvfrom, 5, Number(0)", "right.send(b'x')", (b"x", None)),
    "recvmsg": ("left.recvmsg, 5, 0, Number(0)", "right.send(b'x')", (b"x", [], 0, None)),
}


@pytest.mark.parametrize("which", WAITS)
def test_others_run_meanwhile(which: str) -> None:
    call, what_ends_it, result = WAITS[which]
    out = output_of(
        PRELUDE
        + f"one = spawn(waits, {call})\n"
        + f"def other():\n    order.append('other')\n    {what_ends_it}\n"
        + "spawn(other)\none.get()\nprint(order)\n"
    )
    assert out == f"{['other', result]}\n"


def test_a_join_waits_in_green() -> None:
    out = output_of(
        PRELUDE
        + "monkey.patch_all()\nthread = threading.Thread(target=time.sleep, args=(0.05,))\n"
        + "thread.start()\nthread.join(Number(60))\nprint(thread.is_alive())\n"
    )
    assert out == "False\n"


def test_closing_wakes_who_waits() -> None:
    out = output_of(
        PRELUDE
        + "def reads():\n    try:\n        os.read(reading, 1)\n"
        + "    except OSError as error:\n        return error.errno\n"
        + "one = spawn(reads)\ntime.sleep(0)\nos.close(Number(reading))\nprint(one.get())\n"
    )
    assert out == "9\n"


def test_a_keyword_that_get_does_not_have_is_refused() -> None:
    out = output_of(
        PRELUDE
        + "def refused():\n    try:\n        queue.SimpleQueue().get(blok=True)\n"
        + "    except TypeError as error:\n        return 'blok' in str(error)\n"
        + "print(spawn(refused).get())\n"
    )
    assert out == "True\n"
