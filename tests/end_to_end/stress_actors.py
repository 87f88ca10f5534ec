"""Who acts in the stress program, and what they do beside using things (`stress_things`).

    interruptible   a green thread that others interrupt anywhere and kill; it may wait without an end
    gentle          a green thread that nobody interrupts, which may therefore use what is made of conditions, fork, and
                    wait for threads and processes; it waits for a while only
    native          an OS thread that never asks for a hub, and blocks as ever

An `Act` is a function that is given the actor. What it finds wrong it raises as AssertionError, and that ends the run.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import gossamer
from gossamer import monkey
from gossamer._core import counts
from gossamer.event import AsyncResult, Event
from gossamer.switching import GreenletExit, getcurrent, greenlet
from gossamer.threadpool import ThreadPool
from tests.end_to_end.stress_things import Item, Stream, Thing, delicate, ours, stock
from tests.support.scale import patience

NativeThread: type[threading.Thread] = monkey.get_original("threading", "Thread")
MOMENTS = (None, 0, 0, 0.0001, 0.001, 0.003)


class Interrupt(Exception):
    """Thrown into an interruptible actor, which goes on. It carries a number that is used once."""


class Deliberate(Exception):
    """A failure that is part of the play."""


class World:
    """All that one round is made of."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.stock = stock()
        self.ours = ours()
        self.delicate = delicate()
        self.errands: deque[Callable[[], object]] = deque()
        self.over = False
        self.targets: list[Actor] = []
        self.children: list[gossamer.Greenlet] = []
        self.faults: list[BaseException] = []
        self.done: Counter[str] = Counter()
        self.sent: set[int] = set()
        self.received: list[int] = []
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.processes: list[int] = []
        self.forking: list[int] = []
        self.signals_sent = 0
        self.signals_handled = 0
        self.numbers = iter(range(10**12))

    @property
    def things(self) -> list[Thing]:
        """Every thing that there is."""
        return [*self.stock, *self.ours, *self.delicate]

    def run_errands(self) -> None:
        """Do what was left for others to do."""
        while self.errands:
            with suppress(IndexError):  # another thread may be faster
                self.errands.popleft()()

    def close(self) -> None:
        """Close what has descriptors."""
        for it in self.things:
            if isinstance(it, Stream):
                it.close()

    def settle(self) -> None:
        """Once everybody is gone: check every thing, and what was counted."""
        self.run_errands()
        for it in self.things:
            it.settle()
        gc.collect()
        assert len(set(self.received)) == len(self.received), "an interrupt was raised twice"
        assert set(self.received) <= self.sent, "an interrupt was raised that nobody sent"
        unended = Counter(self.begun) - Counter(self.ended)
        assert not unended, f"bodies that never ended: {unended}, {counts()}"
        assert all(it.ready() for it in self.children), [it for it in self.children if not it.ready()]
        assert bool(self.signals_handled) == bool(self.signals_sent), "no signal was handled"


class Actor:
    """Somebody who does one act after the other, chosen at random."""

    patient = False

    def __init__(self, world: World, number: int, acts: Mapping[str, Act]) -> None:
        self.world = world
        self.number = number
        self.random = Random(world.random.random())
        self.latest: dict[tuple[int, int], int] = {}
        self.items = 0
        self.acts = acts

    def run(self) -> None:
        """Act until the round is over."""
        try:
            while not self.world.over:
                name = self.random.choice(list(self.acts))
                self.act(name)
                self.world.done[name] += 1
        except GreenletExit:
            return
        except BaseException as fault:
            self.world.faults.append(fault)
            self.world.over = True

    def act(self, name: str) -> None:
        """Do one thing."""
        self.acts[name](self)

    def pause(self) -> None:
        """Wait for a moment, or not at all."""
        moment = self.random.choice(MOMENTS)
        if moment is not None:
            time.sleep(moment)

    def limit(self) -> float | None:
        """How many seconds to wait."""
        return self.random.choice((0.0001, 0.001, 0.01))

    def next_item(self) -> Item:
        """An item that nobody has put yet."""
        self.items += 1
        return (self.number, self.items)


