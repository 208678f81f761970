"""``CellTypeClassifier``: cell types from the embeddings of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from scmomer._constants import RNA
from scmomer.data import Cells, Layers, called, check_container, examples, with_values
from scmomer.model import resolve_model
from scmomer.tasks.annotation._expression_pcs import ExpressionPCs
from scmomer.tasks.annotation._fine_tuning import detached, fine_tuned
from scmomer.tasks.annotation._gene_classifiers import (
    GeneVotes,
    held_out_votes,
    share_of_genes,
    with_votes,
)
from scmomer.tasks.annotation._inputs import (
    CellInputs,
    Inputs,
    cell_inputs,
    check_labels,
    labels_by_cell,
    read_labels,
    restrict,
)
from scmomer.tasks.annotation._io import ClassifierFile, read_classifier, write_classifier
from scmomer.tasks.annotation._labels import NamesCells, Threshold
from scmomer.tasks.annotation._module import ClassifierConfig, ClassifierModule
from scmomer.tasks.annotation._novelty import ClassCentres
from scmomer.tasks.annotation._train import seeded, train_heads

if TYPE_CHECKING:
    from scmomer.model import SCMOMER


class CellTypeClassifier(NamesCells):
    """Cell types from the embeddings of a trained model.

    The published protocol is a feed-forward head of three layers on the cell embedding. New are:
    several heads, each with a validation fold of its own, whose probabilities are averaged; inputs
    that hold what the translation heads see in a cell, and components of its expression, beside the
    fused embedding; the votes of two simple classifiers on single genes (logistic regression and
    naive Bayes), which together count ``gene_votes`` or what suits held-out cells better; a
    threshold for unknown cells from reference cells that were held out from training.

    Parameters
    ----------
    model
        Trained model, path of a saved one, or None for the one trained or loaded last. It is never
        changed.
    inputs
        ``"all"``: fused embedding, RNA embedding, those of the translation heads, and 50 components
        of the reference's expression.
        ``"embedding"``: the fused embedding alone, without votes of genes, as published.
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

    classes_: np.ndarray
    """Names of the classes, sorted, ``(n_classes,)``."""
    held_out_: np.ndarray
    """Largest probability of reference cells that were held out from training, ``(n,)``, sorted."""

    def __init__(
        self,
        model: SCMOMER | str | Path | None = None,
        *,
        inputs: Inputs = "all",
        **options: Any,
    ):
        self.model = resolve_model(model)
        self.model._check_trained()
        if inputs not in ("all", "embedding"):
            msg = f"Expected inputs 'all' or 'embedding', found {inputs!r}."
            raise ValueError(msg)
        unknown = sorted(set(options) - set(ClassifierConfig().to_dict()))
        if unknown:
            known = sorted(ClassifierConfig().to_dict())
            msg = f"Expected options among {known}, found {unknown}."
            raise ValueError(msg)
        self.inputs = inputs
        self.config = replace(ClassifierConfig(), **options)
        self.model_id = self.model.id
        self.mode: Literal["frozen", "finetune"] = "frozen"
        self.modalities_: tuple[str, ...] | None = None
        self.genes_: pd.Index | None = None
        self.heads_: ClassifierModule | None = None
        self.centres_: ClassCentres | None = None
        self.pcs_: ExpressionPCs | None = None
        self.votes_: GeneVotes | None = None
        self.gene_share_ = 0.0
        self.fine_epoch_ = 0
        # The network that embeds cells: the model's own, or a fine-tuned copy of it.
        self._network: SCMOMER = self.model

    # -- training

    def fit(
        self,
        reference: AnnData | MuData,
        labels: str | Sequence[str] | np.ndarray | pd.Series,
        *,
        mode: Literal["frozen", "finetune"] = "frozen",
        modalities: Sequence[str] | None = None,
        genes: Sequence[str] | pd.Index | None = None,
        batch_size: int | None = None,
        **layers: Unpack[Layers],
    ) -> CellTypeClassifier:
        """Train on labelled cells.

        Parameters
        ----------
        reference
            AnnData of one modality or MuData, with raw counts. Needs no set-up.
        labels
            Column of obs with the cell types, or one label for each cell.
        mode
            ``"frozen"`` trains heads on embeddings that are computed once. ``"finetune"`` then
            trains also the last block and the final norms of the RNA encoder, on a copy of the
            network: the model stays as it is.
        modalities
            Modalities to read, of the reference and of queries that have one of them; None for
            all of the reference.
        genes
            Genes to read; counts of the others are left out in reference and queries. None: all.
        batch_size
            Cells to embed at a time, default :attr:`scvi.settings.batch_size`.
        layers
            Where counts are, as in :meth:`scmomer.SCMOMER.get_latent_representation`.

        Returns
        -------
        CellTypeClassifier
            This one, trained. A fit repeats exactly on a CPU; :attr:`scvi.settings.seed` makes another.

        Raises
        ------
        KeyError
            If there is no such column.
        ValueError
            If labels are missing, of one class only, or one class has a single cell.
        """
        if mode not in ("frozen", "finetune"):
            msg = f"Expected mode 'frozen' or 'finetune', found {mode!r}."
            raise ValueError(msg)
        with called("reference", keep=True):
            check_container(reference)
            given = read_labels(reference, labels) if isinstance(labels, str) else labels
            if isinstance(given, pd.Series):
                given = labels_by_cell(given, reference.obs_names)
            drop = with_values(reference, labels) if isinstance(labels, str) else None
            names = check_labels(given, reference.n_obs, drop)
            self.mode, self._network = mode, self.model
            self.genes_ = None if genes is None else self._known_genes(genes)
            cells = self._read(reference, layers)
        self.modalities_ = self._checked(modalities, cells)
        self.classes_, codes = np.unique(names, return_inverse=True)
        if mode == "finetune" and RNA not in self.modalities_:
            msg = (
                "Expected RNA in the reference to fine-tune the RNA encoder, found "
                f"{list(self.modalities_)}. Pass mode='frozen'."
            )
            raise ValueError(msg)
        self.pcs_ = None
        if self.inputs == "all" and RNA in self.modalities_:
            some = cells.counts[RNA][cells.measured[RNA]]
            self.pcs_ = ExpressionPCs.of(some, self.model.target_sum)
        found = self._embed(cells, batch_size)
        by_heads, held_out = self._fit_heads(found, torch.from_numpy(codes))
        if mode == "finetune":
            by_heads = self._fine_tune(cells, torch.from_numpy(codes), held_out)
            found = self._embed(cells, batch_size)
        self.votes_ = None
        if self.inputs == "all" and RNA in self.modalities_ and self.config.gene_votes > 0:
            size = len(self.classes_), self.model.target_sum
            self.votes_ = GeneVotes.of_measured(cells, codes, *size)
            by_genes = held_out_votes(cells, codes, *size)[held_out]
            self.gene_share_ = share_of_genes(
                by_heads, by_genes, codes[held_out], self.config.gene_votes
            )
            by_heads = with_votes(by_heads, by_genes, self.gene_share_)
        self.held_out_ = np.sort(by_heads.max(1))
        self.centres_ = ClassCentres.of(found.z, codes)
        return self

    def _known_genes(self, genes: Sequence[str] | pd.Index) -> pd.Index:
        """Return genes to read; raise if the model has none of them."""
        names, known = pd.Index([genes] if isinstance(genes, str) else genes), self.model.spec
        of_model = known.features.get(RNA, pd.Index([]))
        if not names.isin(of_model).any():
            msg = (
                f"Expected genes= among those of the model ({examples(of_model)}), found none among "
                f"{len(names)} ({examples(names)}). Pass names in model.spec.features['rna']."
            )
            raise ValueError(msg)
        return names

    def _checked(self, modalities: Sequence[str] | None, cells: Cells) -> tuple[str, ...]:
        there = tuple(cells.counts)
        given = (modalities,) if isinstance(modalities, str) else modalities
        chosen = there if given is None else tuple(given)
        if not chosen or set(chosen) - set(there):
            msg = f"Expected modalities of the reference, among {list(there)}, found {modalities}."
            raise ValueError(msg)
        return chosen

    def _fit_heads(self, found: CellInputs, codes: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Train new heads.

        Return what each says of the cells that it held out, ``(n_held_out, n_classes)``, and which
        these are, ``(n,)`` bool.
        """
        x = torch.from_numpy(found.values)
        with seeded():
            heads = ClassifierModule(x.shape[1], len(self.classes_), found.n_sure, self.config)
        # Fine-tuning needs cells that no head was trained on.
        out, self.epochs_ = train_heads(
            heads, x, codes, self.config, one_fold=self.mode == "finetune"
        )
        self.heads_, self.n_sure_ = heads, found.n_sure
        held_out = ~np.isnan(out[:, 0])
        return out[held_out], held_out

    def _fine_tune(self, cells: Cells, codes: torch.Tensor, held_out: np.ndarray) -> np.ndarray:
        """Train network and heads on; return probabilities of the cells that were held out."""
        assert self.heads_ is not None and self.modalities_ is not None
        self._network, probabilities, self.fine_epoch_ = fine_tuned(
            self.model,
            self.heads_,
            cells,
            codes,
            held_out,
            self.modalities_,
            self.inputs == "embedding",
            self.config,
            self.pcs_,
        )
        return probabilities

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
            Cells whose largest probability is below it are ``"unknown"``. ``"auto"`` also calls
            cells so that are far from the reference; see :meth:`threshold`.
        batch_size
            Cells at a time. Does not change results.
        layers
            As in :meth:`fit`.
        """
        probabilities, novelty = self.annotate(query, batch_size=batch_size, **layers)
        return self.name(probabilities.to_numpy(), unknown_threshold, novelty)

    def predict_proba(
        self, query: AnnData | MuData, *, batch_size: int | None = None, **layers: Unpack[Layers]
    ) -> pd.DataFrame:
        """Return the probability of each class, cells x classes; arguments as in :meth:`predict`."""
        return self.annotate(query, batch_size=batch_size, **layers)[0]

    def novelty(
        self, query: AnnData | MuData, *, batch_size: int | None = None, **layers: Unpack[Layers]
    ) -> np.ndarray:
        """Return how far cells are from the types of the reference, ``(n_cells,)``, at least 0.

        Mahalanobis distance of the fused embedding to the centre of the nearest class, with the
        covariance of cells within classes, divided by what it is for the median reference cell: 1
        is usual.

        Parameters
        ----------
        query, batch_size, layers
            As in :meth:`predict`.
        """
        return self.annotate(query, batch_size=batch_size, **layers)[1]

    def annotate(
        self, query: AnnData | MuData, *, batch_size: int | None = None, **layers: Unpack[Layers]
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Return :meth:`predict_proba` and :meth:`novelty`, for the price of one."""
        heads, centres = self._trained()
        with called("query"):
            check_container(query)
            cells = self._read(query, layers)
        found = self._embed(cells, batch_size)
        with torch.no_grad():
            values = heads(torch.from_numpy(found.values)).numpy()
        if self.votes_ is not None:
            values = with_votes(values, self.votes_.on(cells), self.gene_share_)
        frame = pd.DataFrame(values, index=query.obs_names, columns=self.classes_)
        return frame, centres.novelty(found.z)

    def _trained(self) -> tuple[ClassifierModule, ClassCentres]:
        if self.heads_ is None or self.centres_ is None:
            msg = (
                "Expected a trained classifier, found one that was never fitted. Call "
                "classifier.fit(reference, 'cell_type'), with the name of a column of reference.obs, or "
                "load one: classifier = scmomer.CellTypeClassifier.load(path, model)."
            )
            raise RuntimeError(msg)
        return self.heads_, self.centres_

    def _read(
        self, data: AnnData | MuData, layers: Mapping[str, Any] = MappingProxyType({})
    ) -> Cells:
        cells = self.model._cells_of(data, layers)
        genes = self.model.spec.features.get(RNA)
        return cells if genes is None else restrict(cells, genes, self.genes_)

    def _embed(self, cells: Cells, batch_size: int | None) -> CellInputs:
        return cell_inputs(
            self._network, cells, self.modalities_, self.inputs, batch_size, self.pcs_
        )

    # -- files

    def check_model(self, model: SCMOMER) -> None:
        """Raise if `model` is another one than this classifier was trained on."""
        if model.id != self.model_id:
            msg = (
                f"Expected the model {self.model_id} that this classifier was trained on, found "
                f"{model.id}. Load that model, or fit a new classifier."
            )
            raise ValueError(msg)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write weights (safetensors) and everything else (JSON) into a folder.

        The model is not in it: save it too.

        Parameters
        ----------
        path
            The folder, for example ``"cortex.types"``.
        overwrite
            Replace an existing classifier folder; anything else is never replaced.

        Raises
        ------
        FileExistsError
            If it exists and `overwrite` is false, or if it is no classifier folder.
        RuntimeError
            If it is not trained.
        """
        heads, centres = self._trained()
        file = ClassifierFile(
            model_id=self.model_id,
            inputs=self.inputs,
            mode=self.mode,
            modalities=self.modalities_ or (),
            genes=self.genes_,
            classes=self.classes_,
            config=self.config,
            heads=heads,
            epochs=self.epochs_,
            held_out=self.held_out_,
            centres=centres,
            pcs=self.pcs_,
            votes=self.votes_,
            gene_share=self.gene_share_,
            target_sum=self.model.target_sum,
            network=self._fine_tuned_tensors(),
        )
        write_classifier(file, Path(path), overwrite)

    def _fine_tuned_tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors of the network that fine-tuning changed."""
        before, after = self.model.module.state_dict(), self._network.module.state_dict()
        if self._network is self.model:
            return {}
        return {k: v for k, v in after.items() if not torch.equal(v, before[k])}

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
            The model that it was trained on, its path, or None for the one used last.

        Raises
        ------
        FileNotFoundError
            If there is no such folder, or it lacks a file.
        ValueError
            If it is damaged, or `model` is another one than it was trained on.
        """
        file = read_classifier(Path(path))
        made = cls(resolve_model(model), inputs=file.inputs, **file.config.to_dict())  # type: ignore[arg-type]
        made.model_id = file.model_id
        made.check_model(made.model)
        made.mode, made.modalities_ = file.mode, file.modalities  # type: ignore[assignment]
        made.genes_, made.classes_ = file.genes, file.classes
        made.heads_, made.epochs_, made.held_out_ = file.heads, file.epochs, file.held_out
        made.centres_, made.pcs_ = file.centres, file.pcs
        made.votes_, made.gene_share_ = file.votes, file.gene_share
        if file.mode == "finetune":
            made._network = detached(made.model)
            made._network.module.load_state_dict(file.network, strict=False)
        return made
