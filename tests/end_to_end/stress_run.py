"""The stress program of the whole runtime: `python -m tests.end_to_end.stress_run SECONDS SEED`.

Round after round until SECONDS have passed, each with the next seed, which is printed first: after a crash or a fault
the last line names the seed to start again with. Threads make each run of a seed a little different.

In each round two OS threads have a hub and a crowd of green threads, others have none. All of them do what they like
(`stress_actors`) with the same things (`stress_things`) for about a second. Then the round is over: who waits is
killed, everybody must end, every thing must be as its model says, and nothing may be left: no greenlet, no descriptor,
no wait, no registration.
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random

import gossamer
from gossamer import monkey
from gossamer._core import counts
from gossamer.switching import stacks
from tests.end_to_end.stress_actors import (
    GENTLE,
    GREEN,
    NATIVE,
    Actor,
    Deliberate,
    Interrupt,
    Interruptible,
    NativeThread,
    World,
)
from tests.support.runtime import Report, open_descriptors, reported
from tests.support.scale import patience


class Crew:
    """The green threads of one OS thread."""

    def __init__(self, world: World, size: int) -> None:
        self.world = world
        self.interruptible = [Interruptible(world, next(world.numbers), GREEN) for _ in range(size)]
        self.gentle = [Actor(world, next(world.numbers), GENTLE) for _ in range(size // 2)]
        self.running: list[gossamer.Greenlet] = []
        self.reports: list[Report] = []

    def run(self, seconds: float) -> None:
        """Let them act for that long, replace who is killed, and end them all."""
        with reported() as self.reports:
            self.running = [gossamer.spawn(it.run) for it in self.gentle]
            self._spawn(self.interruptible)
            self.world.targets += self.interruptible
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and not self.world.over:
                gossamer.sleep(0.005)
                self._spawn([it for it in self.interruptible if it.greenlet.ready()])
            self._end()
        gossamer.get_hub().threadpool.kill()

    def _spawn(self, actors: list[Interruptible]) -> None:
        for it in actors:
            it.greenlet = gossamer.spawn(it.run)
        self.running += [it.greenlet for it in actors]

    def _end(self) -> None:
        self.world.over = True
        until(lambda: all(it.ready() for it in self.running), self._kill, lambda: show(self.running))
        until(
            lambda: all(it.ready() for it in self.world.children),
            self.world.run_errands,
            lambda: show(self.world.children),
        )
        unexpected = [it for it in self.reports if not issubclass(it.type, Deliberate | Interrupt)]
        assert unexpected == []

    def _kill(self) -> None:
        gossamer.killall([it.greenlet for it in self.interruptible if not it.greenlet.ready()], block=False)
        self.world.run_errands()


def until(condition: Callable[[], bool], meanwhile: Callable[[], object], complaint: Callable[[], object]) -> None:
    """Go on with `meanwhile` until `condition` holds; complain if it takes too long."""
    deadline = time.monotonic() + patience(60)
    while not condition():
        assert time.monotonic() < deadline, complaint()
        meanwhile()
        gossamer.sleep(0.002)


def show(crowd: list[gossamer.Greenlet]) -> str:
    """Who has not ended, and where they stand."""
    left = [it for it in crowd if not it.ready()]
    standing = stacks()
    return "\n".join(f"{it!r} did not end\n{''.join(standing[it].format() if it in standing else '')}" for it in left)


def run_round(seed: int) -> Counter[str]:
    """One round; how often each act was done. Raises AssertionError if anything is not as it must be."""
    random = Random(seed)
    gc.set_threshold(random.choice((5, 50, 700)))
    sys.setswitchinterval(random.choice((1e-5, 1e-4, 5e-3)))
    seconds = random.choice((0.3, 1, 2))
    world = World(random)

    def handle(number: int, frame: object) -> None:
        world.signals_handled += 1

    signal.signal(signal.SIGUSR1, handle)
    crew, other = (Crew(world, random.randrange(2, 20)) for _ in range(2))
    native = [Actor(world, next(world.numbers), NATIVE) for _ in range(random.randrange(4))]
    threads = [NativeThread(target=it.run) for it in native] if random.random() < 0.8 else []
    threads.append(NativeThread(target=record_faults, args=(world, lambda: other.run(seconds))))
    for thread in threads:
        thread.start()
    record_faults(world, lambda: crew.run(seconds))
    for thread in threads:
        thread.join()
    if world.faults:
        raise world.faults[0]
    world.settle()
    world.close()
    return world.done


def record_faults(world: World, work: Callable[[], object]) -> None:
    """Run `work`; what it raises is a fault of the round, and ends it."""
    try:
        work()
    except BaseException as fault:
        world.faults.append(fault)
        world.over = True


def left_over() -> dict[str, object]:
    """What must be the same after a round as before it."""
    gc.collect()
    gossamer.sleep(0)
    here = counts()
    return {"alive": here["alive"], "leaked": here["leaked"], "descriptors": set(open_descriptors())}


def main() -> None:
    """Run rounds for as long as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("seconds", type=float)
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    monkey.patch_all()
    gossamer.get_hub()
    end = time.monotonic() + arguments.seconds
    seed, rounds, done = arguments.seed, 0, Counter[str]()
    before: dict[str, object] = {}
    while not rounds or time.monotonic() < end:
        print(f"seed {seed}", flush=True)
        done += run_round(seed)
        after = left_over()
        assert not before or after == before, f"seed {seed}: {before} before, {after} after"
        before = after
        seed, rounds = seed + 1, rounds + 1
    print(", ".join(f"{name} {count}" for name, count in sorted(done.items())))
    print(f"{rounds} rounds as the model says", flush=True)


if __name__ == "__main__":
    main()
