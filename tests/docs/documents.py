"""The programs and terminal sessions of a document, to be run as a reader would.

A block of Python that begins with a comment `# name.py` is a file of that name. A block `console` is a session: lines
that begin with `$ ` are typed, the lines below each are what it prints. Each session runs in a
folder of its own, with all files of the document.

What is printed is compared but for what differs from run to run: times (`1.02 s`), addresses of objects and process
numbers; `...` stands for anything. A command that ends with `&` goes on beside those that follow: the next one is typed
once what is expected of it has appeared, and at the end of the block it is interrupted, as by Ctrl-C, and has to end in
peace. Port 8000 is another one, which is free. A command has to succeed unless a traceback or a message of `gossamer`
is what is expected.
"""

import contextlib
import doctest
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.children import ROOT
from tests.support.scale import patience

FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# (?P<name>[\w/]+\.py)\b")
PORT = re.compile(r"(?<=:)8000\b")
VARYING = (
    (re.compile(r"\b\d+(\.\d+)?(?= (s|ms|seconds)\b)"), "N"),
    (re.compile(r"0x[0-9a-f]+"), "0x"),
    (re.compile(r"[^\s\"]*/site-packages/"), ""),
)
FAILS = re.compile(r"^(Traceback|gossamer \w+: )|Error\b", re.MULTILINE)
SECONDS = 60.0


class Block(NamedTuple):
    """A block of a document, and the line that it begins on."""

    language: str
    text: str
    line: int


class Step(NamedTuple):
    """A command of a session and what it is expected to print."""

    command: str
    expected: str


def blocks(document: Path) -> list[Block]:
    """All fenced blocks."""
    text = document.read_text()
    return [Block(it["language"], it["text"], text.count("\n", 0, it.start()) + 1) for it in FENCE.finditer(text)]


def programs(document: Path) -> dict[str, str]:
    """File name -> source, of those blocks that are files."""
    found = {}
    for block in blocks(document):
        name = FILE_NAME.match(block.text) if block.language == "python" else None
        if name:
            found[name["name"]] = block.text
    return found


def sessions(document: Path) -> list[Block]:
    """The blocks that are sessions."""
    return [block for block in blocks(document) if block.language == "console"]


def steps(session: Block) -> Iterator[Step]:
    """The commands of a session."""
    for part in re.split(r"^\$ ", session.text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        while command.endswith("\\"):
            continued, _, expected = expected.partition("\n")
            command = command[:-1] + continued.removeprefix(">")
        yield Step(command, expected)


class Terminal:
    """Where a session is typed: a folder with the programs of its document, and a free port."""

    def __init__(self, folder: Path, sources: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        for name, source in sources.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._with_port(source))
        self.commands = folder / ".commands"
        self.commands.mkdir(exist_ok=True)
        self._put("python", '"$@"')
        self._put("gossamer", '-m gossamer "$@"')

    def run(self, session: Block) -> None:
        """Type a session. Raises AssertionError where something else is printed than the document says."""
        with contextlib.ExitStack() as beside:
            for step in steps(session):
                if step.command.endswith("&"):
                    beside.enter_context(self._beside(step))
                else:
                    self._foreground(step)

    def _foreground(self, step: Step) -> None:
        ended = subprocess.run(
            ["bash", "-c", self._typed(step.command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self._environment(),
            timeout=patience(SECONDS),
        )
        assert matches(self._with_port(step.expected), ended.stdout), difference(step, ended.stdout)
        if not FAILS.search(step.expected):
            assert ended.returncode == 0, f"$ {step.command}\nends with status {ended.returncode}\n{ended.stdout}"

    @contextlib.contextmanager
    def _beside(self, step: Step) -> Iterator[None]:
        log = self.folder / ".output"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-c", "exec " + self._typed(step.command.removesuffix("&"))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self._environment(),
                start_new_session=True,
            )
        try:
            self._wait_for(self._with_port(step.expected), log, process)
            yield
            process.send_signal(signal.SIGINT)
            status = process.wait(patience(SECONDS))
            assert status == 0, f"$ {step.command}\nends with status {status}\n{log.read_text()}"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _wait_for(self, expected: str, log: Path, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + patience(SECONDS)
        while not matches(expected, log.read_text()):
            assert process.poll() is None, f"ended, and printed\n{log.read_text()}"
            assert time.monotonic() < deadline, f"expected\n{expected}\nprinted\n{log.read_text()}"
            time.sleep(0.02)

    def _typed(self, command: str) -> str:
        """The command with the port that is free: `gossamer serve` takes 8000 without being told."""
        serves = command.startswith("gossamer serve ") and "--bind" not in command
        return self._with_port(f"{command} --bind 127.0.0.1:8000" if serves else command)

    def _with_port(self, text: str) -> str:
        return PORT.sub(str(self.port), text)

    def _put(self, name: str, words: str) -> None:
        command = self.commands / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}\n')
        command.chmod(0o755)

    def _environment(self) -> dict[str, str]:
        """That of the test, without what belongs to its own run, and with the two commands in front of the path."""
        path = f"{self.commands}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "GOSSAMER", "COL"))}
        return {**kept, "PATH": path, "NO_COLOR": "1"}


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def matches(expected: str, printed: str) -> bool:
    """Whether the text is what a document says, but for what may vary."""
    return doctest.OutputChecker().check_output(settled(expected), settled(printed), doctest.ELLIPSIS)


def settled(text: str) -> str:
    """The text with what varies from run to run written in one way."""
    for pattern, replacement in VARYING:
        text = pattern.sub(replacement, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def difference(step: Step, printed: str) -> str:
    """What to say of a command that printed something else."""
    return f"$ {step.command}\n--- the document says\n{step.expected}--- it prints\n{printed}"


def documents() -> list[Path]:
    """The documents that have something to run."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [document for document in found if programs(document) or sessions(document)]
