"""input() at a terminal and elsewhere: others run while somebody types, and no line is lost."""

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

from tests.support.children import ROOT, output_of
from tests.support.runtime import PRELUDE
from tests.support.scale import patience

BESIDE = (
    PRELUDE
    + """
get_hub()
ticks = []
def tick():
    while True:
        ticks.append(1)
        sleep(0.005)
spawn(tick)
"""
)


class Session:
    """A child whose terminal the test sits at."""

    def __init__(self, source: str) -> None:
        self.master, slave = pty.openpty()
        self.first_mode = self.mode()
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-c", source],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "PYTHONPATH": path, "TERM": "dumb", "INPUTRC": "/dev/null"},
            start_new_session=True,
        )
        os.close(slave)
        os.set_blocking(self.master, False)
        self.shown = ""

    def expect(self, text: str) -> None:
        """Read until `text` is on the screen; what came with it is dropped."""
        deadline = time.monotonic() + patience(30)
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown, but {self.shown!r}"
            try:
                self.shown += os.read(self.master, 10_000).decode()
            except BlockingIOError:
                time.sleep(0.005)
            except OSError:
                raise AssertionError(f"{text!r} was not shown, but {self.shown!r}") from None
        self.shown = self.shown.split(text, 1)[1]

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def mode(self) -> list[object]:
        return list(termios.tcgetattr(self.master))

    def ended(self) -> int:
        deadline = time.monotonic() + patience(30)
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"the child did not end; it showed {self.shown!r}"
            try:
                self.shown += os.read(self.master, 10_000).decode()
            except OSError:
                time.sleep(0.005)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def sessions() -> Iterator[list[Session]]:
    opened: list[Session] = []
    yield opened
    for session in opened:
        session.close()


def at_terminal(sessions: list[Session], source: str) -> Session:
    session = Session(BESIDE + source)
    sessions.append(session)
    return session


EDITORS = ["", "import readline\n"]


@pytest.mark.parametrize("editor", EDITORS, ids=["plain", "readline"])
def test_others_run_while_a_line_is_typed(sessions: list[Session], editor: str) -> None:
    session = at_terminal(
        sessions,
        editor
        + """
spawn(lambda: until(lambda: len(ticks) > 20) or print('tick tick'))
print('got', repr(input('name? ')))
""",
    )
    session.expect("name? ")
    session.type("Joh")
    session.expect("tick tick")
    session.type("n\n")
    session.expect("got 'John'")
    assert session.ended() == 0


@pytest.mark.parametrize("editor", EDITORS, ids=["plain", "readline"])
def test_several_ask_in_turn(sessions: list[Session], editor: str) -> None:
    session = at_terminal(
        sessions,
        editor + "print(joined(*[spawn(input, f'{name}? ') for name in ('first', 'second')]))\n",
    )
    session.expect("first? ")
    session.type("1\n")
    session.expect("second? ")
    session.type("2\n")
    session.expect("['1', '2']")
    assert session.ended() == 0


@pytest.mark.parametrize("editor", EDITORS, ids=["plain", "readline"])
def test_a_line_goes_to_the_next_who_asks_when_the_first_does_not_wait_any_more(
    sessions: list[Session], editor: str
) -> None:
    session = at_terminal(
        sessions,
        editor
        + """
first = spawn(input, 'first? ')
sleep(0.05)
interrupt(first, LookupError('enough'))
first.join()
print('given up:', repr(first.exception))
print('got', repr(input('second? ')))
""",
    )
    session.expect("given up: LookupError('enough')")
    session.expect("second? ")
    session.type("line\n")
    session.expect("got 'line'")
    assert session.ended() == 0


@pytest.mark.parametrize("editor", EDITORS, ids=["plain", "readline"])
def test_control_c_interrupts_and_control_d_ends(sessions: list[Session], editor: str) -> None:
    session = at_terminal(
        sessions,
        editor
        + """
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    input('first? ')
except KeyboardInterrupt:
    print('interrupted')
try:
    input('second? ')
except EOFError:
    print('the end')
""",
    )
    session.expect("first? ")
    os.kill(session.process.pid, signal.SIGINT)
    session.expect("interrupted")
    session.expect("second? ")
    time.sleep(0.1)
    session.type("\x04")
    session.expect("the end")
    assert session.ended() == 0


@pytest.mark.parametrize("editor", EDITORS, ids=["plain", "readline"])
def test_the_terminal_has_its_mode_at_the_end_though_somebody_still_asks(sessions: list[Session], editor: str) -> None:
    session = at_terminal(
        sessions, editor + "print('begins', flush=True)\nspawn(input, 'name? ')\nsleep(0.3)\nprint('bye', flush=True)\n"
    )
    session.expect("name? ")
    session.expect("bye")
    assert session.ended() == 0
    assert session.mode() == session.first_mode


def test_the_history_is_readlines(sessions: list[Session]) -> None:
    session = at_terminal(
        sessions, "import readline\ninput('1? ')\nprint('history', readline.get_history_item(1))\ninput('2? ')\n"
    )
    session.expect("1? ")
    session.type("remember\n")
    session.expect("history remember")
    session.type("\n")
    assert session.ended() == 0


def test_elsewhere_input_is_the_standard_inputs_readline() -> None:
    out = output_of(
        PRELUDE
        + """
import io
get_hub()
sys.stdin = io.StringIO('one\\ntwo\\n')
print(joined(spawn(input, 'x'), spawn(input)))
try:
    input()
except EOFError:
    print('the end')
try:
    input(1, 2)
except TypeError as error:
    print(error)
"""
    )
    assert out == "x['one', 'two']\nthe end\ninput expected at most 1 argument, got 2\n"
