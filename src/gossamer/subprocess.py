"""Child processes: the standard library's `subprocess`, which waits green for their ends and their pipes."""

from subprocess import *  # noqa: F403
