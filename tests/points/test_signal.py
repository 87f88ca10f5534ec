"""Signals wake the hub wherever they land; KeyboardInterrupt finds the main greenlet; waiting for signals parks."""

import signal

from gossamer import _core
from tests.support.children import output_of
from tests.support.runtime import PRELUDE

WATCHED = (
    PRELUDE
    + """
get_hub()

def beyond_the_points(work):
    "Run `work` in an OS thread that no point is asked in: it has no hub."
    import _thread
    _thread.start_new_thread(work, ())

def asleep():
    "Whether the main thread sleeps in the kernel."
    with open(f'/proc/self/task/{os.getpid()}/stat') as stat:
        return stat.read().rsplit(')', 1)[1].split()[0] == 'S'

def when_asleep(action):
    def work():
        calm = 0
        while calm < 5:
            block(0.005)
            calm = calm + 1 if asleep() else 0
        action()
    beyond_the_points(work)
"""
)


def test_all_points_are_installed() -> None:
    _core.get_hub()
    names = {name for name, group, _, on in _core.points() if group == "signal" and on}
    assert names >= {
        "_signal.default_int_handler",
        "_signal.signal",
        "_signal.pause",
        "_signal.sigwait",
        "_signal.sigwaitinfo",
        "_signal.sigtimedwait",
        "_signal.pthread_sigmask",
        "_thread.interrupt_main",
    }


def test_a_signal_that_another_thread_receives_wakes_the_hub() -> None:
    out = output_of(
        WATCHED
        + """
queue, seen = WaitQueue(), []
def handler(*_):
    seen.append(threading.current_thread() is threading.main_thread())
    queue.unpark()
signal.signal(signal.SIGUSR1, handler)
for _ in range(5):
    when_asleep(lambda: signal.pthread_kill(_core.original('_thread', None, 'get_ident')(), signal.SIGUSR1))
    print(queue.park(60))
print(seen)
""",
        seconds=40,
    )
    assert out == "True\n" * 5 + "[True, True, True, True, True]\n"


def test_handlers_set_before_the_first_hub_wake_it() -> None:
    out = output_of(
        """
import signal
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(queue.unpark()))
"""
        + WATCHED
        + """
queue = WaitQueue()
when_asleep(lambda: signal.pthread_kill(_core.original('_thread', None, 'get_ident')(), signal.SIGUSR1))
print(queue.park(60), seen)
""",
        seconds=40,
    )
    assert out == "True [1]\n"


def test_interrupt_main_wakes_the_hub() -> None:
    out = output_of(
        WATCHED
        + """
import _thread
signal.signal(signal.SIGINT, signal.default_int_handler)
when_asleep(_thread.interrupt_main)
try:
    sleep(3600)
except KeyboardInterrupt:
    print('interrupted')
"""
    )
    assert out == "interrupted\n"


def test_no_signal_is_late_at_any_moment() -> None:
    """Each is sent as soon as the one before has been handled, so that many come just before the hub falls asleep."""
    out = output_of(
        WATCHED
        + """
queue, count, goal = WaitQueue(), 0, scaled(3000)
answers = os.pipe()
answer = _core.original('os', None, 'write')
def handler(*_):
    global count
    count += 1
    get_hub().run_callback(answer, answers[1], b'x')
    if count == goal:
        queue.unpark()
signal.signal(signal.SIGUSR1, handler)
child = os.fork()
if not child:
    read = _core.original('os', None, 'read')
    for _ in range(goal):
        os.kill(os.getppid(), signal.SIGUSR1)
        read(answers[0], 1)
    os._exit(0)
print(queue.park(60), count == goal)
os.waitpid(child, 0)
"""
    )
    assert out == "True True\n"


def test_the_wakeup_descriptor_stays_the_programs() -> None:
    out = output_of(
        WATCHED
        + """
left, right = socket.socketpair()
left.setblocking(False)
print(signal.set_wakeup_fd(left.fileno()))
signal.signal(signal.SIGUSR1, lambda *_: None)
when_asleep(lambda: os.kill(os.getpid(), signal.SIGUSR1))
print(right.recv(10) == bytes([signal.SIGUSR1]), signal.set_wakeup_fd(-1) == left.fileno())
"""
    )
    assert out == "-1\nTrue True\n"


def test_asyncio_in_the_main_thread_handles_its_signals() -> None:
    out = output_of(
        WATCHED
        + """
import asyncio
async def main():
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, done.set)
    when_asleep(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    await asyncio.wait_for(done.wait(), 60)
    print('handled')
asyncio.run(main())
"""
    )
    assert out == "handled\n"


def test_an_interrupt_while_a_green_thread_runs_reaches_the_main_greenlet() -> None:
    out = output_of(
        WATCHED
        + """
signal.signal(signal.SIGINT, signal.default_int_handler)
over = False
def busy():
    os.kill(os.getpid(), signal.SIGINT)
    while not over:
        pass
    return 'went on'
it = spawn(busy)
try:
    sleep(3600)
except KeyboardInterrupt:
    print('interrupted', it.ready())
over = True
print(joined(it))
"""
    )
    assert out == "interrupted False\n['went on']\n"


