"""The file in site-packages by which child processes inherit the alias."""

import sysconfig
from pathlib import Path

import pytest

HOOK = Path(sysconfig.get_path("platlib"), "gossamer-compat.pth")

needs_hook = pytest.mark.skipif(
    not HOOK.exists(), reason=f"no {HOOK}: editable and --target installations have no hook for child processes"
)
