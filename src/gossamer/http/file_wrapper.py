"""`wsgi.file_wrapper`: a file as the result of an application, sent by sendfile(2) where that can be done."""

import io
import os
import stat
import tempfile
from collections.abc import Callable
from typing import Any, Protocol

_PLAIN = (io.BufferedReader, io.BufferedRandom, io.FileIO)


class Readable(Protocol):
    """What can be wrapped: PEP 3333 asks for no more."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""


class FileWrapper:
    """An iterable over what a file has left, in blocks of `block_size` bytes; `close()` closes the file."""

    def __init__(self, file: Readable, block_size: int = 65536) -> None:
        self.file = file
        self.block_size = block_size
        self.close: Callable[[], object] = getattr(file, "close", _nothing)

    def __iter__(self) -> "FileWrapper":
        return self

    def __next__(self) -> bytes:
        if block := self.file.read(self.block_size):
            return block
        raise StopIteration


def region_of(file: Any) -> tuple[int, int, int] | None:
    """What sendfile(2) has to be told to send the rest of a file: descriptor, offset and size in bytes.

    None if it is no regular file, or only looks like one: what reads in its own way, such as gzip's, may have the
    descriptor of a file with other bytes.
    """
    file = getattr(file, "file", file) if type(file) is tempfile._TemporaryFileWrapper else file
    if type(getattr(file, "raw", file)) is not io.FileIO or type(file) not in _PLAIN:
        return None
    try:
        descriptor = file.fileno()
        offset = file.tell()
        status = os.fstat(descriptor)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return descriptor, offset, max(status.st_size - offset, 0)


def _nothing() -> None:
    pass
