"""Every kind of waiting is reached: whatever was imported, made, called until specialised, or waited for by a native
thread before Gossamer came, and in any order of imports.

GOSSAMER_PROOF_SEED  decides about the orders (default: another one each time); it is printed
"""

import os
import random
import sys
from pathlib import Path

import pytest

from tests.points.proof_families import FAMILIES
from tests.support.certificates import make_certificates
from tests.support.children import run_command
from tests.support.scale import patience

SEED = int(os.environ.get("GOSSAMER_PROOF_SEED") or random.randrange(10**6))
PROVEN = """\
made before: native for green
made before: green for green
made before: green for native
made after: green for green
made after: green for native
made after: native for green
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_green_and_native_threads_wait_for_each_other(family: str, certificates: Path) -> None:
    seed = SEED + list(FAMILIES).index(family)
    print(f"GOSSAMER_PROOF_SEED={SEED}")
    limit = patience(60)
    ended = run_command(
        [sys.executable, "-m", "tests.points.proof_child", family, str(seed), str(limit)],
        seconds=limit + 30,
        environment={"PROOF_CERTIFICATES": str(certificates)},
    )
    assert ended.status == 0, ended.describe()
    assert ended.out == PROVEN, ended.describe()
