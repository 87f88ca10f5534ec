"""The access log, in the combined format of Apache: one line for each response."""

import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from gossamer.http.connection import Connection
    from gossamer.http.request import Request
    from gossamer.http.response import Response


class CombinedLog:
    """Writes a line to `stream` for each response: see `Server`'s access_log. The seconds it took come last."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout

    def __call__(self, connection: "Connection", request: "Request", response: "Response", seconds: float) -> None:
        """Write the line."""
        headers = request.headers
        status = response.status[:3] if response.status is not None and response.headers_sent else "500"
        referer, agent = (quoted(headers.get(name, "-")) for name in ("HTTP_REFERER", "HTTP_USER_AGENT"))
        self.stream.write(
            f"{connection.remote[0] or '-'} - - [{time.strftime('%d/%b/%Y:%H:%M:%S %z')}] "
            f'"{request.method} {quoted(connection.path)} HTTP/{request.version}" {status} {response.sent} '
            f'"{referer}" "{agent}" {seconds:.6f}\n'
        )
        self.stream.flush()


def quoted(text: str) -> str:
    """Text of a client's, made fit for a line of the log: no quotation marks, no control characters."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
