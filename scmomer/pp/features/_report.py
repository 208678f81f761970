"""Report on matched features."""

from __future__ import annotations

import logging
import warnings

from scvi import settings

from scmomer.data import FEW_MATCHES

logger = logging.getLogger(__name__)


def report(text: str, share: float) -> None:
    """Log a line, or warn with it if less than a fifth of the new features are matched."""
    if share < FEW_MATCHES:
        warnings.warn(
            f"{text} Results from so few features are unreliable.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )
    else:
        logger.info(text)
