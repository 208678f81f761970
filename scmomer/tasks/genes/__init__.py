"""What embeddings of genes tell: properties, interactions, variability, links to peaks."""

from scmomer.tasks.genes._attribution import (
    MAX_ERROR,
    Attributions,
    Integrator,
    average_cell,
    import_captum,
)
from scmomer.tasks.genes._classifiers import Classifier
from scmomer.tasks.genes._controls import SetCounts, expression_features
from scmomer.tasks.genes._families import read_groups
from scmomer.tasks.genes._gene_sets import GeneSets, read_gene_sets
from scmomer.tasks.genes._heads import Head
from scmomer.tasks.genes._inputs import Embeddings, GeneVectors, read_embeddings
from scmomer.tasks.genes._interactions import GeneInteractions, fit_all_pairs, score_pairs
from scmomer.tasks.genes._labels import Background, Labels, enough, read_tasks
from scmomer.tasks.genes._link_attributions import link_attributions
from scmomer.tasks.genes._link_background import Null
from scmomer.tasks.genes._link_cells import LinkCells, read_link_cells
from scmomer.tasks.genes._link_factors import attributed
from scmomer.tasks.genes._link_pairs import Candidates, candidate_pairs
from scmomer.tasks.genes._link_scores import LinkFactors
from scmomer.tasks.genes._links import LinkOptions, Places, activity, links_of
from scmomer.tasks.genes._names import NameTables, match_names
from scmomer.tasks.genes._negatives import Negatives
from scmomer.tasks.genes._opponents import shared_genes
from scmomer.tasks.genes._pair_rows import PairProtocol
from scmomer.tasks.genes._pair_splits import PairSplit
from scmomer.tasks.genes._pairs import GenePairs, read_pairs
from scmomer.tasks.genes._paths import PathNetwork, Reference
from scmomer.tasks.genes._property import (
    GeneProperty,
    Protocol,
    fit_all,
    score_task,
)
from scmomer.tasks.genes._readouts import Prediction, Readout
from scmomer.tasks.genes._targets import (
    OBS,
    Target,
    choose_source,
    classifier_readout,
    feature_readout,
    probe_readout,
)
from scmomer.tasks.genes._variability import combine, equal_cells, variability

__all__ = [
    "Attributions",
    "Background",
    "Candidates",
    "Classifier",
    "Embeddings",
    "GeneInteractions",
    "GenePairs",
    "GeneProperty",
    "GeneSets",
    "GeneVectors",
    "Head",
    "Integrator",
    "Labels",
    "LinkCells",
    "LinkFactors",
    "LinkOptions",
    "MAX_ERROR",
    "NameTables",
    "Negatives",
    "Null",
    "OBS",
    "PairProtocol",
    "PairSplit",
    "PathNetwork",
    "Places",
    "Prediction",
    "Protocol",
    "Readout",
    "Reference",
    "SetCounts",
    "Target",
    "activity",
    "attributed",
    "average_cell",
    "candidate_pairs",
    "choose_source",
    "classifier_readout",
    "combine",
    "enough",
    "equal_cells",
    "expression_features",
    "feature_readout",
    "fit_all",
    "fit_all_pairs",
    "import_captum",
    "link_attributions",
    "links_of",
    "match_names",
    "probe_readout",
    "read_embeddings",
    "read_gene_sets",
    "read_groups",
    "read_link_cells",
    "read_pairs",
    "read_tasks",
    "score_pairs",
    "score_task",
    "shared_genes",
    "variability",
]
