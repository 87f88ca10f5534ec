"""What `importlib.metadata` answers for a served package.

Frameworks ask `importlib.metadata.version("gevent")` before they use it. Nothing is on disk for the alias to be found
by, as it must not be found once the alias is gone. This module is imported only when somebody asks, because
`importlib.metadata` pulls much of the standard library in.
"""

from importlib.metadata import Distribution
from os import PathLike
from pathlib import Path

from gossamer.compat._finder import SERVED_FOLDER


class ServedDistribution(Distribution):
    """The distribution of a served package: a name, a version, and where its modules come from.

    name: the package, which is also its one top-level module.
    version: the release whose interface is provided.
    """

    def __init__(self, name: str, version: str) -> None:
        self._texts = {
            "METADATA": (
                "Metadata-Version: 2.1\n"
                f"Name: {name}\n"
                f"Version: {version}\n"
                f"Summary: The interface of {name}, served by Gossamer\n"
            ),
            "top_level.txt": f"{name}\n",
        }

    def read_text(self, filename: str | PathLike[str]) -> str | None:
        """The text of one metadata file, None for those that there are none of."""
        return self._texts.get(str(filename))

    def locate_file(self, path: str | PathLike[str]) -> Path:
        """Where a file of the distribution would be."""
        return Path(SERVED_FOLDER, path)
