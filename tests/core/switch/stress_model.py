"""What a plan must do, worked out without greenlets: every model greenlet has a stack of blocks of its own.

The rules are those of the documentation: a switch goes to the first greenlet that is not dead, from the target up its
parents; one that was never started begins there; an end sends its result, or its exception, to the parent; GreenletExit
is a result.
"""

from dataclasses import dataclass, field

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

Event = tuple[int, str, object]


@dataclass(frozen=True)
class Payload:
    """What arrives somewhere: a value, or a fault that is raised there."""

    value: object = None
    fault: str | None = None


@dataclass
class Level:
    """A block that is being run, and the guard around it if it has one."""

    block: Block
    next: int = 0
    guard: Guard | None = None
    handling: bool = False


@dataclass
class ModelGreenlet:
    """A greenlet as the model sees it; number 0 is the main one."""

    number: int
    body: Block
    parent: "ModelGreenlet | None"
    state: str = "fresh"
    levels: list[Level] = field(default_factory=list)


class Model:
    """Runs a plan and keeps what must be logged."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.fuel = plan.fuel
        self.tokens = 0
        self.log: list[Event] = []
        self.main = ModelGreenlet(0, plan.main, None, "started", [Level(plan.main)])
        self.current = self.main
        self.created = [self.main]
        self.places: list[ModelGreenlet | None] = [None] * PLACES

    def run(self) -> list[Event]:
        """The events of the whole plan in their order."""
        while self.fuel > 0 or self.current is not self.main or self.main.levels:
            self._step()
        return self.log

    def deaths(self) -> dict[int, list[int]]:
        """For each greenlet that is parked at the end, the guards that its GreenletExit passes, innermost first."""
        return {
            it.number: [level.guard.number for level in reversed(it.levels) if level.guard is not None]
            for it in self.created[1:]
            if it.state == "started"
        }

    def _token(self) -> int:
        self.tokens += 1
        return self.tokens

    def _note(self, what: str, value: object = None) -> None:
        self.log.append((self.current.number, what, value))

    def _step(self) -> None:
        it = self.current
        if not it.levels:
            if it is self.main:
                it.levels.append(Level(self.plan.main))
            else:
                self._end(it, Payload(("end", it.number)))
            return
        level = it.levels[-1]
        if self.fuel <= 0 or level.next >= len(level.block):
            it.levels.pop()
            return
        self.fuel -= 1
        level.next += 1
        self._do(level.block[level.next - 1])

    def _do(self, operation: Operation) -> None:
        match operation:
            case Create():
                self._create(operation)
            case Switch():
                self._switch(operation)
            case Throw():
                self._throw(operation)
            case Raise():
                self._unwind(Payload(self._token(), operation.fault))
            case Drop():
                self._note("drop", self.places[operation.place] is not None)
                self.places[operation.place] = None
            case Reparent():
                self._reparent(operation)
            case Nest():
                self.current.levels.append(Level(operation.block))
            case Guard():
                self.current.levels.append(Level(operation.block, guard=operation))
            case Finish():
                if self.current is not self.main:
                    self._end(self.current, Payload(("finish", self._token())))
            case Disturb():
                self._note(operation.how)

    def _create(self, operation: Create) -> None:
        parent = self.places[operation.parent] if operation.parent is not None else None
        new = ModelGreenlet(len(self.created), self.plan.bodies[operation.body], parent or self.current)
        self.created.append(new)
        self.places[operation.place] = new
        self._note("create", new.number)

    def _switch(self, operation: Switch) -> None:
        match operation.place:
            case "main":
                target: ModelGreenlet | None = self.main
            case "parent":
                target = self.current.parent
            case place:
                target = self.places[int(place)]
        if target is not None:
            self._transfer(target, Payload(("token", self._token())))

    def _throw(self, operation: Throw) -> None:
        target = self.places[operation.place]
        if target is None:
            return
        payload = Payload(self._token(), operation.fault)
        self._transfer(target, self._as_result(payload) if target.state == "dead" else payload)

    def _reparent(self, operation: Reparent) -> None:
        it = self.places[operation.place]
        parent = self.main if operation.parent is None else self.places[operation.parent]
        if it is None or parent is None:
            return
        above: ModelGreenlet | None = parent
        while above is not None and above is not it:
            above = above.parent
        self._note("reparent", above is None)
        if above is None:
            it.parent = parent

    def _as_result(self, payload: Payload) -> Payload:
        return Payload(("exit", payload.value)) if payload.fault == "exit" else payload

    def _transfer(self, target: ModelGreenlet | None, payload: Payload) -> None:
        while target is not None and target.state == "dead":
            target = target.parent
        assert target is not None
        self.current = target
        if target.state == "started":
            self._arrive(payload)
        elif payload.fault is not None:
            self._end(target, payload)
        else:
            target.state = "started"
            target.levels = [Level(target.body)]
            self._note("start", payload.value)

    def _arrive(self, payload: Payload) -> None:
        if payload.fault is None:
            self._note("got", payload.value)
        else:
            self._unwind(payload)

    def _unwind(self, payload: Payload) -> None:
        it = self.current
        while it.levels:
            level = it.levels[-1]
            if level.guard is not None and not level.handling and payload.fault in level.guard.catches:
                self._note("caught", (level.guard.number, payload.fault, payload.value))
                it.levels[-1] = Level(level.guard.handler, guard=level.guard, handling=True)
                return
            it.levels.pop()
        if it is self.main:
            self._note("main caught", (payload.fault, payload.value))
        else:
            self._end(it, payload)

    def _end(self, it: ModelGreenlet, payload: Payload) -> None:
        it.state = "dead"
        it.levels = []
        self._transfer(it.parent, self._as_result(payload))
