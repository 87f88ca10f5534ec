"""File objects with gevent's names, over those of `io`, which park by themselves where they would block.

What they add to what open() gives: a descriptor in non-blocking mode is waited for instead of refused, another file
object can be given in place of a descriptor, and `FileObjectThread` calls the file in native threads.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, cast

from gossamer import _core
from gossamer._sync.hub import get_hub
from gossamer._sync.lock import DummySemaphore, Semaphore

__all__ = ["FileObject", "FileObjectBlock", "FileObjectClosed", "FileObjectPosix", "FileObjectThread"]


class FileObjectClosed(OSError):
    """The file object was closed. An OSError with errno EBADF."""

    def __init__(self) -> None:
        super().__init__(errno.EBADF, "Bad file descriptor (FileObject was closed)")


class WaitingFileIO(io.FileIO):
    """A FileIO that also waits where its descriptor is in non-blocking mode.

    lent: the file object whose descriptor it uses; alive, and so open, as long as this one is.
    """

    lent: Any = None

    def readinto(self, buffer: Any) -> int:
        """Read into the buffer, once there is anything; returns how many bytes, 0 at the end."""
        while (count := super().readinto(buffer)) is None:
            _core.wait_read(self.fileno())
        return int(count)

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes, once there are any; all that comes until the end if it is negative."""
        if size is None or size < 0:
            return self.readall()
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(buffer)])

    def readall(self) -> bytes:
        """Read until the end."""
        if os.get_blocking(self.fileno()):
            whole = super().readall()
            if whole is not None:
                return whole
        parts = []
        while part := self.read(io.DEFAULT_BUFFER_SIZE):
            parts.append(part)
        return b"".join(parts)

    def write(self, data: Any) -> int:
        """Write some of the bytes, once the descriptor takes any; returns how many."""
        while (count := super().write(data)) is None:
            _core.wait_write(self.fileno())
        return int(count)


class WholeFileIO(WaitingFileIO):
    """One whose write() returns when everything is written."""

    def write(self, data: Any) -> int:
        """Write all of the bytes; returns how many."""
        rest = memoryview(data).cast("B")
        total = len(rest)
        while rest:
            rest = rest[super().write(rest) :]
        return total


class FileObjectPosix:
    """A file that green threads wait for: a pipe, a terminal, a socket, or any other file.

    fobj: a descriptor, a path, or an object with fileno(). mode, buffering, encoding, errors, newline, closefd: as
    of open(); with closefd (the default), close() closes `fobj`. bufsize, close: older names of buffering and closefd.
    atomic_write: write() of an unbuffered file returns when everything is written. Text may be unbuffered, and then is
    written at once, all of it.

    Its methods are those of what open() returns. After close() they raise FileObjectClosed.
    Raises what open() raises. From gevent's documentation of gevent.fileobject.
    """

    default_bufsize = io.DEFAULT_BUFFER_SIZE
    """How many bytes are buffered unless something else is asked for."""

    def __init__(
        self,
        fobj: Any,
        mode: str = "r",
        bufsize: int | None = None,
        close: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        buffering: int | None = None,
        closefd: bool | None = None,
        atomic_write: bool = False,
    ) -> None:
        self._io: Any = None
        self._closes = True
        for wish in (close, closefd):
            self._closes = self._closes if wish is None else bool(wish)
        size = buffering if buffering is not None else -1 if bufsize is None else bufsize
        self._lent = None if isinstance(fobj, int | str | bytes | os.PathLike) else fobj
        if self._lent is not None and not hasattr(fobj, "fileno"):
            raise TypeError(f"a descriptor, a path or an object with fileno() is needed, not {fobj!r}")
        target = fobj if self._lent is None else fobj.fileno()
        raw_type = WholeFileIO if atomic_write else WaitingFileIO
        closes = self._closes and self._lent is None
        self._io = _opened(raw_type, target, mode, size, encoding, errors, newline, closes)
        self.fileio.lent = self._lent
        self._mode = mode
        self._keep_name(fobj)

    def _keep_name(self, fobj: Any) -> None:
        if self._lent is None:
            self.name = fobj
        elif hasattr(fobj, "name"):
            self.name = fobj.name

    @property
    def mode(self) -> str:
        """The mode that was asked for."""
        return self._mode

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._io is None or bool(self._io.closed)

    @property
    def io(self) -> Any:
        """The file object of `io` that does the work. Raises FileObjectClosed after close()."""
        if self._io is None:
            raise FileObjectClosed
        return self._io

    @property
    def fileio(self) -> Any:
        """The unbuffered one below it."""
        return _lowest(self.io)

    def close(self) -> None:
        """Write what is buffered, and close it. Does nothing the second time.

        Whoever waits for something to read gets OSError (EBADF).
        """
        file, self._io = self._io, None
        if file is None:
            return
        try:
            self._close(file)
        finally:
            lent, self._lent = self._lent, None
            if lent is not None and self._closes:
                lent.close()

    def _close(self, file: Any) -> None:
        """The buffer of a file that is only read is locked by whoever waits in it, and has nothing to write."""
        lowest = _lowest(file)
        if lowest.closed or lowest.writable():
            file.close()
        else:
            lowest.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "name":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.io, name)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} _fobj={self._io!r}>"


