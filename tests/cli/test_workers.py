"""The parent of several processes: started, watched, replaced, stopped; and signals at the worst moments.

Each test runs `Workers` in a child interpreter of its own, whose children are the workers.
"""

from pathlib import Path

import pytest

from tests.support.children import Ended, run_child

PRELUDE = """
import contextlib, os, resource, signal, sys, time
from gossamer.cli._workers import Links, Workers

PARENT = os.getpid()
signal.signal(signal.SIGTERM, signal.default_int_handler)

def say(text):
    os.write(1, f"{'parent' if os.getpid() == PARENT else 'worker'} {text}\\n".encode())

def wait_for_signals(links):
    links.ready()
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(600)
    return 0

def stop():
    say('started')
    os.kill(PARENT, signal.SIGTERM)
"""


def run(program: str) -> Ended:
    """How a child ends that runs `program`."""
    ended = run_child(PRELUDE + program)
    assert "Traceback" not in ended.err, ended.describe()
    return ended


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("work", id="while it works"),
        pytest.param("flush", id="in its last lines"),
        pytest.param("work flush", id="twice"),
    ],
)
def test_a_worker_that_is_signalled_at_any_moment_never_goes_on_as_its_parent(moment: str) -> None:
    ended = run(f"""
moments = {moment!r}.split()

def work(links):
    links.ready()
    if 'work' in moments:
        os.kill(os.getpid(), signal.SIGTERM)
    return 0

class Signalling:
    def write(self, text):
        return len(text)
    def flush(self):
        if os.getpid() != PARENT and 'flush' in moments:
            say('is signalled')
            os.kill(os.getpid(), signal.SIGTERM)

sys.stdout = Signalling()
print_status = Workers(1, work, started=stop, patience=30).run()
say(f'ends with {{print_status}}')
os._exit(0)
""")
    lines = ended.out.splitlines()
    assert (ended.status, lines.count("parent started"), lines.count("parent ends with 0")) == (0, 1, 1)
    assert set(lines) - {"worker is signalled"} == {"parent started", "parent ends with 0"}, ended.describe()


def test_whose_worker_dies_before_it_serves_cannot_start() -> None:
    ended = run("""
def work(links):
    os.kill(os.getpid(), signal.SIGKILL)

raise SystemExit(Workers(3, work, started=stop, patience=30).run())
""")
    assert (ended.status, ended.out) == (2, ""), ended.describe()
    assert ended.err == "gossamer serve: a worker was killed by SIGKILL before it served\n"


@pytest.mark.parametrize("end", ["os._exit(7)", "os.kill(os.getpid(), 9)", "os.kill(os.getpid(), signal.SIGRTMIN + 3)"])
def test_a_worker_that_ends_later_is_replaced(end: str) -> None:
    ended = run(f"""
def work(links):
    links.ready()
    if os.path.exists('died'):
        stop()
        return wait_for_signals(links)
    open('died', 'w').close()
    {end}

raise SystemExit(Workers(1, work, started=lambda: None, patience=30).run())
""")
    assert (ended.status, ended.out) == (0, "worker started\n"), ended.describe()
    assert ended.err.startswith("gossamer serve: a worker "), ended.err
    assert ended.err.endswith("; starting another\n"), ended.err


def test_children_are_waited_for_although_whoever_started_us_ignores_his() -> None:
    ended = run("""
signal.signal(signal.SIGCHLD, signal.SIG_IGN)

def work(links):
    links.ready()
    if os.path.exists('died'):
        stop()
        return wait_for_signals(links)
    open('died', 'w').close()
    return 7

raise SystemExit(Workers(1, work, started=lambda: None, patience=30).run())
""")
    assert (ended.status, ended.out) == (0, "worker started\n"), ended.describe()
    assert ended.err == "gossamer serve: a worker ended with status 7; starting another\n"


NO_MORE_PROCESSES = """
def allow_no_more_processes():
    limit = resource.getrlimit(resource.RLIMIT_NPROC)
    if os.getuid() == 0:  # the limit is not for root
        os.seteuid(65534)
        os.setresuid(65534, 65534, 0)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, limit[1]))
    return limit

def allow_processes(limit):
    resource.setrlimit(resource.RLIMIT_NPROC, limit)
"""


def test_who_may_have_no_process_says_so() -> None:
    ended = run(
        NO_MORE_PROCESSES
        + """
allow_no_more_processes()
raise SystemExit(Workers(2, wait_for_signals, started=stop, patience=30).run())
"""
    )
    assert (ended.status, ended.out) == (2, ""), ended.describe()
    assert ended.err == "gossamer serve: cannot start a worker: Resource temporarily unavailable\n", ended.err


def test_workers_that_can_have_no_process_get_one_later() -> None:
    ended = run(
        NO_MORE_PROCESSES
        + """
limit = allow_no_more_processes()
allow_processes(limit)
reading, writing = os.pipe()

def lower(*_):
    allow_no_more_processes()
    os.write(writing, b'!')

signal.signal(signal.SIGUSR1, lower)
signal.signal(signal.SIGUSR2, lambda *_: allow_processes(limit))
begun = os.pipe()
os.set_blocking(begun[0], False)
os.write(begun[1], b'!')

def is_first():
    with contextlib.suppress(BlockingIOError):
        return bool(os.read(begun[0], 1))

def work(links):
    if is_first():
        os.kill(PARENT, signal.SIGUSR1)
        os.read(reading, 1)
        links.ready()
        time.sleep(1.5)
        os.kill(PARENT, signal.SIGUSR2)
    return wait_for_signals(links)

raise SystemExit(Workers(2, work, started=stop, patience=30).run())
"""
    )
    assert (ended.status, ended.out) == (0, "parent started\n"), ended.describe()
    assert set(ended.err.splitlines()) == {"gossamer serve: cannot start a worker: Resource temporarily unavailable"}, (
        ended.describe()
    )


def test_who_is_told_to_end_while_replacements_wait_their_turn_ends_at_once() -> None:
    ended = run("""
def work(links):
    links.ready()
    time.sleep(0.2)
    return 7

def tell():
    time.sleep(0.4)
    os.kill(PARENT, signal.SIGTERM)

if os.fork() == 0:
    time.sleep(3)
    os.kill(PARENT, signal.SIGTERM)
    os._exit(0)

began = time.monotonic()
status = Workers(100, work, started=lambda: None, patience=30).run()
say(f'took {int((time.monotonic() - began) // 30)}')
raise SystemExit(status)
""")
    assert (ended.status, ended.out) == (0, "parent took 0\n"), ended.describe()


@pytest.mark.parametrize("stream", ["1", "2"])
@pytest.mark.parametrize("state", ["closed", "full", "broken"])
def test_workers_are_replaced_although_nothing_can_be_written(stream: str, state: str) -> None:
    ended = run(f"""
state, stream = {state!r}, {stream}
if state == 'closed':
    os.close(stream)
    setattr(sys, {{1: 'stdout', 2: 'stderr'}}[stream], None)
elif state == 'full':
    os.dup2(os.open('/dev/full', os.O_WRONLY), stream)
else:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, stream)

def work(links):
    links.ready()
    if os.path.exists('died'):
        os.kill(PARENT, signal.SIGTERM)
        return wait_for_signals(links)
    open('died', 'w').close()
    return 7

raise SystemExit(Workers(1, work, started=lambda: None, patience=30).run())
""")
    assert ended.status == 0, ended.describe()
    assert Path("died").exists()