def test_an_interrupt_in_the_main_greenlet_or_a_raw_one_is_raised_where_it_is() -> None:
    out = output_of(
        WATCHED
        + """
signal.signal(signal.SIGINT, signal.default_int_handler)
def send():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass
    except KeyboardInterrupt:
        return 'here'
print(send(), greenlet(send).switch())
try:
    signal.default_int_handler(1)
except TypeError:
    print('TypeError')
"""
    )
    assert out == "here here\nTypeError\n"


def test_with_the_points_off_an_interrupt_is_raised_where_it_is() -> None:
    out = output_of(
        WATCHED
        + """
signal.signal(signal.SIGINT, signal.default_int_handler)
_core.points_switch('signal', False)
def send():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass
    except KeyboardInterrupt:
        return 'here'
print(joined(spawn(send)))
"""
    )
    assert out == "['here']\n"


def test_what_an_alarm_raises_ends_the_wait_of_the_main_greenlet() -> None:
    out = output_of(
        WATCHED
        + """
class Alarm(Exception): pass
def handler(*_):
    raise Alarm
signal.signal(signal.SIGALRM, handler)
reading, writing = os.pipe()
for wait in (lambda: time.sleep(3600), lambda: os.read(reading, 1), signal.pause, lambda: threading.Event().wait(3600)):
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        wait()
    except Alarm:
        print('alarm')
"""
    )
    assert out == "alarm\n" * 4


def test_a_handler_may_wait_while_all_are_parked() -> None:
    out = output_of(
        """
import signal, threading, time
from gossamer import _core
lock, seen, asked = threading.Lock(), [], []

def hold():
    with lock:
        while not asked:
            time.sleep(0.001)
        time.sleep(0.05)
        seen.append("held")

def handler(*_):
    asked.append(True)
    with lock:
        seen.append("locked")
    time.sleep(0.01)
    raise ValueError("from a handler that has waited")

signal.signal(signal.SIGALRM, handler)
_core.spawn(hold)
time.sleep(0)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    time.sleep(60)
except ValueError as error:
    print(seen, error)
"""
    )
    assert out == "['held', 'locked'] from a handler that has waited\n"


def test_a_handler_is_the_main_threads_and_enters_the_rlock_that_it_holds() -> None:
    out = output_of(
        """
import signal, threading, time
from gossamer import monkey
monkey.patch_all()
lock, done, local = threading.RLock(), threading.Event(), threading.local()
local.value = "the main thread's"

def handler(*_):
    with lock:
        print(threading.current_thread() is threading.main_thread(), local.value)
    done.set()

signal.signal(signal.SIGALRM, handler)
with lock:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    print(done.wait(60))
"""
    )
    assert out == "True the main thread's\nTrue\n"


def test_signals_go_on_while_a_handler_waits() -> None:
    out = output_of(
        """
import signal, time
from gossamer import _core
seen = []

def handler(number, _):
    seen.append(number)
    while number == signal.SIGALRM and -signal.SIGVTALRM not in seen:
        time.sleep(0.001)
    seen.append(-number)

signal.signal(signal.SIGALRM, handler)
signal.signal(signal.SIGVTALRM, handler)

def other():
    while not seen:
        time.sleep(0.001)
    signal.raise_signal(signal.SIGVTALRM)

_core.spawn(other)
signal.setitimer(signal.ITIMER_REAL, 0.02)
while len(seen) < 4:
    time.sleep(0.02)
print([signal.Signals(abs(number)).name for number in seen])
"""
    )
    assert out == "['SIGALRM', 'SIGVTALRM', 'SIGVTALRM', 'SIGALRM']\n"


def test_pause_parks_until_a_handler_has_run() -> None:
    out = output_of(
        WATCHED
        + """
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append('handler'))
crowd = [spawn(lambda: (signal.pause(), seen.append('pause'))) for _ in range(2)]
ticker = spawn(lambda: [sleep(0.001) for _ in range(3)])
joined(ticker)
print(seen)
when_asleep(lambda: os.kill(os.getpid(), signal.SIGUSR1))
signal.pause()
joined(*crowd)
print(seen)
killed = spawn(signal.pause)
turns()
interrupt(killed, GreenletExit())
joined(killed)
print(type(killed.value).__name__)
"""
    )
    assert out == "[]\n['handler', 'pause', 'pause']\nGreenletExit\n"


WAITS = """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
USERS = {signal.SIGUSR1, signal.SIGUSR2}
"""


def test_pause_is_not_ended_by_a_signal_that_was_handled_before() -> None:
    out = output_of(
        WATCHED
        + """
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append('handler'))
for _ in range(3):
    signal.raise_signal(signal.SIGUSR1)
    when_asleep(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    signal.pause()
    print(len(seen))
"""
    )
    assert out == "2\n4\n6\n"


