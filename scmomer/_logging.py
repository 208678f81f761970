"""One place that decides where messages go."""

from __future__ import annotations

import logging


class _FallbackHandler(logging.StreamHandler):
    """Prints messages unless the application set up logging itself."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            super().emit(record)


def set_up_logging() -> None:
    """Show scmomer's own messages from level INFO on."""
    logger = logging.getLogger("scmomer")
    if not logger.handlers:
        handler = _FallbackHandler()
        handler.setFormatter(logging.Formatter("scmomer: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