class Interruptible(Actor):
    """A green thread that anybody may interrupt."""

    patient = True
    greenlet: gossamer.Greenlet

    def limit(self) -> float | None:
        """How many seconds to wait; None for ever."""
        return self.random.choice((None, None, 0.0001, 0.001, 0.01))

    def act(self, name: str) -> None:
        """Do one thing, perhaps with a time-out around it."""
        try:
            if self.random.random() < 0.2:
                with gossamer.Timeout(self.limit() or 0, False):
                    super().act(name)
            else:
                super().act(name)
        except Interrupt as interrupt:
            self.world.received.append(interrupt.args[0])


Act = Callable[[Any], None]

# ---- acts of everybody


def use_stock(me: Actor) -> None:
    """Use something of the standard library's."""
    me.random.choice(me.world.stock).use(me)


def run_errands(me: Actor) -> None:
    """Set the events and results that others left to be set."""
    me.world.run_errands()


def rest(me: Actor) -> None:
    """Only wait."""
    me.pause()


def collect(me: Actor) -> None:
    """Look for garbage, seldom for all of it."""
    gc.collect(me.random.choice((0, 0, 0, 0, 0, 1, 2)))


def interrupt(me: Actor) -> None:
    """Interrupt somebody; once in a while for good."""
    target = me.random.choice(me.world.targets or [me])
    if target is me or not isinstance(target, Interruptible):
        return
    if me.random.random() < 0.05:
        target.greenlet.kill(block=False)
        return
    number = next(me.world.numbers)
    me.world.sent.add(number)
    target.greenlet.kill(Interrupt(number), block=False)


def send_signal(me: Actor) -> None:
    """Have the main thread run a handler."""
    me.world.signals_sent += 1
    os.kill(os.getpid(), signal.SIGUSR1)


# ---- acts of green threads


def use_ours(me: Actor) -> None:
    """Use something with gevent's names."""
    me.random.choice(me.world.ours).use(me)


def spawn(me: Actor, body: Callable[[], Any]) -> gossamer.Greenlet:
    """A child that is seen to its end."""
    it: gossamer.Greenlet = gossamer.spawn(body)
    me.world.children.append(it)
    return it


def raise_a_child(me: Actor) -> None:
    """Spawn somebody, and get its value, wait a while, kill it, or leave it alone."""
    value = object()
    fails = me.random.random() < 0.2
    moment = me.random.choice(MOMENTS)

    def body() -> object:
        me.world.begun.append("child")
        try:
            if moment is not None:
                gossamer.sleep(moment)
            if fails:
                raise Deliberate
            return value
        finally:
            me.world.ended.append("child")

    child = spawn(me, body)
    match me.random.randrange(4):
        case 0:
            try:
                assert child.get() is value and not fails
            except Deliberate:
                assert fails
        case 1:
            child.join(me.limit())
            assert not child.ready() or child.value is (None if fails else value)
        case 2:
            child.kill()
            assert child.ready() and not child


def meet_at_an_event(me: Actor) -> None:
    """Have some wait for an event, and set it, or have somebody else set it: all of them go on."""
    event = Event()
    waiting = [spawn(me, event.wait) for _ in range(me.random.randrange(1, 4))]
    try:
        me.pause()
    finally:
        set_now_or_later(me, event.set)
    for it in waiting:
        assert it.get() is True


def set_now_or_later(me: Actor, errand: Callable[[], object]) -> None:
    """Do it, or leave it to anybody."""
    if me.random.random() < 0.5:
        errand()
    else:
        me.world.errands.append(errand)


def promise(me: Actor) -> None:
    """Wait for a result that somebody else stores."""
    result: AsyncResult[int] = AsyncResult()
    number = me.random.randrange(1000)
    waiting = [spawn(me, result.get) for _ in range(me.random.randrange(3))]
    set_now_or_later(me, lambda: result.set(number))
    assert result.get() == number
    assert [it.get() for it in waiting] == [number] * len(waiting)