def _lowest(file: Any) -> Any:
    """The unbuffered file below one of `io`."""
    while True:
        below = getattr(file, "buffer", None) or getattr(file, "raw", None)
        if below is None:
            return file
        file = below


def _opened(
    raw_type: type[WaitingFileIO],
    target: Any,
    mode: str,
    size: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
    closes: bool,
) -> Any:
    """What open() makes, with a raw file of this type, and gevent's unbuffered text. Raises what open() raises."""
    binary = "b" in mode
    if binary and (encoding is not None or errors is not None or newline is not None or "t" in mode):
        raise ValueError(f"a file in binary mode ({mode!r}) takes no encoding, errors, newline or 't'")
    if size == 0 and not binary:
        raw_type = WholeFileIO
    raw = raw_type(target, mode.replace("t", ""), closefd=closes)
    try:
        if size == 0:
            return raw if binary else io.TextIOWrapper(cast(Any, raw), encoding, errors, newline, write_through=True)
        buffered = _buffer_for(raw, mode)(raw, size if size > 1 else io.DEFAULT_BUFFER_SIZE)
        if binary:
            return buffered
        line_buffering = size == 1 or (size < 0 and raw.isatty())
        return io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering)
    except BaseException:
        raw.close()
        raise


def _buffer_for(raw: io.FileIO, mode: str) -> Any:
    if "+" in mode:
        return io.BufferedRandom
    return io.BufferedReader if raw.readable() else io.BufferedWriter


class FileObjectBlock(FileObjectPosix):
    """The same. In gevent, one that blocks its thread: here every file parks that can."""


class FileObjectThread(FileObjectPosix):
    """One whose file is used by native threads: for what blocks and cannot be waited for.

    lock: True lets one call at a time reach the file, False any number; or a lock of the caller's.
    threadpool: whose threads; the hub's unless given. The other arguments are those of FileObjectPosix.
    """

    def __init__(self, *args: Any, lock: Any = True, threadpool: Any = None, **kwargs: Any) -> None:
        self.threadpool = get_hub().threadpool if threadpool is None else threadpool
        self.lock = Semaphore() if lock is True else (lock or DummySemaphore())
        super().__init__(*args, **kwargs)

    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return self.threadpool.apply(method, args, kwargs)

    def _close(self, file: Any) -> None:
        try:
            self._call(file.flush)
        finally:
            file.close()

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if not callable(found):
            return found

        def in_a_thread(*args: Any, **kwargs: Any) -> Any:
            if self.closed:
                raise FileObjectClosed
            return self._call(found, *args, **kwargs)

        return in_a_thread


FileObject = FileObjectPosix
for _class in (FileObjectPosix, FileObjectBlock, FileObjectThread):
    _class.__module__ = "gossamer.fileobject"
