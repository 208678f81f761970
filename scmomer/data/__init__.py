"""Containers to checked, named and aligned counts, and these to minibatches."""

from scmomer.data._cells import Cells
from scmomer.data._containers import (
    as_text,
    categories_of,
    check_container,
    codes,
    columns_of,
    find_column,
    named_otherwise,
    obs_column,
    read_column,
    resolve_modalities,
    usual_keys,
    with_values,
)
from scmomer.data._counts import get_counts, layer_names, read_counts, warn_empty
from scmomer.data._evidence import (
    check_one_modality,
    describe,
    looks_like,
    modality_named,
    parts_of,
)
from scmomer.data._layers import Layers, layers_by_modality, reference_layers
from scmomer.data._loader import cell_loader
from scmomer.data._names import FEW_MATCHES, check_unique, examples, loosely, prefix_to_drop
from scmomer.data._neighbors import nearest
from scmomer.data._parts import MuDataParts
from scmomer.data._pseudobulk import (
    Pseudobulk,
    Values,
    labels_of,
    peaks_of,
    pseudobulk,
    values_of,
    where_of,
)
from scmomer.data._read import find_parts, keys_in, read_cells
from scmomer.data._spec import ModelSpec
from scmomer.data._split import SparseDataSplitter, Split, SplitRecord, split_cells
from scmomer.data._texts import assigned, called, name_of
from scmomer.module import PeakPositions, parse_peaks, plain_chromosomes

__all__ = [
    "named_otherwise",
    "loosely",
    "as_text",
    "prefix_to_drop",
    "columns_of",
    "where_of",
    "with_values",
    "name_of",
    "assigned",
    "called",
    "Cells",
    "FEW_MATCHES",
    "Layers",
    "ModelSpec",
    "MuDataParts",
    "Pseudobulk",
    "SparseDataSplitter",
    "Split",
    "SplitRecord",
    "Values",
    "categories_of",
    "cell_loader",
    "check_container",
    "check_one_modality",
    "check_unique",
    "codes",
    "describe",
    "examples",
    "find_column",
    "find_parts",
    "get_counts",
    "keys_in",
    "labels_of",
    "layer_names",
    "layers_by_modality",
    "looks_like",
    "modality_named",
    "PeakPositions",
    "nearest",
    "parse_peaks",
    "plain_chromosomes",
    "obs_column",
    "parts_of",
    "peaks_of",
    "pseudobulk",
    "read_cells",
    "read_column",
    "read_counts",
    "reference_layers",
    "resolve_modalities",
    "split_cells",
    "usual_keys",
    "values_of",
    "warn_empty",
]
