"""Screens: labels of every convention, and pseudobulk changes with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scmomer.tasks.perturbation import (
    combinations_out,
    find_controls,
    find_genes,
    groups_out,
    leave_one_out,
    one_combination_out,
    own_genes,
    parse_perturbations,
    read_parts,
    read_screen,
    read_screen_cells,
    simulation_split,
    split_groups,
    status,
)


def screen(labels, counts=None, **obs):
    """A screen of 4 genes with given labels."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(5.0, (len(labels), 4)) + 1 if counts is None else np.asarray(counts)
    table = pd.DataFrame({"target": labels, **obs}, index=[f"c{i}" for i in range(len(labels))])
    var = pd.DataFrame(index=["A", "B", "C", "D"])
    return AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=table, var=var)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["A+ctrl", "ctrl+A", "ctrl", "B+A"], ["A", "A", "", "A+B"]),  # GEARS
        (["A", "control", "A_B", "B"], ["A", "", "A+B", "B"]),  # scPerturb
        (["A", "NT", "B", "B+A"], ["A", "", "B", "A+B"]),  # pertpy
        (["A", "non-targeting", "NT_3", "B"], ["A", "", "", "B"]),  # cell-eval
        (["stimulated", "unstimulated", "stimulated"], ["stimulated", "", "stimulated"]),
    ],
)
def test_conventions(labels, names):
    assert parse_perturbations(labels).names.tolist() == names


def test_the_order_of_parts_is_irrelevant():
    found = parse_perturbations(["B+A", "A+B", "ctrl+ctrl"], "ctrl+ctrl")
    assert found.parts == {"A+B": ("A", "B")}
    assert read_parts("B+A") == read_parts(("A", "B")) == ("A", "B")


def test_underscores_within_names_are_no_separators():
    assert parse_perturbations(["IFN_beta", "control"]).parts == {"IFN_beta": ("IFN_beta",)}
    assert parse_perturbations(["A_B", "control"], separator="_").parts == {"A+B": ("A", "B")}


def test_bad_labels():
    with pytest.raises(ValueError, match=r"found 1 of 2 missing \(NaN\)"):
        parse_perturbations(["A", None])
    with pytest.raises(ValueError, match=r"control cells in labels, found none.*Name them"):
        parse_perturbations(["A", "B"])
    with pytest.raises(ValueError, match=r"\['none'\].*Pass control='ctrl'"):
        parse_perturbations(["A", "ctrl"], "none")
    with pytest.raises(ValueError, match="found only the control"):
        parse_perturbations(["ctrl", "control"])
    with pytest.raises(ValueError, match="found nothing|Expected a perturbation"):
        read_parts("ctrl")


def test_guides_are_told_from_genes():
    guides = ["STAT2g1", "STAT2g2", "CAV1g1", "CAV1g4", "NTg1"]
    with pytest.raises(ValueError, match="5 guides of 3 genes, such as 'STAT2g1'") as error:
        parse_perturbations(guides)
    code = str(error.value).split("`")[1]
    adata = screen(guides)
    scope = {"adata": adata, "key": "target"}
    exec(code, scope)
    assert set(parse_perturbations(adata.obs["target"]).parts) == {"STAT2", "CAV1"}
    assert len(parse_perturbations(["MAP2K3", "MAP2K6", "MAP4K3", "NT"]).parts) == 3


def test_effects_are_differences_of_means():
    counts = [[1, 1, 1, 1], [3, 1, 0, 0], [1, 1, 1, 1], [1, 1, 2, 0], [0, 2, 1, 1]]
    adata = screen(["ctrl", "ctrl", "A", "A", "A+B"], counts)
    before = adata.copy()
    found = read_screen(adata, perturbation_key="target", target_sum=4)
    values = np.log1p(np.array(counts, float))
    assert found.table["perturbation"].tolist() == ["A", "A+B"]
    assert found.table["n_cells"].tolist() == [2, 1]
    assert found.table["n_control"].tolist() == [2, 2]
    control = values[:2].mean(axis=0)
    np.testing.assert_allclose(found.change[0], values[2:4].mean(axis=0) - control, atol=1e-6)
    np.testing.assert_allclose(found.perturbed[1], values[4], atol=1e-6)
    expected = values[2:4].var(axis=0, ddof=1) / 2 + values[:2].var(axis=0, ddof=1) / 2
    np.testing.assert_allclose(found.variance[0], expected, atol=1e-6)
    assert (found.variance[1] > 0).any()  # one cell: the variance within all
    assert (adata.X != before.X).nnz == 0
    assert adata.obs.equals(before.obs)


