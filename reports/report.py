"""`report`: the assignment's report as a PDF of three pages, filled in from a trained model.

The assignment prescribes what it shows, in which order, and that names and entry numbers come
first.
"""

import json
import re
import textwrap
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure, FigureBase, SubFigure
from sklearn.metrics import confusion_matrix

import clusters
import figures
import recipe
from command_line import CommandLine, check_outputs
from grader.errors import UserError
from grader.metrics import reconstruction_scores
from inference import decode
from losses import SSIM_WEIGHT
from models import NEAR, WINDOW
from reports.a3 import evaluate_gmm_performance, manifold_latents, normal_quantiles
from reports.separation import cluster_text, measure, overlap_text
from reports.trained import Trained, load_trained, val_classes
from storage import read_bytes, replacing

A4 = (8.27, 11.69)  # inches
MARGIN = 0.07  # on each side, as a share of the page
LINE = 112  # characters between the margins, at 8.5 points
ENTRY = re.compile(r"\d{4}[A-Z]{2}[A-Z0-9]\d{4}", re.ASCII)
RECORD = "what 'train' wrote"


def read_record(path: Path) -> dict[str, Any]:
    """Read the record of training: `epochs`, `seconds`, `device`.

    Raises UserError if there is no such record.
    """
    try:
        record = json.loads(read_bytes(path, RECORD))
        kept = {name: float(record[name]) for name in ("epochs", "seconds")}
        return {**kept, "device": str(record["device"])}
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(path, f"no record of a training ({error})", RECORD) from error


def reconstruction_text(trained: Trained) -> str:
    scores = reconstruction_scores(
        trained.val_images.astype(np.float64), trained.val_recon.astype(np.float64)
    )
    error, ssim = (scores[name].value for name in ("one_minus_mse", "ssim"))
    return (
        f"The {len(trained.val_images)} images of the validation set, each over its "
        f"reconstruction. Their mean 1 - MSE is {error:.3f}, their mean SSIM {ssim:.3f}."
    )


def manifold_text(n: int) -> str:
    return (
        f"{n} x {n} latents at the standard normal's quantiles from 0.05 to 0.95 on both axes, "
        "decoded. No image was put in: every digit here is generated."
    )


def metrics_text(trained: Trained) -> str:
    scores = evaluate_gmm_performance(trained.val_labels, trained.val_predicted)
    wrong = int(np.count_nonzero(trained.val_labels != trained.val_predicted))
    outcome = "all are right" if wrong == 0 else f"{wrong} of them wrong"
    return (
        f"Of the {len(trained.val_labels)} validation images, classified by the component with "
        f"the highest posterior probability, {outcome}: accuracy {scores['accuracy']:.3f}, "
        f"macro precision {scores['precision_macro']:.3f}, macro recall "
        f"{scores['recall_macro']:.3f}, macro F1 {scores['f1_macro']:.3f}. They also gave EM its "
        f"start, and one image moves the accuracy by {1 / len(trained.val_labels):.3f}: a test set "
        "says more."
    )


def architecture_text(trained: Trained) -> str:
    model = trained.model
    total, encoder, decoder = (
        sum(p.numel() for p in part.parameters()) for part in (model, model.encoder, model.decoder)
    )
    return (
        f"The encoder (784 pixels, two residual blocks, {encoder:,} parameters) scores the cells "
        f"of a {model.cells} x {model.cells} grid over the latent plane, compares the image with "
        f"what the decoder draws at the centre of the best cell, and scores {NEAR} x {NEAR} points "
        f"around that centre; the softmax of the {WINDOW} x {WINDOW} scores around the highest "
        "gives mean and variance of a Gaussian posterior. "
        f"The decoder ({decoder:,} parameters) reads the two numbers of z, grids of learned "
        "features over the plane, and sine waves of z; two residual blocks and a sigmoid follow. "
        f"Together {total:,} parameters."
    )


