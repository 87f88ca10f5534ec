"""The access log: one line for each request, in the combined format of Apache and nginx."""

import contextlib
import sys
import time
from dataclasses import dataclass
from typing import TextIO

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Access:
    """What there is to tell of a request that has ended.

    address: the client's; empty for a Unix socket.
    method, target, protocol: as the client sent them, "-" if its head was refused.
    status: of the response, 0 if none was begun; 101 if the application has taken the connection over.
    size: bytes of the response's body.
    seconds: from the end of the request's head to the end of the response.
    referer, agent: its headers, or None.
    """

    address: str
    method: str
    target: str
    protocol: str
    status: int
    size: int
    seconds: float
    referer: str | None
    agent: str | None


class CombinedLog:
    """An `access_log` for `Server`: writes a line to `stream` (None: the standard output) for each request.

    What cannot be written is lost, without harm to the connection: the disk is full, nobody reads the pipe, the stream
    has been closed, there is no standard output.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        standard: TextIO | None = sys.stdout  # None if the process was started with it closed
        self.stream = standard if stream is None else stream

    def __call__(self, access: Access) -> None:
        """Write the line."""
        if self.stream is not None:
            with contextlib.suppress(OSError, ValueError):  # the latter of a closed stream
                self.stream.write(combined(access) + "\n")
                self.stream.flush()


def combined(access: Access) -> str:
    """The line for a request, without its end. The seconds that it took stand last.

    What the client sent is escaped, so that it cannot make lines of its own.
    """
    now = time.localtime()
    zone = abs(now.tm_gmtoff) // 60
    stamp = (
        f"{now.tm_mday:02}/{_MONTHS[now.tm_mon - 1]}/{now.tm_year}:{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} "
        f"{'-' if now.tm_gmtoff < 0 else '+'}{zone // 60:02}{zone % 60:02}"
    )
    request = _escaped(f"{access.method} {access.target} {access.protocol}")
    return (
        f'{access.address or "-"} - - [{stamp}] "{request}" {access.status} {access.size} '
        f'"{_escaped(access.referer or "-")}" "{_escaped(access.agent or "-")}" {access.seconds:.6f}'
    )


def _escaped(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(
        character if " " <= character <= "~" and character not in '"\\' else f"\\x{ord(character):02x}"
        for character in text
    )
