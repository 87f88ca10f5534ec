"""The board's pages.

    /            the last messages, and a form for the next
    /messages    GET: the last messages as JSON; POST: write one (form fields author and text)
    /quote       asks the other service, which takes half a second
    /slow        sleeps for ?seconds= (at most 60), then answers
    /live        what the server is doing at this moment, drawn anew every second
    /live.json   the same for programs

Any WSGI server runs it. The live figures are what Gossamer's server tells about itself in the request's
environment; under another one the page says that there are none.
"""

import os
import tempfile
import time
from typing import Any

import requests
from flask import Flask, abort, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from examples.board import quotes
from examples.board.store import Store

LONGEST_SLEEP = 60.0
MOST_MESSAGES = 50
LONGEST_TEXT = 2000


def create_app(database: str | None = None) -> Flask:
    """The application.

    database: the SQLite file; by default the environment variable BOARD_DATABASE, or a file in the folder for
        temporary files.
    """
    app = Flask(__name__)
    store = Store(database or os.environ.get("BOARD_DATABASE") or f"{tempfile.gettempdir()}/gossamer-board.sqlite3")
    quote_service = quotes.start()

    @app.get("/")
    def index() -> str:
        return render_template("board.html", messages=store.latest(MOST_MESSAGES), count=store.count())

    @app.get("/messages")
    def messages() -> Response:
        return jsonify([message._asdict() for message in store.latest(MOST_MESSAGES)])

    @app.post("/messages")
    def write() -> Response:
        author = request.form.get("author", "").strip() or "anonymous"
        text = request.form.get("text", "").strip()
        if not text or len(text) > LONGEST_TEXT:
            abort(400, f"A message has between 1 and {LONGEST_TEXT} characters.")
        store.add(author[:100], text)
        return redirect(url_for("index"), 303)

    @app.get("/quote")
    def quote() -> Response:
        answer = requests.get(quote_service, timeout=30)
        answer.raise_for_status()
        return jsonify(answer.json())

    @app.get("/slow")
    def slow() -> str:
        seconds = request.args.get("seconds", 1.0, type=float)
        if not 0 <= seconds <= LONGEST_SLEEP:
            abort(400, f"seconds is a number from 0 to {LONGEST_SLEEP:.0f}.")
        time.sleep(seconds)
        return f"slept for {seconds} seconds\n"

    @app.get("/live")
    def live() -> str:
        return render_template("live.html")

    @app.get("/live.json")
    def live_figures() -> Response:
        return jsonify(figures(request.environ))

    return app


def figures(environ: dict[str, Any]) -> dict[str, Any]:
    """What the server tells about itself; `{"known": False}` if it tells nothing."""
    server = environ.get("gossamer.server")
    if server is None:
        return {"known": False}
    return {"known": True, **server.stats()}
