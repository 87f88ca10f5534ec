"""The other HTTP service: it takes its time and answers with a quotation, as JSON.

The standard library's threaded server, as it is. It runs in a thread of the application's process, on a free port
of the loopback interface, so that the example needs nothing beside it.
"""

import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECONDS = 0.5
"""How long each answer takes."""

QUOTES = (
    ("Simplicity is prerequisite for reliability.", "Edsger W. Dijkstra"),
    ("Premature optimization is the root of all evil.", "Donald E. Knuth"),
    ("The purpose of computing is insight, not numbers.", "Richard W. Hamming"),
    ("Controlling complexity is the essence of computer programming.", "Brian W. Kernighan"),
)


class QuoteHandler(BaseHTTPRequestHandler):
    """Answers every GET with the next quotation."""

    protocol_version = "HTTP/1.1"
    next_quote = itertools.cycle(QUOTES)

    def do_GET(self) -> None:
        """Wait, then answer."""
        time.sleep(SECONDS)
        text, author = next(self.next_quote)
        body = json.dumps({"text": text, "author": author}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: this service is part of another program."""


class QuoteServer(ThreadingHTTPServer):
    """The service, with room for as many clients as the board may have."""

    daemon_threads = True
    request_queue_size = 1024


def start() -> str:
    """Start the service on a free port and return its URL."""
    server = QuoteServer(("127.0.0.1", 0), QuoteHandler)
    threading.Thread(target=server.serve_forever, name="quotes", daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"
