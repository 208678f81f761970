"""``CellTypeClassifier``: fit, predict, files, and its errors."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

import scmomer
from scmomer import CellTypeClassifier
from scmomer.nn import to_rows
from scmomer.tasks.annotation._inputs import Settings, batch_inputs, cell_inputs
from scmomer.tasks.annotation._module import ClassifierConfig
from scmomer.tasks.annotation._stacking import combine

QUICK = {"n_members": 2, "hidden": 16, "max_epochs": 15}


@pytest.fixture
def classifier(trained, mdata, seed) -> CellTypeClassifier:
    """Fitted on all cells of the training data."""
    with seed(0):
        return CellTypeClassifier(trained, **QUICK).fit(mdata, "cell_type")


def test_types_of_known_cells_are_found(classifier, mdata):
    truth = mdata.obs["cell_type"].astype(str).to_numpy()
    assert classifier.classes_.tolist() == sorted(set(truth))
    largest = pd.Series(truth).value_counts(normalize=True).iloc[0]
    assert (classifier.predict(mdata) == truth).mean() > largest + 0.2


def test_probabilities_are_a_frame_of_cells_and_classes(classifier, data):
    found = classifier.predict_proba(data)
    assert found.index.equals(data.obs_names)
    assert found.columns.tolist() == classifier.classes_.tolist()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(classifier.predict(data), found.idxmax(axis=1))


def test_a_cell_does_not_depend_on_the_others(classifier, data):
    whole = classifier.predict_proba(data)
    some = classifier.predict_proba(data[[5, 3, 60]], batch_size=2)
    np.testing.assert_allclose(some, whole.iloc[[5, 3, 60]], atol=1e-5)
    novelty = classifier.novelty(data)
    assert novelty.shape == (120,) and (novelty >= 0).all()
    np.testing.assert_allclose(classifier.novelty(data[[5, 3]]), novelty[[5, 3]], rtol=1e-3)


def test_a_seeded_fit_repeats_exactly(trained, mdata, seed, classifier):
    with seed(0):
        torch.rand(5)  # what was drawn before does not matter
        again = CellTypeClassifier(trained, **QUICK).fit(mdata, mdata.obs["cell_type"])
    assert again.predict_proba(mdata).equals(classifier.predict_proba(mdata))
    with seed(1):
        other = CellTypeClassifier(trained, **QUICK).fit(mdata, "cell_type")
    assert not other.predict_proba(mdata).equals(classifier.predict_proba(mdata))


def test_threads_are_given_back(trained, mdata):
    before = torch.get_num_threads()
    CellTypeClassifier(trained, **QUICK).fit(mdata["rna"], "cell_type")
    assert torch.get_num_threads() == before


def test_cells_of_a_type_that_the_reference_lacks_are_novel(trained, mdata):
    truth = mdata.obs["cell_type"].astype(str).to_numpy()
    for left_out in np.unique(truth):
        known = truth != left_out
        fitted = CellTypeClassifier(trained, **QUICK).fit(mdata[known].copy(), "cell_type")
        novelty = fitted.novelty(mdata)
        assert np.median(novelty[known]) == pytest.approx(1, abs=0.3)
        assert np.median(novelty[~known]) > 1.3


def test_no_cells_give_no_labels(classifier, mdata):
    none = mdata["rna"][:0].copy()
    assert classifier.predict(none).shape == (0,)
    assert classifier.novelty(none).shape == (0,)


def test_inputs_can_be_the_embedding_alone(trained, mdata):
    small = CellTypeClassifier(trained, inputs="embedding", **QUICK).fit(mdata, "cell_type")
    assert small.fitted_.heads.n_inputs == trained.config.n_latent
    assert set(small.predict(mdata)) <= set(small.classes_)


def test_gene_classifiers_count_with_their_weight(trained, mdata, seed):
    with seed(0):
        made = CellTypeClassifier(trained, **QUICK).fit(mdata, "cell_type")
    fitted, cells = made.fitted_, trained._read_cells(mdata, {})
    assert fitted.stack.weights.shape == (5,) and (fitted.stack.weights >= 0).all()
    inputs = cell_inputs(trained, cells, fitted, None, fitted.pcs)
    by_heads = fitted.heads(torch.from_numpy(inputs.values)).detach().numpy()
    linear = fitted.embedding_regression.predict_proba(inputs.z)
    by_genes = fitted.gene_classifiers.predict_proba_cells(cells)
    expected = combine(np.concatenate([[by_heads, linear], by_genes]), fitted.stack.weights)
    np.testing.assert_allclose(made.predict_proba(mdata), expected, atol=1e-6)
    published = CellTypeClassifier(trained, **QUICK, inputs="embedding")
    assert published.fit(mdata, "cell_type").fitted_.gene_classifiers is None


def test_cells_of_atac_alone_are_given_the_types_of_heads_and_embedding(classifier, trained, mdata):
    some = mdata["atac"][60:].copy()
    fitted, cells = classifier.fitted_, trained._read_cells(some, {})
    assert np.isnan(fitted.gene_classifiers.predict_proba_cells(cells)).all()
    inputs = cell_inputs(trained, cells, fitted, None, fitted.pcs)
    by_heads = fitted.heads(torch.from_numpy(inputs.values)).detach().numpy()
    linear = fitted.embedding_regression.predict_proba(inputs.z)
    expected = combine(np.stack([by_heads, linear]), fitted.stack.of_embedding)
    np.testing.assert_allclose(classifier.predict_proba(some), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["rna", "atac"])
def test_a_model_of_one_modality_annotates(trained_rna, trained_atac, mdata, name):
    model = {"rna": trained_rna, "atac": trained_atac}[name]
    fitted = CellTypeClassifier(model, **QUICK).fit(mdata[name], "cell_type")
    assert fitted.predict(mdata[name]).shape == (120,)


def test_reference_and_query_may_have_other_modalities(trained, mdata):
    fitted = CellTypeClassifier(trained, **QUICK).fit(mdata["rna"], "cell_type")
    assert fitted.predict_proba(mdata["atac"]).notna().all(axis=None)


def test_genes_that_are_left_out_do_not_count(trained, mdata):
    rna = mdata["rna"].copy()
    kept = rna.var_names[::2]
    fitted = CellTypeClassifier(trained, **QUICK).fit(rna, "cell_type", genes=kept)
    np.testing.assert_allclose(
        fitted.predict_proba(rna), fitted.predict_proba(rna[:, kept].copy()), atol=1e-6
    )


# -- unknown cells


def test_held_out_cells_set_the_threshold(classifier):
    threshold = classifier.threshold("auto")
    assert (classifier.held_out_ < threshold).mean() == pytest.approx(0.025, abs=0.03)
    novelty = classifier.fitted_.mahalanobis.reference_novelty
    assert (novelty > classifier.novelty_limit()).mean() == pytest.approx(0.025, abs=0.01)
    assert classifier.threshold(None) is None and classifier.threshold(0.3) == 0.3


def test_classes_are_reported_by_held_out_cells(classifier, mdata):
    report = classifier.class_report_
    assert set(report.index) == set(classifier.classes_)
    assert report["n_cells"].sum() == len(classifier.held_out_)
    sizes = mdata["rna"].obs["cell_type"].value_counts()
    assert (report["n_cells"] <= sizes[report.index]).all()
    report["f1"] = 0.0  # a copy
    assert classifier.class_report_["f1"].max() > 0.5


def test_cells_below_the_threshold_are_unknown(classifier, data):
    largest = classifier.predict_proba(data).max(axis=1).to_numpy()
    cut = float(np.median(largest))
    found = classifier.predict(data, unknown_threshold=cut)
    assert np.array_equal(found == "unknown", largest < cut)
    assert not (classifier.predict(data) == "unknown").any()
    assert (classifier.predict(data, unknown_threshold=1.0) == "unknown").all()


def test_far_cells_are_unknown_however_sure_the_heads_are(classifier):
    sure = np.eye(len(classifier.classes_))[[0, 1]]
    limit = classifier.novelty_limit()
    novelty = np.array([0.5, 2.0]) * limit
    found = classifier.assign_labels(sure, "auto", novelty)
    assert found.tolist() == [classifier.classes_[0], "unknown"]
    assert "unknown" not in classifier.assign_labels(
        sure, 0.5, novelty
    )  # a number is about probability


@pytest.mark.parametrize("bad", [1.5, -0.1, "strict", True])
def test_other_thresholds_are_refused(classifier, refuses, bad):
    with refuses(ValueError, repr(bad), "'auto'"):
        classifier.threshold(bad)


# -- fine-tuning


def test_fine_tuning_leaves_the_model_alone(trained, mdata, seed):
    before = {k: v.clone() for k, v in trained.module.state_dict().items()}
    needs = {k: p.requires_grad for k, p in trained.module.named_parameters()}
    with seed(0):
        fitted = CellTypeClassifier(trained, fine_lr=1e-2, **QUICK).fit(
            mdata, "cell_type", mode="finetune"
        )
    after = trained.module.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert needs == {k: p.requires_grad for k, p in trained.module.named_parameters()}
    tuned = fitted._network.module.state_dict()
    changed = {k for k in before if not torch.equal(before[k], tuned[k])}
    assert changed == set(fitted.fitted_.network)
    if fitted.fitted_.fine_epoch:
        assert changed and all(
            k.startswith(
                (
                    "modalities.rna.encoder.model.performer.net.layers.0",
                    "modalities.rna.encoder.model.norm",
                )
            )
            for k in changed
        )
    else:
        assert not changed


def test_fine_tuning_reads_what_the_heads_were_trained_on(trained, mdata):
    for some in (("rna", "atac"), ("rna",), ("atac",)):
        cells = trained._read_cells(mdata)
        settings = Settings(
            inputs="all", mode="frozen", modalities=some, genes=None, config=ClassifierConfig()
        )
        expected = cell_inputs(trained, cells, settings, None)
        counts = {m: to_rows(cells.counts[m]) for m in some}
        with torch.no_grad():
            found = batch_inputs(trained.module, counts, "all")
        np.testing.assert_allclose(found.numpy(), expected.values, atol=1e-5)


def test_fine_tuning_without_rna_is_refused(trained, mdata, refuses):
    with refuses(ValueError, "RNA", "['atac']", "frozen"):
        CellTypeClassifier(trained, **QUICK).fit(mdata["atac"], "cell_type", mode="finetune")
    with refuses(ValueError, "'finetune'", "'both'"):
        CellTypeClassifier(trained).fit(mdata, "cell_type", mode="both")


# -- files


@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_a_saved_classifier_predicts_the_same(trained, saved, mdata, tmp_path, mode, seed):
    with seed(0):
        fitted = CellTypeClassifier(trained, fine_lr=1e-2, **QUICK)
        fitted.fit(mdata, "cell_type", mode=mode)
    fitted.save(tmp_path / "types")
    assert {p.name for p in (tmp_path / "types").iterdir()} == {
        "classifier.json",
        "weights.safetensors",
    }
    for model in (trained, saved):
        read = CellTypeClassifier.load(tmp_path / "types", model)
        pd.testing.assert_frame_equal(read.predict_proba(mdata), fitted.predict_proba(mdata))
        np.testing.assert_allclose(read.novelty(mdata), fitted.novelty(mdata), rtol=1e-6)
        assert read.threshold() == fitted.threshold() and read.mode == mode
        pd.testing.assert_frame_equal(read.class_report_, fitted.class_report_)
        assert read.fitted_.fine_epoch == fitted.fitted_.fine_epoch


def test_a_folder_of_an_earlier_version_is_to_be_fitted_again(classifier, tmp_path, refuses):
    path = tmp_path / "types"
    classifier.save(path)
    file = path / "classifier.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format_version": 2}))
    with refuses(ValueError, "format version 4", "found 2", "Fit it again"):
        CellTypeClassifier.load(path, classifier.model)


def test_another_model_is_refused(classifier, trained, trained_rna, tmp_path, refuses):
    classifier.save(tmp_path / "types")
    with refuses(ValueError, trained.id, trained_rna.id):
        CellTypeClassifier.load(tmp_path / "types", trained_rna)


def test_only_a_classifier_folder_is_replaced(classifier, saved, tmp_path, refuses):
    path = tmp_path / "types"
    classifier.save(path)
    with refuses(FileExistsError, "overwrite=True"):
        classifier.save(path)
    classifier.save(path, overwrite=True)
    with refuses(FileExistsError, "model.json"):
        classifier.save(saved, overwrite=True)


def test_damaged_folders_are_refused(classifier, trained, tmp_path, refuses):
    path = tmp_path / "types"
    with refuses(FileNotFoundError, "classifier folder", "nothing"):
        CellTypeClassifier.load(path, trained)
    path.mkdir()
    with refuses(FileNotFoundError, "classifier.json", "classifier.save"):
        CellTypeClassifier.load(path, trained)
    classifier.save(path, overwrite=True)
    meta = json.loads((path / "classifier.json").read_text())
    (path / "classifier.json").write_text(json.dumps({**meta, "format": "other"}))
    with refuses(ValueError, "'other'", "scmomer-classifier"):
        CellTypeClassifier.load(path, trained)
    (path / "classifier.json").write_text(json.dumps({**meta, "classes": ["a", "b"]}))
    with refuses(ValueError, "damage"):
        CellTypeClassifier.load(path, trained)
    (path / "classifier.json").write_text("{")
    with refuses(ValueError, "damage"):
        CellTypeClassifier.load(path, trained)
    (path / "classifier.json").write_text(json.dumps(meta))
    (path / "weights.safetensors").write_bytes(b"x")
    with refuses(ValueError, "safetensors"):
        CellTypeClassifier.load(path, trained)


# -- labels and options


def test_bad_labels_are_refused(trained, mdata, refuses):
    make = lambda: CellTypeClassifier(trained, **QUICK)
    labels = mdata.obs["cell_type"].astype(object).to_numpy()
    with refuses(ValueError, "two classes", "['a']"):
        make().fit(mdata, np.full(120, "a"))
    with pytest.warns(UserWarning, match="lonely"), refuses(ValueError, "two classes", "['a']"):
        make().fit(mdata, np.where(np.arange(120) == 5, "lonely", "a"))
    with refuses(ValueError, "2 of 120 missing", "Drop"):
        make().fit(mdata, np.where(np.arange(120) < 2, np.nan, labels))
    with refuses(ValueError, "120 cells", "(3,)"):
        make().fit(mdata, ["a", "b", "c"])
    with refuses(KeyError, "'nope'", "cell_type"):
        make().fit(mdata, "nope")


def test_classes_of_a_single_cell_are_left_out_by_name(trained, mdata, seed):
    labels = mdata.obs["cell_type"].astype(object).to_numpy(copy=True)
    kept = np.arange(120) != 5
    with seed(0):
        expected = CellTypeClassifier(trained, **QUICK).fit(mdata[kept].copy(), labels[kept])
    labels[5] = "lonely"
    with seed(0), pytest.warns(UserWarning, match="1 of .* classes .* such as 'lonely'"):
        found = CellTypeClassifier(trained, **QUICK).fit(mdata, labels)
    assert "lonely" not in found.classes_
    pd.testing.assert_frame_equal(found.predict_proba(mdata), expected.predict_proba(mdata))


def test_a_class_of_two_cells_is_enough(trained, mdata):
    labels = mdata.obs["cell_type"].astype(object).to_numpy(copy=True)
    labels[:2] = "pair"
    fitted = CellTypeClassifier(trained, **QUICK).fit(mdata, labels)
    assert "pair" in fitted.classes_


def test_an_unfitted_classifier_and_an_untrained_model_are_refused(
    trained, mdata, make_model, refuses, tmp_path
):
    with refuses(RuntimeError, "never fitted"):
        CellTypeClassifier(trained).predict(mdata)
    with refuses(RuntimeError, "never fitted"):
        CellTypeClassifier(trained).save(tmp_path / "types")
    assert CellTypeClassifier(trained).threshold(None) is None
    with refuses(RuntimeError, "never trained"):
        CellTypeClassifier(make_model(mdata))


def test_unknown_options_are_refused(trained, mdata, refuses):
    with refuses(ValueError, "['depth']", "hidden"):
        CellTypeClassifier(trained, depth=3)
    with refuses(ValueError, "'everything'", "embedding"):
        CellTypeClassifier(trained, inputs="everything")
    with refuses(ValueError, "['protein']", "'rna'"):
        CellTypeClassifier(trained, **QUICK).fit(mdata, "cell_type", modalities=["protein"])


def test_former_names_work_with_a_warning(classifier):
    sure = np.eye(len(classifier.classes_))
    with pytest.warns(FutureWarning, match="assign_labels"):
        assert np.array_equal(classifier.name(sure), classifier.classes_)
    with pytest.warns(FutureWarning, match="fitted_.modalities") as caught:
        assert classifier.modalities_ == ("rna", "atac") and caught[0].filename == __file__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        classifier.nothing  # noqa: B018


def test_the_model_used_last_is_the_default(trained, mdata):
    scmomer.model._current_model.set_current(trained)
    assert CellTypeClassifier().model is trained
