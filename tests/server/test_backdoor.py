"""gossamer.backdoor: a Python prompt in the running program."""

import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gossamer import joinall, sleep, spawn
from gossamer.backdoor import BackdoorServer


@contextmanager
def backdoor(**arguments: Any) -> Iterator[BackdoorServer]:
    """A server on a free port."""
    with BackdoorServer(("127.0.0.1", 0), **arguments) as server:
        server.start()
        yield server


class User:
    """One connection, with what was said before its first prompt."""

    def __init__(self, server: BackdoorServer) -> None:
        self._socket = socket.create_connection(server.address, timeout=20)
        self.banner = self.until_prompt()

    def until_prompt(self) -> str:
        """What comes until the next prompt, or the end."""
        text = b""
        while not text.endswith((b">>> ", b"... ")) and (part := self._socket.recv(1000)):
            text += part
        return text.decode()

    def ask(self, line: str) -> str:
        """What is answered to a line."""
        self._socket.sendall(line.encode() + b"\r\n")
        return self.until_prompt()

    def leave(self) -> None:
        """Hang up."""
        self._socket.close()


Connect = Callable[[BackdoorServer], User]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes users, who hang up at the end."""
    users: list[User] = []

    def make(server: BackdoorServer) -> User:
        users.append(User(server))
        return users[-1]

    yield make
    for user in users:
        user.leave()


def test_an_expression_is_answered_with_its_value(connect: Connect) -> None:
    with backdoor(banner="Hello there", locals={"seven": 7}) as server:
        user = connect(server)
        assert user.banner == "Hello there\n>>> "
        assert user.ask("seven * 6") == "42\n>>> "
        assert user.ask("eight").endswith("NameError: name 'eight' is not defined\n>>> ")
        # CPython 3.11.2 says "incomplete input"
        assert re.search(r"\nSyntaxError: \w+ \w+\n>>> $", user.ask("1 +"))


def test_a_block_is_run_after_its_empty_line(connect: Connect) -> None:
    with backdoor() as server:
        user = connect(server)
        assert user.ask("for i in range(2):") == "... "
        assert user.ask("    print(i)") == "... "
        assert user.ask("") == "0\n1\n>>> "


@pytest.mark.parametrize("word", ["quit()", "exit()", "import sys; sys.exit(0)"])
def test_leaving_words_close_the_connection_and_nothing_else(connect: Connect, word: str) -> None:
    standard = sys.stdin, sys.stdout, sys.stderr
    with backdoor() as server:
        assert connect(server).ask(word) == ""
        assert connect(server).ask("1") == "1\n>>> "
        assert not standard[0].closed
    assert (sys.stdin, sys.stdout, sys.stderr) == standard


def test_what_a_console_prints_goes_to_its_own_connection(connect: Connect, capsys: pytest.CaptureFixture[str]) -> None:
    def talk(number: int) -> str:
        print(f"before {number}")
        sleep(0.001)
        print(f"after {number}", file=sys.stderr)
        return input()

    with backdoor(locals={"talk": talk}) as server:
        users = [connect(server) for _ in range(3)]
        said = [spawn(user.ask, f"talk({number})\r\nanswer") for number, user in enumerate(users)]
        print("the program")
        joinall(said, raise_error=True)
        for number, answer in enumerate(said):
            assert answer.get() == f"before {number}\nafter {number}\n'answer'\n>>> "
    assert capsys.readouterr().out == "the program\n"


def test_names_are_each_consoles_own(connect: Connect) -> None:
    with backdoor(locals={"x": 1}) as server:
        first, second = connect(server), connect(server)
        assert first.ask("x = 2") == ">>> "
        assert second.ask("x") == "1\n>>> "
        assert "built-in" in first.ask("__builtins__")


def test_consoles_end_with_the_server(connect: Connect) -> None:
    standard = sys.stdout
    with backdoor() as server:
        user = connect(server)
    assert user.until_prompt() == ""
    assert sys.stdout is standard


def test_a_console_whose_code_waits_ends_with_the_server(connect: Connect) -> None:
    began: list[int] = []
    with backdoor(locals={"began": began, "sleep": sleep}) as server:
        user = connect(server)
        waiting = spawn(user.ask, "began.append(1); sleep(600)")
        while not began:
            sleep(0.001)
        server.stop()
        waiting.join(30)
        assert waiting.value == ""
        assert len(server.pool) == 0