def test_control_is_matched_by_batch():
    counts = np.ones((8, 4))
    counts[4:] = [1, 1, 1, 5]  # the second batch differs in all its cells
    labels = ["ctrl", "ctrl", "A", "ctrl", "ctrl", "A", "A", "A"]
    adata = screen(labels, counts, rep=["x"] * 4 + ["y"] * 4)
    matched = read_screen(adata, perturbation_key="target", batch_key="rep", target_sum=8)
    np.testing.assert_allclose(matched.change, 0, atol=1e-6)
    pooled = read_screen(adata, perturbation_key="target", target_sum=8)
    assert pooled.change[0, 3] > 0.05
    assert matched.table["n_control"][0] == 4


def test_a_batch_without_control_is_left_out_with_a_warning():
    adata = screen(["ctrl", "A", "A", "A"], rep=["x", "x", "y", "y"])
    with pytest.warns(UserWarning, match="2 perturbed cells are left out"):
        found = read_screen(adata, perturbation_key="target", batch_key="rep")
    assert found.table["n_cells"].tolist() == [1]


def test_groups():
    adata = screen(["ctrl", "A", "ctrl", "A", "B"], kind=["t", "t", "b", "b", "b"])
    found = read_screen(adata, perturbation_key="target", groupby="kind")
    assert list(zip(found.table["perturbation"], found.groups, strict=True)) == [
        ("A", "b"),
        ("A", "t"),
        ("B", "b"),
    ]
    with pytest.raises(
        ValueError, match=r"control cells in each group, found none in groups \['t'"
    ):
        read_screen(adata[1:], perturbation_key="target", groupby="kind")


def test_halves_of_the_control_are_disjoint():
    cells = read_screen_cells(screen(["ctrl"] * 9 + ["A"] * 4), perturbation_key="target")
    halves = cells.halves(1)
    assert (halves == cells.halves(1)).all()
    one, other = (cells.effects(control_half=h, random_state=1) for h in (0, 1))
    assert one.table["n_control"][0] + other.table["n_control"][0] == 9
    np.testing.assert_array_equal(one.perturbed, other.perturbed)
    chosen = cells.values[np.flatnonzero(cells.is_control & (halves == 1))]
    np.testing.assert_allclose(other.control[0], np.asarray(chosen.mean(axis=0)).ravel(), atol=1e-6)
    quarter = cells.effects(control_half=0, perturbed_half=0, random_state=1)
    assert quarter.table["n_cells"].tolist() == [2]


def test_bad_screens():
    adata = screen(["ctrl", "A", None])
    with pytest.raises(ValueError, match="1 of 3 missing") as error:
        read_screen(adata, perturbation_key="target")
    assert "adata.obs['target'].notna()" in str(error.value)
    with pytest.raises(KeyError, match="no column 'guide'"):
        read_screen(adata, perturbation_key="guide")
    logs = screen(["ctrl", "A"])
    logs.X = logs.X.log1p()
    with pytest.raises(ValueError, match="normalized"):
        read_screen(logs, perturbation_key="target")
    with pytest.warns(UserWarning, match="is read as"):
        read_screen(logs, perturbation_key="target", profile="normalized")
    with pytest.raises(ValueError, match="zscore"):
        read_screen(logs, perturbation_key="target", profile="zscore")
    with pytest.raises(ValueError, match="target_sum"):
        read_screen(screen(["ctrl", "A"]), perturbation_key="target", target_sum=0)


