"""All families that `proof_child` proves, by their names."""

from __future__ import annotations

from collections.abc import Callable

from tests.points import proof_objects, proof_sockets, proof_system
from tests.points.proof_family import Family

FAMILIES: dict[str, Callable[[], Family]] = {
    family.__name__: family for family in (*proof_objects.FAMILIES, *proof_sockets.FAMILIES, *proof_system.FAMILIES)
}
