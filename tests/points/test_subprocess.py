"""The stock subprocess module in green threads: who waits for a child lets the others run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import spawn
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, joined, open_descriptors

PIPE, QUIET = subprocess.PIPE, subprocess.DEVNULL


@pytest.fixture(autouse=True)
def _points() -> None:
    _core.get_hub()


def while_others_run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What it returns, run in a green thread; others must have had many turns meanwhile."""
    ticks = 0
    thread = spawn(function, *args, **kwargs)
    while not thread.ready():
        _core.sleep(0.001)
        ticks += 1
    assert ticks > 3
    if thread.exception is not None:
        raise thread.exception
    return thread.value


SLOWLY = ["sh", "-c", "sleep 0.2; echo out; echo err >&2; exit 3"]


def test_wait() -> None:
    assert while_others_run(lambda: subprocess.Popen(SLOWLY, stdout=QUIET, stderr=QUIET).wait()) == 3


def test_run_and_communicate() -> None:
    done = while_others_run(subprocess.run, SLOWLY, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
    done = while_others_run(subprocess.run, SLOWLY, input=b"", stdout=PIPE, stderr=QUIET)
    assert done.stdout == b"out\n"


def test_check_call_and_call() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        while_others_run(subprocess.check_call, SLOWLY, stdout=QUIET, stderr=QUIET)
    assert while_others_run(subprocess.call, "sleep 0.2; exit 4", shell=True) == 4


def test_a_wait_with_a_timeout_that_is_over() -> None:
    process = subprocess.Popen(["sleep", "3600"])
    with pytest.raises(subprocess.TimeoutExpired):
        while_others_run(process.wait, timeout=0.2)
    with pytest.raises(subprocess.TimeoutExpired):
        while_others_run(process.communicate, timeout=0.2)
    process.terminate()
    assert process.wait(60) == -signal.SIGTERM


def test_two_green_threads_wait_for_one_child() -> None:
    with subprocess.Popen(["sh", "-c", "read line; exit 5"], stdin=PIPE) as process:
        waiters = [spawn(process.wait), spawn(process.wait), spawn(process.wait, timeout=60)]
        _core.sleep(0)
        assert process.poll() is None
        assert process.stdin is not None
        process.stdin.close()
        assert joined(*waiters) == [5, 5, 5]


def test_ten_megabytes_go_through_a_child() -> None:
    data = os.urandom(10_000_000)
    (done,) = joined(spawn(subprocess.run, ["cat"], input=data, stdout=PIPE))
    assert done.stdout == data


def test_pipes_among_several_children() -> None:
    first = subprocess.Popen(["sh", "-c", "sleep 0.1; seq 100000"], stdout=PIPE)
    second = subprocess.Popen(["wc", "-l"], stdin=first.stdout, stdout=PIPE, stderr=PIPE)
    assert first.stdout is not None
    first.stdout.close()
    out, _ = while_others_run(second.communicate)
    assert (int(out), first.wait(), second.returncode) == (100000, 0, 0)


def test_fifty_children_at_once_leave_nothing_behind() -> None:
    def run(number: int) -> tuple[bytes, int]:
        done = subprocess.run(["sh", "-c", f"sleep 0.1; echo {number}; exit {number}"], capture_output=True)
        return done.stdout, done.returncode

    joined(spawn(run, 0))
    descriptors = open_descriptors()
    assert joined(*[spawn(run, number) for number in range(50)]) == [(b"%d\n" % number, number) for number in range(50)]
    assert open_descriptors() == descriptors


def test_sessions_and_descriptors_are_handed_on() -> None:
    reading, writing = os.pipe()
    code = f"import os; os.write({writing}, str(os.getsid(0) == os.getpid()).encode())"
    process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[writing], start_new_session=True)
    os.close(writing)
    assert os.read(reading, 100) == b"True"
    assert process.wait() == 0
    os.close(reading)


def test_a_program_that_is_not_there() -> None:
    (failed,) = [spawn(subprocess.run, ["/nowhere/to/be/found"])]
    joined(failed)
    assert isinstance(failed.exception, FileNotFoundError)


def test_who_is_interrupted_while_waiting_can_wait_again() -> None:
    process = subprocess.Popen(["sleep", "3600"])
    waiter = spawn(process.wait)
    _core.sleep(0.001)
    assert _core.interrupt(waiter, LookupError("enough"))
    joined(waiter)
    assert isinstance(waiter.exception, LookupError)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL


def test_what_popen_of_the_os_module_reads_is_right() -> None:
    with os.popen("echo one; echo two; exit 1") as lines:
        assert list(lines) == ["one\n", "two\n"]
        status = lines.close()
    assert status is not None and os.waitstatus_to_exitcode(status) == 1


def test_before_it_executes_a_child_is_nobody_but_who_forked() -> None:
    """Other green threads must not run in it, whatever its preexec_fn waits for."""
    out = output_of(
        PRELUDE
        + """
import subprocess
home, (reading, writing) = os.getpid(), os.pipe()
def other():
    while True:
        sleep(0.001)
        if os.getpid() != home:
            os.write(writing, b'another ran')
others = [spawn(other) for _ in range(3)]
get_hub().call_later(0.01, lambda: os.getpid() != home and os.write(writing, b'a callback ran'))
lock = threading.Lock()
def before():
    time.sleep(0.1)
    with lock:
        sleep(0.01)
    threading.Event().wait(0.01)
    ends = os.pipe()
    os.write(ends[1], b'piped')
    os.write(writing, os.read(ends[0], 10))
results = joined(*[spawn(lambda: subprocess.call(['true'], preexec_fn=before)) for _ in range(2)])
interrupt(others[0], GreenletExit())
print(results, os.read(reading, 1000), subprocess.call(['true'], preexec_fn=before), os.read(reading, 1000), flush=True)
child = os.fork()
if not child:
    print('afterwards they live on in a child:', os.read(reading, 11), flush=True)
    os._exit(0)
os.waitpid(child, 0)
""",
        seconds=30,
    )
    assert out == ("[0, 0] b'pipedpiped' 0 b'piped'\nafterwards they live on in a child: b'another ran'\n")


def test_what_a_preexec_function_raises_is_reported() -> None:
    def fail() -> None:
        time.sleep(0.01)
        raise LookupError

    failed = spawn(subprocess.run, ["true"], preexec_fn=fail)
    joined(failed)
    assert isinstance(failed.exception, subprocess.SubprocessError)
