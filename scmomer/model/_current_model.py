"""The model that this process trained or loaded last, which ``tl`` uses by default."""

from __future__ import annotations

from typing import Any

_current: Any = None


def set_current(model: Any) -> None:
    """Set the model used last."""
    global _current
    _current = model


def get_current() -> Any:
    """Return the model used last, or None."""
    return _current
