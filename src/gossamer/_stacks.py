"""The Python stack of every greenlet, for people who look for what a program waits for.

The core knows where each greenlet stands; how a stack is presented is the standard library's `traceback`. That module
is imported when it is needed: `gossamer.switching` is imported before the programs that it serves, and stays light.
"""

from __future__ import annotations

from gossamer._core import frames, getcurrent, greenlet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from traceback import StackSummary


def stacks() -> dict[greenlet, StackSummary]:
    """The Python stack of each started, unfinished greenlet of every thread, oldest call first.

    Returns greenlet -> `traceback.StackSummary`: a list of entries with `filename`, `lineno`, `name` and `line`, which
    `traceback.format_list` turns into text. Main greenlets are among them, and so are greenlets that run now; a
    greenlet that runs no Python code has an empty list. Of the greenlet that asks, the call of this function is left
    out.

    A snapshot: other threads go on running while it is taken. It keeps no frame and no local variable alive, but the
    greenlets themselves as long as the dictionary exists.
    """
    from traceback import StackSummary, extract_stack

    asking = getcurrent()
    found = {}
    for it, frame in frames():
        innermost = frame.f_back if frame is not None and it is asking else frame
        found[it] = extract_stack(innermost) if innermost is not None else StackSummary()
        # This function's own frame is among them: a name that kept it would be a cycle.
        del frame, innermost
    return found
