"""Several processes that do the same work, and the parent that looks after them.

The parent never runs the work and has no hub: it sleeps in sigtimedwait(2) until a child or the user says something.

* Each child tells by a byte in a pipe that it is at work. The first goes ahead alone: what cannot start is then found,
  and said, once. One that ends before any is at work, or before all are with status 2, cannot start, and its brothers
  could not either: all are stopped. One that ends later is replaced; one that did not live for a second, or for which
  there is no process, after a second, so that a fault does not become a storm of processes.
* SIGTERM and SIGINT reach the children as SIGTERM; so does SIGINT from the terminal, which goes to all processes of
  its group: children have to take a second one calmly, also while they are still on their way to the work.
* A second pipe tells the children that they are to end, or that their parent is gone, however it went: nobody writes
  to it, and it ends. Who did not mind the signal on its way to the work sees it there.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple, NoReturn

from gossamer.cli._output import complain, flush

CANNOT_START = 2
"""Exit status of a child whose work cannot begin."""

SHORT_LIFE = 1.0
"""Seconds; who ends sooner is not replaced at once."""

ENDING = frozenset({signal.SIGTERM, signal.SIGINT})
SIGNALS = ENDING | {signal.SIGCHLD}


class Links(NamedTuple):
    """What a child has of its parent.

    ready: call it when the work has begun.
    lifeline: a descriptor to read from: it ends when the parent has ended, or wants its children to.
    """

    ready: Callable[[], None]
    lifeline: int


Work = Callable[[Links], int]


def interrupt_once() -> None:
    """Have the first signal to end raise KeyboardInterrupt, and those after it do nothing.

    A second one would strike what tidies up after the first, or a callback that cannot pass it on.
    """
    told = False

    def on_signal(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's arguments
        nonlocal told
        if not told:
            told = True
            raise KeyboardInterrupt

    for number in ENDING:
        signal.signal(number, on_signal)


class Workers:
    """`count` processes that run `work`, which returns its exit status.

    started: called in the parent once every process has begun its work.
    patience: seconds from SIGTERM on after which a process that is still there is killed.
    """

    def __init__(self, count: int, work: Work, *, started: Callable[[], None], patience: float) -> None:
        self.count = count
        self.work = work
        self.started = started
        self.patience = patience
        self.births: dict[int, float] = {}
        self.due: list[float] = []
        self.ready_pipe = os.pipe()
        self.lifeline = os.pipe()
        self.announced = False
        self.status = 0

    def run(self) -> int:
        """Start all, keep them running until a signal ends it, and return the exit status."""
        os.set_blocking(self.ready_pipe[0], False)
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # inherited; nobody could be waited for
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._watch(before)
        finally:
            self._stop()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for descriptor in (*self.ready_pipe, self.lifeline[0]):
                os.close(descriptor)
        return self.status

    def _start(self, mask: set[int | signal.Signals]) -> bool:
        """Start one. False, after a word about it, if there can be none."""
        flush()
        try:
            child = os.fork()
        except OSError as error:
            complain(f"gossamer serve: cannot start a worker: {error.strerror}")
            return False
        if child == 0:
            self._be_child(mask)
        self.births[child] = time.monotonic()
        return True

    def _start_due(self, mask: set[int | signal.Signals]) -> None:
        """Start those whose time has come."""
        now = time.monotonic()
        due, self.due = [when for when in self.due if when <= now], [when for when in self.due if when > now]
        self.due += [now + SHORT_LIFE for _ in due if not self._start(mask)]

    def _be_child(self, mask: set[int | signal.Signals]) -> NoReturn:
        status = 1
        try:
            os.close(self.ready_pipe[0])
            os.close(self.lifeline[1])
            interrupt_once()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            status = self.work(Links(self._say_ready, self.lifeline[0]))
        except KeyboardInterrupt:  # it was stopped before it had handlers of its own
            status = 0
        except BaseException:  # noqa: BLE001 - shown as the interpreter would: nobody is above us
            sys.excepthook(*sys.exc_info())
        finally:
            try:
                flush()
            finally:  # a second signal may come at any moment, and a child is not to go on as its parent
                os._exit(status)

    def _say_ready(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self.ready_pipe[1], b"!")

    def _watch(self, mask: set[int | signal.Signals]) -> None:
        """Until a signal, or until it is clear that the work cannot begin."""
        if not self._start(mask):
            self.status = CANNOT_START
            return
        ready = 0
        while True:
            ended = self._ended()
            newly_ready = self._newly_ready()  # after that: one that has ended may have been at work
            if newly_ready and ready == 0:
                self.due = [0.0] * (self.count - 1)
            ready += newly_ready
            for born, status in ended:
                if ENDING & signal.sigpending():  # the children were told as well, by the terminal, and were faster
                    return
                if ready == 0 or (status == CANNOT_START and not self.announced):
                    self._cannot_start(status)
                    return
                self._replace(born, status)
            self._start_due(mask)
            if ready >= self.count and not self.announced:
                self.announced = True
                self.started()
            # whoever was stopped (SIGSTOP) until the time was over is told of a signal that never came, number 0 mostly
            came = signal.sigtimedwait(SIGNALS, self._patience_of_watch())
            if came is not None and came.si_signo in ENDING:
                return

    def _patience_of_watch(self) -> float:
        """Seconds until there is something to do without a signal."""
        if not self.announced:
            return 0.05
        return max(0.0, min(self.due) - time.monotonic()) if self.due else 3600.0

    def _cannot_start(self, status: int) -> None:
        """Settle what follows from an early end: one with status 0 was told to, one with CANNOT_START has said why."""
        if status != 0:
            self.status = CANNOT_START
        if status not in (0, CANNOT_START):
            complain(f"gossamer serve: a worker {_end(status)} before it served")

    def _newly_ready(self) -> int:
        try:
            return len(os.read(self.ready_pipe[0], 4096))
        except BlockingIOError:
            return 0

    def _ended(self) -> list[tuple[float, int]]:
        """When those that have ended meanwhile were born, and their exit status."""
        ended = []
        while self.births:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                break
            if child in self.births:
                ended.append((self.births.pop(child), os.waitstatus_to_exitcode(status)))
        return ended

    def _replace(self, born: float, status: int) -> None:
        complain(f"gossamer serve: a worker {_end(status)}; starting another")
        now = time.monotonic()
        self.due.append(now if now - born >= SHORT_LIFE else now + SHORT_LIFE)

    def _stop(self) -> None:
        """Ask all to end, and kill those that have not after `patience` seconds."""
        self._tell(signal.SIGTERM)
        os.close(self.lifeline[1])
        deadline = time.monotonic() + self.patience
        self._ended()
        while self.births and time.monotonic() < deadline:
            came = signal.sigtimedwait(SIGNALS, max(0.0, deadline - time.monotonic()))
            if came is not None and came.si_signo in ENDING:
                break  # asked a second time: no more patience
            self._ended()
        self._tell(signal.SIGKILL)
        for child in list(self.births):
            os.waitpid(child, 0)
        self.births.clear()

    def _tell(self, what: signal.Signals) -> None:
        for child in self.births:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, what)


def _end(status: int) -> str:
    """How a process has ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    with contextlib.suppress(ValueError):  # a real-time signal
        return f"was killed by {signal.Signals(-status).name}"
    return f"was killed by signal {-status}"
