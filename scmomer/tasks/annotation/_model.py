"""``CellTypeClassifier``: cell types from the embeddings of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from scmomer._constants import RNA
from scmomer.data import Cells, Layers, called, check_container, examples
from scmomer.model import resolve_model
from scmomer.tasks.annotation._fine_tuning import with_own_network
from scmomer.tasks.annotation._fit import fit_classifier
from scmomer.tasks.annotation._fitted import FittedClassifier
from scmomer.tasks.annotation._inputs import (
    Inputs,
    Mode,
    Settings,
    cell_inputs,
    restrict_genes,
    select_cells,
)
from scmomer.tasks.annotation._io import read_classifier, write_classifier
from scmomer.tasks.annotation._labels import (
    LabelAssigner,
    Threshold,
    reference_labels,
    usable_labels,
)
from scmomer.tasks.annotation._module import ClassifierConfig

if TYPE_CHECKING:
    from scmomer.model import SCMOMER


class CellTypeClassifier(LabelAssigner):
    """Cell types from the embeddings of a trained model.

    The published protocol is a feed-forward head of three layers on the cell embedding. Beyond it,
    several heads, each with its own validation fold, are averaged. They also read the embeddings of
    the translation heads and components of expression. Beside them stand an L2 regression on the
    embedding and three regressions on log expression: L2, L1, and on 50 principal components. The
    probabilities are multiplied, each to the power of a weight. The weights are those under which
    the classes of held-out reference cells are most probable (stacking), so that what does not help
    on these data does not count. Held-out reference cells also give a threshold for unknown cells.

    Parameters
    ----------
    model
        Trained model, path of a saved one, or None for the one trained or loaded last. It is never
        changed.
    inputs
        ``"all"``: fused embedding, RNA embedding, those of the translation heads, and 50 components
        of the reference's expression.
        ``"embedding"``: the fused embedding alone, without regressions on expression.
    options
        Fields of ``ClassifierConfig`` to replace, for example ``n_members=1``.

    Raises
    ------
    RuntimeError
        If the model is not trained.

    Examples
    --------
    >>> classifier = scmomer.CellTypeClassifier(model).fit(reference, "cell_type")
    >>> types = classifier.predict(query)
    """

    def __init__(
        self, model: SCMOMER | str | Path | None = None, *, inputs: Inputs = "all", **options: Any
    ):
        self.model = resolve_model(model)
        self.model._check_trained()
        if inputs not in ("all", "embedding"):
            msg = f"Expected inputs 'all' or 'embedding', found {inputs!r}."
            raise ValueError(msg)
        known = sorted(ClassifierConfig().to_dict())
        if unknown := sorted(set(options) - set(known)):
            msg = f"Expected options among {known}, found {unknown}."
            raise ValueError(msg)
        self.inputs = inputs
        self.config = replace(ClassifierConfig(), **options)
        self.model_id = self.model.id
        # The network that embeds cells: the model's own, or a fine-tuned copy of it.
        self._network: SCMOMER = self.model

    @property
    def mode(self) -> Mode:
        """How this classifier was fitted, ``"frozen"`` before."""
        return "frozen" if self._fitted is None else self._fitted.mode

    @property
    def classes_(self) -> np.ndarray:
        """Names of the classes, sorted, ``(n_classes,)``."""
        return self.fitted_.classes

    @property
    def held_out_(self) -> np.ndarray:
        """Largest probability of each held-out reference cell, sorted, ``(n,)``."""
        return self.fitted_.held_out

    @property
    def class_report_(self) -> pd.DataFrame:
        """How well held-out reference cells of each class are annotated, the lowest F1 first.

        Each cell is judged by classifiers that were not fitted to it; only their weights, two to
        five numbers, were. A query of another batch or assay will do worse.

        ``n_cells``
            Held-out cells of the class.
        ``precision``, ``recall``, ``f1``
            From 0 to 1; NaN where there is nothing to divide by.
        ``confidence``
            Mean probability of the cells that are given the class; calibrated if it is the
            precision.
        ``confused_with``
            The class that most of its other cells are given, ``""`` if there are none.
        """
        return self.fitted_.class_report.copy()

    def _set_fitted(self, fitted: FittedClassifier) -> None:
        self._fitted, self.model_id = fitted, fitted.model_id
        tuned = fitted.mode == "finetune"
        self._network = with_own_network(self.model, fitted.network) if tuned else self.model

    # -- training

    def fit(
        self,
        reference: AnnData | MuData,
        labels: str | Sequence[str] | np.ndarray | pd.Series,
        *,
        mode: Mode = "frozen",
        modalities: Sequence[str] | None = None,
        genes: Sequence[str] | pd.Index | None = None,
        batch_size: int | None = None,
        **layers: Unpack[Layers],
    ) -> CellTypeClassifier:
        """Train on labeled cells.

        Parameters
        ----------
        reference
            AnnData of one modality or MuData, with raw counts. Needs no set-up.
        labels
            Column of obs with the cell types, or one label for each cell.
        mode
            ``"frozen"`` trains heads on embeddings that are computed once. ``"finetune"`` then
            also trains the last block and the final norms of the RNA encoder, on a copy of the
            network: the model is not changed.
        modalities
            Modalities to read, in the reference and in queries that have one of them; None for
            all modalities of the reference.
        genes
            Genes to read; counts of other genes are ignored in reference and queries. None: all.
        batch_size
            Cells to embed at a time, default :attr:`scvi.settings.batch_size`.
        layers
            Where values are, and of what kind, as in
            :meth:`scmomer.SCMOMER.get_latent_representation`.

        Returns
        -------
        CellTypeClassifier
            Itself, trained. On a CPU, a fit repeats exactly with the same
            :attr:`scvi.settings.seed`.

        Raises
        ------
        KeyError
            If there is no such column.
        ValueError
            If labels are missing, or fewer than two classes have two cells.

        Warns
        -----
        UserWarning
            If classes with a single cell are left out; it names them.
        """
        if mode not in ("frozen", "finetune"):
            msg = f"Expected mode 'frozen' or 'finetune', found {mode!r}."
            raise ValueError(msg)
        with called("reference", keep=True):
            check_container(reference)
            names = reference_labels(reference, labels)
            kept = usable_labels(names)
            read_genes = None if genes is None else self._check_genes(genes)
            cells = select_cells(self._read(reference, layers, read_genes), kept)
        chosen = _check_modalities(modalities, cells)
        if mode == "finetune" and RNA not in chosen:
            msg = (
                "Expected RNA in the reference to fine-tune the RNA encoder, found "
                f"{list(chosen)}. Pass mode='frozen'."
            )
            raise ValueError(msg)
        settings = Settings(
            inputs=self.inputs, mode=mode, modalities=chosen, genes=read_genes, config=self.config
        )
        self._set_fitted(fit_classifier(self.model, cells, names[kept], settings, batch_size))
        return self

    def _check_genes(self, genes: Sequence[str] | pd.Index) -> pd.Index:
        """Return genes to read; raise if the model has none of them."""
        names = pd.Index([genes] if isinstance(genes, str) else genes)
        known = self.model.spec.features.get(RNA, pd.Index([]))
        if not names.isin(known).any():
            msg = (
                f"Expected genes= among those of the model ({examples(known)}), found none among "
                f"{len(names)} ({examples(names)}). Pass names in model.spec.features['rna']."
            )
            raise ValueError(msg)
        return names

    def _read(
        self, data: AnnData | MuData, layers: Mapping[str, Any], keep: pd.Index | None
    ) -> Cells:
        cells = self.model._read_cells(data, layers)
        genes = self.model.spec.features.get(RNA)
        return cells if genes is None else restrict_genes(cells, genes, keep)

    # -- prediction

    def predict(
        self,
        query: AnnData | MuData,
        *,
        unknown_threshold: Threshold = None,
        batch_size: int | None = None,
        **layers: Unpack[Layers],
    ) -> np.ndarray:
        """Return the most probable class of each cell, as text, ``(n_cells,)``.

        Parameters
        ----------
        query
            AnnData or MuData with raw counts. Needs no set-up and no labels.
        unknown_threshold
            Cells whose largest probability is below it are ``"unknown"``. ``"auto"`` also applies
            to cells far from the reference; see :meth:`threshold`.
        batch_size
            Cells at a time. Does not change results.
        layers
            As in :meth:`fit`.
        """
        probabilities, novelty = self.annotate(query, batch_size=batch_size, **layers)
        return self.assign_labels(probabilities.to_numpy(), unknown_threshold, novelty)

    def predict_proba(
        self, query: AnnData | MuData, *, batch_size: int | None = None, **layers: Unpack[Layers]
    ) -> pd.DataFrame:
        """Return class probabilities, cells x classes; arguments as in :meth:`predict`."""
        return self.annotate(query, batch_size=batch_size, **layers)[0]

    def novelty(
        self, query: AnnData | MuData, *, batch_size: int | None = None, **layers: Unpack[Layers]
    ) -> np.ndarray:
        """Return the distance of cells to the types of the reference, ``(n_cells,)``, at least 0.

        Mahalanobis distance of the fused embedding to the mean of the nearest class, with the
        covariance of cells within classes, divided by that of the median reference cell: typical
        cells have 1. Arguments as in :meth:`predict`.
        """
        return self.annotate(query, batch_size=batch_size, **layers)[1]

    def annotate(
        self, query: AnnData | MuData, *, batch_size: int | None = None, **layers: Unpack[Layers]
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Return :meth:`predict_proba` and :meth:`novelty`, computed together."""
        fitted = self.fitted_
        with called("query"):
            check_container(query)
            cells = self._read(query, layers, fitted.genes)
        found = cell_inputs(self._network, cells, fitted, batch_size, fitted.pcs)
        values = fitted.predict_proba(found, cells)
        frame = pd.DataFrame(values, index=query.obs_names, columns=fitted.classes)
        return frame, fitted.mahalanobis.novelty(found.z)

    # -- files

    def check_model(self, model: SCMOMER) -> None:
        """Raise ValueError unless `model` is the one that this classifier was trained on."""
        if model.id != self.model_id:
            msg = (
                f"Expected the model {self.model_id} that this classifier was trained on, found "
                f"{model.id}. Load that model, or fit a new classifier."
            )
            raise ValueError(msg)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write weights (safetensors) and everything else (JSON) into a folder.

        The folder does not contain the model: save it too.

        Parameters
        ----------
        path
            The folder, for example ``"cortex.types"``.
        overwrite
            Replace an existing classifier folder; anything else is never replaced.

        Raises
        ------
        FileExistsError
            If the folder exists and `overwrite` is false, or it is not a classifier folder.
        RuntimeError
            If the classifier is not trained.
        """
        write_classifier(self.fitted_, Path(path), overwrite)

    @classmethod
    def load(
        cls, path: str | Path, model: SCMOMER | str | Path | None = None
    ) -> CellTypeClassifier:
        """Load a folder that :meth:`save` wrote; executes nothing from it.

        Parameters
        ----------
        path
            The folder.
        model
            The model that the classifier was trained on, its path, or None for the one used last.

        Raises
        ------
        FileNotFoundError
            If there is no such folder, or it lacks a file.
        ValueError
            If it is damaged, or `model` is not the one that the classifier was trained on.
        """
        fitted = read_classifier(Path(path))
        made = cls(model, inputs=fitted.inputs, **fitted.config.to_dict())
        made.model_id = fitted.model_id
        made.check_model(made.model)
        made._set_fitted(fitted)
        return made


def _check_modalities(modalities: Sequence[str] | None, cells: Cells) -> tuple[str, ...]:
    """Return the modalities to read; raise if the reference lacks one."""
    given = (modalities,) if isinstance(modalities, str) else modalities
    chosen = tuple(cells.counts if given is None else given)
    if not chosen or set(chosen) - set(cells.counts):
        msg = (
            f"Expected modalities of the reference, among {list(cells.counts)}, found {modalities}."
        )
        raise ValueError(msg)
    return chosen
