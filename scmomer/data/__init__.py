"""From containers to checked and aligned counts, and to minibatches."""

from scmomer.data._cells import Cells
from scmomer.data._containers import (
    as_groups,
    as_text,
    check_container,
    check_no_missing,
    check_some_modality,
    codes,
    find_column,
    find_same_cell,
    get_categories,
    obs_column,
    obs_columns,
    read_column,
    resolve_modalities,
    usual_keys,
    with_values,
)
from scmomer.data._counts import get_counts, layer_names, read_counts, warn_empty
from scmomer.data._gene_positions import GenePositions, GeneSource, gene_positions, read_gtf
from scmomer.data._guess_modality import (
    check_one_modality,
    describe,
    looks_like,
    modality_masks,
    modality_named,
)
from scmomer.data._layers import Layers, given_profile, layers_by_modality, reference_layers
from scmomer.data._loader import cell_loader
from scmomer.data._match_genes import (
    GeneMatch,
    GeneTable,
    gene_pairs,
    incidence,
    match_genes,
    match_through,
)
from scmomer.data._messages import assigned, called, display_name, warn
from scmomer.data._names import FEW_MATCHES, check_unique, examples, prefix_to_drop
from scmomer.data._neighbors import nearest
from scmomer.data._pickling import MuDataParts
from scmomer.data._profile import Profile, check_profile, get_expression, read_values
from scmomer.data._pseudobulk import (
    Pseudobulk,
    Values,
    get_groups,
    get_peaks,
    get_values,
    group_indicator,
    peaks_name,
    pseudobulk,
)
from scmomer.data._read import find_parts, keys_in, read_cells
from scmomer.data._spec import ModelSpec
from scmomer.data._split import SparseDataSplitter, Split, SplitRecord, split_cells
from scmomer.data._windows import check_chromosomes, peaks_within
from scmomer.module import PeakPositions, parse_peaks, plain_chromosomes

__all__ = [
    "as_groups",
    "check_chromosomes",
    "peaks_within",
    "GenePositions",
    "GeneSource",
    "gene_positions",
    "incidence",
    "match_genes",
    "match_through",
    "read_gtf",
    "obs_column",
    "find_same_cell",
    "as_text",
    "prefix_to_drop",
    "obs_columns",
    "peaks_name",
    "with_values",
    "display_name",
    "assigned",
    "called",
    "Cells",
    "FEW_MATCHES",
    "Layers",
    "Profile",
    "ModelSpec",
    "MuDataParts",
    "Pseudobulk",
    "SparseDataSplitter",
    "Split",
    "SplitRecord",
    "Values",
    "get_categories",
    "cell_loader",
    "check_container",
    "check_no_missing",
    "check_one_modality",
    "check_profile",
    "check_some_modality",
    "check_unique",
    "codes",
    "describe",
    "examples",
    "find_column",
    "find_parts",
    "GeneMatch",
    "GeneTable",
    "gene_pairs",
    "get_counts",
    "get_expression",
    "given_profile",
    "group_indicator",
    "incidence",
    "keys_in",
    "get_groups",
    "layer_names",
    "layers_by_modality",
    "looks_like",
    "match_genes",
    "match_through",
    "modality_named",
    "PeakPositions",
    "nearest",
    "parse_peaks",
    "plain_chromosomes",
    "modality_masks",
    "get_peaks",
    "pseudobulk",
    "read_cells",
    "read_column",
    "read_counts",
    "read_values",
    "reference_layers",
    "resolve_modalities",
    "split_cells",
    "usual_keys",
    "get_values",
    "warn",
    "warn_empty",
]
