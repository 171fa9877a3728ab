"""What a run teaches the author of a program, and that nobody else's run shows any of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grader.assessment import lessons
from grader.assessment.grade import Grade, Lesson
from grader.assessment.pipeline import assess
from grader.assessment.stages import LATENTS, VARIABLE, Settings
from grader.assignment import Assignment
from grader.display.result_page import render
from grader.display.results import to_gradescope
from grader.metrics import classification_scores, one_minus_mse, ssim
from grader.sandbox.command import Level
from grader.submission.check import check_submission
from tests.accessibility import violations
from tests.grader.test_exploits import program

# The honest program with a mistake, which leaves the place of every image.
LEAVES_LATENTS = f"""
def leave(test_path):
    import os
    if "{VARIABLE}" in os.environ:
        x = images(test_path)
        np.savez(os.environ["{VARIABLE}"], z=np.stack([x.mean(axis=1), x.std(axis=1)], axis=1))

def reconstruct_and_leave(test_path, model_path, reconstruct=reconstruct):
    reconstruct(test_path, model_path)
    leave(test_path)

def classify_and_leave(test_path, model_path, gmm_path):
    leave(test_path)
    write_labels(np.where(images(test_path).mean(axis=1) < 0.1, 1, 8))

reconstruct, classify = reconstruct_and_leave, classify_and_leave
"""
TAUGHT = ("where the points are", "The worst", "misclassified", "latent plane", ">Rules<")

Submit = Callable[..., Path]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "vae.py").write_text(program(after=LEAVES_LATENTS))
    return folder


@pytest.fixture(scope="module")
def own(home: Path, data_folder: Path, a3: Assignment) -> Grade:
    return assess(home, a3, Settings(data_folder, Level.TRUSTED))


def data(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    arrays = np.load(folder / f"mnist_1_4_8_{name}.npz")
    return arrays["data"] / 255, arrays["labels"]


def test_the_worst_reconstructions_come_first_with_their_measures(
    own: Grade, data_folder: Path
) -> None:
    images, _ = data(data_folder, "test_recon")
    recon = own.lessons[0]
    assert len(recon.examples) == recon.lost == 10
    scores = [example.values["score"] for example in recon.examples]
    assert scores == sorted(scores)
    assert len(set(scores)) == 10
    assert np.mean(scores) == pytest.approx(own.mark("reconstruction").value)
    for example in recon.examples:
        np.testing.assert_array_equal(example.image, images[example.number])
        pair = example.image[None], np.asarray(example.reconstruction)[None]
        assert example.values["ssim"] == pytest.approx(ssim(*pair)[0])
        assert example.values["one_minus_mse"] == pytest.approx(one_minus_mse(*pair)[0])
        assert example.z == pytest.approx((example.image.mean(), example.image.std()))


def test_misclassified_images_have_both_classes_and_their_latents(
    own: Grade, data_folder: Path
) -> None:
    images, labels = data(data_folder, "test")
    predicted = np.where(images.mean(axis=(1, 2)) < 0.1, 1, 8)
    lesson = own.lessons[1]
    assert lesson.lost == (predicted != labels).sum() > len(lesson.examples)
    for example in lesson.examples:
        i = example.number
        assert (example.truth, example.predicted) == (labels[i], predicted[i])
        assert example.truth != example.predicted
        assert example.z == pytest.approx((images[i].mean(), images[i].std()))
    assert lesson.hints[0] == f"{lesson.lost} of 60 images are misclassified."
    pairs = list(zip(labels, predicted, strict=True))
    (true, other) = max((p for p in set(pairs) if p[0] != p[1]), key=pairs.count)
    better = np.where((labels == true) & (predicted == other), true, predicted)
    raised = classification_scores(labels, better)["classification"].value
    assert f"{true} taken for {other}, {pairs.count((true, other))} of" in lesson.hints[1]
    assert f"would be {raised:.4f} in place of" in lesson.hints[1]


def test_the_halves_add_up_to_the_points(own: Grade) -> None:
    for lesson, mark in zip(own.lessons, own.marks, strict=True):
        assert sum(half.points for half in lesson.halves) == pytest.approx(
            float(mark.points), abs=0.01
        )
        assert sum(h.points + h.missing for h in lesson.halves) == pytest.approx(mark.possible)


def test_there_is_a_line_for_each_rule(own: Grade, home: Path, a3: Assignment) -> None:
    assert own.rules == check_submission(home, a3)
    assert {check.passed for check in own.rules} == {True, False, None}
    page = render(own)
    for check in own.rules:
        assert check.rule in page


def test_the_page_shows_it_and_has_the_same_bytes_again(own: Grade) -> None:
    page = render(own)
    for text in TAUGHT:
        assert text in page
    assert "weight 0.5" in page
    assert page == render(own)


@pytest.mark.parametrize("other", [level for level in Level if level is not Level.TRUSTED])
def test_only_trusted_code_shows_data(tmp_path: Path, other: Level) -> None:
    assert not Settings(tmp_path, other).shows_data


def test_a_run_that_is_not_ones_own_teaches_nothing(
    home: Path, own: Grade, data_folder: Path, a3: Assignment, level: Level
) -> None:
    grade = assess(home, a3, Settings(data_folder, level))
    assert grade.step("classify").verdict == own.step("classify").verdict == "OK"
    assert (grade.lessons, grade.rules) == ([], [])
    assert not any(text in render(grade) for text in TAUGHT)


def test_no_results_json_has_any_of_it(own: Grade) -> None:
    without = replace(own, lessons=[], rules=[])
    assert json.dumps(to_gradescope(own)) == json.dumps(to_gradescope(without))


def test_latents_of_another_shape_leave_a_remark(
    submit: Submit, data_folder: Path, a3: Assignment
) -> None:
    after = LEAVES_LATENTS.replace("x.std(axis=1)]", "x.std(axis=1)][:1]")
    home = submit({"vae.py": program(after=after)})
    grade = assess(home, a3, Settings(data_folder, Level.TRUSTED))
    wanted = f"{LATENTS}: no such array (z has the shape (60, 1)); expected 'z' of shape (60, 2)"
    assert any(remark.startswith(wanted) for remark in grade.remarks)
    assert all(lesson.latents is None for lesson in grade.lessons)
    page = render(grade)
    assert "The misclassified images" in page
    assert "latent plane" not in page


def test_without_mistakes_there_is_nothing_to_show(own: Grade) -> None:
    best = Lesson("Classification", [], ["0 of 60 images are misclassified."], [], 0)
    page = render(replace(own, lessons=[best]))
    assert "0 of 60 images are misclassified." in page
    assert "The misclassified images" not in page


@pytest.mark.parametrize(
    ("change", "said"), [(0.5, "blurred"), (1.0, "neither blurred nor noisy"), (2.0, "noisy")]
)
def test_contrast_tells_blur_from_noise(change: float, said: str) -> None:
    images = np.random.default_rng(0).random((5, 28, 28))
    (hint,) = lessons.sharpness(images, change * images)
    assert said in hint
    assert f"{change:.0%}" in hint


def test_distances_tell_the_encoders_mistakes_from_the_classifiers() -> None:
    latents = np.array([[0.0, 0], [0, 1], [9, 0], [9, 1], [8, 0], [1, 0]])
    truth = np.array([1, 1, 4, 4, 1, 1])
    predicted = np.array([1, 1, 4, 4, 4, 4])
    wrong = np.array([4, 5])
    far, near = lessons.on_which_side(latents, truth, predicted, wrong)
    assert far.startswith("1 of the 2 have a latent nearer to the mean of the class that they were")
    assert near.startswith("1 of the 2 have a latent nearer to the mean of their own class")


def test_on_a_phone_messages_wrap_as_words(chromium: Any, own: Grade, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(own))
    for scheme in ("light", "dark"):
        context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        page = context.new_page()
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        widths = page.evaluate(
            "[...document.querySelectorAll('td.message p')].map((p) => p.clientWidth)"
        )
        assert len(widths) >= 2
        assert min(widths) > 300
        assert violations(page) == []
        context.close()
