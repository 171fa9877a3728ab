"""What a submission scored, as JSON and as a table on the terminal."""

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from grader.metrics import CONFIDENCE, ClassScore, Score

PARAMETERS_ALLOWED = 20_000_000
PARAMETERS_ADVISED = 10_000_000

FEW_IMAGES = 100


@dataclass
class Scores:
    """The scores of one submission, with what is to be said about its files."""

    reconstruction: dict[str, Score]
    reconstruction_images: int
    classification: dict[str, Score]
    classes: list[ClassScore]
    classification_images: int
    parameters: int | None = None
    gmm_bytes: int | None = None
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.parameters is not None and self.parameters > PARAMETERS_ADVISED:
            self.remarks.append(
                f"the model holds {self.parameters:,} numbers; "
                f"the assignment advises {PARAMETERS_ADVISED:,}"
            )

    @property
    def within_limit(self) -> bool:
        """Whether the model is of the size that the assignment allows."""
        return self.parameters is None or self.parameters <= PARAMETERS_ALLOWED


def to_json(scores: Scores) -> dict[str, Any]:
    """Every figure of `scores`, in types that JSON has."""
    return asdict(scores) | {
        "parameters_allowed": PARAMETERS_ALLOWED,
        "within_limit": scores.within_limit,
        "confidence": CONFIDENCE,
    }


LABELS = {
    "one_minus_mse": "1 - MSE",
    "ssim": "SSIM",
    "reconstruction": "Reconstruction score",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "classification": "Classification score",
}


def score_table(scores: Scores) -> Table:
    table = Table(title="Scores")
    for column in ("", "Score", f"{CONFIDENCE:.0%} interval"):
        table.add_column(column, justify="right" if column else "left")
    for part, images in (
        (scores.reconstruction, scores.reconstruction_images),
        (scores.classification, scores.classification_images),
    ):
        for name, score in part.items():
            total = name in ("reconstruction", "classification")
            label = f"{LABELS[name]} ({images} images)" if total else LABELS[name]
            interval = f"{score.low:.4f} .. {score.high:.4f}"
            table.add_row(label, f"{score.value:.4f}", interval, style="bold" if total else "")
        table.add_section()
    return table


def class_table(classes: list[ClassScore]) -> Table:
    table = Table(title="Classes")
    for column in ("Class", "Precision", "Recall", "F1", "Images"):
        table.add_column(column, justify="right")
    for row in classes:
        figures = (f"{value:.4f}" for value in (row.precision, row.recall, row.f1))
        table.add_row(str(row.label), *figures, str(row.images))
    return table


def show(scores: Scores, console: Console) -> None:
    """Print `scores` for a person."""
    console.print(score_table(scores))
    console.print(class_table(scores.classes))
    if scores.parameters is not None:
        verdict = "within" if scores.within_limit else "ABOVE"
        console.print(
            f"Model: {scores.parameters:,} numbers, {verdict} the limit of {PARAMETERS_ALLOWED:,}"
        )
    if scores.gmm_bytes is not None:
        console.print(f"Mixture: {scores.gmm_bytes:,} bytes, not opened")
    if scores.reconstruction_images < FEW_IMAGES:
        ssim = scores.reconstruction["ssim"]
        console.print(
            f"With {scores.reconstruction_images} images, chance alone moves the SSIM by "
            f"about {(ssim.high - ssim.low) / 2:.2f}: judge on a larger set.",
            soft_wrap=True,
        )
    for remark in scores.remarks:
        console.print(f"Remark: {remark}", markup=False, highlight=False, soft_wrap=True)
