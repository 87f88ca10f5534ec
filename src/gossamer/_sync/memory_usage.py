"""How much memory the process has, as the kernel tells it: /proc/self/statm, which is cheap to read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class MemoryInfo(NamedTuple):
    """Bytes of the process: resident, virtual, shared, of its program's text, and of its data and stacks."""

    rss: int
    vms: int
    shared: int
    text: int
    data: int


def memory_info() -> MemoryInfo | None:
    """What the kernel says now; None where it does not tell (no /proc)."""
    try:
        words = _STATM.read_bytes().split()
    except OSError:
        return None
    size, resident, shared, text, _libraries, data, _dirty = (int(word) * _PAGE for word in words)
    return MemoryInfo(resident, size, shared, text, data)
