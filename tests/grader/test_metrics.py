import numpy as np
import pytest
import skimage.metrics
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from sklearn.metrics import f1_score

from grader import metrics
from grader.metrics import (
    class_scores,
    classification_scores,
    confusion_scores,
    reconstruction_scores,
    ssim,
)

GENERATOR = np.random.default_rng(0)


def test_reconstruction_scores_are_means_over_images() -> None:
    truth, recon = GENERATOR.random((2, 40, 28, 28))
    scores = reconstruction_scores(truth, recon)
    each = [structural_similarity(t, r, data_range=1) for t, r in zip(truth, recon, strict=True)]
    assert scores["ssim"].value == pytest.approx(np.mean(each))
    assert scores["one_minus_mse"].value == pytest.approx(1 - np.mean((truth - recon) ** 2))
    half = (scores["ssim"].value + scores["one_minus_mse"].value) / 2
    assert scores["reconstruction"].value == pytest.approx(half)
    for score in scores.values():
        assert score.low < score.value < score.high


def test_a_perfect_reconstruction_scores_1() -> None:
    truth = GENERATOR.random((5, 28, 28))
    for score in reconstruction_scores(truth, truth).values():
        assert (score.value, score.low, score.high) == pytest.approx((1, 1, 1))


def test_the_interval_is_that_of_the_mean() -> None:
    truth = np.zeros((400, 28, 28))
    recon = np.sqrt(GENERATOR.random((400, 1, 1))) * np.ones((28, 28))
    score = reconstruction_scores(truth, recon)["one_minus_mse"]
    # The MSE of an image is uniform on 0..1, so the standard deviation of the mean of 400 is
    # 1/sqrt(12 * 400).
    assert (score.high - score.low) / 2 == pytest.approx(1.96 / np.sqrt(4800), rel=0.1)


labels = st.lists(st.sampled_from([1, 4, 8]), min_size=1, max_size=60)


