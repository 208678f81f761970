"""Agreement of paired labels: by hand, and by chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from scmomer.metrics import pairing_agreement


def test_by_hand() -> None:
    found = pairing_agreement(list("aaab"), list("aabb"))
    assert found == {
        "agreement": 3 / 4,
        "chance": (3 * 2 + 1 * 2) / 16,
        "kappa": pytest.approx(1 / 2),
        "macro": pytest.approx((2 / 3 + 1) / 2),
    }


def test_kappa_is_that_of_scikit_learn() -> None:
    first, second = np.random.default_rng(0).choice(list("abcd"), (2, 200))
    second[:80] = first[:80]
    second[-1] = "e"  # a label of one side
    found = pairing_agreement(first, pd.Categorical(second))
    assert found["kappa"] == pytest.approx(cohen_kappa_score(first, second), rel=1e-12)


def test_random_pairs_agree_by_chance() -> None:
    labels = np.random.default_rng(0).choice(list("abc"), 20_000, p=[0.6, 0.3, 0.1])
    found = pairing_agreement(labels, np.random.default_rng(1).permutation(labels))
    assert found["agreement"] == pytest.approx(found["chance"], abs=0.02)
    assert found["kappa"] == pytest.approx(0, abs=0.02)
    assert found["macro"] == pytest.approx(1 / 3, abs=0.03)


def test_pairs_without_a_label_are_left_out() -> None:
    found = pairing_agreement(["a", None, "b", "b"], ["a", "a", np.nan, "a"])
    assert found["agreement"] == 1 / 2 and found["macro"] == 1 / 2


def test_one_label_is_uninformative() -> None:
    found = pairing_agreement(["a", "a"], ["a", "a"])
    assert found == {"agreement": 1.0, "chance": 1.0, "kappa": 0.0, "macro": 1.0}


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"`first` .* \(n_pairs,\), found \(2, 2\)"):
        pairing_agreement([["a", "b"], ["a", "b"]], ["a", "b"])
    with pytest.raises(ValueError, match=r"`second` .* shape \(2,\), found \(3,\)"):
        pairing_agreement(["a", "b"], ["a", "b", "c"])
    with pytest.raises(ValueError, match="None of 2 pairs has a label on both sides"):
        pairing_agreement(["a", None], [None, "b"])
