"""``DrugResponseModel``: how cell lines, or cells, respond to drugs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import norm

from scmomer.data import Profile, check_profile
from scmomer.tasks.drugs._cell_profiles import within_query
from scmomer.tasks.drugs.response._evaluate import (
    EvaluationData,
    check_evaluation,
    evaluate_response,
)
from scmomer.tasks.drugs.response._inputs import (
    Drugs,
    OnInvalid,
    read_limits,
    read_query_drugs,
)
from scmomer.tasks.drugs.response._io import FittedModel, read_model, write_model
from scmomer.tasks.drugs.response._options import ResponseOptions
from scmomer.tasks.drugs.response._query import (
    describe,
    predict_cells,
    query_profiles,
)
from scmomer.tasks.drugs.response._settings import ResponseUnits
from scmomer.tasks.drugs.tables._splits import NFolds, ResponseSplit
from scmomer.tasks.drugs.tables._tables import ResponseTable
from scmomer.tasks.drugs.tables._units import Units

if TYPE_CHECKING:
    from scmomer.model import SCMOMER

Thresholds: TypeAlias = Mapping[str, float] | pd.Series | pd.DataFrame


class DrugResponseModel(ResponseOptions):
    """Response of cell lines, or of cells, to drugs.

    A response is the sum of an effect of the drug, an effect of the cell, and their interaction.
    Each part begins at a naive prediction, and a network is added to it only as far as held-out
    training data are better with it:

    - *Known line, known drug*: predictions from profiles, completed by what the line's other
      responses say (soft-impute).
    - *New line*: kernel ridge regression on profiles, and a network on them (the cell branch).
    - *New drug*: what similar training drugs did on the line, and graph convolutions on the
      molecule (the drug branch).

    Standard deviations are calibrated on held-out lines and drugs.

    Parameters
    ----------
    embedding_model
        Trained :class:`scmomer.SCMOMER`, or the path of a saved one, whose embedding of a line is
        read; None for expression alone. It is never changed.
    cell_inputs
        ``"expression"``, ``"embedding"`` or ``"both"``; None for both if there is a model.
    architecture
        ``"additive"``, described above; ``"published"`` is the network of the paper (DeepCDR with
        the embedding as its cell branch), trained on pairs until a validation part of them is no
        longer predicted better.
    pooling
        Of atoms: ``"max"`` as in the paper, ``"mean"`` as in DeepCDR's default.
    n_members
        Parts that training data are held out in, at least 2; a network for each.

    Raises
    ------
    ModuleNotFoundError
        If rdkit or torch-geometric is not installed.
    ValueError
        If an option is unknown, or the embedding is asked for without a model.

    Notes
    -----
    Networks: scMomer's paper and DeepCDR (Liu et al., Bioinformatics 36, i911, 2020). Why naive
    predictions come first: Partin et al., Frontiers in Medicine 2023, and DrEval.

    Examples
    --------
    >>> model = scmomer.DrugResponseModel().fit(response, lines, smiles, profile="zscore")
    >>> predicted = model.predict(new_lines, profile="zscore")
    """

    # -- training

    def fit(
        self,
        response: pd.DataFrame | ResponseTable,
        cells: AnnData,
        drugs: Drugs,
        *,
        units: Units | None = None,
        profile: Profile = "counts",
        layer: str | None = None,
        on_invalid: OnInvalid = "raise",
        **columns: Any,
    ) -> DrugResponseModel:
        """Train on a table of responses.

        Parameters
        ----------
        response
            A row for each line and drug, with usual names of columns; see
            :func:`~scmomer.tasks.drugs.read_response`. Repeats are averaged.
        cells
            Profiles of the lines, ``(n_lines, n_genes)``, named by ``obs_names``.
        drugs
            SMILES by name; see :func:`~scmomer.tasks.drugs.read_molecules`.
        units
            Of the responses, ``"ln_um"``, ``"auc"`` and so on; None to tell from the column.
        profile
            What the values of `cells` are: ``"counts"``, ``"normalized"`` (also TPM) or
            ``"zscore"``.
        layer
            Layer of `cells`; None for ``X``.
        on_invalid
            ``"skip"`` leaves out drugs with SMILES that cannot be read.
        columns
            ``line_key=``, ``drug_key=``, ``value_key=``, ``tissue_key=`` of the response;
            ``check_units=False`` takes values that look like other units.

        Returns
        -------
        DrugResponseModel
            Itself, trained. Repeats exactly with the same :attr:`scvi.settings.seed` and order of
            rows.

        Raises
        ------
        ValueError
            If names do not match, units are mixed, or there are too few lines or drugs.
        """
        inputs, reader, blocks = self._read_training(
            response, cells, drugs, profile, layer, on_invalid, {"units": units, **columns}
        )
        self._fitted = FittedModel(
            core=self._fit_core(inputs, blocks),
            lines=inputs.lines,
            units=inputs.units,
            reader=reader,
            profiles=blocks,
            model_id=None if self.embedding_model is None else self.embedding_model.id,
        )
        return self

    def evaluate(
        self,
        response: pd.DataFrame | ResponseTable,
        cells: AnnData,
        drugs: Drugs,
        *,
        split: ResponseSplit = "lco",
        n_folds: NFolds = 5,
        test_share: float | None = None,
        seeds: Sequence[int] = (0,),
        thresholds: Thresholds | None = None,
        ablations: Sequence[str] = (),
        per_drug: bool = False,
        units: Units | None = None,
        profile: Profile = "counts",
        layer: str | None = None,
        on_invalid: OnInvalid = "raise",
        **columns: Any,
    ) -> pd.DataFrame:
        """Measure models with these options, and naive predictors, on held-out data.

        New models are trained; this one is not changed.

        Parameters
        ----------
        response, cells, drugs, units, profile, layer, on_invalid, columns
            As in :meth:`fit`.
        split
            ``"lpo"`` holds out pairs, ``"lco"`` lines, ``"ldo"`` drugs (by molecule), ``"lto"``
            tissues.
        n_folds
            Folds, or ``"each"`` line, drug or tissue by itself.
        test_share
            With ``"lpo"``, one split with this share of pairs instead of folds.
        seeds
            Seeds of folds and networks.
        thresholds
            Below which response a line is sensitive to a drug, by name, in the units of the
            responses (ln(uM) for concentrations); adds AUROC and average precision.
        ablations
            Among ``"cells permuted"``, ``"drugs permuted"`` (profiles of other lines, molecules of
            other drugs, in training and test) and ``"published"`` (the published network).
        per_drug
            Return a row for each drug of each fold instead: n, pearson, spearman, rmse.

        Returns
        -------
        pandas.DataFrame
            A row for each seed, fold and method: the metrics of
            :func:`scmomer.metrics.drug_response`, ``coverage`` of 90 % intervals, and the weights
            of the networks.
        """
        check_evaluation(seeds, ablations)
        inputs, reader, blocks = self._read_training(
            response, cells, drugs, profile, layer, on_invalid, {"units": units, **columns}
        )
        drugs_ = inputs.molecules
        units_ = ResponseUnits.fit(inputs.values)
        data = EvaluationData(
            values=inputs.values,
            blocks=blocks,
            expression=self._expression(cells, inputs, reader, blocks, profile, layer),
            molecules=inputs.molecules,
            tissues=inputs.tissues,
            thresholds=None
            if thresholds is None
            else read_limits(thresholds, drugs_, drugs_, units_),
        )
        return evaluate_response(
            data,
            self._settings(),
            split=split,
            n_folds=n_folds,
            test_share=test_share,
            seeds=seeds,
            ablations=ablations,
            per_drug=per_drug,
        )

    # -- prediction

    def predict(
        self,
        cells: AnnData,
        drugs: Drugs | Sequence[str] | None = None,
        *,
        groupby: str | None = None,
        thresholds: Thresholds | None = None,
        profile: Profile | None = None,
        layer: str | None = None,
        standardize: Literal["training", "query"] | None = None,
        on_invalid: OnInvalid = "raise",
    ) -> AnnData:
        """Predict the response of cells to drugs.

        Parameters
        ----------
        cells
            Profiles of lines or single cells, ``(n_cells, n_genes)``. Rows with the name and the
            profile of a training line are that line.
        drugs
            Names of training drugs, SMILES by name for any, or None for all training drugs.
        groupby
            Column of obs: predict the mean profile of each group instead of cells. Cells without a
            group are left out.
        thresholds
            Below which response a line is sensitive, by name of drug, in the units of training
            (ln(uM) for concentrations); adds the probability.
        profile
            What the values are; None: as in training.
        layer
            Layer of `cells`; None for ``X``.
        standardize
            ``"training"``: features in standard deviations of the training lines. ``"query"``: of
            these cells, so that predictions are relative to them. None: ``"query"`` if the training
            lines are z-scored and these cells are not, or the reverse.
        on_invalid
            ``"skip"`` leaves out drugs with SMILES that cannot be read.

        Returns
        -------
        AnnData
            Cells or groups x drugs. ``X``: the response in the units of training.
            ``layers["std"]``: standard deviation. ``layers["naive"]``: without networks.
            ``layers["sensitive"]``: probability to be below the threshold, NaN without one.
            ``obs["distance"]`` and ``var["distance"]``: distance to the nearest training line and
            drug; ``obs["is_training_line"]``, ``var["is_training_drug"]``, ``var["smiles"]``.
            ``uns["scmomer_drug_response"]``: units, number of training lines and drugs.

        Raises
        ------
        ValueError
            If a drug is unknown, fewer than half of the genes are there, or there are too few cells.

        Warns
        -----
        UserWarning
            If cells or drugs are further from the training data than those are from each other, or
            thresholds lie outside the training responses.
        """
        fitted = self.fitted_
        molecules = read_query_drugs(drugs, fitted.core.molecules, on_invalid)
        chosen = fitted.reader.profile if profile is None else profile
        check_profile(chosen)
        by_query = within_query(fitted.reader.profile, chosen, standardize)
        profiles, names = query_profiles(fitted, cells, chosen, layer, groupby, by_query)
        found, is_known, distance = predict_cells(fitted, profiles, names, molecules)
        result = AnnData(
            found.mean.astype(np.float32),
            obs=pd.DataFrame(index=names),
            var=pd.DataFrame(index=molecules.names.astype(str)),
        )
        result.layers["std"] = found.std.astype(np.float32)
        result.layers["naive"] = found.naive.astype(np.float32)
        if thresholds is not None:
            core = fitted.core
            limit = read_limits(thresholds, molecules, core.molecules, core.units)
            result.layers["sensitive"] = norm.cdf((limit - found.mean) / found.std).astype(
                np.float32
            )
        describe(fitted, result, is_known, distance, molecules)
        result.uns["scmomer_drug_response"] = {
            "units": fitted.units,
            "n_training_lines": len(fitted.lines),
            "n_training_drugs": len(fitted.core.molecules),
            "profile": chosen,
            "standardize": "query" if by_query else "training",
        }
        return result

    # -- files

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write weights (safetensors) and everything else (JSON) into a folder.

        The folder does not contain the embedding model: save it too.

        Parameters
        ----------
        path
            The folder, for example ``"lines.drugs"``.
        overwrite
            Replace an existing folder of this kind; anything else is never replaced.
        """
        options = {
            "cell_inputs": self.cell_inputs,
            "architecture": self.architecture,
            "pooling": self.pooling,
            "n_members": self.n_members,
        }
        write_model(self.fitted_, options, Path(path), overwrite)

    @classmethod
    def load(
        cls, path: str | Path, embedding_model: SCMOMER | str | Path | None = None
    ) -> DrugResponseModel:
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
        if fitted.model_id is None:
            made = cls(embedding_model, **options)
            if embedding_model is not None:
                msg = (
                    "Expected no embedding_model, as this model was trained without one, found "
                    f"{made.embedding_model!r}. Leave it out, or fit again."
                )
                raise ValueError(msg)
        elif embedding_model is None:
            msg = (
                f"Expected the embedding model {fitted.model_id} that this model was trained with, "
                "found none. Pass embedding_model=."
            )
            raise ValueError(msg)
        else:
            made = cls(embedding_model, **options)
            if made.embedding_model is None or made.embedding_model.id != fitted.model_id:
                found = made.embedding_model.id if made.embedding_model else None
                msg = (
                    f"Expected the embedding model {fitted.model_id} that this model was trained "
                    f"with, found {found}. Load that one, or fit again."
                )
                raise ValueError(msg)
        reader = replace(fitted.reader, embedding_model=made.embedding_model)
        made._fitted = replace(fitted, reader=reader)
        return made