@given(labels, st.integers(0, 1000))
def test_classification_scores_are_those_of_scikit_learn(truth: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    true = np.array(truth)
    predicted = np.where(generator.random(len(true)) < 0.3, 7, true)
    scores = classification_scores(true, predicted)
    macro, micro = (
        f1_score(true, predicted, average=a, zero_division=0) for a in ("macro", "micro")
    )
    assert scores["macro_f1"].value == pytest.approx(macro)
    assert scores["micro_f1"].value == pytest.approx(micro)
    assert scores["accuracy"].value == pytest.approx(np.mean(true == predicted))
    assert scores["classification"].value == pytest.approx((macro + micro) / 2)


@given(st.integers(0, 1000), st.integers(1, 5))
def test_scores_of_many_confusion_matrices_are_those_of_scikit_learn(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    true, predicted = generator.integers(0, k, (2, 20))
    confusion = np.zeros((1, k, k), int)
    np.add.at(confusion[0], (true, predicted), 1)
    scores = confusion_scores(confusion)
    assert scores["macro_f1"][0] == pytest.approx(
        f1_score(true, predicted, average="macro", zero_division=0)
    )
    assert scores["micro_f1"][0] == pytest.approx(np.mean(true == predicted))


def test_the_interval_of_accuracy_is_binomial() -> None:
    truth = np.repeat([1, 4], 500)
    predicted = np.where(np.arange(1000) % 10 == 0, 8, truth)
    score = classification_scores(truth, predicted)["accuracy"]
    assert score.value == 0.9
    assert (score.high - score.low) / 2 == pytest.approx(1.96 * np.sqrt(0.09 / 1000), rel=0.1)


def test_class_scores_are_of_the_true_classes() -> None:
    rows = class_scores(np.array([1, 1, 1, 4, 8]), np.array([1, 1, 4, 4, 7]))
    assert [(row.label, row.images) for row in rows] == [(1, 3), (4, 1), (8, 1)]
    assert [row.precision for row in rows] == [1, 0.5, 0]
    assert [row.recall for row in rows] == pytest.approx([2 / 3, 1, 0])
    assert [row.f1 for row in rows] == pytest.approx([0.8, 2 / 3, 0])


def test_the_same_files_give_the_same_intervals() -> None:
    truth, recon = GENERATOR.random((2, 10, 28, 28))
    assert reconstruction_scores(truth, recon) == reconstruction_scores(truth, recon)


@pytest.mark.parametrize("shape", [(28, 28), (7, 7), (12, 31)])
def test_ssim_is_that_of_scikit_image(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    for truth in (generator.random((70, *shape)), generator.integers(0, 2, (70, *shape)) / 1):
        for recon in (truth, 1 - truth, truth * 0.5, generator.random((70, *shape)), truth * 0):
            expected = [
                structural_similarity(t, r, data_range=1) for t, r in zip(truth, recon, strict=True)
            ]
            assert ssim(truth, recon) == pytest.approx(np.array(expected), abs=1e-10)


LABELS = np.random.default_rng(0).integers(0, 4, (2, 60))
IMAGES = np.random.default_rng(1).random((2, 5, 12, 12))


@pytest.mark.parametrize("name", metrics.LIBRARY_METRICS["labels"])
def test_library_metrics_of_labels_are_the_librarys(name: str) -> None:
    arguments = {"average": "macro"} if name[8:] in AVERAGED else {}
    expected = getattr(sklearn.metrics, name[8:])(*LABELS, **arguments)
    assert metrics.problem_with_metric("labels", name, arguments) is None
    found = metrics.classification_scores(LABELS[0], LABELS[1], {name: 1.0}, {name: arguments})
    assert found[name].value == pytest.approx(expected)
    assert found["classification"].value == pytest.approx(expected)
    assert found[name].low <= found[name].high


AVERAGED = {"f1_score", "jaccard_score", "precision_score", "recall_score"}


@pytest.mark.parametrize("name", metrics.LIBRARY_METRICS["images"])
def test_library_metrics_of_images_are_the_librarys(name: str) -> None:
    function = getattr(skimage.metrics, name[8:])
    ranged = name[8:] in ("structural_similarity", "peak_signal_noise_ratio")
    arguments = {"data_range": 1.0} if ranged else {}
    values = np.array([function(x, y, **arguments) for x, y in zip(*IMAGES, strict=True)])
    assert metrics.problem_with_metric("images", name, {}) is None
    found = metrics.reconstruction_scores(
        IMAGES[0], IMAGES[1], {name: 1.0}, {}, {name: (0.0, 40.0)}
    )
    assert found[name].value == pytest.approx(values.mean())
    assert found["reconstruction"].value == pytest.approx(np.clip(values / 40, 0, 1).mean())


def test_equal_images_have_a_finite_ratio() -> None:
    name = "skimage.peak_signal_noise_ratio"
    found = metrics.reconstruction_scores(IMAGES[0], IMAGES[0], {name: 1.0}, {}, {name: (10, 30)})
    assert found[name].value == 100
    assert found["reconstruction"].value == 1


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "problem"),
    [
        ("labels", "sklearn.no_such_score", {}, "a known metric of labels"),
        ("labels", "skimage.structural_similarity", {}, "a known metric of labels"),
        ("labels", "sklearn.f1_score", {"averages": "macro"}, "in place of 'averages'"),
        ("labels", "sklearn.f1_score", {"average": "mean"}, "arguments that"),
        ("labels", "sklearn.f1_score", {"average": "none"}, "arguments that"),
        ("labels", "accuracy", {"normalize": True}, "no arguments"),
        ("images", "skimage.structural_similarity", {"win_size": 99}, "arguments that"),
        ("images", "skimage.structural_similarity", {"full": True}, "one number"),
        ("numbers", "ssim", {}, "a known metric of numbers"),
    ],
)
def test_a_wrong_metric_is_found_when_the_file_is_read(
    kind: str, name: str, arguments: dict[str, object], problem: str
) -> None:
    assert problem in (metrics.problem_with_metric(kind, name, arguments) or "")
