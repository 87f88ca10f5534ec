"""How large and how patient the tests are, so that one suite serves a quick run, a soak and a sanitizer.

GOSSAMER_TEST_SCALE     factor on the number of greenlets, threads and rounds (default 1)
GOSSAMER_TEST_PATIENCE  factor on the time-outs that end a hung test (default 1; a sanitizer wants 10)
"""

import os


def scaled(count: int, least: int = 1) -> int:
    """`count` multiplied by GOSSAMER_TEST_SCALE, but no fewer than `least`."""
    return max(least, int(count * float(os.environ.get("GOSSAMER_TEST_SCALE", "1"))))


def patience(seconds: float) -> float:
    """`seconds` multiplied by GOSSAMER_TEST_PATIENCE: how long to wait before calling something hung."""
    return seconds * float(os.environ.get("GOSSAMER_TEST_PATIENCE", "1"))
