"""fork: the child goes on in the greenlet that forked, with every greenlet of that thread as it was.

The greenlets of the other threads are in the child without a thread: they cannot be switched to, and may be dropped.
"""

import pytest

from tests.support.children import output_of

PRELUDE = """
import gc, os, sys, threading, warnings
from gossamer.switching import GreenletExit, error, getcurrent, greenlet
from tests.support.greenlets import below, below_c, ended, parked, to_parent
warnings.simplefilter('ignore', DeprecationWarning)
main = getcurrent()

def wait_for(child):
    "Wait for a child process and insist on status 0."
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, status

def leave(check):
    "End this child process with status 0 if `check` passes."
    try:
        check()
        sys.stdout.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)

def body(number):
    local = [number]
    received = below_c(number % 4, to_parent)
    assert local == [number]
    return received + number
"""


def test_parked_greenlets_go_on_in_both_processes() -> None:
    out = output_of(
        PRELUDE
        + """
crowd = [greenlet(body) for _ in range(50)]
for number, it in enumerate(crowd):
    it.switch(number)
def check():
    assert [it.switch(1) for it in crowd] == list(range(1, 51))
child = os.fork()
if not child:
    leave(check)
wait_for(child)
check()
print('both')
"""
    )
    assert out == "both\n"


def test_forking_inside_a_greenlet_goes_on_inside_it_in_both_processes() -> None:
    out = output_of(
        PRELUDE
        + """
crowd = [greenlet(body) for _ in range(10)]
for number, it in enumerate(crowd):
    it.switch(number)

def forks():
    me = getcurrent()
    child = below_c(5, os.fork)
    assert getcurrent() is me and me.parent is main and not me.dead
    for number, it in enumerate(crowd):
        it.parent = me
        assert it.switch(1) == number + 1
    return child

it = greenlet(forks)
child = it.switch()
assert it.dead and getcurrent() is main
if child:
    wait_for(child)
    print('parent')
else:
    assert greenlet(lambda: 42).switch() == 42
    sys.stdout.flush()
    os._exit(0)
"""
    )
    assert out == "parent\n"


def test_thousands_of_greenlets_survive_a_fork() -> None:
    out = output_of(
        PRELUDE
        + """
crowd = [greenlet(body) for _ in range(2000)]
for number, it in enumerate(crowd):
    it.switch(number)
def check():
    assert [it.switch(1) for it in reversed(crowd)] == list(range(2000, 0, -1))
child = greenlet(os.fork).switch()
if not child:
    leave(check)
wait_for(child)
check()
print('both')
"""
    )
    assert out == "both\n"


def test_a_child_may_exit_in_the_ordinary_way_from_inside_a_greenlet() -> None:
    out = output_of(
        PRELUDE
        + """
import atexit
kept = [parked() for _ in range(10)]
def forks():
    child = os.fork()
    if not child:
        atexit.register(lambda: print('child exits', flush=True))
        sys.exit(0)
    return child
wait_for(greenlet(forks).switch())
print('parent goes on')
"""
    )
    assert out == "child exits\nparent goes on\n"


def test_greenlets_end_in_parent_and_child_on_their_own() -> None:
    out = output_of(
        PRELUDE
        + """
def ends():
    try:
        to_parent()
    finally:
        print('finally', 'parent' if os.getpid() == process else 'child', flush=True)
process = os.getpid()
it = parked(ends)
child = os.fork()
if not child:
    def check():
        global it
        it = None
    leave(check)
wait_for(child)
it = None
"""
    )
    assert out == "finally child\nfinally parent\n"


def test_forking_in_another_thread_keeps_that_threads_greenlets() -> None:
    out = output_of(
        PRELUDE
        + """
mains = [parked(lambda: below_c(3, to_parent)) for _ in range(5)]
def work():
    own = [greenlet(body) for _ in range(20)]
    for number, it in enumerate(own):
        it.switch(number)
    def check():
        me = getcurrent()
        for number, it in enumerate(own):
            it.parent = me
            assert it.switch(1) == number + 1
        for it in mains:
            try:
                it.switch()
            except error:
                pass
            else:
                raise AssertionError('switched to a greenlet of a thread that is gone')
        mains.clear()
        gc.collect()
        assert ended(lambda: None).dead
    def forks():
        child = os.fork()
        if not child:
            leave(check)
        wait_for(child)
    greenlet(forks).switch()
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert [it.switch(1) for it in mains] == [1] * 5
print('both')
"""
    )
    assert out == "both\n"


