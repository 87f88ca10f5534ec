"""What tests have to know of AddressSanitizer, whether the interpreter was built with it or it was preloaded."""

from pathlib import Path

import pytest

MAPPED = Path("/proc/self/maps").read_text()
IS_SANITIZED = "libasan" in MAPPED

measures_memory = pytest.mark.skipif(
    IS_SANITIZED,
    reason="AddressSanitizer keeps freed memory and shadows all of it, so that resident memory says nothing",
)

throws_in_cxx = pytest.mark.skipif(
    IS_SANITIZED and "libstdc++" not in MAPPED,
    reason="AddressSanitizer ends the process at a C++ exception unless libstdc++ is loaded along with it (LD_PRELOAD)",
)
