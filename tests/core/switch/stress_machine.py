"""Does what a plan says with real greenlets, and checks around every operation that nothing else has changed.

Every level of a body keeps values of its own in its frame; every greenlet has its own context variable and its own
exception being handled. A greenlet that is ended because nobody can reach it notes which guards its GreenletExit
passed, apart from the log, because the moment is the collector's to choose.
"""

import gc
import os
import queue
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from gossamer.switching import GreenletExit, error, getcurrent, greenlet, settrace
from tests.core.switch.stress_model import Event
from tests.core.switch.stress_plan import (
    PLACES,
    Block,
    Create,
    Disturb,
    Drop,
    Finish,
    Guard,
    Nest,
    Operation,
    Plan,
    Raise,
    Reparent,
    Switch,
    Throw,
)

NUMBER: ContextVar[int] = ContextVar("NUMBER")


class FaultA(Exception):
    """The fault "a" of a plan."""


class FaultB(Exception):
    """The fault "b" of a plan."""


class Handled(Exception):
    """What is being handled while a nested block runs."""


class Finished(BaseException):
    """Carries the result of a body out of nested calls."""


CLASSES: dict[str, type[BaseException]] = {"a": FaultA, "b": FaultB, "exit": GreenletExit}
NAMES = {kind: name for name, kind in CLASSES.items()}


def was_thrown(fault: BaseException) -> bool:
    """Whether a plan raised this, rather than the end of an unreachable greenlet."""
    return len(fault.args) == 2 and fault.args[0] == "token"


def describe(value: object) -> object:
    """A value that arrived, in the model's words."""
    return ("exit", value.args[1]) if isinstance(value, GreenletExit) else value


