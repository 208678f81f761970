"""Metrics of translations, embeddings and pairs: functions of arrays."""

# For other packages of scmomer, not for users.
from scmomer.metrics._checks import check_matrix as check_matrix
from scmomer.metrics._integration import check_batches_and_types as check_batches_and_types
from scmomer.metrics._integration import import_scib_metrics as import_scib_metrics

from ._calibration import calibration, calibration_curve
from ._embedding import clustering_agreement, label_prediction
from ._flattened import flattened_auroc, flattened_average_precision
from ._integration import integration
from ._markers import marker_recovery
from ._matching import foscttm
from ._modality import predict_modality
from ._pairing import pairing_agreement
from ._precision import average_precision_per_peak, peak_average_precision
from ._pseudobulk import pseudobulk_ceiling, pseudobulk_pearson
from ._rank import auroc_per_peak, depth_strata
from ._translation import peak_auroc, peak_auroc_within_depth

__all__ = [
    "auroc_per_peak",
    "average_precision_per_peak",
    "calibration",
    "calibration_curve",
    "clustering_agreement",
    "depth_strata",
    "flattened_auroc",
    "flattened_average_precision",
    "foscttm",
    "integration",
    "label_prediction",
    "marker_recovery",
    "pairing_agreement",
    "peak_auroc",
    "peak_auroc_within_depth",
    "peak_average_precision",
    "predict_modality",
    "pseudobulk_ceiling",
    "pseudobulk_pearson",
]