def test_few_cells():
    adata = screen(["ctrl", "ctrl", "A", "B", "B"])
    with pytest.warns(UserWarning, match="1 perturbations with fewer than min_cells=2"):
        found = read_screen(adata, perturbation_key="target", min_cells=2)
    assert found.parts == (("B",),)
    with pytest.warns(UserWarning, match="min_cells"):
        cells = read_screen_cells(adata, perturbation_key="target", min_cells=2)
    assert cells.positions.tolist() == [0, 1, 3, 4]
    assert np.isfinite(read_screen(adata, perturbation_key="target").variance).all()


def test_library_sizes_of_more_genes():
    adata = screen(["ctrl", "A"], [[1, 1, 1, 1], [1, 1, 1, 5]], total=[100.0, 100.0])
    own = read_screen(adata, perturbation_key="target", target_sum=100)
    given = read_screen(adata, perturbation_key="target", target_sum=100, library_size_key="total")
    np.testing.assert_allclose(given.change[0, :3], 0, atol=1e-6)
    assert (own.change[0, :3] < -0.1).all()
    adata.obs["total"] = [100.0, 0.0]
    with pytest.raises(ValueError, match="1 other values among 2"):
        read_screen(adata, perturbation_key="target", library_size_key="total")


def test_former_symbols():
    names = pd.Index(["MARCH8", "SEPTIN2", "ENSG00000000003.5", "Klf1"])
    wanted = ["MARCHF8", "8-Mar", "SEPT2", "ENSG00000000003", "KLF1", "NONE", "EKLF"]
    assert find_genes(wanted, names).tolist() == [0, 0, 1, 2, 3, -1, -1]
    assert find_genes(["EKLF"], names, {"KLF1": ["EKLF"]}).tolist() == [3]
    assert find_genes(["EKLF"], names, {"EKLF": "KLF1"}).tolist() == [3]


def test_own_genes():
    own = own_genes([("A", "X"), ("MARCHF8",)], pd.Index(["A", "MARCH8", "C"]))
    assert own.tolist() == [[True, False, False], [False, True, False]]


def test_status():
    training = [("A",), ("B",), ("A", "B"), ("D", "E")]
    assert status(("B", "A"), training) == "seen"
    assert status(("C",), training) == "unseen_single"
    assert status(("D",), training) == "unseen_single"
    assert status(("A", "C"), training) == "combo_seen1"
    assert status(("C", "D"), training) == "combo_seen0"
    assert status(("B", "A"), training[:2]) == "combo_seen2"
    assert status(("C",), training, {"A"}) == "out_of_graph"
    assert status(("A", "B"), training[:2], {"C"}) == "combo_seen2"  # seen: no graph is needed


PARTS = [("A",), ("A", "B"), ("B",), ("B", "C"), ("C",)]


def test_one_gene_out_has_no_combination_with_it():
    splits = {s.name: s for s in leave_one_out(PARTS)}
    assert splits["A"].test.tolist() == [0]
    assert splits["A"].train.tolist() == [2, 3, 4]


def test_combinations_out():
    (split,) = combinations_out(PARTS)
    assert split.test.tolist() == [1, 3]
    assert split_groups(PARTS, split) == ["combo_seen2"] * 2
    one, other = one_combination_out(PARTS)
    assert one.test.tolist() == [1]
    assert other.train.tolist() == [0, 1, 2, 4]
    assert [s.test.tolist() for s in groups_out(["t", "b", "t"])] == [[1], [0, 2]]


@pytest.mark.parametrize("seed", range(3))
def test_simulation_split(seed):
    genes = [f"g{i}" for i in range(12)]
    parts = [(g,) for g in genes]
    parts += [(a, b) for a in genes for b in genes if a < b]
    split = simulation_split(parts, random_state=seed)
    assert sorted([*split.train, *split.test]) == list(range(len(parts)))
    kinds = pd.Series(split_groups(parts, split)).value_counts()
    assert kinds["unseen_single"] == 3
    assert kinds["combo_seen0"] == 3
    assert kinds["combo_seen1"] == 27
    assert kinds["combo_seen2"] == 36 - int(36 * 0.75)
    with pytest.raises(ValueError, match="train_genes"):
        simulation_split(parts, train_genes=1)


