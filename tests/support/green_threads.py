"""What the tests of green `threading.Thread`s share: the group switched on for a while, threads run to their ends.

`PRELUDE` opens the source of child interpreters in which it stays on.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gossamer import _core
from tests.support.scale import patience

PRELUDE = """
import _thread, gc, os, sys, threading, time, warnings
from gossamer import _core
warnings.simplefilter('ignore', DeprecationWarning)
_core.get_hub()
_core.points_switch('green-threads', True)
start_native = _core.original('_thread', None, 'start_new_thread')
"""


@contextmanager
def green_threads() -> Iterator[None]:
    """Have `threading.Thread` start green threads during the block."""
    _core.get_hub()
    _core.points_switch("green-threads", True)
    try:
        yield
    finally:
        _core.points_switch("green-threads", False)


def run_all(*threads: threading.Thread) -> None:
    """Start all, and wait for their ends."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience(60))
        assert not thread.is_alive()
