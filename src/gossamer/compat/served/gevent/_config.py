"""gevent's private module of that name, as far as programs import it: its settings."""

from typing import Any

from gossamer._sync.config import Config, config

__all__ = ["Config", "config", "validate_bool", "validate_invalid"]

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off", "")


def validate_bool(value: Any) -> bool:
    """What a word, or anything else, means as a yes or no. Raises ValueError for a word that means neither."""
    if not isinstance(value, str):
        return bool(value)
    word = value.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(f"{value!r} is neither of {_TRUE} nor of {_FALSE}")


def validate_invalid(value: Any) -> Any:
    """Raises ValueError: this cannot be set."""
    raise ValueError(f"not a setting: {value!r}")
