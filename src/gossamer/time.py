"""The standard library's `time`, whose `sleep()` is a blocking point."""

import time as _home
from time import *  # noqa: F403

from gossamer._standard_library import rest_of

__getattr__ = rest_of(_home)
