"""What tests of several results share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture
def same() -> Callable[..., None]:
    """Compares arrays up to an absolute difference."""

    def compare(found, expected, atol: float = 1e-5) -> None:
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)

    return compare
