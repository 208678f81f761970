"""Metrics of translations, embeddings, pairs, responses to drugs and perturbations: functions of arrays."""

# For other packages of scmomer, not for users.
from scmomer.metrics._calibration import calibration, calibration_curve
from scmomer.metrics._checks import check_matrix as check_matrix
from scmomer.metrics._drugs import binary_labels, drug_sensitivity, drug_synergy
from scmomer.metrics._embedding import clustering_agreement, label_prediction
from scmomer.metrics._flattened import flattened_auroc, flattened_average_precision
from scmomer.metrics._integration import check_batches_and_types as check_batches_and_types
from scmomer.metrics._integration import import_scib_metrics as import_scib_metrics
from scmomer.metrics._integration import integration
from scmomer.metrics._label_calibration import label_calibration
from scmomer.metrics._markers import marker_recovery
from scmomer.metrics._matching import foscttm
from scmomer.metrics._modality import predict_modality
from scmomer.metrics._pairing import pairing_agreement
from scmomer.metrics._perturbation import perturbation
from scmomer.metrics._precision import average_precision_per_peak, peak_average_precision
from scmomer.metrics._pseudobulk import pseudobulk_ceiling, pseudobulk_pearson
from scmomer.metrics._rank import auroc_per_peak, depth_strata
from scmomer.metrics._regression import (
    drug_response,
    drug_response_per_drug,
    interval_coverage,
)
from scmomer.metrics._translation import peak_auroc, peak_auroc_within_depth

__all__ = [
    "auroc_per_peak",
    "average_precision_per_peak",
    "binary_labels",
    "calibration",
    "calibration_curve",
    "clustering_agreement",
    "depth_strata",
    "drug_response",
    "drug_response_per_drug",
    "drug_sensitivity",
    "drug_synergy",
    "flattened_auroc",
    "flattened_average_precision",
    "foscttm",
    "integration",
    "interval_coverage",
    "label_calibration",
    "label_prediction",
    "marker_recovery",
    "pairing_agreement",
    "peak_auroc",
    "peak_auroc_within_depth",
    "peak_average_precision",
    "perturbation",
    "predict_modality",
    "pseudobulk_ceiling",
    "pseudobulk_pearson",
]
