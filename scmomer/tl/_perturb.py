"""Predict pseudobulks after perturbations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from anndata import AnnData

from scmomer.data import Profile, obs_column
from scmomer.tasks.genes import Embeddings, GeneSets
from scmomer.tasks.perturbation import PerturbationModel, find_controls

if TYPE_CHECKING:
    from scmomer.model import SCMOMER

Method = Literal["auto", "kernel", "mean", "additive", "network"]


def perturb(
    adata: AnnData,
    perturbations: str | Iterable[str | Sequence[str]] | None = None,
    fitted: PerturbationModel | str | Path | None = None,
    *,
    perturbation_key: str | None = None,
    control: str | Sequence[str] | None = None,
    batch_key: str | None = None,
    groupby: str | None = None,
    method: Method = "auto",
    model: SCMOMER | str | Path | None = None,
    gene_sets: GeneSets | None = None,
    gene_embeddings: Embeddings | Literal["model"] | None = "model",
    network: bool = True,
    layer: str | None = None,
    profile: Profile = "counts",
) -> AnnData:
    """Predict expression after perturbations, also ones that were never done.

    Without `fitted`, a :class:`scmomer.PerturbationModel` is trained on the screen `adata`.

    Parameters
    ----------
    adata
        Cells of a screen x genes. With `fitted`: cells whose control cells are to be perturbed; all
        of them without `perturbation_key`.
    perturbations
        Such as ``["STAT1", "JAK2+IRF1"]``; None for those of training.
    fitted
        Trained model, or the path of a saved one, in place of training.
    perturbation_key
        Column of obs with what was done to each cell.
    control
        Name of control cells; None to find usual ones.
    batch_key
        Column of replicates, within which cells are compared with control cells.
    groupby
        Column of groups, such as cell types, each of which is predicted.
    method
        ``"auto"`` for what predicts held-out training perturbations best, or ``"kernel"``,
        ``"mean"``, ``"additive"``, ``"network"``.
    model
        Trained :class:`scmomer.SCMOMER`, or its path: embeds groups, and genes.
    gene_sets
        GMT file, or genes by term: what perturbed genes have in common.
    gene_embeddings
        As in :class:`scmomer.PerturbationModel`.
    network
        Whether ``"auto"`` tries the network, which takes most of the time.
    layer, profile
        Where values are and what they are, ``"counts"`` or ``"normalized"``.

    Returns
    -------
    AnnData
        A row for each perturbation and group, as of :meth:`scmomer.PerturbationModel.predict`:
        ``X`` (predicted pseudobulks), ``layers["change"]``, ``layers["std"]``, ``obs["perturbation"]``,
        ``obs["group"]``, ``obs["status"]``, ``obs["method"]``. ``uns["scmomer_perturbation"]``:
        ``methods``, and ``validation``, the table :attr:`scmomer.PerturbationModel.validation_`.

    Raises
    ------
    TypeError
        If `fitted` is no model of perturbations.
    ValueError
        If options of training come with `fitted`, or as in
        :meth:`scmomer.PerturbationModel.fit` and :meth:`scmomer.PerturbationModel.predict`.
    KeyError
        If there is no such column.

    Notes
    -----
    Changes are about control cells of the same group and replicate. On screens of few perturbations
    no method predicts changes of genes about which nothing is known: read ``obs["status"]`` and the
    validation table before the predictions.

    Examples
    --------
    >>> predicted = scmomer.tl.perturb(
    ...     cells, ["STAT1", "STAT1+IRF1"], perturbation_key="gene", gene_sets="go_bp.gmt"
    ... )
    >>> predicted.obs["status"]
    """
    if fitted is None:
        trained = PerturbationModel(
            model,
            gene_sets=gene_sets,
            gene_embeddings=gene_embeddings,
            method=method,
            network=network,
        )
        trained.fit(
            adata,
            perturbation_key=perturbation_key,
            control=control,
            batch_key=batch_key,
            groupby=groupby,
            layer=layer,
            profile=profile,
        )
        found = trained.predict(perturbations)
    else:
        trained = _resolved(fitted, model, gene_sets, batch_key)
        found = trained.predict(
            perturbations,
            control_cells=_controls(adata, perturbation_key, control),
            groupby=groupby,
            layer=layer,
            profile=profile,
            method=None if method == "auto" else method,
        )
    found.uns["scmomer_perturbation"]["validation"] = trained.validation_
    return found


def _resolved(
    fitted: PerturbationModel | str | Path,
    model: SCMOMER | str | Path | None,
    gene_sets: GeneSets | None,
    batch_key: str | None,
) -> PerturbationModel:
    """Return a trained model, loaded if it is a path."""
    extra = {"gene_sets": gene_sets, "batch_key": batch_key}
    if not isinstance(fitted, str | Path):
        extra["model"] = model
    if given := [name for name, value in extra.items() if value is not None]:
        msg = (
            f"Expected no {given[0]}= with a trained model, which has its own, found one. Leave it "
            "out, or leave out fitted= to train."
        )
        raise ValueError(msg)
    if isinstance(fitted, str | Path):
        return PerturbationModel.load(fitted, model)
    if not isinstance(fitted, PerturbationModel):
        msg = (
            f"Expected fitted as a PerturbationModel or its path, found {type(fitted).__name__}. Run "
            "`fitted = scmomer.PerturbationModel().fit(cells, perturbation_key=...)`."
        )
        raise TypeError(msg)
    return fitted


def _controls(
    adata: AnnData, perturbation_key: str | None, control: str | Sequence[str] | None
) -> AnnData:
    """Return the unperturbed cells."""
    if perturbation_key is None:
        return adata
    labels = obs_column(adata, perturbation_key, "perturbation_key=")
    found = find_controls(labels, control, place=f"adata.obs[{perturbation_key!r}]")
    return adata[np.flatnonzero(found)]
