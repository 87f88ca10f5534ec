"""gevent's private module of that name, as far as programs import it: its settings."""

from typing import Any

from gossamer._sync.config import Config, config, validate_bool

__all__ = ["Config", "config", "validate_bool", "validate_invalid"]


def validate_invalid(value: Any) -> Any:
    """Raises ValueError: this cannot be set."""
    raise ValueError(f"not a setting: {value!r}")
