"""What tests have to know of AddressSanitizer, whether the interpreter was built with it or it was preloaded."""

import os
import re
from pathlib import Path

import pytest

MAPPED = Path("/proc/self/maps").read_text()
IS_SANITIZED = "libasan" in MAPPED

measures_memory = pytest.mark.skipif(
    IS_SANITIZED,
    reason="AddressSanitizer keeps freed memory and shadows all of it, so that resident memory says nothing",
)

uses_memory_again = pytest.mark.skipif(
    IS_SANITIZED, reason="under AddressSanitizer what has been freed is kept apart, and the core keeps no lists"
)

throws_in_cxx = pytest.mark.skipif(
    # An extension with UBSan brings libstdc++ as well, too late.
    IS_SANITIZED and "libstdc++" not in os.environ.get("LD_PRELOAD", ""),
    reason="AddressSanitizer ends the process at a C++ exception unless libstdc++ is loaded along with it (LD_PRELOAD)",
)


def preloading(library: Path) -> dict[str, str]:
    """The environment in which a child loads `library` before all others, except for AddressSanitizer's own.

    That one insists on being the first, where the interpreter is linked with it as well.
    """
    sanitizer = re.search(r"/\S*/libasan\S*", MAPPED)
    before = [sanitizer[0]] if sanitizer else []
    return {"LD_PRELOAD": " ".join([*before, *os.environ.get("LD_PRELOAD", "").split(), str(library)])}