def time_out(me: Actor) -> None:
    """Two time-outs, one in the other, neither of which is left behind. One that comes after its end ends the run."""
    outer, inner = (gossamer.Timeout(me.random.choice((0, 0.0001, 0.001, 5))) for _ in range(2))
    try:
        with outer, inner:
            me.pause()
    except gossamer.Timeout as caught:
        if caught is not outer and caught is not inner:
            raise
    assert not outer.pending and not inner.pending


def leave_garbage(me: Actor) -> None:
    """Leave a parked greenlet that only a cycle refers to."""
    world = me.world

    def body() -> None:
        world.begun.append("garbage")
        try:
            parent = getcurrent().parent
            assert parent is not None
            parent.switch()
        finally:
            world.ended.append("garbage")

    it = greenlet(body)
    it.switch()
    it.itself = it  # type: ignore[attr-defined]


def use_a_pool(me: Actor) -> None:
    """Have a function called in a pool's thread."""
    pool: ThreadPool = gossamer.get_hub().threadpool
    number = me.random.randrange(1000)
    if me.random.random() < 0.5:
        assert pool.apply(divmod, (number, 7)) == divmod(number, 7)
    else:
        assert pool.spawn(divmod, number, 7).get() == divmod(number, 7)


# ---- acts of green threads that are not interrupted


def use_delicate(me: Actor) -> None:
    """Use something made of conditions."""
    me.random.choice(me.world.delicate).use(me)


def start_a_thread(me: Actor) -> None:
    """Start a green or a native thread and wait for its end."""
    seen: list[int] = []
    kind = me.random.choice((threading.Thread, NativeThread))
    moment = me.random.choice(MOMENTS) or 0
    thread = kind(target=lambda: (time.sleep(moment), seen.append(1)))
    thread.start()
    thread.join()
    assert seen == [1] and not thread.is_alive()


def run_a_process(me: Actor) -> None:
    """Run another program, seldom."""
    if me.random.random() < 0.9 or me.world.forking:
        return
    me.world.processes.append(me.number)
    try:
        ended = subprocess.run(["cat"], input=b"some bytes", capture_output=True)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"some bytes", b""), ended
    finally:
        me.world.processes.remove(me.number)


def fork(me: Actor) -> None:
    """Fork, seldom; the child ends all the green threads that it has, and wait for it.

    Not while somebody feeds a process: he would go on in the child, feed it once more, and read what is the parent's.
    Nor while somebody else forks: the locks that the standard library takes before a fork may be another thread's, and
    then os.fork() waits. So it is announced first, and whoever would begin meanwhile lets it be.
    """
    if me.random.random() < 0.9 or me.world.processes or me.world.forking:
        return
    me.world.forking.append(me.number)
    child = os.fork()
    if not child:
        end_all_in_a_child(me.world)
    me.world.forking.remove(me.number)
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child of a fork ended with {os.waitstatus_to_exitcode(status)}"


def end_all_in_a_child(world: World) -> None:
    """In a forked child: nobody takes the parent's bytes, all who can be interrupted end, and so does the child."""
    status = 1
    try:
        faulthandler.dump_traceback_later(patience(60), exit=True)
        world.close()
        world.over = True
        here = [it.greenlet for it in world.targets if isinstance(it, Interruptible) and not it.greenlet.ready()]
        mine = [it for it in here if it.parent is gossamer.get_hub() and it is not getcurrent()]
        gossamer.killall(mine)
        assert all(it.ready() for it in mine)
        assert gossamer.spawn(gossamer.with_timeout, 9, gossamer.sleep, 0).get() is None
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(status)


EVERYBODY = {act.__name__: act for act in (use_stock, run_errands, rest, collect, interrupt, send_signal)}
GREEN = EVERYBODY | {
    act.__name__: act
    for act in (use_ours, raise_a_child, meet_at_an_event, promise, time_out, leave_garbage, use_a_pool)
}
GENTLE = GREEN | {act.__name__: act for act in (use_delicate, start_a_thread, run_a_process, fork)}
NATIVE = EVERYBODY | {"use_delicate": use_delicate}
