"""The standard streams, and a child's: read and written while others run, and at the interpreter's end."""

import subprocess
import sys

from gossamer import _core
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, ended, parked, until


def test_a_childs_output_is_read_while_others_run() -> None:
    command = [sys.executable, "-c", "print(input() + '!')"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        reader = parked(process.stdout.readline)
        process.stdin.write("hello\n")
        process.stdin.close()
        assert ended(reader) == ["hello!\n"]
        until(lambda: process.poll() is not None)


CHILD = (
    PRELUDE
    + """
get_hub()
"""
)


def test_standard_input_is_waited_for() -> None:
    source = """
import sys
from gossamer import _core
_core.get_hub()
reader = _core.spawn(sys.stdin.readline)
_core.sleep(0)
print('others run', flush=True)
reader.join()
print(repr(reader.value), repr(sys.stdin.read()))
"""
    with subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "others run\n"
        process.stdin.write("one\ntwo\n")
        process.stdin.close()
        assert process.stdout.read() == "'one\\n' 'two\\n'\n"
        until(lambda: process.poll() is not None)
        assert process.returncode == 0


def test_the_interpreter_ends_and_flushes_while_one_is_parked_in_standard_output() -> None:
    source = """
import os, sys, warnings
warnings.simplefilter('ignore')  # of the GIL, on free-threaded builds
from gossamer import _core
_core.get_hub()
def flood():
    for number in range(30000):
        print(number)
for _ in range(2):
    _core.spawn(flood)
_core.sleep(0.05)
print('end', file=sys.stderr, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stderr.readline() == b"end\n"
        _core.sleep(0.1)
        process.stdout.read()
        assert process.stderr.read() == b""
        until(lambda: process.poll() is not None)
        assert process.returncode == 0


def test_the_interpreter_ends_while_one_is_parked_in_standard_input() -> None:
    source = "import sys; from gossamer import _core; _core.spawn(sys.stdin.read); _core.sleep(0.01); print('end')"
    with subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "end\n"
        until(lambda: process.poll() is not None)
        assert process.returncode == 0


def test_a_forked_child_prints_while_one_is_parked_in_standard_output() -> None:
    out = output_of(
        CHILD
        + """
reader, writer = os.pipe()
file = open(writer, 'w')
thread = spawn(lambda: print('x' * 200000, file=file, flush=True))
turns()
child = os.fork()
if child == 0:
    leave(lambda: print('child', flush=True))
wait_for(child)
print('parent', flush=True)
spawn(lambda: [os.read(reader, 65536) for _ in range(2)])
os._exit(0)
"""
    )
    assert out.split() == ["child", "parent"]
