"""What holds for the whole suite.

GOSSAMER_TEST_GC_THRESHOLD   threshold of the youngest generation for `gc.set_threshold` while tests run; 1 collects at
                             nearly every allocation, which finds references that the collector is not shown
"""

import gc
import os
import platform
import signal

import pytest

import gossamer

THRESHOLD = "GOSSAMER_TEST_GC_THRESHOLD"


def gc_threshold() -> int | None:
    """The threshold asked for, None if none is. Raises pytest.UsageError for what is not a positive number."""
    text = os.environ.get(THRESHOLD, "")
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise pytest.UsageError(f"{THRESHOLD}={text!r} is not a positive whole number")
    return int(text)


def mind_signals() -> None:
    """Take the signals that a shell makes its background jobs ignore: children would inherit that, and never end."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_configure() -> None:
    mind_signals()
    threshold = gc_threshold()
    if threshold is not None:
        gc.set_threshold(threshold)


def pytest_report_header() -> str:
    """Say what is tested: the wrong installation, or a forgotten threshold, should not need guessing."""
    return (
        f"gossamer {gossamer.__version__} from {gossamer.__path__[0]}, "
        f"{platform.python_implementation()} {platform.python_version()}, gc threshold {gc.get_threshold()[0]}"
    )
