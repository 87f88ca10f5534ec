"""What a stress run does: random programs for greenlets, as data that two interpreters read.

A plan is for one thread. Its bodies are blocks of operations; a greenlet runs one body, the main greenlet of the
thread runs `Plan.main` again and again until the fuel is used up. Greenlets are named by their place in a small
registry, which a program fills, empties and overwrites. `stress_model` says what must happen, `stress_machine` makes
it happen.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

PLACES = 24
WAYS_TO_NEST = ("python", "c", "generator", "handling", "recursion")
FAULTS = ("a", "b", "exit")


@dataclass(frozen=True)
class Create:
    """Put a new greenlet in `place`; its parent is the greenlet in `parent` if there is one, else the creator."""

    place: int
    body: int
    parent: int | None


@dataclass(frozen=True)
class Switch:
    """Switch to the greenlet in `place`, to the parent ("parent") or to the main greenlet ("main") with a token."""

    place: int | str


@dataclass(frozen=True)
class Throw:
    """Throw a fault with a token into the greenlet in `place`."""

    place: int
    fault: str


@dataclass(frozen=True)
class Raise:
    """Raise a fault with a token."""

    fault: str


@dataclass(frozen=True)
class Drop:
    """Empty `place`; with `hand_over`, some other thread gets the last reference and drops it."""

    place: int
    hand_over: bool


@dataclass(frozen=True)
class Reparent:
    """Make the greenlet in `parent`, or the main greenlet, the parent of the one in `place`."""

    place: int
    parent: int | None


@dataclass(frozen=True)
class Nest:
    """Run `block` below another call, in one of WAYS_TO_NEST."""

    way: str
    block: "Block"


@dataclass(frozen=True)
class Guard:
    """Run `block`; if it raises one of `catches`, run `handler`."""

    number: int
    block: "Block"
    catches: tuple[str, ...]
    handler: "Block"


@dataclass(frozen=True)
class Finish:
    """Leave the body with a token as its result."""


@dataclass(frozen=True)
class Disturb:
    """Do what must have no effect: "collect", "fork", "foreign" (a refused switch), "look" (introspection), "deep"."""

    how: str


Operation = Create | Switch | Throw | Raise | Drop | Reparent | Nest | Guard | Finish | Disturb
Block = tuple[Operation, ...]


@dataclass
class Plan:
    """The programs of one thread, and how many operations they may do."""

    bodies: list[Block] = field(default_factory=list)
    main: Block = ()
    fuel: int = 0
    traced: bool = False


class Planner:
    """Makes a plan from random numbers."""

    def __init__(self, random: Random, fuel: int) -> None:
        self.random = random
        self.fuel = fuel
        self.guards = 0

    def plan(self) -> Plan:
        """A new plan."""
        bodies = [self._block(self.random.randrange(2, 12), 0) for _ in range(12)]
        main = self._block(40, 0)
        return Plan(bodies, main, self.fuel, traced=self.random.random() < 0.2)

    def _block(self, length: int, depth: int) -> Block:
        return tuple(self._operation(depth) for _ in range(length))

    def _operation(self, depth: int) -> Operation:
        kinds: list[tuple[int, Callable[[int], Operation]]] = [
            (20, self._create),
            (45, self._switch),
            (6, self._throw),
            (2, self._raise),
            (6, self._drop),
            (4, self._reparent),
            (9 if depth < 4 else 0, self._nest),
            (8 if depth < 4 else 0, self._guard),
            (2, lambda _: Finish()),
            (2, self._disturb),
        ]
        choose = self.random.choices([make for _, make in kinds], [weight for weight, _ in kinds])
        return choose[0](depth)

    def _place(self) -> int:
        return self.random.randrange(PLACES)

    def _create(self, depth: int) -> Operation:
        parent = self._place() if self.random.random() < 0.3 else None
        return Create(self._place(), self.random.randrange(12), parent)

    def _switch(self, depth: int) -> Operation:
        chance = self.random.random()
        return Switch("parent" if chance < 0.12 else "main" if chance < 0.2 else self._place())

    def _throw(self, depth: int) -> Operation:
        return Throw(self._place(), self.random.choice(FAULTS))

    def _raise(self, depth: int) -> Operation:
        return Raise(self.random.choice(FAULTS))

    def _drop(self, depth: int) -> Operation:
        return Drop(self._place(), hand_over=self.random.random() < 0.3)

    def _reparent(self, depth: int) -> Operation:
        return Reparent(self._place(), self._place() if self.random.random() < 0.8 else None)

    def _nest(self, depth: int) -> Operation:
        return Nest(self.random.choice(WAYS_TO_NEST), self._block(self.random.randrange(1, 6), depth + 1))

    def _guard(self, depth: int) -> Operation:
        self.guards += 1
        number = self.guards
        block = self._block(self.random.randrange(1, 6), depth + 1)
        catches = tuple(self.random.sample(FAULTS, self.random.randrange(1, 4)))
        return Guard(number, block, catches, self._block(self.random.randrange(3), depth + 1))

    def _disturb(self, depth: int) -> Operation:
        hows = ("collect", "fork", "foreign", "look", "deep")
        return Disturb(self.random.choices(hows, (4, 1, 10, 20, 10))[0])
