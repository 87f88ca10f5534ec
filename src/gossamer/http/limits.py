"""How much, and how long, a client may ask for."""

import math
from dataclasses import dataclass, fields

_MAY_BE_ZERO = {"body", "unread_body", "idle"}
_MAY_BE_NONE = {"body", "idle", "head_time", "stall"}
_SECONDS = {"idle", "head_time", "stall"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one connection may cost. Sizes are in bytes, times in seconds; None: no bound.

    request_line: longest first line of a request; beyond: `414 URI Too Long`.
    head: largest head of a request, all its lines together; beyond: `431 Request Header Fields Too Large`.
    header_count: most headers of a request; beyond: 431.
    body: largest body of a request, decoded; beyond: `413 Content Too Large`.
    unread_body: how much of a body that the application did not read is read and dropped so that the connection can go
        on; with more than that it is closed.
    idle: how long a connection may be silent between requests; 0: one request for each connection.
    head_time: how long a head may take, from the opening of the connection or from the first byte of a later request;
        beyond: `408 Request Timeout`.
    stall: how long a client may leave a read of the body, or a write, without progress: 408, or it is dropped.
    """

    request_line: int = 8190
    head: int = 65536
    header_count: int = 128
    body: int | None = None
    unread_body: int = 65536
    idle: float | None = 75.0
    head_time: float | None = 30.0
    stall: float | None = 60.0

    def __post_init__(self) -> None:
        """Raise ValueError for what is negative, no number, or 0 or None where that makes no sense."""
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if value is None and name in _MAY_BE_NONE:
                continue
            kind = int | float if name in _SECONDS else int
            if not isinstance(value, kind) or not 0 <= value < 2**62 or (value == 0 and name not in _MAY_BE_ZERO):
                number = "a number" if name in _SECONDS else "a whole number"
                least = "0 or more" if name in _MAY_BE_ZERO else "more than 0"
                or_none = ", or None" if name in _MAY_BE_NONE else ""
                raise ValueError(f"{name} must be {number}, {least}{or_none}, not {value!r}")

    @property
    def shortest(self) -> float:
        """The shortest of the times, in seconds; infinity if there is none."""
        return min((seconds for seconds in (self.idle, self.head_time, self.stall) if seconds), default=math.inf)
