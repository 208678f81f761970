"""One place that decides where messages go."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stderr(logging.Handler):
    """Prints to what is standard error at that moment: notebooks and tests replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr)
        except Exception:  # noqa: BLE001 - as every handler: a message never stops the work
            self.handleError(record)


def set_up_logging() -> None:
    """Show scmomer's own messages from level INFO on, as ``scmomer: ...``.

    As scvi-tools does: through a handler of its own, and not also through those of the root logger,
    which any other package may add. Handlers that the application gave the logger before win.
    """
    logger = logging.getLogger("scmomer")
    if not logger.handlers:
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("scmomer: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


@contextmanager
def keep_root() -> Iterator[None]:
    """Leave the root logger as it is: ``logging.info``, if a package calls it, adds a handler."""
    root, nothing = logging.getLogger(), logging.NullHandler()
    root.addHandler(nothing)
    try:
        yield
    finally:
        root.removeHandler(nothing)
