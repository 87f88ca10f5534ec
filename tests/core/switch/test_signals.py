"""Signals: a handler runs in whichever greenlet of the main thread runs, and may do all that the greenlet may.

Signals are sent by the test itself, and loops end when enough were handled: no timing decides.
"""

import os
import signal

import pytest

from tests.support.children import output_of, run_child

PRELUDE = """
import os, signal, sys, threading, time
from gossamer.switching import GreenletExit, getcurrent, greenlet
from tests.support.greenlets import below, below_c, parked, to_parent
main = getcurrent()

def send(number=signal.SIGUSR1):
    os.kill(os.getpid(), number)
"""


def test_a_handler_runs_in_the_greenlet_that_runs() -> None:
    out = output_of(
        PRELUDE
        + """
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(getcurrent()))
it = greenlet(send)
it.switch()
send()
print(seen == [it, main])
"""
    )
    assert out == "True\n"


def test_a_handler_may_switch_and_be_resumed_later() -> None:
    out = output_of(
        PRELUDE
        + """
order = []
def handler(*_):
    order.append('handler begins')
    main.switch('from the handler')
    order.append('handler ends')
def body():
    order.append('before')
    send()
    order.append('after')
    return 'result'
signal.signal(signal.SIGUSR1, handler)
it = greenlet(body)
print(it.switch())
order.append('main')
print(it.switch())
print(order)
"""
    )
    assert out.splitlines() == [
        "from the handler",
        "result",
        "['before', 'handler begins', 'main', 'handler ends', 'after']",
    ]


def test_an_exception_of_a_handler_is_raised_in_the_greenlet_that_runs() -> None:
    out = output_of(
        PRELUDE
        + """
def handler(*_):
    raise LookupError('from the handler')
signal.signal(signal.SIGUSR1, handler)
def body():
    try:
        send()
        time.sleep(0)
    except LookupError as fault:
        return f'caught inside: {fault}'
print(greenlet(body).switch())
"""
    )
    assert out == "caught inside: from the handler\n"


def test_an_interrupt_unwinds_the_greenlet_and_reaches_the_main_one() -> None:
    out = output_of(
        PRELUDE
        + """
order = []
def body():
    try:
        below_c(3, lambda: (send(signal.SIGINT), time.sleep(1000)))
    finally:
        order.append('finally')
it = greenlet(body)
try:
    it.switch()
except KeyboardInterrupt:
    order.append('interrupted')
print(order, it.dead)
"""
    )
    assert out == "['finally', 'interrupted'] True\n"


def test_an_interrupt_may_be_swallowed_inside_a_greenlet() -> None:
    out = output_of(
        PRELUDE
        + """
def body():
    for _ in range(5):
        try:
            send(signal.SIGINT)
            time.sleep(1000)
        except KeyboardInterrupt:
            to_parent('swallowed')
    return 'done'
it = greenlet(body)
print([it.switch() for _ in range(6)])
"""
    )
    assert out == f"{['swallowed'] * 5 + ['done']}\n"


def test_a_signal_ends_a_sleep_inside_a_greenlet() -> None:
    out = output_of(
        PRELUDE
        + """
def handler(*_):
    raise TimeoutError
signal.signal(signal.SIGALRM, handler)
def body():
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        time.sleep(1000)
    except TimeoutError:
        return 'woken'
print(greenlet(body).switch())
"""
    )
    assert out == "woken\n"


def test_handlers_that_switch_at_any_moment_disturb_nothing() -> None:
    out = output_of(
        PRELUDE
        + """
turns = 0
def handler(*_):
    global turns
    turns += 1
    here = getcurrent()
    target = crowd[turns % len(crowd)]
    if target is not here and not target.dead and here is not main:
        main.switch(target)

def body(number):
    rounds = 0
    while turns < 400:
        values = [number * k for k in range(50)]
        text = ','.join(map(str, sorted(values, key=lambda value: -value)))
        assert sorted(map(int, text.split(','))) == sorted(values)
        assert below_c(3, lambda: number) == number
        rounds += 1
    return 'done'

crowd = [greenlet(body) for _ in range(5)]
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
target, done = crowd[0], []
started = set()
while len(done) < len(crowd):
    arguments = () if target in started else (crowd.index(target),)
    started.add(target)
    answer = target.switch(*arguments)
    if answer == 'done':
        done.append(target)
        target = next((it for it in crowd if not it.dead), None)
    else:
        target = answer if not answer.dead else next(it for it in crowd if not it.dead)
signal.setitimer(signal.ITIMER_REAL, 0)
print(turns >= 400, all(it.dead for it in crowd))
"""
    )
    assert out == "True True\n"


def test_a_signal_while_another_thread_runs_greenlets_is_handled_in_the_main_thread() -> None:
    out = output_of(
        PRELUDE
        + """
seen, over = [], threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: seen.append(getcurrent() is it))
def work():
    other = parked(lambda: [to_parent() for _ in range(10**9)])
    while not over.is_set():
        other.switch()
thread = threading.Thread(target=work)
thread.start()
def body():
    for count in range(20):
        send()
        while len(seen) <= count:
            time.sleep(0)
it = greenlet(body)
it.switch()
over.set()
thread.join()
print(seen == [True] * 20)
"""
    )
    assert out == "True\n"


def test_a_crash_inside_a_greenlet_is_reported_with_its_python_stack() -> None:
    ended = run_child(
        PRELUDE
        + """
import ctypes
def crashes_here():
    ctypes.string_at(0)
greenlet(lambda: below_c(2, crashes_here)).switch()
""",
        # AddressSanitizer would handle the crash itself.
        environment={"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0"},
    )
    assert ended.status == -signal.SIGSEGV, ended.describe()
    assert "in crashes_here" in ended.err and ended.err.count("in below_c") >= 2


@pytest.mark.parametrize("stack", ["main", "child"])
def test_a_traceback_on_demand_shows_the_greenlet_that_runs(stack: str) -> None:
    ended = run_child(
        PRELUDE
        + """
import faulthandler
faulthandler.register(signal.SIGUSR1)
def where_it_is():
    send()
kept = [parked(lambda: below_c(3, to_parent)) for _ in range(3)]
if sys.argv[1] == 'main':
    where_it_is()
else:
    greenlet(lambda: below_c(2, where_it_is)).switch()
""",
        stack,
    )
    assert ended.status == 0, ended.describe()
    assert "in where_it_is" in ended.err
    assert ended.err.count("in below_c") == (0 if stack == "main" else 2)
