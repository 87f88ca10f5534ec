"""What the server tolerates of its clients, so that none of them can take more than a share of it."""

from typing import NamedTuple


class Limits(NamedTuple):
    """Bounds on a request and on the patience with a client. Sizes are in bytes, times in seconds.

    request_line: longest target of a request (`414 URI Too Long` beyond).
    head: longest head of a request, all its lines together (`431 Request Header Fields Too Large`).
    header_count: most header fields of a request (`431`).
    body: longest body of a request; None for any (`413 Content Too Large`).
    unread_body: how much of a body that the application did not read is read and thrown away so that the connection can
        be used again; beyond that it is closed.
    idle: how long a connection may be silent between requests.
    head_time: how long the head of a request may take from its first byte on (`408 Request Timeout`).
    stall: how long a client may leave a read of the body, or a write, without progress. Equal to `idle` by default:
        the socket's timeout then need not be changed, by a system call, twice for each request.
    """

    request_line: int = 16 * 1024
    head: int = 64 * 1024
    header_count: int = 200
    body: int | None = None
    unread_body: int = 256 * 1024
    idle: float = 60.0
    head_time: float = 20.0
    stall: float = 60.0
