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
    """Write one line to the standard output, at once. What its encoding lacks is shown as Python's escapes."""
    stream: TextIO | None = sys.stdout
    if stream is not None:
        encoding = stream.encoding or "utf-8"
        with contextlib.suppress(*LOST):
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            stream.flush()


def flush() -> None:
    """Send on what the standard streams hold back, as far as possible."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(*LOST):
                stream.flush()


def finish() -> None:
    """Flush for the last time: what cannot be written now is dropped.

    The interpreter would try again at its end, fail, say so and end with another status.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except LOST:
            with contextlib.suppress(*LOST), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
