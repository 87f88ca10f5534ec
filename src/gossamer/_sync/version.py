"""The version in parts, for programs that compare it as they compare gevent's."""

from typing import NamedTuple


class VersionInfo(NamedTuple):
    """Like sys.version_info."""

    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: int


version_info = VersionInfo(0, 1, 0, "dev", 0)
"""The version of Gossamer, not of the gevent whose interface it has."""
