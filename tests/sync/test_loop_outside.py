"""hub.loop driven from outside: by a caller who runs it without waiting, and by another loop."""

import os
import select
import socket

import pytest

from gossamer import get_hub, spawn
from tests.support.children import output_of
from tests.support.runtime import in_thread, turns

loop = get_hub().loop


def test_run_without_waiting_lets_all_that_is_ready_run() -> None:
    seen: list[int] = []
    reading, writing = os.pipe()
    watcher = loop.io(reading, 1)
    watcher.start(lambda: seen.append(len(os.read(reading, 9))))
    spawn(seen.append, 0)
    loop.run(nowait=True)
    assert seen == [0]
    os.write(writing, b"abc")
    assert select.select([loop.fileno()], [], [], 10)[0]
    for _ in range(3):
        loop.run(nowait=True)
    assert seen == [0, 3]
    watcher.stop()
    turns()
    os.close(reading)
    os.close(writing)


def test_run_once_waits_for_the_next_event_but_not_when_there_is_none_to_come() -> None:
    seen: list[str] = []
    loop.run(once=True)
    timer = loop.timer(0.02)
    timer.start(seen.append, "timer")
    loop.run_callback(seen.append, "callback")
    loop.run(once=True)
    assert seen == ["callback"]
    loop.run(nowait=True, once=True)
    assert seen == ["callback"]
    loop.run(once=True)
    assert seen == ["callback", "timer"]
    reader, writer = socket.socketpair()
    with reader, writer, loop.io(reader.fileno(), 1) as watcher:
        watcher.start(seen.append, "io")
        in_thread(lambda: writer.send(b"x"))
        loop.run(once=True)
    assert seen[2:] == ["io"]


def test_run_once_waits_though_the_next_timer_is_months_away() -> None:
    out = output_of("""
import threading
from gossamer import get_hub
loop = get_hub().loop
timer = loop.timer(1e7)
timer.start(int)
threading.Timer(0.05, loop.run_callback, (print, 'called')).start()
loop.run(once=True)
""")
    assert out == "called\n"


def test_the_next_deadline_is_the_first_timers() -> None:
    def deadlines() -> list[float | None]:
        own = get_hub().loop  # a new one: nothing of other tests is under way there
        found = [own.next_deadline()]
        timers = [own.timer(seconds) for seconds in (500, 5, 50)]
        for timer in timers:
            timer.start(int)
        found.append(own.next_deadline())
        for timer in timers:
            timer.stop()
        return [*found, own.next_deadline()]

    before, first, after = in_thread(deadlines)
    assert before is None
    assert first is not None
    assert 4 < first <= 5
    assert after is None


SETTLED = """
import select, threading
from gossamer.switching import greenlet
from gossamer import Timeout, get_hub, monkey, sleep, spawn, spawn_later
monkey.patch_all(select=False, thread=False)
hub = get_hub()
loop = hub.loop

def by_hand(work):
    greenlet(work).switch()

def is_readable():
    return bool(select.select([loop.fileno()], [], [], 0)[0])

def settle():  # what a loop outside does before it sleeps
    while loop.next_deadline() == 0:
        loop.run(nowait=True)

settle()
before = is_readable()
"""


@pytest.mark.parametrize(
    "left",
    [
        "spawn(int)",
        "loop.run_callback(int)",
        "timer = loop.timer(0.01); timer.start(int)",
        "hub.call_later(0.01, int)",
        "spawn_later(0.01, int)",
        "Timeout(60).start()",
        "sleep(0.001)",
        "spawn(sleep, 0.01); sleep(0)",
        "by_hand(lambda: spawn(int))",
        "by_hand(lambda: by_hand(lambda: spawn_later(0.01, int)))",
        "by_hand(lambda: Timeout(60).start())",
    ],
)
def test_what_the_code_of_a_loop_outside_leaves_to_be_done_wakes_it(left: str) -> None:
    program = f"{SETTLED}\n{left}\nleft = is_readable()\nsettle()\nprint(before, left, is_readable())"
    assert output_of(program) == "False True False\n"


def test_a_call_of_another_thread_wakes_a_loop_outside_whose_code_has_waited_meanwhile() -> None:
    program = f"""{SETTLED}
called = []
sleep(0)
threading.Thread(target=loop.run_callback, args=(called.append, True)).start()
while not called:
    if is_readable():
        settle()
print("called")
"""
    assert output_of(program) == "called\n"


OUTSIDE = """
import gossamer, os, socket, threading, time
from gossamer import monkey
monkey.patch_all(select=False, thread=False)
loop = gossamer.get_hub().loop
log = []

def work():
    for number in range(3):
        gossamer.sleep(0.002)
        log.append(number)

def echo(end):
    log.append(end.recv(9))
    end.send(b'answer')

one, other = socket.socketpair()
reading, writing = os.pipe()
async_, io = loop.async_(), loop.io(reading, 1)
threads = [gossamer.spawn(work), gossamer.spawn(echo, other)]
async_.start(log.append, 'other thread')
loop.run_callback(io.start, lambda: (log.append(os.read(reading, 9)), io.stop()))
threads.append(gossamer.spawn(lambda: (one.send(b'question'), log.append(one.recv(9)))))
def done():
    return all(thread.ready() for thread in threads) and len(log) == 7

def other_thread():
    os.write(writing, b'pipe')
    time.sleep(0.01)  # the loop outside waits by then, and has no deadline
    async_.send()

def from_outside():
    threading.Thread(target=other_thread).start()
"""
EVERYTHING = ["0", "1", "2", "'other thread'", "b'answer'", "b'pipe'", "b'question'"]


def test_a_stock_asyncio_loop_drives_the_hub_by_descriptor_and_deadline() -> None:
    assert (
        output_of(
            OUTSIDE
            + """
import asyncio

async def main():
    outside, ended = asyncio.get_running_loop(), asyncio.Event()
    timer = None
    def turn():
        nonlocal timer
        if timer is not None:
            timer.cancel()
        loop.run(nowait=True, once=True)
        left = loop.next_deadline()
        timer = outside.call_later(left, turn) if left is not None else None
        if done():
            ended.set()
    outside.add_reader(loop.fileno(), turn)
    outside.call_soon(turn)
    outside.call_later(0.01, from_outside)
    await asyncio.wait_for(ended.wait(), 30)
    outside.remove_reader(loop.fileno())
    if timer is not None:
        timer.cancel()

asyncio.run(main())
print(sorted(map(repr, log)))
"""
        )
        == f"{sorted(EVERYTHING)}\n"
    )


def test_a_stock_selector_drives_the_hub_by_descriptor_and_deadline() -> None:
    assert (
        output_of(
            OUTSIDE
            + """
import selectors
with selectors.DefaultSelector() as outside:
    outside.register(loop.fileno(), selectors.EVENT_READ)
    sent = False
    while not done():
        outside.select(loop.next_deadline() if sent else 0.01)
        loop.run(nowait=True, once=True)
        if not sent and 2 in log:
            sent = True
            from_outside()
print(sorted(map(repr, log)))
"""
        )
        == f"{sorted(EVERYTHING)}\n"
    )


def test_run_returns_when_nothing_is_left() -> None:
    assert (
        output_of(
            """
import gossamer
loop = gossamer.get_hub().loop
loop.timer(0.001).start(print, 'timer')
loop.run()
print(loop.activecnt, loop.pendingcnt, loop.next_deadline(), loop.iteration > 0, loop.now() > 1e9, loop.default)
"""
        )
        == "timer\n0 0 None True True True\n"
    )
