"""No warning of another package that scmomer causes."""

from __future__ import annotations

import warnings

import scmomer
from scmomer._compat import keep_obs

# Raised by mudata 0.4 on pandas 3 in every MuData that anyone builds, and by anndata 0.12 there.
_OF_OTHERS = (
    "The inplace keyword in DataFrame.drop",
    "The 'future.infer_string' option",
    "The 'mode.chained_assignment' option",
)


def test_a_whole_analysis_warns_of_nothing(make_model, train, tmp_path):
    """From data to results; tests of each step would pass where pytest is told to be silent."""
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning, PendingDeprecationWarning):
            warnings.simplefilter("error", category)
        for text in _OF_OTHERS:
            warnings.filterwarnings("ignore", text)
        mdata = scmomer.datasets.synthetic(n_cells=120, n_genes=60, n_peaks=200, n_proteins=5)
        with keep_obs():
            mosaic = mdata.copy()
            del mdata.mod["protein"]
            mdata.update()
        model = make_model(mdata, {"batch_key": "batch", "labels_key": "cell_type"})
        model.pretrain(mdata["rna"], modality="rna", max_epochs=1, enable_progress_bar=False)
        train(model, resume=True)
        scmomer.tl.embed(mdata, model)
        scmomer.tl.annotate(mdata, mdata, labels_key="cell_type", model=model)
        scmomer.tl.rank_peaks(mdata, "cell_type")
        scmomer.tl.rank_peaks(mdata, "cell_type", method="wilcoxon")
        scmomer.tl.map_to_reference(mdata["rna"].copy(), mdata, model=model)
        for verb in (scmomer.tl.translate_atac, scmomer.tl.translate_rna):
            assert verb(mdata, model, copy=True) is not mdata
        model.save(tmp_path / "model")
        loaded = scmomer.load(tmp_path / "model")
        assert loaded.load_query_data(mdata, batch_key="state").spec.query_batches
        paired = scmomer.pp.pair_cells(
            mdata["rna"], mdata["atac"], on="labels", labels_key="cell_type"
        )
        scmomer.pp.align_peaks(mdata["atac"], list(mdata["atac"].var_names[:30]))
        scmomer.pp.align_genes(mdata["rna"], list(mdata["rna"].var_names[:30]))
        scmomer.pp.bin_genome(mdata["atac"], 5000)
        train(make_model(mosaic))
    assert paired.n_obs and "X_scmomer" in mdata.obsm