class Machine:
    """One thread's run of a plan."""

    def __init__(self, plan: Plan, handed_over: "queue.SimpleQueue[greenlet]", foreign: greenlet) -> None:
        self.plan = plan
        self.handed_over = handed_over
        self.foreign = foreign
        self.fuel = plan.fuel
        self.tokens = 0
        self.created = 0
        self.log: list[Event] = []
        self.deaths: dict[int, list[int]] = {}
        self.places: list[greenlet | None] = [None] * PLACES
        self.nestings: dict[str, Callable[[int, Block], None]] = {
            "python": self._nest_python,
            "c": self._nest_c,
            "generator": self._nest_generator,
            "handling": self._nest_handling,
            "recursion": self._nest_recursion,
        }

    def run(self) -> None:
        """Do the whole plan in the calling thread."""
        NUMBER.set(0)
        if self.plan.traced:
            settrace(self._tracer)
        while self.fuel > 0:
            try:
                self._block(0, self.plan.main)
            except (FaultA, FaultB, GreenletExit) as fault:
                self._note(0, "main caught", (NAMES[type(fault)], fault.args[1]))
        settrace(None)

    def _tracer(self, event: str, pair: tuple[greenlet, greenlet]) -> None:
        assert event in {"switch", "throw"}
        assert getcurrent() is pair[1]

    def _token(self) -> int:
        self.tokens += 1
        return self.tokens

    def _note(self, number: int, what: str, value: object = None) -> None:
        self.log.append((number, what, value))

    def _body(self, number: int, body: Block, first: object) -> object:
        NUMBER.set(number)
        self._note(number, "start", describe(first))
        try:
            self._block(number, body)
        except Finished as finished:
            return "finish", finished.args[0]
        except GreenletExit as fault:
            if not was_thrown(fault):
                self.deaths.setdefault(number, [])
            raise
        return "end", number

    def _block(self, number: int, block: Block) -> None:
        mine = [number, block]
        for operation in block:
            if self.fuel <= 0:
                return
            self.fuel -= 1
            self._do(number, operation)
            assert mine[0] == number and mine[1] is block
            assert NUMBER.get() == number

    def _do(self, number: int, operation: Operation) -> None:
        match operation:
            case Create():
                self._create(number, operation)
            case Switch():
                self._switch(number, operation)
            case Throw():
                self._throw(number, operation)
            case Raise():
                raise CLASSES[operation.fault]("token", self._token())
            case Drop():
                self._drop(number, operation)
            case Reparent():
                self._reparent(number, operation)
            case Nest():
                self.nestings[operation.way](number, operation.block)
            case Guard():
                self._guard(number, operation)
            case Finish():
                if number:
                    raise Finished(self._token())
            case Disturb():
                self._disturb(operation.how)
                self._note(number, operation.how)

    def _create(self, number: int, operation: Create) -> None:
        parent = self.places[operation.parent] if operation.parent is not None else None
        self.created += 1
        new, body = self.created, self.plan.bodies[operation.body]
        self.places[operation.place] = greenlet(lambda first: self._body(new, body, first), parent)
        self._note(number, "create", new)

    def _switch(self, number: int, operation: Switch) -> None:
        match operation.place:
            case "main":
                target: greenlet | None = self.main
            case "parent":
                target = getcurrent().parent
            case place:
                target = self.places[int(place)]
        if target is not None:
            self._note(number, "got", describe(target.switch(("token", self._token()))))

    def _throw(self, number: int, operation: Throw) -> None:
        target = self.places[operation.place]
        if target is not None:
            fault = CLASSES[operation.fault]("token", self._token())
            self._note(number, "got", describe(target.throw(fault)))

    def _drop(self, number: int, operation: Drop) -> None:
        it = self.places[operation.place]
        self._note(number, "drop", it is not None)
        self.places[operation.place] = None
        if it is not None and operation.hand_over:
            self.handed_over.put(it)

    def _reparent(self, number: int, operation: Reparent) -> None:
        it = self.places[operation.place]
        parent = self.main if operation.parent is None else self.places[operation.parent]
        if it is None or parent is None:
            return
        try:
            it.parent = parent
        except ValueError:
            self._note(number, "reparent", False)
        else:
            self._note(number, "reparent", True)

    def _guard(self, number: int, guard: Guard) -> None:
        catches = tuple(CLASSES[name] for name in guard.catches)
        try:
            try:
                self._block(number, guard.block)
            except catches as fault:
                if not was_thrown(fault):
                    raise
                self._note(number, "caught", (guard.number, NAMES[type(fault)], fault.args[1]))
                self._block(number, guard.handler)
        except GreenletExit as fault:
            if not was_thrown(fault):
                self.deaths.setdefault(number, []).append(guard.number)
            raise

    def _nest_python(self, number: int, block: Block) -> None:
        kept = (number, block)
        self._block(number, block)
        assert kept == (number, block)

    def _nest_c(self, number: int, block: Block) -> None:
        done = sorted([number], key=lambda value: self._block(value, block) or value)
        assert done == [number]

    def _nest_generator(self, number: int, block: Block) -> None:
        def run() -> Iterator[int]:
            yield 1
            self._block(number, block)
            yield 2

        assert list(run()) == [1, 2]

    def _nest_handling(self, number: int, block: Block) -> None:
        try:
            raise Handled(number)
        except Handled as mine:
            self._block(number, block)
            assert sys.exc_info()[1] is mine

    def _nest_recursion(self, number: int, block: Block, depth: int = 30) -> None:
        kept = [number, depth]
        if depth:
            self._nest_recursion(number, block, depth - 1)
        else:
            self._block(number, block)
        assert kept == [number, depth]

    def _disturb(self, how: str) -> None:
        match how:
            case "collect":
                gc.collect()
            case "fork":
                self._fork()
            case "foreign":
                self._switch_to_another_thread()
            case "look":
                self._look()
            case "deep":
                self._recurse(100)

    def _switch_to_another_thread(self) -> None:
        for move in (self.foreign.switch, self.foreign.throw):
            try:
                move()
            except error:
                continue
            raise AssertionError("switched to a greenlet of another thread")

    def _look(self) -> None:
        for it in [it for it in self.places if it is not None]:
            assert repr(it)
            assert it.dead or it is getcurrent() or bool(it) == (it.gr_frame is not None)
            frame = it.gr_frame
            while frame is not None:
                assert frame.f_locals is not None
                frame = frame.f_back

    def _recurse(self, left: int) -> int:
        return self._recurse(left - 1) + 1 if left else 0

    def _fork(self) -> None:
        child = os.fork()
        if not child:
            try:
                self._look()
                me = getcurrent()
                assert greenlet(lambda: greenlet(lambda: getcurrent().parent.parent).switch()).switch() is me  # type: ignore[union-attr]
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == 0, f"the child of a fork ended with {status}"

    @property
    def main(self) -> greenlet:
        """The main greenlet of the thread."""
        it = getcurrent()
        while it.parent is not None:
            it = it.parent
        return it
