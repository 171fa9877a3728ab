"""What the answers of one's own program teach: where points are lost, and what would raise them.

Every hint is computed from the answers. The lessons hold images and labels, so they are only made
where `Settings.shows_data` permits it.
"""

import numpy as np
from numpy.typing import NDArray

from ..judging import Artefact, Metric
from ..metrics import class_scores, image_values, scaled, weighted
from .copies import DataSet
from .grade import Example, Half, Lesson, Mark
from .marking import score_answers
from .stages import Bench

MOST_EXAMPLES = 12
WORST_SHARE = 0.1  # of the images, whose loss a hint adds up
BACKGROUND = 0.1  # grey value below which a pixel counts as background
SHARP = (0.9, 1.1)  # contrast of reconstructions, as a share of the images', that says nothing


def teach(bench: Bench) -> list[Lesson]:
    """Return a lesson for each metric whose answers were scored."""
    lessons = []
    for metric in bench.assignment.metric:
        mark = bench.grade.mark(metric.name)
        if mark.value is None or metric.artefact not in bench.answers:
            continue
        artefact = bench.assignment.artefact[metric.artefact]
        data = bench.data[str(artefact.of)]
        values = bench.answers[metric.artefact].values
        latents = bench.latents.get(metric.artefact)
        if artefact.kind == "images":
            lessons.append(about_images(metric, mark, data, values, latents))
        else:
            lessons.append(about_labels(metric, artefact, mark, data, values, latents))
    return lessons


def halves(metric: Metric, mark: Mark) -> list[Half]:
    """Return the parts of a metric; a measure with a scale is mapped to 0..1."""
    return [
        Half(
            name,
            float(scaled(np.array(score.value), metric.scale.get(name))),
            weight,
            mark.possible,
        )
        for (name, score), weight in zip(mark.parts.items(), metric.parts.values(), strict=True)
    ]


def place(latents: NDArray | None, index: int) -> tuple[float, float] | None:
    return None if latents is None else (float(latents[index, 0]), float(latents[index, 1]))


def about_images(
    metric: Metric, mark: Mark, data: DataSet, recon: NDArray, latents: NDArray | None
) -> Lesson:
    """Return the lesson of a metric of reconstructions, (N, H, W)."""
    measures = {
        name: image_values(data.images, recon, name, metric.arguments.get(name, {}))
        for name in metric.parts
    }
    mapped = {name: scaled(values, metric.scale.get(name)) for name, values in measures.items()}
    scores = weighted(mapped, metric.parts)
    worst = np.argsort(scores, kind="stable")
    examples = [
        Example(
            int(i),
            data.images[i],
            np.clip(recon[i], 0, 1),
            {"score": float(scores[i])} | {name: float(v[i]) for name, v in measures.items()},
            truth=None if data.labels is None else int(data.labels[i]),
            z=place(latents, i),
        )
        for i in worst[:MOST_EXAMPLES]
    ]
    hints = [worst_tenth(scores[worst]), *by_class(scores, data.labels), error_hint(data, recon)]
    hints += sharpness(data.images, recon)
    return Lesson(
        mark.title, halves(metric, mark), hints, examples, len(scores), latents, data.labels
    )


def worst_tenth(ascending: NDArray) -> str:
    """Say what the worst images cost, by their scores in ascending order."""
    count = max(1, round(WORST_SHARE * len(ascending)))
    raised = ascending.copy()
    raised[:count] = np.maximum(raised[:count], np.median(ascending))
    images = "image" if count == 1 else f"{count} images"
    return (
        f"If the worst {images} scored like the median image ({np.median(ascending):.3f}), the "
        f"score would be {raised.mean():.3f} in place of {ascending.mean():.3f}."
    )


def by_class(scores: NDArray, labels: NDArray | None) -> list[str]:
    """Say which class is reconstructed best, and which worst, if there are several."""
    if labels is None or len(np.unique(labels)) < 2:
        return []
    means = {int(label): scores[labels == label].mean() for label in np.unique(labels)}
    low, high = min(means, key=lambda k: means[k]), max(means, key=lambda k: means[k])
    return [
        f"Class {low} scores lowest, {means[low]:.3f} on average; class {high} scores highest, "
        f"{means[high]:.3f}."
    ]


