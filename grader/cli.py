"""The commands of `python -m grader`."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.exceptions import TyperException

from grader import metrics, results
from grader.artifacts import (
    ArtifactError,
    Remarks,
    count_numbers,
    read_file,
    read_predictions,
    read_reconstructions,
    read_truth_images,
    read_truth_labels,
)

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()  # without one, typer would take a lone command's name for an argument
def commands() -> None:
    """Scores submissions of the course."""


@app.command()
def score(
    recon_truth: Annotated[Path, typer.Option(help="npz of the images to reconstruct")],
    recon: Annotated[Path, typer.Option(help="the submission's vae_reconstructed.npz")],
    truth: Annotated[Path, typer.Option(help="npz with the labels of the test images")],
    pred: Annotated[Path, typer.Option(help="the submission's vae.csv")],
    model: Annotated[Path | None, typer.Option(help="the submission's vae.pth")] = None,
    gmm: Annotated[Path | None, typer.Option(help="the submission's gmm_params.pkl")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="write every figure")] = None,
) -> None:
    """Score the files that a submission wrote. Runs and unpickles none of them."""
    inputs = [path for path in (recon_truth, recon, truth, pred, model, gmm) if path]
    if json_path and json_path.resolve() in {path.resolve() for path in inputs}:
        raise ArtifactError(json_path, "the name of a file to read", "another name for the figures")
    true_images = read_truth_images(recon_truth.resolve())
    true_labels = read_truth_labels(truth.resolve())
    recon_remarks, pred_remarks = Remarks(recon), Remarks(pred)
    images = read_reconstructions(recon, recon_remarks, len(true_images))
    labels = read_predictions(pred, pred_remarks, len(true_labels))
    scores = results.Scores(
        reconstruction=metrics.reconstruction_scores(true_images, images),
        reconstruction_images=len(true_images),
        classification=metrics.classification_scores(true_labels, labels),
        classes=metrics.class_scores(true_labels, labels),
        classification_images=len(true_labels),
        parameters=count_numbers(model) if model else None,
        gmm_bytes=len(read_file(gmm, "a pickle")) if gmm else None,
        remarks=recon_remarks.texts + pred_remarks.texts,
    )
    if json_path:
        write_json(results.to_json(scores), json_path)
    results.show(scores, Console())


def write_json(value: dict[str, Any], path: Path) -> None:
    """Put `value` in place of `path`, whole. Raises ArtifactError where that cannot be done."""
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        if path.exists() and not path.is_file():
            raise FileExistsError(0, "it is no regular file")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value, indent=2) + "\n")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        expected = "a file in a folder with write access and space"
        raise ArtifactError(path, f"cannot be written ({error.strerror})", expected) from error


def main() -> int:
    """Run the command line; a user's mistake is one line on stderr and the exit code 2."""
    try:
        return app(prog_name="python -m grader", standalone_mode=False) or 0
    except TyperException as error:
        message = error.format_message()
    except ArtifactError as error:
        message = str(error)
    print(message, file=sys.stderr)
    return 2
