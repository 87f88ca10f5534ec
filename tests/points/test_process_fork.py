"""Forks by green threads: what parks meanwhile, and what goes on in the child."""

import pytest

from tests.support.children import output_of, run_child
from tests.support.runtime import PRELUDE


def test_a_green_thread_forks_and_another_waits_for_the_child() -> None:
    out = output_of(
        PRELUDE
        + """
def fork():
    child = os.fork()
    if not child:
        sleep(0.01)
        os._exit(8)
    return child
(child,) = joined(spawn(fork))
(result,) = joined(spawn(os.waitpid, child, 0))
print(result == (child, 8 << 8))
"""
    )
    assert out == "True\n"


def test_a_fork_waits_for_the_locks_of_its_hooks_while_others_go_on() -> None:
    assert (
        output_of(
            PRELUDE
            + """
lock = threading.Lock()
os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
order = []

def hold():
    with lock:
        sleep(0.01)
        order.append('released')

def fork():
    child = os.fork()
    if not child:
        leave(lambda: lock.acquire(False))
    order.append('forked')
    return child

holder, forker = spawn(hold), spawn(fork)
joined(holder, forker)
wait_for(forker.value)
print(order)
"""
        )
        == "['released', 'forked']\n"
    )


@pytest.mark.parametrize("native", [False, True])
def test_a_green_thread_that_threading_does_not_know_forks_without_a_word(native: bool) -> None:
    ended = run_child(
        PRELUDE
        + f"""
from gossamer import monkey
monkey.patch_all()
Native = monkey.get_original("threading", "Thread")

def fork():
    child = os.fork()
    if not child:
        leave(lambda: print(threading.current_thread() is threading.main_thread(), threading.active_count()))
    wait_for(child)

def body():
    joined(spawn(fork))

if {native}:
    thread = Native(target=body)
    thread.start()
    thread.join()
else:
    body()
"""
    )
    assert (ended.status, ended.out, ended.err) == (0, "True 1\n", ""), ended.describe()


def test_a_wait_that_a_forked_child_inherits_ends_there_with_an_error() -> None:
    out = output_of(
        PRELUDE
        + """
get_hub()
reading, writing = os.pipe()
first = os.fork()
if not first:
    os.close(writing)
    _core.original('os', None, 'read')(reading, 1)
    os._exit(0)
waits = [spawn(os.waitpid, first, 0), spawn(os.waitpid, first, os.WUNTRACED)]
turns()
answer, tell = os.pipe()
second = os.fork()
if not second:
    os.close(writing)
    for it in waits:
        it.join()
    os.write(tell, str([type(it.exception).__name__ for it in waits]).encode())
    os._exit(0)
os.close(writing)
joined(*waits)
print(os.read(answer, 100).decode(), [type(it.exception).__name__ for it in waits].count('NoneType'))
os.waitpid(second, 0)
"""
    )
    assert out == "['ChildProcessError', 'ChildProcessError'] 1\n"


def test_forkpty_and_pty_spawn() -> None:
    out = output_of(
        PRELUDE
        + """
import pty
child, master = os.forkpty()
if not child:
    os.write(1, b'from the child')
    sleep(0.01)
    os._exit(0)
seen = b''
def read():
    global seen
    try:
        while data := os.read(master, 100):
            seen += data
    except OSError:
        pass
reader = spawn(read)
print(os.waitpid(child, 0) == (child, 0))
joined(reader)
print(seen, flush=True)
ticks = []
def tick():
    while True:
        ticks.append(1)
        sleep(0.001)
spawn(tick)
null = os.open('/dev/null', os.O_RDWR)
os.dup2(null, 0)
status = pty.spawn([sys.executable, '-c', 'import time; time.sleep(0.2); print(5)'], stdin_read=lambda fd: b'')
print(status, len(ticks) > 2)
"""
    )
    assert out == "True\nb'from the child'\n5\n0 True\n"