def error_hint(data: DataSet, recon: NDArray) -> str:
    """Say where in the images the squared error lies."""
    errors, background = np.square(data.images - recon), data.images < BACKGROUND
    share = errors[background].sum() / max(errors.sum(), 1e-12)
    return (
        f"{share:.0%} of the squared error lies on the background, which has "
        f"{background.mean():.0%} of the pixels; the rest lies on strokes and their edges."
    )


def contrast(images: NDArray) -> float:
    """Return the mean difference between neighbouring pixels of (N, H, W) images."""
    return float(np.abs(np.diff(images, axis=1)).mean() + np.abs(np.diff(images, axis=2)).mean())


def sharpness(images: NDArray, recon: NDArray) -> list[str]:
    """Say whether reconstructions, (N, H, W), are blurred or noisy."""
    ratio = contrast(recon) / max(contrast(images), 1e-12)
    found = f"The contrast between neighbouring pixels is {ratio:.0%} of the originals'"
    if ratio < SHARP[0]:
        return [f"{found}: the reconstructions are blurred. Sharper strokes raise the SSIM most."]
    if ratio > SHARP[1]:
        return [
            f"{found}: the reconstructions are noisy. A smooth background raises the SSIM most."
        ]
    return [f"{found}: on the whole they are neither blurred nor noisy."]


def about_labels(
    metric: Metric,
    artefact: Artefact,
    mark: Mark,
    data: DataSet,
    predicted: NDArray,
    latents: NDArray | None,
) -> Lesson:
    """Return the lesson of a metric of predicted labels, (N,)."""
    assert data.labels is not None
    truth = data.labels
    wrong = np.flatnonzero(truth != predicted)
    examples = [
        Example(
            int(i),
            data.images[i],
            truth=int(truth[i]),
            predicted=int(predicted[i]),
            z=place(latents, i),
        )
        for i in wrong[:MOST_EXAMPLES]
    ]
    hints = [f"{len(wrong)} of {len(truth)} images are misclassified."]
    if len(wrong):
        pairs = np.column_stack([truth[wrong], predicted[wrong]])
        kinds, counts = np.unique(pairs, axis=0, return_counts=True)
        (true, other), count = kinds[counts.argmax()], counts.max()
        corrected = np.where((truth == true) & (predicted == other), true, predicted)
        raised = score_answers(metric, artefact, data, corrected)["total"].value
        hints.append(
            f"The most frequent mistake is {true} taken for {other}, {count} of {len(wrong)}. "
            f"Without it, the score would be {raised:.4f} in place of {mark.value:.4f}."
        )
        hints.append(weakest_class(truth, predicted))
        hints += on_which_side(latents, truth, predicted, wrong)
    return Lesson(mark.title, halves(metric, mark), hints, examples, len(wrong), latents, truth)


def weakest_class(truth: NDArray, predicted: NDArray) -> str:
    """Say which class has the lowest F1, and which half of it is lower."""
    row = min(class_scores(truth, predicted), key=lambda row: row.f1)
    found = f"Class {row.label} has the lowest F1, {row.f1:.4f}"
    figures = f"recall {row.recall:.4f}, precision {row.precision:.4f}"
    if row.recall < row.precision:
        return (
            f"{found} ({figures}): its images are missed more often than others are taken for it."
        )
    if row.precision < row.recall:
        return f"{found} ({figures}): other images are taken for it more often than it is missed."
    return f"{found} ({figures})."


def on_which_side(
    latents: NDArray | None, truth: NDArray, predicted: NDArray, wrong: NDArray
) -> list[str]:
    """Say whether the encoder or the classifier is to blame, judged by distances in the plane."""
    if latents is None:
        return []
    means = {label: latents[truth == label].mean(axis=0) for label in np.unique(truth)}
    known = [i for i in wrong if predicted[i] in means]

    def distance(i: int, label: int) -> float:
        return float(np.linalg.norm(latents[i] - means[label]))

    moved = sum(distance(i, predicted[i]) < distance(i, truth[i]) for i in known)
    hints = []
    if moved:
        hints.append(
            f"{moved} of the {len(wrong)} have a latent nearer to the mean of the class that they "
            "were given than to the mean of their own: only other latents would help them."
        )
    if moved < len(known):
        hints.append(
            f"{len(known) - moved} of the {len(wrong)} have a latent nearer to the mean of their "
            "own class: another boundary between the classes might help them."
        )
    return hints
