"""A few names out of many, for messages."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

N_EXAMPLES = 5


def examples(names: Sequence[Any]) -> str:
    """Return the first names, quoted; an ellipsis says that there are more."""
    text = ", ".join(repr(str(name)) for name in islice(names, N_EXAMPLES))
    return f"{text}, ..." if len(names) > N_EXAMPLES else text
