"""input() at a terminal: other green threads run while somebody types.

- A terminal that hands over whole lines is waited for, and read when there is one. An interrupted wait has taken
  nothing.
- With the readline module imported, the line is edited inside of one long call: a native thread makes it. That cannot
  be called off. If the wait for it is interrupted, the line that is being typed belongs to the next input(); and at the
  exit of the process the terminal gets back the mode that it had.
- One at a time: the next waits for its turn before it shows its prompt.
- Elsewhere (pipes, files, a replaced sys.stdin) input() is a matter of sys.stdin's readline().
"""

import _thread
import atexit
import os
import sys
import termios
from collections.abc import Callable
from typing import Any

from gossamer import _core
from gossamer._sync.native_call import begin_in_own_thread
from gossamer._sync.workers import Call

_turn = _thread.allocate_lock()


class _Editor:
    """The line that a native thread is reading with readline, and the mode in which it found the terminal."""

    def __init__(self) -> None:
        self.call: Call | None = None
        self.mode: list[Any] = []

    def line(self, original: Callable[..., str], prompt: object) -> str:
        call = self.call
        if call is None:
            self.mode = termios.tcgetattr(0)
            call = self.call = begin_in_own_thread(original, prompt)
        else:
            _show(prompt, 1)
        call.promise.wait()
        self.call = None
        line: str = call.outcome()
        return line

    def restore_mode(self) -> None:
        if self.call is not None and not self.call.promise.kept:
            termios.tcsetattr(0, termios.TCSANOW, self.mode)


_editor = _Editor()
atexit.register(_editor.restore_mode)


def read_line(original: Callable[..., str], prompt: object = "", /) -> str:
    """What `original`, the interpreter's input(), returns or raises; other green threads run meanwhile."""
    if not _is_at_terminal():
        return original(prompt)
    with _turn:
        return _editor.line(original, prompt) if "readline" in sys.modules else _wait_for_line(original, prompt)


def _is_at_terminal() -> bool:
    """Whether the interpreter would read from the terminal itself, and not through sys.stdin."""
    try:
        return sys.stdin.fileno() == 0 and sys.stdout.fileno() == 1 and os.isatty(0) and os.isatty(1)
    except (AttributeError, OSError, ValueError):
        return False


def _wait_for_line(original: Callable[..., str], prompt: object) -> str:
    _show(prompt, 2)  # where the interpreter shows it, too
    _core.wait_read(0)
    return original()


def _show(prompt: object, descriptor: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(descriptor, str(prompt).encode(sys.stdout.encoding, sys.stdout.errors or "strict"))
