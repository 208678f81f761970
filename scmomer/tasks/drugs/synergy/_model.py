"""``DrugSynergyModel``: synergy of two drugs in cell lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scvi import settings

from scmomer._checks import finite_number
from scmomer.data import Profile, warn
from scmomer.tasks.drugs._cell_profiles import within_query
from scmomer.tasks.drugs.response._inputs import Drugs, OnInvalid
from scmomer.tasks.drugs.synergy._cells import read_blocks
from scmomer.tasks.drugs.synergy._evaluate import (
    ALL_FITTED,
    Fitted,
    check_evaluation,
    evaluate_synergy,
)
from scmomer.tasks.drugs.synergy._fit import NewIn, fit_synergy, mix
from scmomer.tasks.drugs.synergy._io import read_synergy_model, write_synergy_model
from scmomer.tasks.drugs.synergy._options import SynergyOptions, check_choice
from scmomer.tasks.drugs.synergy._read import Chosen, read_pairs, read_training
from scmomer.tasks.drugs.tables._synergy_splits import SynergySplit
from scmomer.tasks.drugs.tables._synergy_table import SynergyTable

if TYPE_CHECKING:
    from scmomer.model import SCMOMER

THRESHOLD = 30.0


class DrugSynergyModel(SynergyOptions):
    """Synergy of pairs of drugs in cell lines, symmetric in the drugs.

    The prediction is ``naive + weight * (networks - naive)``. The naive one is a ridge regression on
    effects of lines, drugs, and drugs in each line, without any feature. The networks read
    structures of drugs, profiles of lines, and which drug and line of training it is. Their weight
    comes from held-out pairs (or drugs or lines); it is 0 if they are no better there, and the log
    says so. Held-out rows also give the standard deviation of predictions.

    Parameters
    ----------
    embedding_model
        Trained model that embeds cells, or its path; None for expression alone. It is never
        changed.
    cell_inputs
        What is read of cell lines: ``"expression"`` (all genes of ``cells``), the ``"embedding"`` of
        the model, or ``"both"``; None for both if there is a model.
    drug_inputs
        What is read of drugs: ``"fingerprint"`` (Morgan, radius 2), ``"graph"`` (graph convolutions),
        ``"both"``, or ``"none"``: drugs are told apart by name alone.
    options
        Fields of ``SynergyConfig`` to replace, for example ``n_members=5``.

    Raises
    ------
    RuntimeError
        If the embedding model is not trained.
    ValueError
        If an option is unknown, or the embedding is asked for without a model.

    Notes
    -----
    Task, threshold and folds as in DeepSynergy (Preuer et al., Bioinformatics 34, 1538, 2018).

    Examples
    --------
    >>> model = scmomer.DrugSynergyModel().fit(synergy, lines, smiles, profile="normalized")
    >>> model.predict([("DASATINIB", "ERLOTINIB")])
    """

    def fit(
        self,
        synergy: pd.DataFrame | SynergyTable,
        cells: AnnData,
        drugs: Drugs,
        *,
        new: NewIn = "pairs",
        profile: Profile = "counts",
        layer: str | None = None,
        on_invalid: OnInvalid = "raise",
    ) -> DrugSynergyModel:
        """Fit to measured synergies.

        Parameters
        ----------
        synergy
            A row for each pair of drugs and cell line, as in :func:`scmomer.tasks.drugs.read_synergy`,
            or what that returns. The order of drugs is of no account, and repeats are averaged.
        cells
            Profiles of the lines, ``(n_lines, n_genes)``, named by ``obs_names``. Genes are
            standardized over the lines of `synergy`. Lines that are absent here are used without
            features, and counted in the log.
        drugs
            SMILES by name, as in :func:`scmomer.tasks.drugs.read_molecules`. Names of one molecule
            are one drug. Drugs without SMILES are used, with a warning.
        new
            What predictions are for: new ``"pairs"`` of these drugs in these lines, new
            ``"drugs"`` or new ``"lines"``. Such ones are held out to find the weight of networks
            and the errors, and training prepares for them.
        profile
            What the values of `cells` are: ``"counts"``, ``"normalized"`` (also TPM) or
            ``"zscore"``.
        layer
            Layer of `cells`; None for ``X``.
        on_invalid
            For SMILES that rdkit cannot read: ``"raise"``, or ``"skip"`` to use these drugs without.

        Returns
        -------
        DrugSynergyModel
            Itself. A fit repeats exactly with the same :attr:`scvi.settings.seed` and order of rows.

        Raises
        ------
        ModuleNotFoundError
            If rdkit, or torch-geometric for graphs, is not installed.
        TypeError, KeyError, ValueError
            If an input is not as described; the message says which.
        """
        check_choice("new", new, NewIn)
        reader, blocks = self._read(cells, profile, layer)
        table, subjects = read_training(synergy, drugs, blocks, on_invalid)
        self._fitted = fit_synergy(
            table,
            np.arange(len(table.value)),
            subjects,
            self.config,
            drug_inputs=self.drug_inputs,
            reader=reader,
            new=new,
            seed=0 if settings.seed is None else int(settings.seed),
        )
        return self

    def predict(
        self,
        pairs: pd.DataFrame | Sequence[tuple[str, ...]] | None = None,
        cells: AnnData | None = None,
        drugs: Drugs | None = None,
        *,
        threshold: float = THRESHOLD,
        profile: Profile | None = None,
        layer: str | None = None,
        standardize: Literal["training", "query"] | None = None,
        on_invalid: OnInvalid = "raise",
    ) -> pd.DataFrame:
        """Predict the synergy of pairs of drugs in cell lines.

        Parameters
        ----------
        pairs
            Table with columns ``drug_a``, ``drug_b`` and perhaps ``cell_line``, or a list of tuples
            of two or three names; None for all pairs of `drugs`, or of those of training. Without a
            line, each pair is predicted in each of `cells`, or of the lines of training.
        cells
            Profiles of lines or cells, as in :meth:`fit`; needed for those that training did not
            have. Rows with the name of a training line are that line, whatever their profile (the
            profile is still read, as its features): rename cells that are not. None: the lines of
            training with their features.
        drugs
            SMILES by name; needed for drugs that training did not have.
        threshold
            Synergy above which a pair is called synergistic, in the units of training.
        profile, layer
            As in :meth:`fit`; None for the profile of training.
        standardize
            ``"training"``: features in standard deviations of the training lines. ``"query"``: of
            these cells, so that predictions are relative to them. None: ``"query"`` if the training
            lines are z-scored and these cells are not, or the reverse.
        on_invalid
            For SMILES that rdkit cannot read: ``"raise"``, or ``"skip"`` as if they were not passed.

        Returns
        -------
        pandas.DataFrame
            A row for each pair and line: ``drug_a``, ``drug_b``, ``cell_line`` (names as passed),
            ``synergy``, ``std`` (of its error: 90 % are within 1.645), ``probability`` that it is
            above the threshold, and ``new``: what training did not have, one of ``""``,
            ``"drugs"``, ``"lines"`` and ``"drugs, lines"``.

        Raises
        ------
        RuntimeError
            If the model is not fitted.
        ValueError
            If an option is not as described, a drug or line is unknown and its SMILES or profile
            is not passed, or a pair is of two
            names of one drug.

        Warns
        -----
        UserWarning
            If there are new drugs or lines, and the model was not fitted for these; if features are
            standardized within `cells`.
        """
        fitted, threshold = self.fitted_, finite_number("threshold", threshold)
        own = profile or fitted.reader.profile
        by_query = within_query(fitted.reader.profile, own, standardize)
        like = fitted.ensemble.inputs.standardizers if by_query else None
        blocks = {} if cells is None else read_blocks(fitted.reader, cells, own, layer, like)
        chosen = Chosen(fitted, drugs, blocks, on_invalid)
        rows = read_pairs(pairs, chosen.drug_names, chosen.line_names)
        rows, subjects, features, numbers = chosen.subjects(rows, asked=pairs is not None)
        found, spread = mix(*fitted.predict_parts(subjects, numbers, features), fitted.weight)
        std = fitted.noise.std(found, spread)
        result = rows.assign(
            synergy=found,
            std=std,
            probability=fitted.noise.probability(found, threshold),
            new=_what_is_new(
                (subjects.drug_ids[numbers[:, :2]] < 0).any(axis=1),
                subjects.cell_ids[numbers[:, 2]] < 0,
            ),
        )
        _warn_of_new(result["new"], fitted.new)
        return result

    def evaluate(
        self,
        synergy: pd.DataFrame | SynergyTable,
        cells: AnnData,
        drugs: Drugs,
        *,
        split: SynergySplit = "given",
        n_folds: int = 5,
        seeds: Sequence[int] = (0,),
        methods: Sequence[Fitted] = ALL_FITTED,
        predictions: bool = False,
        threshold: float = THRESHOLD,
        profile: Profile = "counts",
        layer: str | None = None,
        on_invalid: OnInvalid = "raise",
    ) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
        """Score models of these options on left-out rows, beside predictions without features.

        Parameters
        ----------
        synergy, cells, drugs, profile, layer, on_invalid
            As in :meth:`fit`.
        split
            What is left out, as in :func:`scmomer.tasks.drugs.synergy_folds`.
        n_folds
            Number of folds, but for ``"given"``.
        seeds
            A run for each.
        methods
            What to fit: ``"scmomer"``, the model; ``"permuted cells"`` and ``"permuted drugs"``, with the
            profiles of lines, or structures of drugs, exchanged: what is lost is what these tell.
            Naive predictions are always beside.
        predictions
            Also return the predictions, for :func:`scmomer.pl.drug_synergy`.
        threshold
            As in :meth:`predict`.

        Returns
        -------
        DataFrame | tuple[DataFrame, DataFrame]
            A row for each method, fold and seed: ``split``, ``method``, ``fold``, ``seed``,
            ``weight`` (of the networks) and the scores of :func:`scmomer.metrics.drug_synergy`,
            ``auroc`` and ``average_precision`` by the probability, and ``coverage`` of 90 %
            intervals. Methods: ``"mean"``, ``"additive"``, ``"pairs"``, ``"interactions"`` (the
            naive prediction), `methods`, and ``"networks"`` (weight 1). With `predictions`, a second
            table with a row for each of these and left-out row: ``drug_a``, ``drug_b``,
            ``cell_line``, ``observed``, ``predicted``, ``std`` and ``probability`` (NaN where a
            method has none). This object stays as it is.
        """
        check_evaluation(split, seeds, methods)
        threshold = finite_number("threshold", threshold)
        reader, blocks = self._read(cells, profile, layer)
        table, subjects = read_training(synergy, drugs, blocks, on_invalid)
        found = evaluate_synergy(
            table,
            subjects,
            self.config,
            drug_inputs=self.drug_inputs,
            reader=reader,
            split=split,
            n_folds=n_folds,
            seeds=seeds,
            methods=methods,
            threshold=threshold,
        )
        return found if predictions else found[0]

    # -- files

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write weights (safetensors) and everything else (JSON) into a folder.

        The folder does not contain the embedding model: save it too.

        Parameters
        ----------
        path
            The folder, for example ``"oneil.synergy"``.
        overwrite
            Replace an existing folder of this kind; anything else is never replaced.

        Raises
        ------
        FileExistsError
            If the folder exists and `overwrite` is false, or it is of another kind.
        RuntimeError
            If the model is not fitted.
        """
        write_synergy_model(self.fitted_, Path(path), overwrite)

    @classmethod
    def load(
        cls, path: str | Path, embedding_model: SCMOMER | str | Path | None = None
    ) -> DrugSynergyModel:
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
        fitted = read_synergy_model(Path(path))
        wanted = fitted.model_id
        if (wanted is None) != (embedding_model is None):
            msg = (
                f"Expected {'no embedding model' if wanted is None else f'the embedding model {wanted}'}"
                f", as in training, found {'none' if embedding_model is None else 'one'}. "
                f"{'Leave out' if wanted is None else 'Pass'} embedding_model=."
            )
            raise ValueError(msg)
        made = cls(
            embedding_model,
            cell_inputs=fitted.reader.inputs,
            drug_inputs=fitted.ensemble.inputs.drug_inputs,
            **fitted.config.to_dict(),
        )
        if made.embedding_model is not None and made.embedding_model.id != wanted:
            msg = (
                f"Expected the embedding model {wanted} that this model was trained with, found "
                f"{made.embedding_model.id}. Load that one, or fit again."
            )
            raise ValueError(msg)
        reader = replace(fitted.reader, embedding_model=made.embedding_model)
        made._fitted = replace(fitted, reader=reader)
        return made


def _what_is_new(drugs: np.ndarray, lines: np.ndarray) -> np.ndarray:
    names = np.array(["", "drugs", "lines", "drugs, lines"], dtype=object)
    return names[drugs + 2 * lines]


def _warn_of_new(new: pd.Series, fitted_for: NewIn) -> None:
    """Warn of rows that are harder than those that the errors are from."""
    other = new.str.split(", ").explode()
    for what in ("drugs", "lines"):
        n = int((other == what).sum())
        if n and fitted_for != what:
            warn(
                f"{n} of {len(new)} rows are of new {what}, and the model was fitted for new "
                f"{fitted_for}: errors are larger than std says. Fit with new={what!r}."
            )
