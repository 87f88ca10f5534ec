"""A kill or a timeout that strikes in a destructor is told of, or comes again: it never gets lost in silence.

In child processes: the files are dropped unclosed, of which the interpreter warns.
"""

import pytest

from tests.support.children import output_of

KILLED = """
import os, socket, sys, weakref
import gossamer
from gossamer import sleep

told, log = [], []
sys.unraisablehook = lambda what: told.append(what.exc_type.__name__)
LARGE = 1 << 20                      # more than a pipe or a socket holds
reader, writer = os.pipe()
left, right = socket.socketpair()

def work():
    drops()
    log.append("dropped")
    sleep(60)
    log.append("still alive")

def kill(times):
    it = gossamer.spawn(work)
    for _ in range(times):
        sleep(0.01)
        it.kill(block=False)
    it.join(timeout=30)
    return it
"""

IN_PYTHON = {
    "a method": """
class Waits:
    def __del__(self):
        sleep(60)
def drops():
    Waits()
""",
    "a callback": """
class Plain:
    pass
def drops():
    it = Plain()
    reference = weakref.ref(it, lambda _: sleep(60))
    del it
""",
    "a generator": """
def generate():
    try:
        yield
    finally:
        sleep(60)
def drops():
    it = generate()
    next(it)
    del it
""",
}

FILES = {
    "a file": "os.fdopen(writer, 'wb', 2 * LARGE).write(b'x' * LARGE)",
    "a socket's": "left.makefile('wb', 2 * LARGE).write(b'x' * LARGE)",
    "a socket's for both": "left.makefile('rwb', 2 * LARGE).write(b'x' * LARGE)",
}
# Their close() flushes twice: it goes on with its buffer's close() when the first attempt has failed.
TEXT_FILES = {
    "a text file": "os.fdopen(writer, 'w', 2 * LARGE).write('x' * LARGE)",
    "a socket's for text": "left.makefile('w', 2 * LARGE).write('x' * LARGE)",
    "a socket's for both, and text": "left.makefile('rw', 2 * LARGE).write('x' * LARGE)",
}


@pytest.mark.parametrize("name", IN_PYTHON)
def test_a_kill_in_python_code_of_a_destructor_is_told_of(name: str) -> None:
    ask = "it = gossamer.spawn(drops)\nsleep(0.01)\nit.kill()\nprint(told, it.ready())"
    assert output_of(KILLED + IN_PYTHON[name] + ask) == "['GreenletExit'] True\n"


@pytest.mark.parametrize(
    ("files", "name"), [*((FILES, name) for name in FILES), *((TEXT_FILES, name) for name in TEXT_FILES)]
)
def test_a_kill_that_strikes_while_a_file_is_dropped_comes_at_the_next_wait(files: dict[str, str], name: str) -> None:
    drops = f"def drops():\n    {files[name]}\n"
    ask = f"it = kill({2 if files is TEXT_FILES else 1})\nprint(log, it.ready(), repr(it.value))"
    assert output_of(KILLED + drops + ask) == "['dropped'] True GreenletExit()\n"


def test_a_timeout_whose_block_is_over_by_then_is_not_raised() -> None:
    out = output_of(
        f"""{KILLED}
def timed():
    with gossamer.Timeout(0.01):
        {FILES["a file"]}
    sleep(0.001)
    return "went on"
print(gossamer.spawn(timed).get())
"""
    )
    assert out == "went on\n"


def test_an_error_of_a_file_that_is_dropped_is_nobodys_business() -> None:
    out = output_of(
        f"""{KILLED}
def fails():
    open("/dev/full", "wb").write(b"x")
    sleep(0.001)
    return "went on"
print(gossamer.spawn(fails).get())
"""
    )
    assert out == "went on\n"
