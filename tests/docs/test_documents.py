"""What documents show is what happens: their programs run, and print what is written below them."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from tests.docs.documents import (
    Block,
    Terminal,
    blocks,
    documents,
    matches,
    programs,
    sessions,
    steps,
)
from tests.support.children import ROOT

EVERY_DOCUMENT = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


EVERY_SESSION = [
    pytest.param(document, session, id=f"{name_of(document)}:{session.line}")
    for document in documents()
    for session in sessions(document)
]


@pytest.mark.parametrize(("document", "session"), EVERY_SESSION)
def test_a_session_prints_what_the_document_says(document: Path, session: Block, tmp_path: Path) -> None:
    if "curl " in session.text and shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    Terminal(tmp_path, programs(document)).run(session)


@pytest.mark.parametrize("document", EVERY_DOCUMENT, ids=name_of)
def test_every_block_of_python_in_a_document_is_python(document: Path) -> None:
    for block in blocks(document):
        if block.language == "python":
            ast.parse(block.text)


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_every_program_of_a_document_is_run_by_one_of_its_sessions(document: Path) -> None:
    typed = "\n".join(session.text for session in sessions(document))
    used = [typed, *programs(document).values()]
    unused = [name for name in programs(document) if not any(Path(name).stem in text for text in without(used, name))]
    assert unused == []


def without(texts: list[str], name: str) -> list[str]:
    """The texts but the program of that name itself."""
    return [text for text in texts if not text.startswith(f"# {name}")]


@pytest.mark.parametrize("document", EVERY_DOCUMENT, ids=name_of)
def test_links_within_the_tree_lead_somewhere(document: Path) -> None:
    for found in LINK.finditer(document.read_text()):
        target, _, anchor = found["target"].partition("#")
        if "://" in target:
            continue
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), found["target"]
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), found["target"]


def anchors(document: Path) -> set[str]:
    """How the headings of a document are linked to."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# ---- the reader of documents itself ----


def test_a_session_is_split_into_commands_and_what_they_print() -> None:
    session = Block("console", "$ one\nfirst\nsecond\n$ two \\\n> more\n$ three\n", 1)
    assert list(steps(session)) == [("one", "first\nsecond\n"), ("two  more", ""), ("three", "")]


def test_times_addresses_and_ellipses_may_differ_and_nothing_else() -> None:
    assert matches("took 1.0 s\n<object at 0x12>\n", "took 1.234 s\n<object at 0xff>\n")
    assert matches("a\n...\nz\n", "a\nb\nc\nz\n")
    assert not matches("3 greenlets\n", "4 greenlets\n")
    assert not matches("one\n", "one\ntwo\n")


def test_a_program_that_prints_something_else_is_found(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, {"hello.py": "print('hello')"})
    terminal.run(Block("console", "$ python hello.py\nhello\n", 1))
    with pytest.raises(AssertionError, match="it prints"):
        terminal.run(Block("console", "$ python hello.py\ngood bye\n", 1))


def test_a_program_that_fails_unexpectedly_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="status 3"):
        Terminal(tmp_path, {"end.py": "raise SystemExit(3)"}).run(Block("console", "$ python end.py\n", 1))


def test_a_command_beside_others_is_awaited_and_ended(tmp_path: Path) -> None:
    source = """
        import signal
        signal.signal(signal.SIGINT, lambda number, frame: exit(0))
        print("ready", flush=True)
        signal.pause()
    """
    terminal = Terminal(tmp_path, {"waits.py": "\n".join(line.strip() for line in source.splitlines())})
    terminal.run(Block("console", "$ python waits.py &\nready\n$ echo beside\nbeside\n", 1))
