"""The model that this process trained or loaded last: what ``tl`` uses when none is given."""

from __future__ import annotations

from typing import Any

_current: Any = None


def set_current(model: Any) -> None:
    """Remember `model` as the one used last."""
    global _current
    _current = model


def get_current() -> Any:
    """Return the model used last; None if there is none."""
    return _current
