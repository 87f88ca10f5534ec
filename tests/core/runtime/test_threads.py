"""Threads: a hub each, and none of its green threads outlives its thread.

Where green threads are left when a thread ends, their `finally` blocks run in that thread. Most cases are child
interpreters: what is left behind would crash or hang only later.
"""

import threading
from typing import Any

import pytest

from gossamer._core import GreenThread, WaitQueue, get_hub, sleep, spawn
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, in_thread, joined, open_descriptors, turns, until
from tests.support.scale import patience, scaled

LEFT = {
    "not begun": "spawn(body, int)",
    "never started": "kept.append(GreenThread(body, int))",
    "in a queue": "spawn(body, queue.park)",
    "in a queue with a timeout": "spawn(body, lambda: queue.park(3600))",
    "asleep": "spawn(body, lambda: sleep(3600))",
    "waiting for its turn": "spawn(body, lambda: [sleep(0) for _ in range(10**9)])",
    "waiting for a descriptor": "spawn(body, lambda: wait_read(reading))",
    "waiting for a descriptor with a timeout": "spawn(body, lambda: wait_read(reading, 3600))",
    "joining": "spawn(body, GreenThread(int).join)",
    "in hub.switch": "spawn(body, get_hub().switch)",
    "unparked": "spawn(body, queue.park); sleep(0); queue.unpark(100)",
    "interrupted": "it = spawn(body, queue.park); sleep(0); interrupt(it, LookupError())",
    "left by an explicit switch": "spawn(body, lambda m=getcurrent(): m.switch()); get_hub().switch()",
    "below a raw greenlet": "spawn(lambda: greenlet(body).switch(queue.park))",
    "a pending callback": "get_hub().run_callback(print)",
    "a pending timed callback": "get_hub().call_later(3600, print)",
    "a callback that refers to itself": "c = []; c.append(get_hub().call_later(3600, print, c))",
    "a link": "g = spawn(body, queue.park); g.rawlink(print)",
}
RUNS = set(LEFT) - {
    "not begun",
    "never started",
    "a pending callback",
    "a pending timed callback",
    "a callback that refers to itself",
}

WORK = (
    PRELUDE
    + """
queue = WaitQueue()
reading, writing = os.pipe()
kept, ended = [], []

def body(wait):
    try:
        wait()
    finally:
        ended.append(threading.get_native_id())

def leaves(what, turns_before_the_end):
    exec(what)
    for _ in range(turns_before_the_end):
        sleep(0)
    return threading.get_native_id()
"""
)


def test_threads_run_their_green_threads_side_by_side() -> None:
    def work() -> list[Any]:
        def body(number: int) -> tuple[int, int]:
            turns(5)
            sleep(0.001)
            return number, threading.get_native_id()

        ident = threading.get_native_id()
        results = joined(*[spawn(body, number) for number in range(100)])
        assert results == [(number, ident) for number in range(100)]
        return results

    results: list[list[Any]] = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(4)]
    for thread in threads:
        thread.start()
    results.append(work())
    for thread in threads:
        thread.join(patience(60))
    assert len(results) == 5


@pytest.mark.parametrize("what", LEFT)
def test_a_thread_ends_whatever_it_leaves(what: str) -> None:
    out = output_of(
        WORK
        + """
joined(spawn(int))
before = counts(), len(open_descriptors())
for _ in range(3):
    ended.clear()
    def many():
        for _ in range(int(sys.argv[2])):
            ident = leaves(sys.argv[1], 2 if sys.argv[3] == 'runs' else 0)
        return ident
    with reported():
        ident = in_thread(many)
    kept.clear()
    gc.collect()
    if sys.argv[3] == 'runs':
        assert ended == [ident] * int(sys.argv[2]), ended
    assert len(queue) == 0 == queue.unpark(), len(queue)
after = counts(), len(open_descriptors())
assert {k: after[0][k] - before[0][k] for k in ('alive', 'leaked')} == {'alive': 0, 'leaked': 0}, (before, after)
assert before[1] == after[1]
print(joined(spawn(lambda: sleep(0.001) or 'goes on')))
""",
        LEFT[what],
        "30",
        "runs" if what in RUNS else "does not run",
    )
    assert out == "['goes on']\n"


