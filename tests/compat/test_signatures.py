"""Whatever gevent's public functions and methods can be given by name, Gossamer's take, with the same default.

The group `gevent` of pyproject.toml has the wheel. Everything happens in child processes.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.scale import patience

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed: the dependency group `gevent` has it"
)

PROGRAM = Path(__file__).with_name("signatures.py")

ACCEPTED = {
    "a class of gevent's own, from which the link is made": """gevent.Greenlet.link(SpawnedLink)
        gevent.Greenlet.link_value(SpawnedLink) gevent.Greenlet.link_exception(SpawnedLink)""",
    "the hub has one loop, and is its thread's for life": "gevent.hub.Hub(loop) gevent.hub.Hub(default)",
    "what an error is made of is given by its place, as to sys.excepthook": """gevent.hub.Hub.handle_error(type)
        gevent.hub.Hub.handle_system_error(type) gevent.hub.Hub.handle_system_error(value)
        gevent.hub.Hub.handle_system_error(tb) gevent.hub.Hub.print_exception(t) gevent.hub.Hub.print_exception(v)""",
    "the server calls them, with arguments by their places": """gevent.baseserver.BaseServer.is_fatal_error(ex)
        gevent.server.StreamServer.is_fatal_error(ex) gevent.server.DatagramServer.is_fatal_error(ex)
        gevent.backdoor.BackdoorServer.is_fatal_error(ex) gevent.pywsgi.WSGIServer.is_fatal_error(ex)
        gevent.server.StreamServer.do_close(sock) gevent.backdoor.BackdoorServer.do_close(sock)
        gevent.pywsgi.WSGIServer.do_close(sock) gevent.backdoor.BackdoorServer.handle(conn)""",
    "nothing is waited for": "gevent.threadpool.ThreadPoolExecutor.kill(wait)",
}
"""Why a parameter is not taken by name -> the parameters."""


def signatures(*which: str) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, PROGRAM, *which], capture_output=True, check=True, text=True, timeout=patience(60)
    )
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def differences(theirs: dict[str, list[str]], ours: dict[str, list[str]]) -> list[str]:
    """The parameters of theirs that ours do not have by that name, or with another default."""
    takes_any = any(kind == "VAR_KEYWORD" for kind, _ in ours.values())
    found = []
    for name, (kind, default) in theirs.items():
        if name.startswith("_") or name == "self" or kind in ("POSITIONAL_ONLY", "VAR_POSITIONAL", "VAR_KEYWORD"):
            continue
        if name not in ours or ours[name][0] == "POSITIONAL_ONLY":
            found += [] if takes_any else [name]
        elif default and ours[name][1] and default != ours[name][1]:
            found.append(name)
    return found


def test_what_gevent_takes_by_name_is_taken_here_or_there_is_a_reason() -> None:
    theirs, ours = signatures(), signatures("ours")
    differing = {
        f"{place}({name})"
        for place, its in theirs.items()
        if its is not None and ours.get(place) is not None
        for name in differences(its, ours[place])
    }
    assert len(theirs) > 300
    assert differing == {place for places in ACCEPTED.values() for place in places.split()}