def test_a_green_thread_that_blocks_signals_for_itself_leaves_them_to_the_others() -> None:
    out = output_of(
        """
import signal, threading, time
from gossamer import monkey
monkey.patch_all()
seen, masks = [], []
signal.signal(signal.SIGUSR1, lambda *_: seen.append('handled'))

def blocks():
    masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()))
    try:
        signal.pthread_sigmask(99, ())
    except OSError as error:
        masks.append(error.strerror)

thread = threading.Thread(target=blocks)
thread.start()
thread.join()
signal.raise_signal(signal.SIGUSR1)
print(seen, masks, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()) == {signal.SIGUSR1})
native = monkey.get_original('threading', 'Thread')(
    target=lambda: (signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2}),
                    masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))))
native.start()
native.join()
print(masks[-1] == {signal.SIGUSR1, signal.SIGUSR2})
"""
    )
    assert out == "['handled'] [set(), 'Invalid argument'] set()\nTrue\nTrue\n"


def test_sigwait_and_its_kin_park_until_a_signal_comes() -> None:
    out = output_of(
        WATCHED
        + WAITS
        + """
for wait in (signal.sigwait, signal.sigwaitinfo, lambda set: signal.sigtimedwait(set, 60)):
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        it = spawn(wait, USERS)
        turns()
        print(it.ready(), end=' ')
        os.kill(os.getpid(), number)
        (answer,) = joined(it)
        print(getattr(answer, 'si_signo', answer) == number)
        os.kill(os.getpid(), number)
        answer = wait(iter(USERS))
        print(getattr(answer, 'si_signo', answer) == number)
print(sorted(map(str, open_descriptors().values())).count('anon_inode:[signalfd]'))
"""
    )
    assert out == "False True\nTrue\n" * 6 + "0\n"


def test_sigtimedwait_ends_when_its_time_is_over() -> None:
    out = output_of(
        WATCHED
        + WAITS
        + """
before = time.monotonic()
ticks = []
spawn(lambda: ticks.append(sleep(0.001)))
print(signal.sigtimedwait(USERS, 0.1), time.monotonic() - before >= 0.1, len(ticks))
print(signal.sigtimedwait(USERS, 0))
it = spawn(signal.sigwait, USERS)
turns()
interrupt(it, GreenletExit())
joined(it)
print(type(it.value).__name__, 'anon_inode:[signalfd]' in open_descriptors().values())
"""
    )
    assert out == "None True 1\nNone\nGreenletExit False\n"


def test_what_the_originals_refuse_is_refused_in_their_words() -> None:
    out = output_of(
        WATCHED
        + """
def outcome(function, *args):
    try:
        return function(*args)
    except Exception as fault:
        return type(fault), str(fault)
CASES = [('sigwait', 1), ('sigwait', {0}), ('sigwait', {1000}), ('sigwait',), ('sigwait', ['x']), ('sigwaitinfo', None),
    ('sigwaitinfo', {-1}), ('sigtimedwait', {1}), ('sigtimedwait', {1}, -1), ('sigtimedwait', {1}, 'x'),
    ('sigtimedwait', {1}, float('nan')), ('sigtimedwait', {1}, 10**30), ('sigtimedwait', 5, 1), ('pause', 1),
    ('signal', 1), ('signal', 'x', None), ('signal', 1000, signal.SIG_DFL), ('signal', signal.SIGUSR1, 'x'),
    ('signal', signal.SIGKILL, print), ('default_int_handler',)]
import _signal
for name, *args in CASES:
    expected = outcome(_core.original('_signal', None, name), *args)
    assert isinstance(expected, tuple), (name, args, expected)
    assert outcome(getattr(_signal, name), *args) == expected, (name, args, expected)
print('the same')
"""
    )
    assert out == "the same\n"


def test_a_forked_child_is_woken_by_its_own_signals() -> None:
    out = output_of(
        WATCHED
        + """
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
child = os.fork()
if not child:
    when_asleep(lambda: signal.pthread_kill(_core.original('_thread', None, 'get_ident')(), signal.SIGUSR1))
    signal.pause()
    os._exit(len(seen))
print(os.waitpid(child, 0)[1] >> 8, seen)
"""
    )
    assert out == "1 []\n"


def test_points_look_like_the_originals() -> None:
    import _signal  # type: ignore[import-not-found,unused-ignore]

    _core.get_hub()
    for name in ("default_int_handler", "signal", "pause", "sigwait", "sigwaitinfo", "sigtimedwait", "pthread_sigmask"):
        point, original = getattr(_signal, name), _core.original("_signal", None, name)
        assert (point.__name__, point.__doc__) == (original.__name__, original.__doc__)
    assert signal.default_int_handler is _signal.default_int_handler
