"""The standard library's `builtins`: imports know green threads by themselves, and `input()` is a blocking point."""

import builtins as _home
from builtins import *  # noqa: F403, UP029

from gossamer._standard_library import rest_of

__getattr__ = rest_of(_home)
