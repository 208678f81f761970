"""Start values computed from the training cells, so that no stage begins at noise."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from scmomer.data import Cells
from scmomer.module import SCMOMERModule


def init_from_data(
    module: SCMOMERModule, cells: Cells, train: np.ndarray, known: Collection[str] = ()
) -> None:
    """Set statistics and start values of `module` from the `train` cells, in place.

    Encoders begin as linear maps that their modality computes, decoders at the mean profile, fusion
    as a concatenation until :func:`start_fusion`; the stages then learn what these miss.

    Parameters
    ----------
    module
        Untrained network.
    cells
        All registered cells.
    train
        Indices of the training cells; validation cells take no part.
    known
        Modalities whose encoder will be that of another model and needs no start values.
    """
    train, warm = np.sort(train), module.config.warm_start
    for m, counts in cells.counts.items():
        own = counts[train[cells.measured[m][train]]]
        kind = module.modality(m)
        start = warm and m not in known
        kind.init_from_data(own, module.all_decoders(m), module.bridges_from(m), start)
    if module.paired and warm:
        module.fusion.init_concatenation()
