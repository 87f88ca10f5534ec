"""Signals while everybody is parked: handlers run, below the hub; what they raise reaches the main greenlet.

The signal is sent by a forked process or another thread once the hub sleeps, so no timing decides.
"""

from tests.support.children import output_of, run_child
from tests.support.runtime import PRELUDE

SENDER = (
    PRELUDE
    + """
signal.signal(signal.SIGINT, signal.default_int_handler)

def asleep(process):
    "Whether the main thread of a process is asleep in the kernel's epoll."
    with open(f'/proc/{process}/wchan') as wchan, open(f'/proc/{process}/stat') as stat:
        return stat.read().rsplit(')', 1)[1].split()[0] == 'S'

def send_when_asleep(number, times=1):
    "Have a process of its own send a signal to this one, each time this one sleeps."
    process = os.getpid()
    child = os.fork()
    if child:
        return child
    for _ in range(times):
        calm = 0
        while calm < 5:
            block(0.01)
            calm = calm + 1 if asleep(process) else 0
        os.kill(process, number)
    os._exit(0)
"""
)


def test_an_interrupt_reaches_the_main_greenlet_while_all_are_parked() -> None:
    out = output_of(
        SENDER
        + """
queue = WaitQueue()
reading, writing = os.pipe()
crowd = [spawn(queue.park), spawn(wait_read, reading), spawn(sleep, 3600)]
WAITS = [queue.park, lambda: sleep(3600), lambda: queue.park(3600), lambda: wait_read(reading), crowd[0].join]
for wait in WAITS:
    send_when_asleep(signal.SIGINT)
    try:
        wait()
    except KeyboardInterrupt:
        print('interrupted', len(queue))
print(any(it.ready() for it in crowd))
queue.unpark()
os.write(writing, b'x')
print(joined(*crowd[:2]))
"""
    )
    assert out == "interrupted 1\n" * 5 + "False\n[True, True]\n"


def test_an_interrupt_that_nobody_handles_ends_the_program() -> None:
    ended = run_child(
        SENDER
        + """
spawn(sleep, 3600)
send_when_asleep(signal.SIGINT)
try:
    sleep(3600)
finally:
    print('unwound')
"""
    )
    assert ended.status in {-2, 130} and ended.out == "unwound\n", ended.describe()
    assert "KeyboardInterrupt" in ended.err


def test_an_interrupt_reaches_a_main_greenlet_that_switched_away_explicitly() -> None:
    out = output_of(
        SENDER
        + """
raw = greenlet(lambda: sleep(3600))
send_when_asleep(signal.SIGINT)
try:
    raw.switch()
except KeyboardInterrupt:
    print('interrupted', raw.dead)
"""
    )
    assert out == "interrupted False\n"


def test_a_handler_runs_below_the_hub_and_the_waits_go_on() -> None:
    out = output_of(
        SENDER
        + """
seen, queue = [], WaitQueue()
def handler(*_):
    seen.append(getcurrent().parent is get_hub())
    if len(seen) == 3:
        queue.unpark(2)
signal.signal(signal.SIGUSR1, handler)
it = spawn(queue.park)
send_when_asleep(signal.SIGUSR1, times=3)
print(queue.park(30), joined(it), seen)
"""
    )
    assert out == "True [True] [True, True, True]\n"


def test_a_handler_may_do_all_that_does_not_wait() -> None:
    out = output_of(
        SENDER
        + """
queue, log = WaitQueue(), []
def handler(*_):
    log.append('handler')
    spawn(log.append, 'spawned')
    get_hub().run_callback(log.append, 'callback')
    get_hub().call_later(0, log.append, 'later')
    interrupt(it, GreenletExit())
    get_hub().call_later(0.005, queue.unpark)
signal.signal(signal.SIGUSR1, handler)
it = spawn(sleep, 3600)
send_when_asleep(signal.SIGUSR1)
print(queue.park(30), it.ready(), log[0], sorted(log[1:]))
"""
    )
    assert out == "True True handler ['callback', 'later', 'spawned']\n"


def test_what_a_handler_raises_reaches_the_main_greenlet() -> None:
    out = output_of(
        SENDER
        + """
def handler(*_):
    raise LookupError('from the handler')
signal.signal(signal.SIGUSR1, handler)
it = spawn(lambda: sleep(3600))
for _ in range(3):
    send_when_asleep(signal.SIGUSR1)
    try:
        it.join()
    except LookupError as fault:
        print(fault, it.ready())
"""
    )
    assert out == "from the handler False\n" * 3


def test_a_handler_waits_while_the_others_go_on() -> None:
    out = output_of(
        SENDER
        + """
log, queue = [], WaitQueue()
def handler(*_):
    log.append('waits')
    queue.unpark()
    sleep(0.2)
    log.append('goes on')
    raise ValueError('at its end')
def another():
    queue.park()
    log.append('another')
signal.signal(signal.SIGUSR1, handler)
send_when_asleep(signal.SIGUSR1)
# it waits as well when the signal comes: a handler that interrupts one who runs raises there
spawn(another)
try:
    sleep(3600)
except ValueError as error:
    print(error, log)
"""
    )
    assert out == "at its end ['waits', 'another', 'goes on']\n"


def test_a_signal_without_a_python_handler_disturbs_nobody() -> None:
    out = output_of(
        SENDER
        + """
queue = WaitQueue()
child = send_when_asleep(signal.SIGCHLD, times=3)
def gone():
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        sleep(0.2)
    queue.unpark()
spawn(gone)
print(queue.park(30))
"""
    )
    assert out == "True\n"


def test_a_sleep_goes_on_to_its_end_after_a_handler() -> None:
    out = output_of(
        SENDER
        + """
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
before = time.monotonic()
sleep(0.2)
print(time.monotonic() - before >= 0.2, len(seen) > 0)
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    )
    assert out == "True True\n"


def test_the_hubs_of_other_threads_sleep_on() -> None:
    out = output_of(
        SENDER
        + """
seen, results = [], []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(threading.current_thread() is threading.main_thread()))
queue = WaitQueue()
thread = threading.Thread(target=lambda: results.append(queue.park(30)))
thread.start()
until(lambda: len(queue))
for _ in range(20):
    signal.pthread_kill(thread.ident, signal.SIGUSR1)
    sleep(0.002)
queue.unpark()
until(lambda: not thread.is_alive())
print(results, seen == [True] * len(seen), len(seen) > 0)
"""
    )
    assert out == "[True] True True\n"


def test_handlers_that_raise_at_any_moment_leave_everything_whole() -> None:
    out = output_of(
        SENDER
        + """
class Alarm(Exception): pass
raised, armed, over = 0, False, False
def handler(*_):
    global raised, armed
    if armed:
        raised, armed = raised + 1, False
        raise Alarm
signal.signal(signal.SIGALRM, handler)
queue = WaitQueue()
def body():
    while not over:
        try:
            queue.park(0.0005)
            sleep(0)
            queue.unpark()
        except Alarm:
            pass
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
with reported() as reports:
    crowd = [spawn(body) for _ in range(20)]
    while raised < 200:
        try:
            armed = True
            sleep(0.0007)
            queue.unpark(3)
            armed = False
        except Alarm:
            pass
        sleep(0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    over = True
    joined(*crowd)
print(len(queue), {report.type for report in reports} <= {Alarm}, raised)
"""
    )
    assert out == "0 True 200\n"
