"""The standard streams of a command, which may be closed, full, or read by nobody any more.

What cannot be written is lost. It is no reason for a server to end, nor to end with another status than it would have.
"""

import contextlib
import os
import sys
from typing import TextIO

LOST = (OSError, ValueError)
"""What writing raises: ValueError if the stream was closed, or cannot encode the text."""


def complain(text: str) -> None:
    """Write one line to the standard error, at once and in one piece: processes share the stream."""
    stream: TextIO | None = sys.stderr  # None if the process was started with it closed
    if stream is not None:
        with contextlib.suppress(*LOST):
            stream.write(f"{text}\n")
            stream.flush()


def say(text: str) -> None:
    """Write one line to the standard output, at once."""
    stream: TextIO | None = sys.stdout
    if stream is not None:
        with contextlib.suppress(*LOST):
            stream.write(f"{text}\n")
    flush()


def flush() -> None:
    """Send on what the standard streams hold back, and nothing of it to a copy of this process.

    The interpreter's own attempt to do so at its end would change the exit status if it failed: it finds a stream that
    takes everything.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except LOST:
            with contextlib.suppress(*LOST), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
