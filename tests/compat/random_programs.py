"""Random programs for gevent, and what happens in them, line by line: run as `random_programs.py FIRST LAST [ours]`.

A program is a tree of green threads whose steps depend on the seed alone: nothing in it takes time, so the order of
turns decides everything. With `ours`, `gevent` is Gossamer under the alias.
"""

import random
import sys
from typing import Any

STEPS = ["turn", "turn", "spawn", "start", "spawn_raw", "kill", "join", "callback", "timeout", "raise"]
STARTS = ("spawn", "start", "spawn_raw")


def script(source: random.Random, depth: int) -> list[tuple[str, int, Any]]:
    """The steps of one green thread: what, with which number, and the script of the one it starts."""
    steps: list[tuple[str, int, Any]] = []
    for _ in range(source.randint(1, 6)):
        what, number = source.choice(STEPS), source.randrange(100)
        starts = what in STARTS
        if starts and depth == 0:
            what = "turn"
        steps.append((what, number, script(source, depth - 1) if starts and depth > 0 else None))
    return steps


class Program:
    def __init__(self, gevent: Any, seed: int) -> None:
        self.gevent = gevent
        self.trace: list[object] = []
        self.crowd: list[Any] = []
        source = random.Random(seed)
        for _ in range(source.randint(2, 6)):
            self.begin("spawn", script(source, 2))

    def begin(self, how: str, steps: list[tuple[str, int, Any]]) -> int:
        """Start a green thread and return its number."""
        number = len(self.crowd)
        if how == "spawn_raw":
            it = self.gevent.spawn_raw(self.body, number, steps)
        else:
            it = self.gevent.Greenlet(self.body, number, steps)
            it.start()
        self.crowd.append(it)
        return number

    def body(self, number: int, steps: list[tuple[str, int, Any]]) -> int:
        self.trace.append((number, "begins"))
        try:
            for step in steps:
                self.trace.append((number, step[0], self.do(*step)))
        except BaseException as error:
            self.trace.append((number, repr(error)))
            raise
        return number

    def do(self, what: str, number: int, steps: Any) -> object:
        other = self.crowd[number % len(self.crowd)]
        may_be_told = isinstance(other, self.gevent.Greenlet) and other is not self.gevent.getcurrent()
        if what in STARTS:
            return self.begin(what, steps)
        if what == "kill" and may_be_told:
            other.kill([self.gevent.GreenletExit, LookupError(number)][number % 2], block=False)
        elif what == "join" and may_be_told:
            other.join()
        elif what == "callback":
            self.gevent.get_hub().loop.run_callback(self.trace.append, ("callback", number))
        elif what == "timeout":
            with self.gevent.Timeout(1000 + number):
                self.gevent.sleep(0)
        elif what == "raise" and number < 30:
            raise LookupError(number)
        else:
            self.gevent.sleep(0)
        return None

    def run(self) -> list[object]:
        """Run it for a while, end whoever is left, and return what happened."""
        self.gevent.get_hub().handle_error = lambda _, kind, *_rest: self.trace.append(("error", kind.__name__))
        for _ in range(30):
            self.gevent.sleep(0)
        self.gevent.killall([it for it in self.crowd if isinstance(it, self.gevent.Greenlet)], block=False)
        for _ in range(5):
            self.gevent.sleep(0)
        for it in self.crowd:
            self.trace.append((it.dead, repr(getattr(it, "value", None)), repr(getattr(it, "exception", None))))
        return self.trace


if __name__ == "__main__":
    if "ours" in sys.argv:
        import gossamer.compat

        gossamer.compat.install(children=False)
    import gevent

    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        print(seed, Program(gevent, seed).run())
