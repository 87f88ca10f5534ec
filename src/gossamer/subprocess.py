"""Child processes: the standard library's `subprocess`, which waits green for their ends and their pipes."""

import subprocess as _home
from subprocess import *  # noqa: F403

from gossamer._standard_library import rest_of

__getattr__ = rest_of(_home)
