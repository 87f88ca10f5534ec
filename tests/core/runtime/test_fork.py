"""fork: in the child, the green threads of the forking thread go on, on descriptors of their own.

The parent notices nothing. Green threads of other threads are gone in the child, and wait nowhere there.
"""

import pytest

from tests.support.children import output_of
from tests.support.runtime import PRELUDE


def test_green_threads_go_on_in_both_processes() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
reading, writing = os.pipe()
def waits():
    return 'parked' if queue.park(30) else None
def reads():
    wait_read(reading)
    return 'read'
def ready():
    turns(5)
    return 'ready'
crowd = [spawn(waits), spawn(lambda: sleep(0.05) or 'slept'), spawn(reads), spawn(ready)]
sleep(0)
crowd.append(spawn(lambda: 'not begun'))
joiner = spawn(crowd[0].join)
seen = []
get_hub().run_callback(seen.append, 'callback')
get_hub().call_later(0.02, seen.append, 'later')
child = os.fork()
def check():
    queue.unpark()
    if not child:
        os.write(writing, b'x')
    assert joined(*crowd, joiner) == ['parked', 'slept', 'read', 'ready', 'not begun', None]
    until(lambda: len(seen) > 1)
    assert seen == ['callback', 'later'], seen
if not child:
    leave(check)
os.waitpid(child, 0)
os.write(writing, b'x')
check()
print('both')
"""
    )
    assert out == "both\n"


def test_what_the_child_does_with_its_descriptors_leaves_the_parent_alone() -> None:
    out = output_of(
        PRELUDE
        + """
pairs = [socket.socketpair() for _ in range(20)]
crowd = [spawn(wait_read, ours.fileno()) for ours, theirs in pairs]
sleep(0.001)
child = os.fork()
if not child:
    def check():
        for it in crowd[:10]:
            interrupt(it, GreenletExit())
        joined(*crowd[:10])
        for ours, theirs in pairs[:10]:
            ours.close()
            theirs.close()
        replacement = os.pipe()
        assert not wait_read(replacement[0], 0.001)
        assert not any(it.ready() for it in crowd[10:])
    leave(check)
wait_for(child)
assert not any(it.ready() for it in crowd), crowd
for ours, theirs in pairs:
    theirs.send(b'x')
print(joined(*crowd) == [True] * 20)
"""
    )
    assert out == "True\n"


def test_the_child_polls_and_is_woken_by_descriptors_of_its_own() -> None:
    out = output_of(
        PRELUDE
        + """
def own():
    return {name: what for name, what in open_descriptors().items() if 'event' in what}
joined(spawn(sleep, 0))
before = own()
queue = WaitQueue()
waiter = spawn(queue.park)
sleep(0)
child = os.fork()
if not child:
    def check():
        assert len(own()) == len(before)
        def work():
            time.sleep(0.05)
            queue.unpark()
        threading.Thread(target=work).start()
        assert joined(waiter) == [True]
    leave(check)
other = spawn(sleep, 0.2)
sleep(0.15)
assert not waiter.ready()
wait_for(child)
def work():
    queue.unpark()
threading.Thread(target=work).start()
print(joined(waiter, other))
"""
    )
    assert out == "[True, None]\n"


def test_forking_inside_a_green_thread_goes_on_inside_it() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
others = [spawn(queue.park) for _ in range(5)]
def forks():
    me = getcurrent()
    child = os.fork()
    assert getcurrent() is me
    sleep(0.001)
    queue.unpark(5)
    return child
it = spawn(forks)
joined(it, *others)
if it.value == 0:
    sys.stdout.flush()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(it.value, 0)[1]))
"""
    )
    assert out == "7\n"


def test_forking_in_a_callback_goes_on() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
children = []
def callback():
    children.append(os.fork())
    queue.unpark()
get_hub().run_callback(callback)
queue.park(30)
if not children[0]:
    os._exit(joined(spawn(lambda: sleep(0.001) or 7))[0])
print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
"""
    )
    assert out == "7\n"


def test_a_child_of_a_child_goes_on_too() -> None:
    out = output_of(
        PRELUDE
        + """
reading, writing = os.pipe()
it = spawn(wait_read, reading)
sleep(0.001)
def generation(left):
    child = os.fork()
    if not child:
        def check():
            if left:
                return generation(left - 1)
            os.write(writing, b'x')
            assert joined(it) == [True]
        leave(check)
    wait_for(child)
generation(3)
print(joined(it))
"""
    )
    assert out == "[True]\n"


def test_a_descriptor_closed_by_a_library_behind_a_waiter_does_not_spoil_the_fork() -> None:
    out = output_of(
        PRELUDE
        + """
pipes = [os.pipe() for _ in range(5)]
crowd = [spawn(wait_read, reading) for reading, writing in pipes]
sleep(0.001)
import ctypes
ctypes.CDLL(None).close(pipes[1][0])
child = os.fork()
if not child:
    def check():
        for number in (0, 2, 3, 4):
            os.write(pipes[number][1], b'x')
        assert joined(*[crowd[number] for number in (0, 2, 3, 4)]) == [True] * 4
        for number in (0, 2, 3, 4):
            os.read(pipes[number][0], 1)
        print('child', flush=True)
    leave(check)
os.waitpid(child, 0)
for number in (0, 2, 3, 4):
    os.write(pipes[number][1], b'x')
