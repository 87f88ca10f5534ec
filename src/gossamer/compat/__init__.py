"""The alias: `import greenlet` and `import gevent` answered by Gossamer.

`install()` puts a finder in front of all others (`_finder`), which serves what `_table` lists; a program
written for greenlet or gevent then runs on Gossamer unchanged, whether or not the real ones are installed.

It runs before the program, so it is lazy: it imports neither a served module nor anything of the standard
library that blocks (`socket`, `ssl`, `threading`, `select`, `signal`, `subprocess`).

Child processes inherit the alias by an environment variable that names the served packages. The file
`gossamer-compat.pth`, which the installed package has in site-packages, looks at it when an interpreter starts and
calls `inherit()`. A child started without the variable has no alias. `docs/compat.md` compares this with other hooks.
"""

from __future__ import annotations

import os
import sys

from gossamer.compat._finder import AliasFinder
from gossamer.compat._table import PACKAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ALIASES", "ENVIRONMENT_VARIABLE", "AliasError", "inherit", "install", "installed", "uninstall"]

ALIASES = ("greenlet", "gevent")
"""The packages that Gossamer succeeds, and that `install` accepts."""

ENVIRONMENT_VARIABLE = "GOSSAMER_COMPAT"
"""The variable that hands the alias to child processes: names of packages, separated by commas."""

_finder = AliasFinder()


class AliasError(RuntimeError):
    """The alias cannot be installed; the message says why, and what to do."""


def install(names: Iterable[str] = ALIASES, *, children: bool = True) -> tuple[str, ...]:
    """Serve `greenlet` and `gevent` from Gossamer from now on, in this process and in its child processes.

    Call it before anything imports either of them. Calling it again is harmless, and adds names that are new.
    Real packages of these names that are installed too are passed over.

    names: the packages to serve, `"greenlet"`, `"gevent"` or both. Those that this release of Gossamer has no
        modules for are left alone: importing them finds the real package, or fails, as without the alias.
    children: hand the alias on to child processes, through `os.environ`. False leaves `os.environ` as it is.

    Returns what `installed()` returns afterwards: the names that are served.

    Raises ValueError for a name that is neither `"greenlet"` nor `"gevent"`, and AliasError if none of `names` can
    be served, or if the real package was imported already: what holds its classes would not meet ours. Nothing
    has changed then.
    """
    asked = _checked(names)
    present = installed()
    added = [name for name in asked if name in PACKAGES and name not in present]
    if not added and not any(name in present for name in asked):
        raise AliasError(
            f"this release of Gossamer has no modules to serve as {' or '.join(asked)}; "
            f"it can serve {', '.join(PACKAGES)}"
        )
    for name in added:
        _refuse_if_imported(name)
    _activate((*present, *added))
    if children:
        os.environ[ENVIRONMENT_VARIABLE] = ",".join(installed())
    return installed()


def uninstall() -> None:
    """End the alias, in this process and for child processes started from now on.

    Served modules leave `sys.modules`, so that the next import finds the real package if there is one; what the
    program has imported so far keeps working. Does nothing if the alias is not installed.
    """
    for module in list(sys.modules):
        if _finder.serves(module):
            del sys.modules[module]
    _activate(())
    os.environ.pop(ENVIRONMENT_VARIABLE, None)


def installed() -> tuple[str, ...]:
    """The names of the packages that are served in this process now, `()` without the alias."""
    return _finder.packages if _finder in sys.meta_path else ()


def inherit() -> None:
    """Install the alias that the parent process handed on, if it did.

    Called while the interpreter starts, where an exception would be one more obstacle and no help: what goes wrong
    is one line on the standard error, and the program runs without the alias.
    """
    handed_on = os.environ.get(ENVIRONMENT_VARIABLE, "")
    names = [name.strip() for name in handed_on.split(",") if name.strip()]
    if not names:
        return
    try:
        install(names)
    except (AliasError, ValueError) as error:
        sys.stderr.write(f"gossamer: no alias from {ENVIRONMENT_VARIABLE}={handed_on}: {error}\n")


def _checked(names: Iterable[str]) -> tuple[str, ...]:
    """`names` as a tuple without repetitions; a single string is taken for a single name."""
    asked = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    unknown = [name for name in asked if name not in ALIASES]
    if unknown or not asked:
        what = f"unknown name {unknown[0]!r}" if unknown else "no name given"
        raise ValueError(f"{what}: the alias can serve {' and '.join(map(repr, ALIASES))}")
    return asked


def _refuse_if_imported(package: str) -> None:
    """Raise AliasError if the real `package`, or a part of it, is in `sys.modules`."""
    for name in sorted(sys.modules):
        if name.partition(".")[0] != package:
            continue
        origin = getattr(sys.modules[name], "__file__", None) or "an unknown place"
        raise AliasError(
            f"{name!r} was imported already, from {origin}, so Gossamer cannot serve {package!r} any more: "
            "call gossamer.compat.install() before anything imports it, "
            "or start the program with 'gossamer run --as-gevent'"
        )


def _activate(packages: tuple[str, ...]) -> None:
    """Let the finder serve `packages`, ahead of every other finder; none: take it away."""
    _finder.packages = packages
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    if packages:
        sys.meta_path.insert(0, _finder)
