"""What differs between the oldest and the newest packages that scmomer runs on.

Each entry names the release after which it can be deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import mudata


@contextmanager
def keep_obs() -> Iterator[None]:
    """Let MuData neither reorder cells nor copy columns between obs in the block.

    Delete with mudata 0.3: that of 0.4 does neither.
    """
    set_options = getattr(mudata, "set_options", None)
    if set_options is None:
        yield
        return
    # Not by its own context: that logs to the root logger, which gives this a handler.
    options = set_options(pull_on_update=False)
    try:
        yield
    finally:
        set_options(**options.opts)
