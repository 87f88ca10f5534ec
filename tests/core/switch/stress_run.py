"""The stress program: `python -m tests.core.switch.stress_run SECONDS SEED`.

Round after round until SECONDS have passed, each with the next seed, which is printed first: after a crash or a
difference the last line names the seed to start again with. Each round runs several plans in as many threads at once,
compares each log with the model's, and what the greenlets noted that were left parked and had to be ended, by the
collector or by the end of their thread. Nothing may be left alive after a round.
"""

import argparse
import contextlib
import gc
import itertools
import queue
import sys
import threading
import time
from random import Random

from gossamer.switching import counts, getcurrent, greenlet
from tests.core.switch.stress_machine import Machine
from tests.core.switch.stress_model import Model
from tests.core.switch.stress_plan import Plan, Planner


def run_round(seed: int) -> None:
    """One round of several threads. Raises AssertionError, naming the first difference, if one does not as it must."""
    before = counts()
    random = Random(seed)
    plans = [Planner(random, fuel=random.choice((300, 3000))).plan() for _ in range(random.randrange(1, 5))]
    handed_over: queue.SimpleQueue[greenlet] = queue.SimpleQueue()
    main = getcurrent()
    foreign = greenlet(lambda: main.switch())
    foreign.switch()
    machines = [Machine(plan, handed_over, foreign) for plan in plans]
    faults: list[BaseException] = []
    threads = [threading.Thread(target=_run, args=(machine, faults)) for machine in machines]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or not handed_over.empty():
        _drop_some(handed_over)
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    for number, (machine, plan) in enumerate(zip(machines, plans, strict=True)):
        compare(machine, plan, f"seed {seed}, thread {number}")
    foreign.switch()
    gc.collect()
    after = counts()
    assert after["alive"] == before["alive"], f"seed {seed}: {after['alive'] - before['alive']} greenlets left alive"
    assert after["leaked"] == before["leaked"], f"seed {seed}: {after['leaked'] - before['leaked']} greenlets leaked"


def _run(machine: Machine, faults: list[BaseException]) -> None:
    try:
        machine.run()
    except BaseException as fault:
        faults.append(fault)
    machine.places.clear()


def _drop_some(handed_over: "queue.SimpleQueue[greenlet]") -> None:
    with contextlib.suppress(queue.Empty):
        handed_over.get(timeout=0.001)


def compare(machine: Machine, plan: Plan, where: str) -> None:
    """Raise AssertionError if the log, or the deaths, differ from the model's."""
    model = Model(plan)
    expected = model.run()
    for place, (had, wants) in enumerate(itertools.zip_longest(machine.log, expected)):
        assert had == wants, f"{where}: event {place} of {len(expected)} is {had}, must be {wants}"
    assert machine.deaths == model.deaths(), f"{where}: {machine.deaths} ended, must be {model.deaths()}"


def main() -> None:
    """Run rounds for as long as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("seconds", type=float)
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    sys.setrecursionlimit(20_000)
    sys.setswitchinterval(1e-4)
    random = Random(arguments.seed)
    end = time.monotonic() + arguments.seconds
    seed, rounds = arguments.seed, 0
    while not rounds or time.monotonic() < end:
        print(f"seed {seed}", flush=True)
        gc.set_threshold(random.choice((5, 50, 700)))
        run_round(seed)
        seed, rounds = seed + 1, rounds + 1
    print(f"{rounds} rounds as the model says", flush=True)


if __name__ == "__main__":
    main()
