"""What the assembler promises to linkers, loaders and debuggers: notes of its object files, and how it unwinds."""

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gossamer import _core
from gossamer.switching import greenlet
from tests.support.children import ROOT
from tests.support.greenlets import below_c

SOURCES = ROOT / "src" / "gossamer" / "_core" / "switch"
DEEPEST = 500


def compiler_for(architecture: str) -> list[str]:
    """The command that compiles for the architecture; the test is skipped where there is none."""
    for name in (f"{architecture}-linux-gnu-gcc", "gcc"):
        if shutil.which(name):
            machine = subprocess.run([name, "-dumpmachine"], capture_output=True, text=True).stdout
            if machine.startswith(architecture):
                return [name]
    pytest.skip(f"no compiler for {architecture} is installed")


def notes_of(binary: Path) -> str:
    return subprocess.run(["readelf", "--notes", "--wide", binary], capture_output=True, text=True, check=True).stdout


def library(architecture: str, protection: str, folder: Path) -> Path:
    """The register swap in a library with C code that claims all of the protection."""
    compiler, code, built = compiler_for(architecture), folder / "code.c", folder / "library.so"
    code.write_text(
        "void *fiber_main(void) { return 0; }\nvoid *slice_exchange(void *leaving, void *target) { return target; }\n"
    )
    source = SOURCES / f"swap_{architecture}.S"
    subprocess.run([*compiler, protection, "-shared", "-fPIC", "-nostdlib", source, code, "-o", built], check=True)
    return built


def test_the_extension_module_does_not_ask_for_an_executable_stack() -> None:
    headers = subprocess.run(
        ["readelf", "--segments", "--wide", _core.__file__], capture_output=True, text=True, check=True
    ).stdout
    (stack,) = (line for line in headers.splitlines() if "GNU_STACK" in line)
    assert " RW " in stack


def test_the_extension_module_never_claims_that_it_knows_shadow_stacks() -> None:
    notes = notes_of(Path(_core.__file__))
    assert "SHSTK" not in notes
    assert "GCS" not in notes


def test_with_control_flow_protection_x86_64_claims_checked_branches_and_no_shadow_stack(tmp_path: Path) -> None:
    notes = notes_of(library("x86_64", "-fcf-protection=full", tmp_path))
    assert "IBT" in notes
    assert "SHSTK" not in notes


def test_with_branch_protection_aarch64_claims_checked_branches_and_no_signed_returns(tmp_path: Path) -> None:
    notes = notes_of(library("aarch64", "-mbranch-protection=standard", tmp_path))
    assert "BTI" in notes
    assert "PAC" not in notes


@pytest.mark.parametrize(
    ("architecture", "protection", "pad"),
    [("x86_64", "-fcf-protection=full", "endbr64"), ("aarch64", "-mbranch-protection=standard", "bti\tc")],
)
def test_with_protection_each_function_begins_with_a_landing_pad(
    architecture: str, protection: str, pad: str, tmp_path: Path
) -> None:
    compiler, built = compiler_for(architecture), tmp_path / "swap.o"
    subprocess.run([*compiler, protection, "-c", SOURCES / f"swap_{architecture}.S", "-o", built], check=True)
    objdump = compiler[0].removesuffix("gcc") + "objdump"
    listing = subprocess.run([objdump, "--disassemble", built], capture_output=True, text=True, check=True).stdout
    lines = listing.splitlines()
    firsts = {line.split("<")[1].rstrip(">:"): lines[at + 1] for at, line in enumerate(lines) if line.endswith(">:")}
    assert set(firsts) == {"swap_stacks", "swap_stacks_and_enter", "swap_stacks_via", "fiber_entry"}
    assert [name for name, first in firsts.items() if pad not in first] == []


def native_backtrace() -> list[str]:
    """The C functions that are under way, innermost first, as the C library's own unwinder finds them."""
    addresses = (ctypes.c_void_p * DEEPEST)()
    libc = ctypes.CDLL(None)
    count = libc.backtrace(addresses, DEEPEST)
    libc.backtrace_symbols.restype = ctypes.POINTER(ctypes.c_char_p)
    symbols = libc.backtrace_symbols(addresses, count)
    return [symbols[at].decode() for at in range(count)]


def in_greenlets(depth: int, work: Callable[[], list[str]]) -> list[str]:
    """What `work` returns in a greenlet within a greenlet and so on, to the depth."""
    if depth == 0:
        return work()
    found: list[str] = greenlet(in_greenlets).switch(depth - 1, work)
    return found


@pytest.mark.parametrize("depth", [1, 3])
def test_a_native_backtrace_ends_where_the_stack_of_the_greenlet_begins(depth: int) -> None:
    found = in_greenlets(depth, lambda: below_c(5, native_backtrace))
    assert 10 < len(found) < DEEPEST
    assert Path(_core.__file__).name in found[-1]


def test_a_native_backtrace_of_a_thread_goes_beyond_a_greenlet_that_came_back() -> None:
    greenlet(lambda: below_c(5, native_backtrace)).switch()
    found = native_backtrace()
    assert Path(sys.executable).name in found[-1] or "libc" in found[-1] or "python" in found[-1]
