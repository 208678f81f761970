"""``PerturbationModel``: changes of expression by perturbations that were never done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scmomer.data import Profile
from scmomer.tasks.perturbation.model._fit import fit_effects
from scmomer.tasks.perturbation.model._io import read_model, write_model
from scmomer.tasks.perturbation.model._options import (
    Method,
    PerturbationOptions,
    check_method,
    embed_groups,
)
from scmomer.tasks.perturbation.model._query import control_profiles, describe_rows, queries
from scmomer.tasks.perturbation.screen._cells import read_screen_cells
from scmomer.tasks.perturbation.screen._effects import Effects
from scmomer.tasks.perturbation.screen._names import Control, control_names

if TYPE_CHECKING:
    from scmomer.model import SCMOMER


class PerturbationModel(PerturbationOptions):
    """Change of expression by perturbations of genes, or by others in new groups of cells.

    Pseudobulk changes about matched control cells are predicted; the change of a training
    perturbation is what was measured. A new one is predicted by one of

    - ``"kernel"``: ridge regression about a share of the training mean. A perturbed gene has
      effects of the gene sets that it is in (which sets tell is learned from the screen), of its
      embedding, and its own; a combination has the shrunken sum of effects of its parts, which other
      combinations tell, too;
    - ``"network"``: a network in the manner of GEARS, trained on pseudobulk changes, whose
      output is the change about the training mean;
    - ``"additive"``: the sum of the changes by the parts, with the training mean for parts that
      were not seen alone;
    - ``"mean"``: the training mean.

    ``"auto"`` takes the kernel unless another is better on held-out training perturbations by a
    standard error; see :attr:`methods_` and :attr:`validation_`. The same perturbation in a new group
    of cells (a cell type, a donor) is the mean of the other groups, weighted by the similarity of
    their control cells.

    Parameters
    ----------
    embedding_model
        Trained :class:`scmomer.SCMOMER`, or the path of a saved one: embeds groups of control cells,
        and genes. It is never changed.
    gene_sets
        GMT file (``.gmt`` or ``.gmt.gz``), or genes by term: what perturbed genes have in common.
    gene_embeddings
        Table of genes x dimensions, as in :func:`scmomer.tl.gene_property`; ``"model"`` for the
        vectors of genes of `embedding_model`, if there is one; None for none.
    method
        ``"auto"``, or one of the above.
    network
        Whether ``"auto"`` tries the network, which takes most of the time.
    epochs
        Passes of the network over training perturbations.

    Raises
    ------
    ValueError
        If an option is unknown.

    Notes
    -----
    Network: GEARS (Roohani et al., Nature Biotechnology 42, 927, 2024), with index tensors, features
    in place of free vectors of perturbed genes, and a smooth term of direction. Why simple
    predictions come first: Ahlmann-Eltze et al., Nature Methods 22, 1657, 2025.

    Examples
    --------
    >>> model = scmomer.PerturbationModel(gene_sets="go_bp.gmt")
    >>> model.fit(cells, perturbation_key="gene", control="non-targeting")
    >>> predicted = model.predict(["STAT1", "JAK2+IRF1"])
    >>> predicted.to_df("change")
    """

    # -- training

    def fit(
        self,
        data: AnnData | Effects,
        *,
        perturbation_key: str | None = None,
        control: Control = None,
        batch_key: str | None = None,
        groupby: str | None = None,
        layer: str | None = None,
        profile: Profile = "counts",
        target_sum: float | None = None,
        separator: str | None = None,
        min_cells: int = 1,
    ) -> PerturbationModel:
        """Train on a screen.

        Parameters
        ----------
        data
            Cells x genes, or changes by :func:`~scmomer.tasks.perturbation.read_screen`.
        perturbation_key
            Column of obs with what was done to each cell: ``"A"``, ``"A+ctrl"``, ``"A+B"``.
        control
            Name of control cells; None to find usual ones.
        batch_key
            Column of replicates, within which cells are compared with control cells.
        groupby
            Column of groups, such as cell types, each with control cells.
        layer, profile
            Where values are and what they are, ``"counts"`` or ``"normalized"``.
        target_sum
            Total to which cells are scaled before ``log1p``; None for the median.
        separator
            Between parts of a combination; None to find ``"+"`` or ``"_"``.
        min_cells
            Perturbations with fewer cells are left out.

        Returns
        -------
        PerturbationModel
            Itself, trained. Repeats exactly with the same :attr:`scvi.settings.seed`.

        Raises
        ------
        KeyError
            If there is no such column.
        ValueError
            If there are no control cells, labels are missing, or values are not what `profile` says.
        """
        groups: AnnData | None = None
        if isinstance(data, Effects):
            effects, total = data, float("nan") if target_sum is None else target_sum
        else:
            if perturbation_key is None:
                msg = (
                    "Expected perturbation_key=, the column with perturbations, found none. Pass "
                    "the name of a column of obs."
                )
                raise ValueError(msg)
            cells = read_screen_cells(
                data,
                perturbation_key=perturbation_key,
                control=control,
                batch_key=batch_key,
                groupby=groupby,
                layer=layer,
                profile=profile,
                target_sum=target_sum,
                separator=separator,
                min_cells=min_cells,
            )
            effects, total = cells.effects(), cells.target_sum
            if groupby is not None and self.embedding_model is not None:
                groups = data[cells.is_control]
        self._fitted = fit_effects(
            effects,
            self._known(),
            self._contexts(effects, groups, groupby),
            self._settings(),
            target_sum=total,
            model_id=None if self.embedding_model is None else self.embedding_model.id,
        )
        self._embedded = groups is not None
        self._controls = control_names(control)
        return self

    # -- prediction

    def predict(
        self,
        perturbations: str | Iterable[str | Sequence[str]] | None = None,
        *,
        groups: Sequence[str] | None = None,
        control_cells: AnnData | None = None,
        groupby: str | None = None,
        layer: str | None = None,
        profile: Profile = "counts",
        method: Method | None = None,
    ) -> AnnData:
        """Predict pseudobulks after perturbations.

        Parameters
        ----------
        perturbations
            Such as ``"A"`` and ``"A+B"`` or ``("A", "B")``; None for those of training.
        groups
            Groups of training to predict; None for all of them, or for those of `control_cells`.
        control_cells
            Unperturbed cells of new groups.
        groupby
            Column of `control_cells` with groups.
        layer, profile
            Where values of `control_cells` are and what they are.
        method
            For new perturbations, in place of the chosen one: ``"kernel"``, ``"mean"``,
            ``"additive"``, or ``"network"`` if one was trained.

        Returns
        -------
        AnnData
            A row for each perturbation and group, ``(n_perturbations * n_groups, n_genes)``, with
            genes of the screen. ``X``: predicted pseudobulk (mean of ``log1p`` of scaled counts).
            ``layers["change"]``: about control cells. ``layers["std"]``: standard deviation of
            the difference of a predicted from an observed change, calibrated on held-out training
            perturbations. ``obs``: ``perturbation``, ``group``, ``status`` (``"seen"``,
            ``"unseen_single"``, ``"combo_seen0"``, ``"combo_seen1"``, ``"combo_seen2"``,
            ``"out_of_graph"``), ``group_seen``, ``method`` (``"observed"`` for training rows,
            ``"other groups"``, or the method). ``uns["scmomer_perturbation"]``: options.

        Raises
        ------
        ValueError
            If a perturbation has no name or is the control, several are joined by anything but
            ``"+"``, a group is unknown, a method is unknown, or no network was trained.

        Warns
        -----
        UserWarning
            If parts are not known in gene sets, embeddings or the screen: what is predicted for
            them is the part of the training mean that validation kept. If `control_cells` lack
            training genes.
        """
        fitted = self.fitted_
        if method is not None:
            check_method(method)
        if method == "network" and fitted.network is None:
            msg = (
                "Expected a model with a network for method='network', found one without. Fit with "
                "PerturbationModel(method='network'), or pass another method."
            )
            raise ValueError(msg)
        if method == "auto":
            method = None
        controls, values = control_profiles(fitted, groups, control_cells, groupby, layer, profile)
        if control_cells is not None and self._embedded:
            assert self.embedding_model is not None
            if groupby is not None:
                values = embed_groups(self.embedding_model, control_cells, groupby)
        parts, names = queries(fitted, perturbations, list(controls), self._controls)
        found = fitted.predict(parts, names, values, method)
        obs = describe_rows(fitted, parts, names, found)
        result = AnnData(
            (np.stack([controls[name] for name in names]) + found.change).astype(np.float32),
            obs=obs,
            var=pd.DataFrame(index=fitted.effects.genes.astype(str)),
        )
        result.layers["change"] = found.change.astype(np.float32)
        result.layers["std"] = found.std.astype(np.float32)
        result.uns["scmomer_perturbation"] = {
            "methods": self.methods_,
            "n_training": len(set(fitted.effects.parts)),
            "target_sum": fitted.target_sum,
        }
        return result

    # -- files

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write weights (safetensors) and everything else (JSON) into a folder.

        The folder does not contain the embedding model: save it too.

        Parameters
        ----------
        path
            The folder, for example ``"screen.perturbation"``.
        overwrite
            Replace an existing folder of this kind; anything else is never replaced.
        """
        options: dict[str, Any] = {
            "method": self.method,
            "network": self.network,
            "epochs": self.epochs,
            "embedded": self._embedded,
            "controls": sorted(self._controls),
        }
        write_model(self.fitted_, options, Path(path), overwrite)

    @classmethod
    def load(
        cls, path: str | Path, embedding_model: SCMOMER | str | Path | None = None
    ) -> PerturbationModel:
        """Load a folder that :meth:`save` wrote; executes nothing from it.

        Parameters
        ----------
        path
            The folder.
        embedding_model
            The model whose embeddings were read in training, or its path.

        Raises
        ------
        FileNotFoundError
            If there is no such folder, or it lacks a file.
        ValueError
            If it is damaged, or `embedding_model` is not the one of training.
        """
        fitted, options = read_model(Path(path))
        embedded, controls = options.pop("embedded"), frozenset(options.pop("controls", ()))
        made = cls(embedding_model, **options)
        found = None if made.embedding_model is None else made.embedding_model.id
        if found != fitted.model_id:
            wanted = "no embedding model" if fitted.model_id is None else fitted.model_id
            remedy = (
                "Leave out embedding_model=."
                if fitted.model_id is None
                else "Pass it as embedding_model=, or fit again."
            )
            msg = (
                f"Expected {wanted}, with which this perturbation model was trained, found "
                f"{found or 'none'}. {remedy}"
            )
            raise ValueError(msg)
        made._fitted, made._knowledge, made._embedded = fitted, fitted.knowledge, embedded
        made._controls = controls
        return made
