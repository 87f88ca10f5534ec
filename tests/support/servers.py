"""Real servers for tests: Redis, MariaDB, PostgreSQL and RabbitMQ, each on a free port of the loopback interface.

Each has a folder of its own and ends with its `with` block. Started as root they change to the user that Debian made
for them, because MariaDB and PostgreSQL refuse to run as root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

STARTS_WITHIN = 60.0
"""Seconds; a loaded machine takes its time to set up a database."""


class Server(NamedTuple):
    """A running server."""

    host: str
    port: int
    user: str


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def connected(port: int) -> socket.socket:
    """A connection to a server on this machine."""
    return socket.create_connection(("127.0.0.1", port), STARTS_WITHIN)


def program(*names: str, folders: tuple[str, ...] = (), first: bool = False) -> str:
    """The full name of the first program that is there; some are where PATH does not lead.

    first: look into the folders before PATH.
    """
    usual = (os.environ.get("PATH", ""), "/usr/sbin", "/sbin")
    path = os.pathsep.join((*folders, *usual) if first else (*usual, *folders))
    for name in names:
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    raise FileNotFoundError(f"none of {', '.join(names)} is installed; tools/debian-packages test brings it")


@contextlib.contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """A temporary folder for one server.

    Not one of pytest's: each run of pytest closes the folder above all of them to other users, also to the servers of a
    run that goes on beside it.
    """
    with tempfile.TemporaryDirectory(prefix="gossamer-") as name:
        yield Path(name)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[Server]:
    """Redis, keeping nothing on disk."""
    port = free_port()
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with running(command, folder, owner="redis", port=port):
        yield Server("127.0.0.1", port, "")


@contextlib.contextmanager
def mariadb(folder: Path, *settings: str) -> Iterator[Server]:
    """MariaDB with a user `test` that needs no password, and a database `test`. settings: options of the server."""
    port, data, owner = free_port(), folder / "data", owner_for("mysql")
    give(folder, owner)
    install = program("mariadb-install-db", "mysql_install_db")
    run([install, f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"], folder, owner)
    setup = folder / "setup.sql"
    setup.write_text("CREATE DATABASE test;\nCREATE USER test@'127.0.0.1';\nGRANT ALL ON *.* TO test@'127.0.0.1';\n")
    give(folder, owner)
    command = [
        program("mariadbd", "mysqld"),
        "--no-defaults",
        f"--datadir={data}",
        f"--socket={folder}/socket",
        f"--pid-file={folder}/pid",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        f"--init-file={setup}",
        *settings,
    ]
    with running(command, folder, owner=owner, port=port, stop=signal.SIGTERM):
        yield Server("127.0.0.1", port, "test")


@contextlib.contextmanager
def postgresql(folder: Path, *settings: str) -> Iterator[Server]:
    """PostgreSQL with a superuser `test` that needs no password, and a database `postgres`."""
    port, data, owner = free_port(), folder / "data", owner_for("postgres")
    give(folder, owner)
    places = tuple(str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
    run([program("initdb", folders=places), "-D", str(data), "-U", "test", "-A", "trust", "--no-sync"], folder, owner)
    command = [
        program("postgres", folders=places),
        "-D",
        str(data),
        "-p",
        str(port),
        "-h",
        "127.0.0.1",
        "-k",
        str(folder),
    ]
    for setting in settings:
        command += ["-c", setting]
    # SIGINT is its fast shutdown; SIGTERM would wait for the clients
    with running(command, folder, owner=owner, port=port, stop=signal.SIGINT):
        log = folder / "log"
        # it listens before it lets anybody in
        wait_until(lambda: "ready to accept connections" in log.read_text(), f"PostgreSQL is not ready; see {log}")
        yield Server("127.0.0.1", port, "test")


@contextlib.contextmanager
def rabbitmq(folder: Path) -> Iterator[Server]:
    """RabbitMQ with its user `guest`, whose password is the same.

    Erlang looks its nodes up at a port mapper. Left alone, it would start one that stays for good.
    """
    # Debian's rabbitmq-server in PATH writes its log where only Debian's own may
    command = [program("rabbitmq-server", folders=("/usr/lib/rabbitmq/bin",), first=True)]
    port, owner = free_port(), owner_for("rabbitmq")
    names, data, plugins = folder / "names", folder / "data", folder / "plugins"
    for each in (names, data):
        each.mkdir()
    plugins.write_text("[].")
    mapper = free_port()
    environment = {
        "HOME": str(data),
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(mapper),
        "RABBITMQ_NODENAME": f"gossamer{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(data),
        "RABBITMQ_LOG_BASE": str(data),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_CONF_ENV_FILE": str(data / "none"),
        "RABBITMQ_CONFIG_FILE": str(data / "none"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(data / "none"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        # its script then becomes the server, instead of a shell that waits for it
        "RUNNING_UNDER_SYSTEMD": "true",
    }
    give(folder, owner)
    with (
        running([program("epmd"), "-port", str(mapper), "-address", "127.0.0.1"], names, owner=owner, port=mapper),
        running(command, data, owner=owner, port=port, environment=environment),
    ):
        log = data / "log"
        wait_until(lambda: "startup complete" in log.read_text(), f"RabbitMQ is not ready; see {log}")
        yield Server("127.0.0.1", port, "guest")


def owner_for(name: str) -> str | None:
    """The user to run a server as: Debian's for it if we are root, else ourselves."""
    return name if os.getuid() == 0 else None


def give(folder: Path, owner: str | None) -> None:
    """Let `owner` have the folder, and reach it."""
    if owner is None:
        return
    entry = pwd.getpwnam(owner)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, entry.pw_uid, entry.pw_gid)
    for parent in folder.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path(parent.root):
            parent.chmod(parent.stat().st_mode | 0o011)


def run(command: list[str], folder: Path, owner: str | None) -> None:
    """Run a command that sets a server up; what it says is part of the error if it fails."""
    done = subprocess.run(
        command, cwd=folder, user=owner, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}")


@contextlib.contextmanager
def running(
    command: list[str],
    folder: Path,
    *,
    owner: str | None,
    port: int,
    stop: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """A server process that answers on `port`, until the block ends. environment: in place of ours."""
    owner = owner_for(owner) if owner is not None else None
    give(folder, owner)
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            user=owner,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    try:
        wait_until(lambda: answers(process, port, log), f"{command[0]} does not answer; its log is in {log}")
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    """Whether the server accepts connections."""
    if process.poll() is not None:
        raise RuntimeError(f"the server ended with status {process.returncode}:\n{log.read_text(errors='replace')}")
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def wait_until(happened: Callable[[], bool], complaint: str) -> None:
    """Ask again and again until it happened."""
    deadline = time.monotonic() + STARTS_WITHIN
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(complaint)
        time.sleep(0.05)