@pytest.mark.parametrize(
    "act",
    [
        "sleep(0)",
        "sleep(0.001)",
        "queue.park(0.001)",
        "wait_read(reading, 0.001)",
        "joined(spawn(int))",
        "get_hub().run_callback(int), sleep(0)",
        "joined(spawn(lambda: sleep(0.001)))",
        "spawn(body, queue.park), sleep(0)",
        "get_hub().call_later(0.001, int), sleep(0.002)",
    ],
)
@pytest.mark.parametrize("who", ["green", "raw from before the hub", "main"])
def test_finally_blocks_may_wait_while_their_thread_ends(act: str, who: str) -> None:
    out = output_of(
        WORK
        + """
log = []
def ends():
    try:
        getcurrent().parent.switch() if sys.argv[2] != 'green' else queue.park()
    finally:
        eval(sys.argv[1])
        log.append('waited')
def work():
    local = threading.local()
    if sys.argv[2] == 'green':
        get_hub()
        spawn(ends)
    elif sys.argv[2] == 'main':
        get_hub()
        local.it = greenlet(ends)
        local.it.switch()
        kept.append(local)
    else:
        it = greenlet(ends)
        it.switch()
        kept.append(it)
        get_hub()
    sleep(0)
in_thread(work)
print(log, len(queue))
""",
        act,
        who,
    )
    assert out == "['waited'] 0\n"


def test_destructors_may_use_the_hub_while_their_thread_ends() -> None:
    out = output_of(
        WORK
        + """
log = []
class Thing:
    def __init__(self, act):
        self.act = act
    def __del__(self):
        log.append('begins')
        try:
            self.act()
        except BaseException:  # also GreenletExit, where the stack that it waits on is ended
            pass
        log.append('ends')
ACTS = [
    lambda: sleep(0), lambda: sleep(0.001), lambda: spawn(int), lambda: get_hub().run_callback(int),
    lambda: get_hub().call_later(0, int), lambda: joined(spawn(int)), lambda: WaitQueue().park(0.001), get_hub,
    lambda: get_hub().switch,
]
def work():
    get_hub().mine = Thing(ACTS[0])
    for act in ACTS:
        get_hub().call_later(3600, id, Thing(act))
        get_hub().run_callback(id, Thing(act))
        spawn(id, Thing(act))
        GreenThread(id, Thing(act))
for _ in range(3):
    in_thread(work)
gc.collect()
print(log.count('begins') - 3 * (4 * len(ACTS) + 1), log.count('ends') - 3 * (4 * len(ACTS) + 1))
"""
    )
    assert out == "0 0\n"


def test_a_green_thread_of_an_ended_thread_is_out_of_reach_and_harmless() -> None:
    out = output_of(
        WORK
        + """
crowd = []
def work():
    crowd.extend([spawn(body, queue.park), spawn(int), GreenThread(int)])
    sleep(0)
    crowd.append(spawn(int))
in_thread(work)
for it in crowd:
    repr(it), it.dead, it.ready(), it.gr_frame
    print(interrupt(it, LookupError()))
    it.join(0.001)
    it.rawlink(repr)
    try:
        it.start()
    except error:
        pass
    it.join(0.01)
turns()
print(joined(spawn(lambda: sleep(0.001) or 'goes on')))
"""
    )
    assert out == "False\n" * 4 + "['goes on']\n"


def test_hubs_come_and_go_without_leaving_descriptors() -> None:
    def work() -> None:
        spawn(WaitQueue().park)
        joined(spawn(sleep, 0))

    in_thread(work)
    before = open_descriptors()
    for _ in range(scaled(50)):
        in_thread(work)
    assert open_descriptors() == before


def test_threads_hand_work_to_each_other() -> None:
    """Tokens go round a ring of threads, each received by a green thread and unparked for the next thread."""
    count, rounds = 4, scaled(200)
    queues = [WaitQueue(number) for number in range(count)]
    tokens = [0] * count
    tokens[0] = 1
    passed = [0] * count

    def serve(number: int) -> None:
        following = (number + 1) % count
        while passed[number] < rounds:
            while not tokens[number]:
                queues[number].park(timeout=1)
            tokens[number] -= 1
            passed[number] += 1
            tokens[following] += 1
            queues[following].unpark()

    threads = [threading.Thread(target=lambda n=number: joined(spawn(serve, n))) for number in range(1, count)]
    for thread in threads:
        thread.start()
    joined(spawn(serve, 0))
    until(lambda: not any(thread.is_alive() for thread in threads))
    assert passed == [rounds] * count


def test_a_daemon_thread_with_a_busy_hub_does_not_disturb_the_exit() -> None:
    out = output_of(
        PRELUDE
        + """
ready = threading.Event()
def work():
    def busy():
        while True:
            sleep(0)
    crowd = [spawn(busy) for _ in range(3)] + [spawn(sleep, 3600), spawn(WaitQueue().park)]
    sleep(0)
    ready.set()
    crowd[0].join()
threading.Thread(target=work, daemon=True).start()
ready.wait()
print('exits')
"""
    )
    assert out == "exits\n"


def test_a_hub_works_below_a_raw_greenlet_of_any_thread() -> None:
    from gossamer._core import greenlet

    def work() -> list[Any]:
        made: list[GreenThread] = []

        def body() -> None:
            made.append(spawn(get_hub))
            sleep(0.001)

        greenlet(body).switch()
        return [joined(*made)[0] is get_hub()]

    assert in_thread(work) == [True]
