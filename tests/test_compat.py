"""What stands between scmomer and old packages."""

from __future__ import annotations

import logging
import warnings

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData

from scmomer._compat import keep_obs


def test_keep_obs_is_silent_and_leaves_options_and_the_root_logger(monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    one = AnnData(np.ones((2, 3), np.float32), obs=pd.DataFrame({"a": [1, 2]}, index=["x", "y"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        with keep_obs():
            mdata = MuData({"rna": one})
        with pytest.raises(ZeroDivisionError), keep_obs():
            raise ZeroDivisionError
    assert "rna:a" not in mdata.obs and root.handlers == []


@pytest.mark.skipif(not hasattr(mudata, "set_options"), reason="mudata 0.4 never pulls columns")
def test_keep_obs_puts_the_option_back():
    obs = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])
    options = mudata.set_options(pull_on_update=True)
    try:
        with keep_obs():
            pass
        mdata = MuData({"rna": AnnData(np.ones((2, 3), np.float32), obs=obs)})
    finally:
        mudata.set_options(**options.opts)
    assert "rna:a" in mdata.obs