def training_text(record: dict[str, Any]) -> str:
    minutes = record["seconds"] / 60
    return (
        f"Training took {minutes:.1f} minutes on {record['device']}: spectral clustering; "
        "a small VAE of images of half the size for "
        f"{recipe.LAYOUT_STEPS:,} steps, to lay the clusters out; then "
        f"{record['epochs']:.0f} passes over the images: "
        f"{recipe.SHARES['latents']:.0%} of them for the decoder and a latent of each image's own, "
        f"{recipe.SHARES['encoder']:.0%} for the encoder, {recipe.SHARES['elbo']:.0%} for both "
        "together, on the evidence lower bound. No label took part; those of the validation set "
        "only start the mixture."
    )


def hyper_parameters(components: int) -> list[tuple[str, str]]:
    """Return the hyper-parameters of the recipe that were tuned, and their values."""
    rates, sizes = (
        ", ".join(f"{value:g} ({stage})" for stage, value in table.items())
        for table in (recipe.LEARNING_RATES, recipe.BATCH_SIZES)
    )
    return [
        ("Optimizer", "AdamW, one-cycle schedule"),
        ("Peak learning rates", rates),
        ("Batch sizes", sizes),
        ("Loss", f"squared error - {SSIM_WEIGHT:g} SSIM + beta KL"),
        ("Weight of the KL (beta)", f"{recipe.ELBO_BETA:g}; in the second stage {recipe.BETA:g}"),
        ("Noise in the second stage", f"{recipe.SIGMA:g}"),
        ("Prior", f"{components} Gaussians, {recipe.SEPARATION:g} sigma apart; mean 0, variance 1"),
        ("Clusters", f"spectral, of {clusters.NEIGHBOURS} neighbours of upright images"),
        ("Mixture", f"{components} components, full covariances, EM from the class means"),
    ]


def body(page: Figure) -> Figure:
    """Return the part of a page within its margins."""
    ratios = [MARGIN, 1 - 2 * MARGIN, MARGIN]
    return block(page, page.add_gridspec(3, 3, width_ratios=ratios, height_ratios=ratios)[1, 1])


def block(page: FigureBase, place: Any) -> Figure:
    """Return a part of a page, cast to a Figure: it has everything that `figures` draws with."""
    return cast(Figure, page.add_subfigure(place))


def write(part: FigureBase, title: str, text: str) -> None:
    """Write a heading and a paragraph, from the upper left of a part of the page."""
    part.text(0, 0.95, title, weight="bold", size=10, va="top")
    lines = textwrap.fill(text, LINE)
    part.text(0, 0.95, f"\n\n{lines}", size=8.5, va="top", linespacing=1.25)


def first_page(page: Figure, trained: Trained, authors: str) -> None:
    parts = page.add_gridspec(5, 1, height_ratios=[0.8, 0.8, 1.9, 0.9, 7.6])
    heading = block(page, parts[0])
    heading.text(0, 1, authors, size=11, va="top")
    heading.text(0, 0.6, "A VAE with a two-dimensional latent, and a mixture", size=15, va="top")
    write(block(page, parts[1]), "1  Reconstructions", reconstruction_text(trained))
    columns = min(15, len(trained.val_images))
    shown = slice(2 * columns)
    figures.reconstruction_rows(
        trained.val_images[shown], trained.val_recon[shown], columns, block(page, parts[2])
    )
    n = 20
    write(block(page, parts[3]), "2  Generated images", manifold_text(n))
    images = decode(trained.model, manifold_latents(n)).reshape(n, n, 28, 28)
    figures.manifold(images, normal_quantiles(n), normal_quantiles(n), block(page, parts[4]))


def second_page(page: Figure, trained: Trained) -> None:
    mixture, labels = trained.mixture, trained.component_labels
    found = measure(mixture, trained.z)
    parts = page.add_gridspec(4, 1, height_ratios=[1.4, 4.4, 1.3, 4.9])
    write(block(page, parts[0]), "3  The latent space", cluster_text(found, labels))
    scatter = block(page, parts[1])
    figures.latent_scatter(trained.z, trained.val_z, trained.val_labels, scatter)
    write(block(page, parts[2]), "4  The mixture", overlap_text(found, labels))
    figures.mixture_ellipses(
        trained.z,
        mixture.means_,
        mixture.covariances_,
        labels,
        trained.predicted,
        block(page, parts[3]),
    )


