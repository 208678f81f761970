"""Fitting a classifier to labeled cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from scmomer._constants import RNA
from scmomer.data import Cells
from scmomer.tasks.annotation._class_report import class_report
from scmomer.tasks.annotation._embedding_regression import (
    EmbeddingRegression,
    held_out_by_embedding,
)
from scmomer.tasks.annotation._expression_pcs import ExpressionPCs
from scmomer.tasks.annotation._fine_tuning import changed_tensors, fine_tune
from scmomer.tasks.annotation._fitted import FittedClassifier
from scmomer.tasks.annotation._gene_classifiers import GeneClassifiers, cross_val_probabilities
from scmomer.tasks.annotation._inputs import Settings, cell_inputs
from scmomer.tasks.annotation._module import ClassifierModule
from scmomer.tasks.annotation._novelty import ClassMahalanobis
from scmomer.tasks.annotation._stacking import Stack
from scmomer.tasks.annotation._train import seeded, train_heads

if TYPE_CHECKING:
    from scmomer.model import SCMOMER


def fit_classifier(
    model: SCMOMER,
    cells: Cells,
    labels: np.ndarray,
    settings: Settings,
    batch_size: int | None = None,
) -> FittedClassifier:
    """Train heads, fine-tune the network if asked for, and fit regressions, their weights and novelty.

    Parameters
    ----------
    model
        Is not changed.
    cells, labels
        Reference and its labels, ``(n_cells,)``.
    settings
        What to read, and how to train.
    batch_size
        Cells to embed at a time.
    """
    config, one_fold = settings.config, settings.mode == "finetune"
    reads_genes = settings.inputs == "all" and RNA in settings.modalities
    classes, codes = np.unique(labels, return_inverse=True)
    target_sum = model.target_sum if RNA in model.spec.features else 0.0  # of no use without RNA
    targets = torch.from_numpy(codes)
    pcs = None
    if reads_genes:
        pcs = ExpressionPCs.fit(cells.counts[RNA][cells.measured[RNA]], target_sum)
    found = cell_inputs(model, cells, settings, batch_size, pcs)
    x = torch.from_numpy(found.values)
    with seeded():
        heads = ClassifierModule(x.shape[1], len(classes), found.n_always_present, config)
    # Fine-tuning needs cells that no head was trained on.
    probabilities, epochs = train_heads(heads, x, targets, config, one_fold=one_fold)
    held_out = ~np.isnan(probabilities[:, 0])
    probabilities = probabilities[held_out]
    network, fine_epoch = {}, 0
    if settings.mode == "finetune":
        tuned, probabilities, fine_epoch = fine_tune(
            model, heads, cells, targets, held_out, settings, pcs
        )
        network = changed_tensors(model.module, tuned.module)
        found = cell_inputs(tuned, cells, settings, batch_size, pcs)
    embedding_regression = EmbeddingRegression.fit(found.z, codes, len(classes))
    linear = held_out_by_embedding(found.z, codes, len(classes))[held_out]
    by_embedding, by_genes = np.stack([probabilities, linear]), None
    gene_classifiers = None
    if reads_genes:
        gene_classifiers = GeneClassifiers.fit_cells(cells, codes, len(classes))
    if gene_classifiers is not None:
        by_genes = cross_val_probabilities(cells, codes, len(classes))[:, held_out]
    stack = Stack.fit(by_embedding, by_genes, codes[held_out])
    probabilities = stack.predict_proba(by_embedding, by_genes)
    return FittedClassifier(
        **vars(settings),
        model_id=model.id,
        classes=classes,
        heads=heads,
        epochs=epochs,
        held_out=np.sort(probabilities.max(1)),
        class_report=class_report(probabilities, codes[held_out], classes),
        mahalanobis=ClassMahalanobis.fit(found.z, codes),
        pcs=pcs,
        embedding_regression=embedding_regression,
        gene_classifiers=gene_classifiers,
        stack=stack,
        target_sum=target_sum,
        network=network,
        fine_epoch=fine_epoch,
    )
