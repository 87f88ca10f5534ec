"""How much memory this process holds resident, page tables included.

`Rss` of smaps_rollup is exact; `VmRSS` and statm lag behind by up to some hundred kilobytes on newer kernels. Page
tables count because a design that spreads its stacks over the address space pays 4 kB of them for each.
"""

from __future__ import annotations

from pathlib import Path

from bench.machine import kilobytes

PROCESS = Path("/proc/self")


def resident_bytes() -> int:
    """Resident bytes of this process and of its page tables."""
    return (kilobytes(PROCESS / "smaps_rollup", "Rss") + kilobytes(PROCESS / "status", "VmPTE")) * 1024
