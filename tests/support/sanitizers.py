"""What tests have to know of AddressSanitizer, whether the interpreter was built with it or it was preloaded."""

from pathlib import Path

import pytest

measures_memory = pytest.mark.skipif(
    "libasan" in Path("/proc/self/maps").read_text(),
    reason="AddressSanitizer keeps freed memory and shadows all of it, so that resident memory says nothing",
)
