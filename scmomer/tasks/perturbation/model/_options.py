"""Options of a perturbation model, and how it reads what it is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from scvi import settings as scvi_settings

from scmomer._checks import whole_number
from scmomer.data import as_text
from scmomer.model import resolve_model
from scmomer.tasks.genes import Embeddings, GeneSets
from scmomer.tasks.perturbation.graph._knowledge import Knowledge, read_knowledge
from scmomer.tasks.perturbation.model._context import Contexts
from scmomer.tasks.perturbation.model._fit import FitOptions
from scmomer.tasks.perturbation.model._fitted import FittedPerturbation
from scmomer.tasks.perturbation.screen._effects import Effects

if TYPE_CHECKING:
    from scmomer.model import SCMOMER

Method = Literal["auto", "kernel", "mean", "additive", "network"]
_EPOCHS: Final = 60


class PerturbationOptions:
    """Checked options; see :class:`PerturbationModel`."""

    def __init__(
        self,
        embedding_model: SCMOMER | str | Path | None = None,
        *,
        gene_sets: GeneSets | None = None,
        gene_embeddings: Embeddings | Literal["model"] | None = "model",
        method: Method = "auto",
        network: bool = True,
        epochs: int = _EPOCHS,
    ):
        self.embedding_model = None if embedding_model is None else resolve_model(embedding_model)
        if self.embedding_model is not None:
            self.embedding_model._check_trained()
        check_method(method)
        if isinstance(gene_embeddings, str) and gene_embeddings != "model":
            msg = (
                f"Expected gene_embeddings 'model', a table, or None, found {gene_embeddings!r}. "
                "Pass a DataFrame of genes x dimensions."
            )
            raise ValueError(msg)
        self.method: Method = method
        self.network = bool(network)
        self.epochs = whole_number("epochs", epochs)
        self._gene_sets = gene_sets
        self._gene_embeddings = gene_embeddings
        self._knowledge: Knowledge | None = None
        self._fitted: FittedPerturbation | None = None
        self._embedded = False
        self._controls: frozenset[str] = frozenset()

    @property
    def fitted_(self) -> FittedPerturbation:
        """What was learned; raises RuntimeError before :meth:`fit`."""
        if self._fitted is None:
            msg = (
                "Expected a trained model, found one before fit(). Run fit() or "
                "PerturbationModel.load() first."
            )
            raise RuntimeError(msg)
        return self._fitted

    @property
    def validation_(self) -> pd.DataFrame:
        """How methods agree with held-out training perturbations.

        A row for each kind (``"single"``, ``"combination"``, ``"group"``) and method: ``n`` held-out
        rows, ``correlation`` (cosine of changes, weighted by reliability, the noise of a shared
        control mean taken out), ``error`` (mean squared error, likewise), ``standard_error`` of the
        correlation, and whether it was ``chosen``.
        """
        return self.fitted_.validation.copy()

    @property
    def methods_(self) -> dict[str, str]:
        """Method for new single perturbations and new combinations."""
        return dict(self.fitted_.methods)

    def _settings(self) -> FitOptions:
        return FitOptions(self.method, self.network, scvi_settings.seed or 0, self.epochs)

    def _known(self) -> Knowledge:
        """Return gene sets and embeddings, read once."""
        if self._knowledge is None:
            table: Any = self._gene_embeddings
            if isinstance(table, str):
                model = self.embedding_model
                # The vector with which a token of the gene begins needs no cells.
                table = None if model is None else model.get_gene_embeddings(source="table")
            self._knowledge = read_knowledge(self._gene_sets, table)
        return self._knowledge

    def _contexts(self, effects: Effects, cells: AnnData | None, groupby: str | None) -> Contexts:
        """Return what groups are compared by: embeddings of their control cells, or profiles."""
        names = tuple(dict.fromkeys(effects.groups))
        groups = np.asarray(effects.groups, dtype=object)
        if cells is not None and groupby is not None and self.embedding_model is not None:
            found = embed_groups(self.embedding_model, cells, groupby)
            return Contexts(names, np.stack([found[name] for name in names]))
        values = [effects.control[groups == name].mean(axis=0) for name in names]
        return Contexts(names, np.stack(values))


def check_method(method: str) -> None:
    """Raise if there is no such method."""
    if method not in get_args(Method):
        msg = f"Expected method among {[*get_args(Method)]}, found {method!r}. Choose one."
        raise ValueError(msg)


def embed_groups(model: SCMOMER, cells: AnnData, groupby: str) -> dict[str, np.ndarray]:
    """Return the mean embedding of the cells of each group, ``(dim,)`` each."""
    embedding = np.asarray(model.get_latent_representation(cells))
    names = cells.obs[groupby].map(as_text).to_numpy(dtype=object)
    return {str(n): embedding[names == n].mean(axis=0) for n in dict.fromkeys(names)}
