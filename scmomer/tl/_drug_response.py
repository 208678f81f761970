"""Predict the response of cells to drugs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer.data import Profile, as_text, match_genes, read_values, warn
from scmomer.tasks.drugs import DrugResponseModel
from scmomer.tl._copy import own
from scmomer.tl._record import record

if TYPE_CHECKING:
    from scmomer.model import SCMOMER

logger = logging.getLogger(__name__)

KEY = "scmomer_drug_response"
_STRONG = 0.5  # correlation with library size
_FEW_CELLS = 20  # for a correlation
_DEPTH_COLUMNS = ("total_counts", "n_counts", "nCount_RNA")  # of scanpy, old scanpy, Seurat
_CALIBRATION = (
    "Standard deviations are calibrated on held-out cell lines and drugs of the training data, "
    "not on single cells."
)


def drug_response(
    adata: AnnData,
    model: DrugResponseModel | str | Path,
    drugs: pd.Series | Mapping[str, str] | pd.DataFrame | Sequence[str] | None = None,
    *,
    embedding_model: SCMOMER | str | Path | None = None,
    groupby: str | None = None,
    thresholds: Mapping[str, float] | pd.Series | pd.DataFrame | None = None,
    key_added: str = KEY,
    profile: Profile | None = None,
    layer: str | None = None,
    standardize: Literal["training", "query"] | None = None,
    on_invalid: Literal["raise", "skip"] = "raise",
    copy: bool = False,
) -> AnnData | None:
    """Predict the response of each cell to drugs, with a model trained on cell lines.

    For single cells predictions are relative: they rank the cells, and more surely groups of cells,
    for one drug. Nothing was measured on single cells, so that no accuracy can be given for them.

    Parameters
    ----------
    adata
        Profiles of cells or cell lines, ``(n_cells, n_genes)``. Genes are matched by name.
    model
        Trained model, or the path of a saved one.
    drugs
        Names of training drugs, SMILES by name for any drug, or None for all training drugs.
    embedding_model
        For a path of a model that reads embeddings: the model of these, or its path.
    groupby
        Column of obs: predict the mean profile of each group, too.
    thresholds
        Below which response a cell is sensitive, by name of drug, in the units of training (ln(uM)
        for concentrations); adds the probability.
    key_added
        Key in ``obsm`` and ``uns``, and prefix of the other keys. What an earlier run wrote under
        them is replaced, or removed if this one has no `thresholds` or `groupby`.
    profile
        What the values are, ``"counts"``, ``"normalized"`` or ``"zscore"``; None: as in training.
    layer
        Layer with the values; None for ``X``.
    standardize
        ``"training"``: genes in standard deviations of the training lines. ``"query"``: in those of
        these cells, so that predictions are relative to their mean; for single cells with a model
        of bulk lines. None: as in :meth:`scmomer.DrugResponseModel.predict`.
    on_invalid
        ``"skip"`` leaves out drugs with SMILES that cannot be read.
    copy
        Modify and return a copy of `adata`.

    Returns
    -------
    AnnData | None
        None, or the copy if `copy`. Adds:

        ``obsm[key_added]``
            Response in the units of training, DataFrame ``(n_cells, n_drugs)``, float32; smaller is
            more sensitive. ``/`` in a name of a drug becomes ``_``, as files cannot hold it.
        ``obsm[key_added + "_std"]``
            Standard deviation, likewise.
        ``obsm[key_added + "_sensitive"]``
            With `thresholds`: probability of a response below it, NaN without one, likewise.
        ``obs[key_added + "_distance"]``
            Distance to the nearest training line; above ``uns[key_added]["usual_distance"]`` further
            than 95 % of training lines are from each other.
        ``uns[key_added + "_groups"]``, ``uns[key_added + "_groups_std"]``
            With `groupby`: groups x drugs, of the mean profiles.
        ``uns[key_added]``
            ``units``; ``drugs`` (as given), ``is_training_drug`` and ``naive_mean``, the mean response
            of the training lines to each (NaN for new drugs), arrays ``(n_drugs,)``;
            ``training_drugs`` (names); ``n_training_lines``; ``n_genes`` of the training lines and
            ``n_genes_matched``; ``profile``; ``standardize``; ``usual_distance``;
            ``library_size_correlation`` over cells of the mean predicted response with log library
            size (NaN if unknown); ``calibration``, a sentence.
        ``uns["scmomer"]["drug_response"]``
            Parameters and id of the embedding model, if any.

    Raises
    ------
    TypeError
        If `model` is no model of response, `adata` is no AnnData, or `key_added` is no text.
    KeyError
        If there is no column `groupby`, or no layer.
    ValueError
        If a drug is unknown, fewer than half of the genes are there, a path comes without its
        embedding model, or `key_added` has a ``/``, with which files cannot be read back.

    Warns
    -----
    UserWarning
        If predictions follow library size (correlation above 0.5 or below -0.5), or cells or drugs
        are far from the training data.

    Notes
    -----
    Models trained on cell lines and applied to single cells: scDEAL (Chen et al., Nature
    Communications 13, 6494, 2022) and SCAD (Zheng et al., Advanced Science 10, 2023). Library size
    is the sum of counts, or a column of obs such as ``total_counts`` if values are no counts.

    Examples
    --------
    >>> scmomer.tl.drug_response(cells, model, groupby="cell_type", profile="counts")
    >>> cells.obs["Trametinib"] = cells.obsm["scmomer_drug_response"]["Trametinib"]
    >>> sc.pl.umap(cells, color="Trametinib")
    """
    model = _resolved(model, embedding_model)
    if not isinstance(adata, AnnData):
        msg = (
            f"Expected an AnnData of RNA, found {type(adata).__name__}. Of a MuData pass "
            "mdata['rna'], of a table of cells x genes `anndata.AnnData(table)`."
        )
        raise TypeError(msg)
    _check_key(key_added)
    options: dict[str, Any] = {
        "profile": profile,
        "layer": layer,
        "standardize": standardize,
        "on_invalid": on_invalid,
    }
    found = model.predict(adata, drugs, thresholds=thresholds, **options)
    groups = None if groupby is None else model.predict(adata, drugs, groupby=groupby, **options)
    description = _describe(model, adata, found, layer)
    adata = own(adata, copy)
    _write(adata, found, groups, key_added)
    adata.uns[key_added] = description
    record(
        adata,
        model.embedding_model,
        "drug_response",
        key_added=key_added,
        groupby=groupby,
        layer=layer,
        profile=description["profile"],
        standardize=description["standardize"],
        cell_inputs=model.cell_inputs,
        architecture=model.architecture,
    )
    return adata if copy else None


def _check_key(key: str) -> None:
    """Raise if files could not hold the key."""
    if not isinstance(key, str):
        msg = f"Expected key_added as text, found {key!r}. Pass a name such as {KEY!r}."
        raise TypeError(msg)
    if not key or "/" in key:
        msg = (
            f"Expected key_added without '/' and not empty, found {key!r}: files split keys at '/'. "
            f"Pass another name, such as {key.replace('/', '_') or KEY!r}."
        )
        raise ValueError(msg)


def _resolved(
    model: DrugResponseModel | str | Path, embedding_model: SCMOMER | str | Path | None
) -> DrugResponseModel:
    """Return a trained model, loaded if it is a path."""
    if isinstance(model, str | Path):
        return DrugResponseModel.load(model, embedding_model)
    if not isinstance(model, DrugResponseModel):
        msg = (
            f"Expected a DrugResponseModel or its path, found {type(model).__name__}. Run "
            "`model = scmomer.DrugResponseModel().fit(response, lines, smiles)`."
        )
        raise TypeError(msg)
    if embedding_model is not None:
        msg = (
            "Expected embedding_model= only with the path of a saved model, found it with a model, "
            "which has its own. Leave it out."
        )
        raise ValueError(msg)
    return model


def _describe(
    model: DrugResponseModel, adata: AnnData, found: AnnData, layer: str | None
) -> dict[str, Any]:
    """Return what ``uns`` holds, and log or warn of what users have to see."""
    fitted = model.fitted_
    made = found.uns[KEY]
    training = fitted.core.molecules
    number = pd.Index(training.smiles.astype(str)).get_indexer(found.var["smiles"].astype(str))
    naive = np.where(number >= 0, fitted.core.units.mean[number], np.nan)
    genes = fitted.reader.genes
    matched = np.asarray(match_genes(adata.var_names, genes).matrix.sum(0)).ravel() > 0
    correlation = _library_size_correlation(adata, found, made["profile"], layer)
    logger.info(
        "%d cells x %d drugs (%d new ones), from %d training lines; %d of %d genes. %s",
        *(found.n_obs, found.n_vars, (number < 0).sum(), len(fitted.lines)),
        *(matched.sum(), len(genes), _CALIBRATION),
    )
    if abs(correlation) > _STRONG:
        warn(
            f"Predictions follow library size: the mean predicted response of a cell has a "
            f"correlation of {correlation:.2f} with the log of its total count. Compare cells of "
            "similar depth, or groups (groupby=)."
        )
    return {
        "units": fitted.units,
        "drugs": _texts(found.var_names),
        "is_training_drug": number >= 0,
        "naive_mean": naive,
        "training_drugs": _texts(training.names),
        "n_training_lines": len(fitted.lines),
        "n_genes": len(genes),
        "n_genes_matched": int(matched.sum()),
        "profile": made["profile"],
        "standardize": made["standardize"],
        "usual_distance": fitted.usual_distance,
        "library_size_correlation": correlation,
        "calibration": _CALIBRATION,
    }


def _library_size_correlation(
    adata: AnnData, found: AnnData, profile: str, layer: str | None
) -> float:
    """Return the correlation of mean predictions with log library size; NaN if unknown."""
    if profile == "counts":
        total = np.asarray(read_values(adata, layer, "adata", "counts")[0].sum(1)).ravel()
    else:
        column = next((c for c in _DEPTH_COLUMNS if c in adata.obs), None)
        if column is None:
            return float("nan")
        total = pd.to_numeric(adata.obs[column], errors="coerce").to_numpy(np.float64)
    mean = found.X.mean(1)
    usable = np.isfinite(total) & (total > 0)
    x, y = np.log(total[usable]), mean[usable]
    if usable.sum() < _FEW_CELLS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _write(adata: AnnData, found: AnnData, groups: AnnData | None, key: str) -> None:
    """Write predictions into obsm, obs and uns, instead of those of an earlier run."""
    columns = _columns(found.var_names)
    adata.obsm.pop(f"{key}_sensitive", None)
    for name in (f"{key}_groups", f"{key}_groups_std"):
        adata.uns.pop(name, None)

    def table(values: Any, index: pd.Index) -> pd.DataFrame:
        return pd.DataFrame(np.asarray(values, np.float32), index=index, columns=columns)

    adata.obsm[key] = table(found.X, adata.obs_names)
    adata.obsm[f"{key}_std"] = table(found.layers["std"], adata.obs_names)
    if "sensitive" in found.layers:
        adata.obsm[f"{key}_sensitive"] = table(found.layers["sensitive"], adata.obs_names)
    adata.obs[f"{key}_distance"] = found.obs["distance"].to_numpy(np.float32)
    if groups is not None:
        adata.uns[f"{key}_groups"] = table(groups.X, groups.obs_names)
        adata.uns[f"{key}_groups_std"] = table(groups.layers["std"], groups.obs_names)


def _columns(names: pd.Index) -> pd.Index:
    """Return names of drugs as files can hold them."""
    columns = pd.Index(_texts(names)).str.replace("/", "_")
    if changed := int((columns != names).sum()):
        logger.info("%d names of drugs have / replaced by _ in the columns.", changed)
    if not columns.is_unique:
        twice = columns[columns.duplicated()][0]
        msg = (
            f"Expected names of drugs that differ without '/', found two that become {twice!r}. "
            "Pass drugs= with another name for one of them."
        )
        raise ValueError(msg)
    return columns


def _texts(names: pd.Index) -> np.ndarray:
    return np.array([as_text(name) for name in names], dtype=object)
