"""A random schedule of everything at once, checked against what must always hold.

    nobody is lost           every green thread ends, every wait that was ended by somebody returns
    nobody is woken twice    as many waits returned as were ended; an interrupt is raised once
    first come, first served in each queue waits end in the order they began, however they are ended together
    the counts are right     a queue's length is the number of those who wait in it

GOSSAMER_STRESS_SECONDS (default 3) says how long it goes on, GOSSAMER_STRESS_SEED repeats a schedule, as far as threads
let it. The seed is printed.
"""

import os
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from gossamer._core import (
    GreenThread,
    InvalidSwitchError,
    WaitQueue,
    counts,
    get_hub,
    getcurrent,
    interrupt,
    sleep,
    spawn,
    wait_read,
    wait_write,
)
from tests.support.runtime import joined, reported, turns, until

SECONDS = float(os.environ.get("GOSSAMER_STRESS_SECONDS", "3"))
SEED = int(os.environ.get("GOSSAMER_STRESS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)


class Interrupt(Exception):
    """What interrupts carry: a number that is used once."""


@dataclass
class Line:
    """A wait queue, and how the waits in it ended, as the main thread counts them."""

    queue: WaitQueue = field(default_factory=WaitQueue)
    unparked: int = 0
    returned: int = 0
    timed_out: int = 0


class Stress:
    """The actors of one run in the main thread's hub, and threads that disturb them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines = [Line() for _ in range(4)]
        self.over = False
        self.crowd: list[GreenThread] = []
        self.sent: set[int] = set()
        self.received: list[int] = []
        self.next_number = iter(range(10**12))
        self.lock = threading.Lock()
        self.unparked_by_threads = 0
        self.pipes = [os.pipe() for _ in range(4)]
        self.switched = 0
        self.refused = 0
        self.began = 0
        self.ended = 0

    # ---- what green threads do ----

    def actor(self, seed: int) -> None:
        rng = random.Random(seed)
        acts = [self.parks, self.sleeps, self.unparks, self.interrupts, self.spawns, self.reads, self.gives_way]
        acts.append(self.switches)
        while not self.over:
            try:
                rng.choice(acts)(rng)
            except Interrupt as caught:
                self.received.append(caught.args[0])
            except InvalidSwitchError:
                self.refused += 1

    def parks(self, rng: random.Random) -> None:
        line = rng.choice(self.lines)
        timeout = rng.choice([None, 0, 0.0001, 0.001, 0.01])
        if line.queue.park(timeout):
            line.returned += 1
        else:
            line.timed_out += 1

    def sleeps(self, rng: random.Random) -> None:
        seconds = rng.choice([0.0001, 0.001, 0.003])
        before = time.monotonic()
        sleep(seconds)
        assert time.monotonic() - before >= seconds

    def gives_way(self, rng: random.Random) -> None:
        turns(rng.randrange(3))

    def unparks(self, rng: random.Random) -> None:
        line = rng.choice(self.lines)
        line.unparked += line.queue.unpark(rng.randrange(4))

    def interrupts(self, rng: random.Random) -> None:
        target = rng.choice(self.crowd)
        number = next(self.next_number)
        if target is not getcurrent() and interrupt(target, Interrupt(number)):
            self.sent.add(number)

    def switches(self, rng: random.Random) -> None:
        target = rng.choice(self.crowd)

        def sender() -> None:
            if not target.ready():
                self.switched += 1
                target.switch("explicitly")  # nobody refers to the sender any more: it ends here

        spawn(sender)

    def spawns(self, rng: random.Random) -> None:
        self.began += 1

        def child(seconds: float) -> None:
            try:
                sleep(seconds)
            finally:
                self.ended += 1

        it = spawn(child, rng.choice([0, 0, 0.0005]))
        if rng.random() < 0.5:
            it.join(rng.choice([None, 0.0001]))

    def reads(self, rng: random.Random) -> None:
        reading, writing = rng.choice(self.pipes)
        if rng.random() < 0.5 and wait_write(writing, 0.001):
            os.write(writing, b"x")
        if wait_read(reading, 0.001):
            try:
                os.set_blocking(reading, False)
                os.read(reading, 4096)
            except BlockingIOError:
                return

    # ---- what other threads do ----

    def disturb(self, seed: int) -> None:
        rng = random.Random(seed)
        while not self.over:
            line = rng.choice(self.lines)
            ended = line.queue.unpark(rng.randrange(3))
            with self.lock:
                self.unparked_by_threads += ended
            if rng.random() < 0.2:
                number = next(self.next_number)
                if interrupt(rng.choice(self.crowd), Interrupt(number)):
                    self.sent.add(number)
            time.sleep(rng.choice([0, 0.0001, 0.001]))

    def run(self, seconds: float) -> None:
        rng = self.rng
        self.crowd = [spawn(self.actor, rng.randrange(2**31)) for _ in range(40)]
        threads = [threading.Thread(target=self.disturb, args=(rng.randrange(2**31),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            sleep(0.01)
            for line in self.lines:
                line.unparked += line.queue.unpark(2)
        self.over = True
        until(lambda: not any(thread.is_alive() for thread in threads))
        while not all(it.ready() for it in self.crowd):
            for line in self.lines:
                line.unparked += line.queue.unpark(100)
            sleep(0.001)
        joined(*self.crowd)
        until(lambda: self.began == self.ended)
        for pair in self.pipes:
            for descriptor in pair:
                os.close(descriptor)


def test_a_random_schedule_keeps_what_must_always_hold() -> None:
    print(f"GOSSAMER_STRESS_SEED={SEED}")
    alive = counts()["alive"]
    stress = Stress(SEED)
    with reported() as reports:
        stress.run(SECONDS / 3)
    turns()
    # an interrupt may hit a wait inside `finally` or between two, but never twice, and never one that was not sent
    assert len(set(stress.received)) == len(stress.received)
    assert set(stress.received) <= stress.sent
    assert [report for report in reports if report.type not in {Interrupt, InvalidSwitchError}] == []
    unparked = sum(line.unparked for line in stress.lines) + stress.unparked_by_threads
    returned = sum(line.returned for line in stress.lines)
    # whoever was unparked and then interrupted or switched to before his turn came raised instead of returning
    assert unparked - len(stress.sent) - stress.switched <= returned <= unparked
    assert 0 < stress.refused <= stress.switched
    assert [len(line.queue) for line in stress.lines] == [0] * len(stress.lines)
    assert returned > 0 and sum(line.timed_out for line in stress.lines) > 0 and stress.received
    assert all(it.successful() or isinstance(it.exception, Interrupt) for it in stress.crowd)
    assert counts()["alive"] == alive


def test_queues_stay_first_come_first_served_under_load() -> None:
    print(f"GOSSAMER_STRESS_SEED={SEED}")
    rng = random.Random(SEED)
    queue = WaitQueue()
    arrived: list[int] = []
    left: list[int] = []
    tickets = iter(range(10**12))
    over: list[bool] = []
    ended: list[int] = []

    def body(seed: int) -> None:
        own = random.Random(seed)
        while not over:
            ticket = next(tickets)
            arrived.append(ticket)
            assert queue.park()
            left.append(ticket)
            if own.random() < 0.3:
                sleep(own.choice([0, 0.0002]))

    def disturb(seed: int) -> None:
        own = random.Random(seed)
        while not over or len(queue):
            ended.append(queue.unpark(own.randrange(1, 5)))
            time.sleep(own.choice([0, 0.0001]))

    crowd = [spawn(body, rng.randrange(2**31)) for _ in range(30)]
    threads = [threading.Thread(target=disturb, args=(rng.randrange(2**31),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    sleep(SECONDS / 3)
    over.append(True)
    joined(*crowd)
    until(lambda: not any(thread.is_alive() for thread in threads))
    assert left == arrived == sorted(arrived)
    assert sum(ended) == len(left) > 0


def test_values_passed_by_explicit_switches_arrive_once_each() -> None:
    print(f"GOSSAMER_STRESS_SEED={SEED}")
    rng = random.Random(SEED)
    hub = get_hub()
    inboxes: dict[int, list[Any]] = {}
    refused = 0
    sent: list[tuple[int, object]] = []
    receivers: list[GreenThread] = []

    def receiver(number: int, seed: int) -> None:
        nonlocal refused
        own = random.Random(seed)
        inboxes[number] = []
        while True:
            try:
                value = hub.switch() if own.random() < 0.7 else sleep(own.choice([0, 0.0005]))
            except InvalidSwitchError:
                refused += 1
                continue
            if value == "over":
                return
            if value is not None:
                inboxes[number].append(value)

    def sender(number: int, value: object) -> None:
        if receivers[number].ready():
            return
        if value != "over":
            sent.append((number, value))
        receivers[number].switch(value)  # nobody refers to the sender any more: it ends here

    receivers += [spawn(receiver, number, rng.randrange(2**31)) for number in range(10)]
    sleep(0)
    deadline = time.monotonic() + SECONDS / 3
    value = 0
    while time.monotonic() < deadline:
        for _ in range(10):
            value += 1
            spawn(sender, rng.randrange(10), value)
        sleep(0.0005)
    turns(5)
    assert sum(len(inbox) for inbox in inboxes.values()) + refused == len(sent) > 0
    for number, inbox in inboxes.items():
        received = set(inbox)
        assert inbox == [value for to, value in sent if to == number and value in received]
    assert refused > 0 and all(inboxes.values())
    while not all(it.ready() for it in receivers):
        for number in range(10):
            spawn(sender, number, "over")
        sleep(0.001)