@pytest.mark.parametrize("missing", ["", "nan", "<NA>", "None"])
def test_labels_that_stand_for_missing_values_are_refused(missing):
    adata = screen(["A", missing, "ctrl", "A"])
    with pytest.raises(ValueError, match=r"in 1 of 4, as missing values are written") as error:
        read_screen(adata, perturbation_key="target")
    code = str(error.value).split("`")[1]
    scope = {"adata": adata, "key": "target"}
    exec(code, scope)
    found = read_screen(scope["adata"], perturbation_key="target")
    assert found.table["n_control"].tolist() == [1]
    named = parse_perturbations(["A", missing], control=missing)
    assert named.is_control.tolist() == [False, True]


def test_controls_beside_those_that_are_named_are_said():
    with pytest.warns(UserWarning, match=r"'DMSO' in labels are read as controls too"):
        found = parse_perturbations(["A", "DMSO", "site"], "site")
    assert found.is_control.tolist() == [False, True, True]
    assert parse_perturbations([0, 1, 0], 0).is_control.tolist() == [True, False, True]
    assert parse_perturbations([False, True], False).parts == {"True": ("True",)}


@pytest.mark.parametrize("separator", [",", ";", "|", "&", " & "])
def test_other_separators_are_found(separator):
    labels = ["A", "B", f"B{separator}A", "ctrl"]
    assert parse_perturbations(labels).names.tolist() == ["A", "B", "A+B", ""]


def test_controls_are_found_without_perturbed_cells(refuses):
    assert find_controls(["NT", "NT"]).all()
    assert find_controls(["A", "NT", "A+NT", "x"], "NT").tolist() == [False, True, False, False]
    with refuses(ValueError, "control cells", "found none"):
        find_controls(["A", "B"])
    with refuses(ValueError, "found 1 of 2 missing (NaN)"):
        find_controls(["NT", None])


def test_names_of_parts_are_text_or_numbers():
    assert read_parts(3) == ("3",) and read_parts(("B", 1.0)) == ("1", "B")
    assert read_parts("A+site", controls={"site"}) == ("A",)
    for bad in (None, np.nan, ("A", None), "", ()):
        with pytest.raises(ValueError, match="Expected a perturbation, found"):
            read_parts(bad)


def test_two_names_of_a_gene_are_said():
    for pair in (["MARCH8", "MARCHF8"], ["Stat1", "STAT1"], ["8-Mar", "MARCHF8"]):
        with pytest.warns(UserWarning, match=rf"1 genes have several names.*'{min(pair)}'"):
            parse_perturbations([*pair, "ctrl"])


def test_cells_of_a_screen_are_checked(refuses):
    adata = screen(["A", "ctrl", "A", "ctrl"])
    key = {"perturbation_key": "target"}
    with refuses(TypeError, "as an AnnData, found DataFrame"):
        read_screen(adata.to_df(), **key)
    with refuses(ValueError, "shape (4, 0)"):
        read_screen(adata[:, :0].copy(), **key)
    with refuses(ValueError, "min_cells=3 cells, found at most 2", "Lower min_cells="):
        read_screen(adata, min_cells=3, **key)
    for bad in (0, 1.5, "3"):
        with refuses(ValueError, "min_cells of at least 1"):
            read_screen(adata, min_cells=bad, **key)
    with refuses(ValueError, "`target_sum` above 0, found '1e4'"):
        read_screen(adata, target_sum="1e4", **key)
    with refuses(ValueError, "counts above 0", "found none in 4 cells"):
        read_screen(screen(["A", "ctrl", "A", "ctrl"], np.zeros((4, 4))), **key)
