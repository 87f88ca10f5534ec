"""gossamer.fileobject: files that green threads wait for."""

import errno
import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gossamer import sleep, spawn
from gossamer.fileobject import FileObject, FileObjectBlock, FileObjectPosix, FileObjectThread
from tests.support.runtime import joined, turns

CLASSES = [FileObjectBlock, FileObjectPosix, FileObjectThread]


@pytest.fixture(params=["blocking", "non-blocking"])
def pipe(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """A pipe's two ends; whoever wraps one closes it."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, request.param == "blocking")
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_reading_a_pipe_waits_for_each_line_and_ends_with_the_pipe(pipe: tuple[int, int]) -> None:
    def write() -> None:
        with FileObjectPosix(pipe[1], "wb") as file:
            for line in (b"one\n", b"two\n"):
                sleep(0.001)
                file.write(line)
                file.flush()

    writer = spawn(write)
    with FileObjectPosix(pipe[0], "rb") as file:
        assert [next(file), file.readline(), file.read()] == [b"one\n", b"two\n", b""]
        assert list(file) == []
    joined(writer)


def test_writing_more_than_a_pipe_holds_waits_for_the_reader(pipe: tuple[int, int]) -> None:
    data = os.urandom(300_000)

    def write() -> None:
        with FileObjectPosix(pipe[1], "wb", buffering=0, atomic_write=True) as file:
            assert file.write(data) == len(data)

    writer = spawn(write)
    turns(2)
    assert not writer.ready()
    with FileObject(pipe[0], "rb") as file:
        assert file.read() == data
    joined(writer)


def test_several_greenlets_read_one_line_each_in_native_threads(pipe: tuple[int, int]) -> None:
    reading = FileObjectThread(pipe[0])
    lines = [spawn(reading.readline) for _ in range(3)]
    os.set_blocking(pipe[0], True)
    os.write(pipe[1], b"1\n2\n3\n")
    assert sorted(joined(*lines)) == ["1\n", "2\n", "3\n"]
    os.write(pipe[1], b"rest")
    os.close(pipe[1])
    assert reading.read() == "rest"
    reading.close()


@pytest.mark.parametrize("kind", CLASSES)
def test_a_file_is_read_written_and_positioned(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with kind(path, "w", encoding="utf-8") as file:
        assert file.name == path
        assert (file.mode, file.encoding) == ("w", "utf-8")
        file.writelines(["gr\u00fcn\n", "zwei\n"])
    with kind(str(path), "r+", encoding="utf-8") as file:
        assert file.readlines() == ["gr\u00fcn\n", "zwei\n"]
        file.seek(0)
        assert (file.tell(), file.seekable(), file.isatty()) == (0, True, False)
        assert isinstance(file.fileio, io.FileIO)
        assert file.fileno() == file.fileio.fileno()


@pytest.mark.parametrize("kind", CLASSES)
def test_a_closed_one_says_so(kind: Any, tmp_path: Path) -> None:
    file = kind(tmp_path / "file", "w")
    assert not file.closed
    file.close()
    file.close()
    assert file.closed
    assert file.name == tmp_path / "file"
    with pytest.raises(OSError, match="FileObject was closed"):
        file.write("x")
    with pytest.raises(OSError, match="FileObject was closed"):
        next(file)


@pytest.mark.parametrize("closes", [True, False])
def test_another_file_object_is_closed_with_it_unless_told_otherwise(closes: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with open(tmp_path / "file") as lent:
        file = FileObject(lent, closefd=closes)
        assert (file.name, file.read()) == (lent.name, "text")
        file.close()
        assert lent.closed is closes


@pytest.mark.parametrize("old", [{"bufsize": 0, "close": False}, {"buffering": 0, "closefd": False}])
def test_a_descriptor_is_left_open_if_told_so_by_either_name(old: dict[str, Any], pipe: tuple[int, int]) -> None:
    file = FileObject(pipe[1], "wb", **old)
    file.write(b"x")
    assert os.read(pipe[0], 10) == b"x"
    file.close()
    os.write(pipe[1], b"y")


@pytest.mark.parametrize("kind", CLASSES)
def test_text_without_a_buffer_is_written_at_once_and_all_of_it(kind: Any, pipe: tuple[int, int]) -> None:
    writing, reading = kind(pipe[1], "w", 0), FileObject(pipe[0], "r", 0)
    writing.write("one line\n")
    assert reading.readline() == "one line\n"
    text = "ä" * 200_000
    writer = spawn(writing.write, text)
    turns()
    assert reading.read(len(text)) == text
    joined(writer)
    writing.close()
    reading.close()


def test_what_cannot_be_opened_is_refused_as_open_does(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileObject(tmp_path / "no")
    with pytest.raises(ValueError, match="binary mode"):
        FileObject(0, "rb", encoding="utf-8", closefd=False)
    with pytest.raises(ValueError, match="mode"):
        FileObject(0, "q", closefd=False)
    with pytest.raises(TypeError, match="fileno"):
        FileObject(object())
    with pytest.raises(AttributeError):
        FileObject(0, closefd=False).no_such_name


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_file_that_is_lent_stays_open_as_long_as_one_of_its_methods_is_used(tmp_path: Path) -> None:
    path = tmp_path / "lent"
    path.write_bytes(b"text")
    assert FileObject(path.open("rb")).read() == "text"
    assert FileObjectThread(path.open("rb"), "rb").read() == b"text"


@pytest.mark.parametrize("mode", ["rb", "r"])
def test_who_waits_for_something_to_read_is_told_that_the_file_was_closed(pipe: tuple[int, int], mode: str) -> None:
    file = FileObjectPosix(pipe[0], mode)
    reader = spawn(file.read)
    turns()
    file.close()
    reader.join(timeout=30)
    assert isinstance(reader.exception, OSError)
    assert reader.exception.errno == errno.EBADF
    assert file.closed


def test_a_file_that_was_lent_is_closed_under_who_reads() -> None:
    one, other = socket.socketpair()
    with other:
        file = FileObjectPosix(one, "rb")
        reader = spawn(file.readline)
        turns()
        file.close()
        reader.join(timeout=30)
        assert isinstance(reader.exception, OSError)
        assert one.fileno() == -1


def test_a_file_whose_last_bytes_cannot_be_written_is_closed_all_the_same() -> None:
    for kind in CLASSES:
        file = kind("/dev/full", "wb")
        descriptor = file.fileno()
        file.write(b"something")
        with pytest.raises(OSError, match="No space"):
            file.close()
        assert file.closed
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