def third_page(page: Figure, trained: Trained, record: dict[str, Any]) -> None:
    parts = page.add_gridspec(6, 1, height_ratios=[1.1, 2.2, 0.6, 3.4, 2.3, 3.5])
    write(block(page, parts[0]), "5  Validation", metrics_text(trained))
    classes = val_classes(trained)
    confusion = confusion_matrix(trained.val_labels, trained.val_predicted, labels=classes)
    narrow = parts[1].subgridspec(1, 3, width_ratios=[1, 2, 1])
    figures.confusion_matrix(confusion, classes, block(page, narrow[1]))
    curves = "Each loss against the epoch, through the four stages of training."
    if trained.history is None:
        curves = "There is no record of the losses."
    write(block(page, parts[2]), "6  Losses", curves)
    if trained.history is not None:
        figures.loss_curves(trained.history, block(page, parts[3]))
    text = f"{architecture_text(trained)} {training_text(record)}"
    write(block(page, parts[4]), "7  Architecture, training, hyper-parameters", text)
    axes = block(page, parts[5]).subplots()
    axes.axis("off")
    rows = hyper_parameters(len(trained.component_labels))
    table = axes.table(rows, cellLoc="left", colWidths=[0.3, 0.7], loc="upper center")
    table.auto_set_font_size(False)
    table.set_fontsize(8.5)
    table.scale(1, 1.25)


def settle(page: Figure) -> None:
    """Lay a page out, and round the layout to four digits: its last ones vary from run to run."""
    page.draw_without_rendering()
    page.set_layout_engine("none")
    for part in page.findobj(SubFigure):
        assert isinstance(part, SubFigure)
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(4))
    for axes in page.findobj(Axes):
        assert isinstance(axes, Axes)
        axes.set_position(np.round(axes.get_position(original=True).bounds, 4).tolist())


def report(before: list[str], after: list[str], usage: str) -> None:
    """Write the report on the model in the current folder, or on the one named."""
    parser = CommandLine(
        usage, "train.npz val.npz report report.pdf vae.pth --name Ada --entry 2026EE10001"
    )
    parser.add_argument("out", type=Path, help="what to write")
    parser.add_model(gmm=True)
    parser.add_argument("--name", action="append", default=[], help="of an author; repeated")
    parser.add_argument("--entry", action="append", default=[], help="entry number; repeated")
    options = parser.parse(after)
    if not options.entry or len(options.name) != len(options.entry):
        found = f"{len(options.name)} names and {len(options.entry)} entry numbers"
        raise UserError("command line", found, "a --name and an --entry for each author")
    for entry in options.entry:
        if not ENTRY.fullmatch(entry):
            raise UserError("--entry", repr(entry), "an entry number such as 2020CSZ1234")
    record = read_record(options.model.with_suffix(".training.json"))
    trained = load_trained(before, options)
    check_outputs([options.out], inputs=[Path(before[0]), Path(before[1]), options.model])

    pairs = zip(options.name, options.entry, strict=True)
    authors = ", ".join(f"{name} ({entry})" for name, entry in pairs)
    pages = [Figure(figsize=A4, layout="constrained") for _ in range(3)]
    # Type 42 keeps text as text; without dates and versions, the same report has the same bytes.
    metadata = {"Title": "A3 report", "Author": authors, "CreationDate": None, "Producer": None}
    with mpl.rc_context({"pdf.fonttype": 42, "font.size": 8}):
        first_page(body(pages[0]), trained, authors)
        second_page(body(pages[1]), trained)
        third_page(body(pages[2]), trained, record)
        with replacing(options.out) as file, PdfPages(file, metadata=metadata) as pdf:
            for page in pages:
                settle(page)
                pdf.savefig(page, dpi=200)
    print(f"wrote {options.out}: {len(pages)} pages")