@pytest.mark.beyond_greenlet
def test_a_stack_that_another_thread_ran_on_at_the_fork_is_nobodys_in_the_child() -> None:
    out = output_of(
        PRELUDE
        + """
ready, over = threading.Event(), threading.Event()
def running():
    ready.set()
    over.wait()
def work():
    crowd = [parked() for _ in range(200)]
    greenlet(running).switch()
    assert [it.switch(1) for it in crowd] == [1] * 200
thread = threading.Thread(target=work)
thread.start()
ready.wait()
def check():
    assert greenlet(lambda: greenlet(lambda: getcurrent().parent.parent).switch()).switch() is main
    assert [it.switch(1) for it in [parked() for _ in range(200)]] == [1] * 200
child = os.fork()
if not child:
    leave(check)
over.set()
thread.join()
wait_for(child)
print('both')
""",
        environment={"GOSSAMER_STACKS": ""},
    )
    assert out == "both\n"


def test_greenlets_of_threads_that_the_child_lacks_can_be_dropped() -> None:
    out = output_of(
        PRELUDE
        + """
ready, over = threading.Event(), threading.Event()
foreign = []
def work():
    foreign.extend(parked(lambda: below_c(2, to_parent)) for _ in range(20))
    foreign.append(getcurrent())
    foreign.append(greenlet(int))
    ready.set()
    over.wait()
thread = threading.Thread(target=work)
thread.start()
ready.wait()
def check():
    for it in foreign[:21]:
        repr(it), it.dead, it.gr_frame
    foreign.clear()
    gc.collect()
    assert [parked().switch(1) for _ in range(50)] == [1] * 50
    started = threading.Thread(target=lambda: [parked() for _ in range(50)])
    started.start()
    started.join()
child = os.fork()
if not child:
    leave(check)
wait_for(child)
over.set()
thread.join()
print('both')
"""
    )
    assert out == "both\n"


def test_a_child_of_a_child_goes_on_too() -> None:
    out = output_of(
        PRELUDE
        + """
crowd = [greenlet(body) for _ in range(10)]
for number, it in enumerate(crowd):
    it.switch(number)
def generation(left):
    child = os.fork()
    if not child:
        def check():
            me = getcurrent()
            it = crowd[left]
            it.parent = me
            assert it.switch(1) == left + 1
            if left:
                greenlet(generation).switch(left - 1)
        leave(check)
    wait_for(child)
greenlet(generation).switch(3)
print('all')
"""
    )
    assert out == "all\n"


def test_multiprocessing_by_fork_works_inside_a_greenlet() -> None:
    out = output_of(
        PRELUDE
        + """
import multiprocessing
context = multiprocessing.get_context('fork')
def double(value):
    return greenlet(lambda: value * 2).switch()
def body():
    with context.Pool(2) as pool:
        return pool.map(double, range(10))
kept = [parked() for _ in range(10)]
print(greenlet(body).switch())
queue = context.SimpleQueue()
def target():
    kept[0].parent = getcurrent()
    queue.put(kept[0].switch('resumed in the child'))
process = context.Process(target=target)
greenlet(process.start).switch()
print(queue.get())
process.join()
print(process.exitcode)
"""
    )
    assert out == f"{list(range(0, 20, 2))}\nresumed in the child\n0\n"


def test_subprocesses_are_started_and_awaited_inside_greenlets() -> None:
    out = output_of(
        PRELUDE
        + """
import subprocess
def body(number):
    process = subprocess.Popen([sys.executable, '-c', f'print({number})'], stdout=subprocess.PIPE, text=True)
    to_parent()
    return process.communicate()[0]
crowd = [greenlet(body) for _ in range(3)]
for number, it in enumerate(crowd):
    it.switch(number)
print([it.switch() for it in crowd])
"""
    )
    assert out == "['0\\n', '1\\n', '2\\n']\n"