print(joined(*[crowd[number] for number in (0, 2, 3, 4)]))
"""
    )
    assert out == "child\n[True, True, True, True]\n"


def test_who_waited_in_another_thread_is_gone_in_the_child() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
target = spawn(sleep, 3600)
ready, foreign = [], []
def work():
    foreign.append(getcurrent())
    foreign.append(spawn(queue.park))
    foreign.append(spawn(queue.park, 3600))
    foreign.append(spawn(target.join))
    foreign.append(spawn(sleep, 3600))
    raw = greenlet(queue.park)
    spawn(raw.switch)
    sleep(0)
    foreign.append(spawn(int))
    ready.append(1)
    queue.park()
    joined(*foreign[1:3])
    raw.parent = getcurrent()
thread = threading.Thread(target=work, daemon=True)
thread.start()
until(lambda: ready and len(queue) == 4)
own = spawn(queue.park)
sleep(0)
child = os.fork()
if not child:
    def check():
        assert len(queue) == 1, len(queue)
        assert queue.unpark(10) == 1
        assert joined(own) == [True]
        interrupt(target, GreenletExit())
        joined(target)
        assert [interrupt(it, LookupError()) for it in foreign] == [False] * 6
        foreign.clear()
        gc.collect()
        crowd = [spawn(queue.park) for _ in range(100)]
        sleep(0)
        assert queue.unpark(1000) == 100
        joined(*crowd)
        joined(spawn(sleep, 0.001))
    leave(check)
wait_for(child)
print(queue.unpark(10))
print(joined(own))
"""
    )
    assert out == "5\n[True]\n"


def test_forking_in_another_thread_takes_that_threads_hub_along() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
mine = spawn(queue.park)
sleep(0)
def work():
    reading, writing = os.pipe()
    crowd = [spawn(wait_read, reading), spawn(sleep, 0.01), spawn(queue.park)]
    sleep(0)
    child = os.fork()
    if not child:
        def check():
            os.write(writing, b'x')
            queue.unpark(10)
            joined(*crowd)
        leave(check)
    wait_for(child)
    os.write(writing, b'x')
    queue.unpark(10)
    return joined(*crowd)
print(in_thread(work), joined(mine))
"""
    )
    assert out == "[True, None, True] [True]\n"


def test_thousands_of_waits_survive_a_fork() -> None:
    out = output_of(
        PRELUDE
        + """
queue = WaitQueue()
pairs = [socket.socketpair() for _ in range(300)]
crowd = [spawn(wait_read, ours.fileno()) for ours, _ in pairs]
crowd += [spawn(queue.park) for _ in range(1000)] + [spawn(sleep, 0.05 + number / 100000) for number in range(1000)]
sleep(0)
def check():
    for _, theirs in pairs:
        theirs.send(b'x')
    queue.unpark(1000)
    assert joined(*crowd) == [True] * 1300 + [None] * 1000
child = os.fork()
if not child:
    leave(check)
os.waitpid(child, 0)
for ours, _ in pairs:
    ours.recv(1)
check()
print('both')
"""
    )
    assert out == "both\n"


def test_a_child_may_exit_in_the_ordinary_way() -> None:
    out = output_of(
        PRELUDE
        + """
crowd = [spawn(WaitQueue().park), spawn(sleep, 3600)]
sleep(0)
def forks():
    child = os.fork()
    if not child:
        sys.exit(5)
    return child
child = forks()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    )
    assert out == "5\n"


def test_a_child_without_descriptors_left_says_so_and_waits_for_them_again_once_there_are_some() -> None:
    child = """
import resource
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
ours, theirs = socket.socketpair()
gate, opens = socket.socketpair()
reader = spawn(lambda: (wait_read(ours.fileno()), ours.recv(1))[1])
turns()
said = []
sys.unraisablehook = lambda unraisable: said.append(unraisable.exc_value.strerror)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
child = os.fork()

def check():
    assert joined(spawn(lambda: sleep(0.01) or 5)) == [5]
    assert in_thread(lambda: 6) == 6
    try:
        wait_read(gate.fileno(), 1)
    except OSError as error:
        said.append(error.strerror)
    print(said)
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert wait_read(gate.fileno(), patience(30)) is not False
    theirs.send(b'x')
    print(joined(reader))

if child == 0:
    leave(check)
resource.setrlimit(resource.RLIMIT_NOFILE, limit)
interrupt(reader, GreenletExit())
joined(reader)
opens.send(b'y')
wait_for(child)
"""
    told = "Too many open files"
    assert output_of(PRELUDE + child) == f"['{told}', '{told}']\n[b'x']\n"


@pytest.mark.parametrize("where", ["before", "after_in_parent", "after_in_child"])
@pytest.mark.parametrize("act", ["fork_again", "wait"])
def test_hooks_of_a_fork_may_fork_and_wait(where: str, act: str) -> None:
    child = """
where, act = sys.argv[1:]
forked = []

def fork_again():
    if forked:
        return
    forked.append(True)
    child = os.fork()
    if child == 0:
        leave(lambda: joined(spawn(sleep, 0.001)))
    wait_for(child)

def wait():
    joined(spawn(sleep, 0.001))

os.register_at_fork(**{where: {'fork_again': fork_again, 'wait': wait}[act]})
sleeper = spawn(sleep, 0.01)
turns()
child = os.fork()
if child == 0:
    leave(lambda: joined(sleeper))
joined(sleeper)
wait_for(child)
print('both')
"""
    assert output_of(PRELUDE + child, where, act) == "both\n"
