"""Former names of arguments."""

from __future__ import annotations

import pytest

from scmomer._deprecated import renamed_arguments


@renamed_arguments(normalise="normalize")
def scaled(x: float, *, normalize: bool = True) -> tuple[float, bool]:
    return x, normalize


def test_present_names_are_silent(recwarn):
    assert scaled(1.0, normalize=False) == (1.0, False)
    assert not recwarn.list


def test_former_names_work_with_a_warning():
    with pytest.warns(FutureWarning, match=r"normalise= is now called normalize=\. ") as caught:
        assert scaled(1.0, normalise=False) == (1.0, False)  # type: ignore[call-arg]
    assert caught[0].filename == __file__


def test_both_names_are_refused():
    with pytest.raises(TypeError, match="found both"):
        scaled(1.0, normalise=False, normalize=False)  # type: ignore[call-arg]


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(TypeError, match="wrong"):
        renamed_arguments(old="wrong")(scaled)
