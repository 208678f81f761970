"""One line on what found its place."""

from __future__ import annotations

import logging
import warnings

from scvi import settings

logger = logging.getLogger(__name__)
_FEW = 0.2  # of the new features, as for queries of a model


def report(text: str, share: float) -> None:
    """Log a line, or warn with it if less than a fifth of the new features got anything."""
    if share < _FEW:
        warnings.warn(
            f"{text} Results from so few of them are unreliable.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )
    else:
        logger.info(text)
