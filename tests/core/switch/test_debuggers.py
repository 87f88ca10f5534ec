"""py-spy, gdb and the interpreter's support for perf, looking at a process with parked and running greenlets."""

import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.children import ROOT, output_of
from tests.support.free_threading import IS_FREE_THREADED
from tests.support.sanitizers import IS_SANITIZED

# One greenlet is parked, and one runs: it says so and then stays in `the_running_one`, in C code that does not wait.
BUSY = """
import ctypes, sys
from gossamer.switching import greenlet
from tests.support.greenlets import below_c, parked

# Whoever asks may look, though it is no parent of ours (PR_SET_PTRACER, PR_SET_PTRACER_ANY).
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1 % 2**64), 0, 0, 0)
others = [parked() for _ in range(10)]

def the_running_one():
    print("runs", flush=True)
    sum(iter(int, 1))

greenlet(lambda: below_c(3, the_running_one)).switch()
"""

pytestmark = pytest.mark.skipif(IS_SANITIZED, reason="debuggers see the sanitizer's frames and wait for its leaks")


@pytest.fixture
def busy() -> Iterator[int]:
    """The process id of a program with a greenlet that runs and never ends."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"runs\n"
        yield process.pid
        # it was looked at, and goes on
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def seen_by(command: list[str]) -> str:
    """What a debugger prints; the test is skipped where it may not look into other processes."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    if "Operation not permitted" in said or "Permission denied" in said:
        pytest.skip(f"{Path(command[0]).name} may not look into other processes here")
    assert done.returncode == 0, said
    return done.stdout


@pytest.mark.skipif(IS_FREE_THREADED, reason="py-spy does not know free-threaded builds")
def test_py_spy_shows_the_running_greenlet_from_its_first_frame_on(busy: int) -> None:
    py_spy = Path(sysconfig.get_path("scripts")) / "py-spy"
    if not py_spy.exists():
        pytest.skip("py-spy is not installed: it is not made for every version of CPython")
    said = seen_by([str(py_spy), "dump", "--pid", str(busy)])
    lines = [line.split()[0].rpartition(".")[2] for line in said.splitlines() if line]
    stack = lines[lines.index("the_running_one") :]
    assert stack == ["the_running_one", *["key", "below_c"] * 3, "<lambda>"]


def test_gdb_shows_the_running_greenlet_and_ends_where_its_stack_begins(busy: int) -> None:
    gdb = shutil.which("gdb")
    if gdb is None:
        pytest.skip("gdb is not installed")
    said = seen_by([gdb, "--batch", "--nx", "-ex", "set debuginfod enabled off", "-p", str(busy), "-ex", "bt -20"])
    frames = [line for line in said.splitlines() if line.startswith("#")]
    assert "fiber_entry" in frames[-1] or "_core." in frames[-1]
    assert "corrupt" not in said
    assert "Cannot access memory" not in said


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the interpreter's support for perf came with CPython 3.12")
def test_greenlets_switch_while_the_interpreter_writes_for_perf() -> None:
    out = output_of(
        """
        import os, sys
        from gossamer.switching import getcurrent, greenlet
        from tests.support.greenlets import below_c
        try:
            sys.activate_stack_trampoline("perf")
        except ValueError as error:
            print("never", error)
            raise SystemExit
        main = getcurrent()
        def work(number):
            for _ in range(3):
                number += below_c(3, main.switch)
            return number
        crowd = [greenlet(work) for _ in range(300)]
        for number, it in enumerate(crowd):
            it.switch(number)
        for _ in range(2):
            for it in crowd:
                it.switch(1)
        print(all(it.switch(1) == number + 3 for number, it in enumerate(crowd)))
        sys.deactivate_stack_trampoline()
        os.unlink(f"/tmp/perf-{os.getpid()}.map")
        """
    )
    if out.startswith("never"):
        pytest.skip(f"this build of CPython has no support for perf: {out}")
    assert out == "True\n"
