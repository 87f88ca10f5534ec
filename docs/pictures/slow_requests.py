"""The picture of the README: 200 requests at once for a page that takes a second, answered by two servers.

    python docs/pictures/slow_requests.py measure       writes slow_requests.json
    python docs/pictures/slow_requests.py draw          writes slow_requests.svg from it

Measuring wants Gossamer, Flask, requests and gunicorn in the interpreter's environment. Both servers serve the example
of `make serve`. The clients are green threads of this process, on the same machine. One line of the picture is one
request, from its connect to the last byte of its answer.
"""

import datetime
import http.client
import json
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "slow_requests.json"
PICTURE = HERE / "slow_requests.svg"

REQUESTS = 200
PAGE = "/slow?seconds=1"
APPLICATION = "examples.board.app:create_app()"
SERVERS = {
    "gossamer serve, one process": ["-m", "gossamer", "serve", "--bind"],
    "gunicorn, one process with 32 threads": ["-m", "gunicorn", "--threads", "32", "--bind"],
}

LEFT, TOP, PANEL, GAP, LINE = 16, 66, 464, 44, 1.5
"""In pixels: margins, width of a panel, distance of the two, height of a request."""


def measure() -> dict[str, Any]:
    """Start each server, load it, and return what was seen."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{cores()} cores, CPython {platform.python_version()}",
        "servers": {name: measured(words) for name, words in SERVERS.items()},
    }


def cores() -> int:
    """How many processors this process may use."""
    import os

    return len(os.sched_getaffinity(0))


def measured(words: list[str]) -> list[tuple[float, float]]:
    """Begin and end of each request, in seconds since the first began."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, *words, f"127.0.0.1:{port}", APPLICATION],
        cwd=HERE.parent.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        return load(port)
    finally:
        server.terminate()
        server.wait()


def wait_for(port: int) -> None:
    """Wait until the server answers."""
    for _ in range(300):
        try:
            return ask(port, "/slow?seconds=0")
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the server does not answer")


def ask(port: int, page: str) -> None:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", page)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"the server answers {answer.status}")


def load(port: int) -> list[tuple[float, float]]:
    """All requests at once, each in a green thread."""
    import gossamer

    def timed() -> tuple[float, float]:
        begin = time.monotonic()
        ask(port, PAGE)
        return begin, time.monotonic()

    clients = [gossamer.spawn(timed) for _ in range(REQUESTS)]
    gossamer.joinall(clients, raise_error=True)
    times: list[tuple[float, float]] = sorted((client.value for client in clients), key=lambda span: span[1])
    first = min(begin for begin, _ in times)
    return [(round(begin - first, 3), round(end - first, 3)) for begin, end in times]


def draw(figures: dict[str, Any]) -> str:
    """The picture as SVG. Its text is dark or light as the reader's system asks for."""
    last = max(end for spans in figures["servers"].values() for _, end in spans)
    seconds = int(last) + 1
    height = TOP + REQUESTS * LINE + 56
    width = 2 * (LEFT + PANEL) + GAP
    panels = "".join(
        panel(LEFT + number * (PANEL + GAP), name, spans, PANEL / seconds, seconds)
        for number, (name, spans) in enumerate(figures["servers"].items())
    )
    title = f"{REQUESTS} requests at once for a page that takes a second"
    note = f"One line is one request. {figures['machine']}, servers and clients; {figures['date']}."
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" role="img" aria-label="{title}"
  font-family="Helvetica, Arial, sans-serif" font-size="14">
  <style>
    text {{ fill: #24292f }}
    .grid {{ stroke: #8c959f; stroke-opacity: 0.35 }}
    .requests {{ stroke: #1a7f37; stroke-width: {LINE - 0.4:g}; fill: none }}
    .requests.other {{ stroke: #bc4c00 }}
    .small {{ font-size: 12px; opacity: 0.8 }}
    @media (prefers-color-scheme: dark) {{
      text {{ fill: #e6edf3 }}
      .requests {{ stroke: #3fb950 }}
      .requests.other {{ stroke: #f0883e }}
    }}
  </style>
  <text x="{LEFT}" y="22" font-size="17" font-weight="bold">{title}</text>
{panels}  <text x="{LEFT}" y="{height - 8:g}" class="small">{note}</text>
</svg>
"""


def panel(left: float, name: str, spans: list[list[float]], scale: float, seconds: int) -> str:
    """One server's requests, the first answered at the top."""
    bottom = TOP + REQUESTS * LINE
    grid = "".join(f"M{left + second * scale:.1f} {TOP}V{bottom + 4:g}" for second in range(seconds + 1))
    centred = f'y="{bottom + 19:g}" class="small" text-anchor="middle"'
    marks = "".join(
        f'<text x="{left + second * scale:.1f}" {centred}>{second} s</text>'
        for second in range(0, seconds + 1, max(1, seconds // 8))
    )
    lines = "".join(
        f"M{left + begin * scale:.1f} {TOP + (number + 0.5) * LINE:g}H{left + end * scale:.1f}"
        for number, (begin, end) in enumerate(spans)
    )
    kind = "requests" if left == LEFT else "requests other"
    return f"""  <text x="{left}" y="{TOP - 14}">{name}: the last answer after {spans[-1][1]:.1f} s</text>
  <path class="grid" d="{grid}"/>
  <path class="{kind}" d="{lines}"/>
  {marks}
"""


def main() -> None:
    """Do what the command line asks for."""
    match sys.argv[1:]:
        case ["measure"]:
            FIGURES.write_text(json.dumps(measure()) + "\n")
        case ["draw"]:
            PICTURE.write_text(draw(json.loads(FIGURES.read_text())))
        case _:
            sys.exit("usage: slow_requests.py measure|draw")


if __name__ == "__main__":
    main()
