"""What differs between the oldest and the newest packages that scmomer runs on.

Each entry names the release after which it can be deleted.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import mudata


def keep_obs() -> AbstractContextManager[object]:
    """Return a context in which MuData neither reorders cells nor copies columns between obs.

    Delete with mudata 0.3: that of 0.4 does neither.
    """
    set_options = getattr(mudata, "set_options", None)
    return nullcontext() if set_options is None else set_options(pull_on_update=False)
