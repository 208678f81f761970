"""Models that an earlier scmomer saved give what they gave then.

The folders in ``former`` were written by scmomer at commit c346373, before modalities held their own
state, with the embeddings and translations of the first six cells.
"""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from mudata import MuData

import scmomer

HERE = Path(__file__).parent / "former"
CELLS = [f"cell {i}" for i in range(150)]
PARTS = {"three": {"atac": slice(100), "protein": slice(50, None)}}


def data(name: str, model: scmomer.SCMOMER) -> MuData:
    """The cells that the model was trained on; a mosaic for ``three``."""
    counts = np.load(HERE / "counts.npz")
    mods = {}
    for m, names in model.spec.features.items():
        adata = anndata.AnnData(
            sp.csr_matrix(counts[m].astype(np.float32)),
            obs=pd.DataFrame(index=CELLS),
            var=pd.DataFrame(index=names),
        )
        mods[m] = adata[PARTS.get(name, {}).get(m, slice(None))].copy()
    return MuData(mods)


def results(model: scmomer.SCMOMER, cells, wanted: list[str]) -> np.ndarray:
    """What a key of ``expected.npz`` names."""
    if not wanted[0].startswith("to_"):
        return model.get_latent_representation(cells, modality=wanted[0])
    to = wanted[0].removeprefix("to_")
    if wanted[1] == "b1":
        return model.get_translated(cells, to, batch="b1")
    depth = wanted[1] if wanted[1].isalpha() else float(wanted[1])
    values, std = model.get_translated(cells, to, depth=depth, uncertainty=True)
    return std if wanted[-1] == "std" else values


def is_as_then(model: scmomer.SCMOMER, wanted: list[str]) -> bool:
    """Whether a key was computed as today: heads without a depth term had no depth then.

    Half of the decoders had one, at twice the share that all have now, so that translations at the
    predicted depth are the same, but not their deviations.
    """
    return wanted != ["to_atac", "predicted", "std"] or not model.config.bridge.n_heads


@pytest.mark.parametrize("name", ["two", "three", "paper"])
def test_results_are_those_of_then(name, tmp_path):
    model = scmomer.load(HERE / f"{name}.scmomer")
    mdata = data(name, model)
    model.save(tmp_path / "again.scmomer")
    again = scmomer.load(tmp_path / "again.scmomer")
    expected = np.load(HERE / "expected.npz")
    keys = [key for key in expected.files if key.startswith(f"{name}/")]
    assert len(keys) > 30
    for key in keys:
        _, place, *wanted = key.split("/")
        cells = mdata[place].copy() if place in mdata.mod else mdata
        found = results(model, cells, wanted)
        if is_as_then(model, wanted):
            np.testing.assert_allclose(found[:6], expected[key], rtol=2e-4, atol=2e-5, err_msg=key)
        assert np.array_equal(found, results(again, cells, wanted), equal_nan=True), key
