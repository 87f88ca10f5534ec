"""What tests have to know of AddressSanitizer, whether the interpreter was built with it or it was preloaded."""

from pathlib import Path

import pytest

IS_SANITIZED = "libasan" in Path("/proc/self/maps").read_text()

measures_memory = pytest.mark.skipif(
    IS_SANITIZED,
    reason="AddressSanitizer keeps freed memory and shadows all of it, so that resident memory says nothing",
)
