"""`explore`: one page on which the latent plane responds to the pointer.

The page needs no server and no network. It holds the trained model. The decoder's weights have 16
bits, because it must draw what PyTorch draws. The encoder's have 8, because it only has to find
where an image is.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
from bokeh.embed import components
from bokeh.events import MouseMove, Pan, PanEnd, PanStart, Tap
from bokeh.models import ColumnDataSource, CustomJS, Range1d, WheelZoomTool
from bokeh.models.annotations import Label
from bokeh.plotting import figure
from bokeh.resources import Resources
from numpy.typing import NDArray
from torch import Tensor

import figures
from checkpoint import load_mixture, load_model
from command_line import CommandLine, check_outputs
from data import has_array, load_images, load_labelled_images
from gmm import GaussianMixture
from inference import decode, encode, search
from losses import ssim
from models import CELL, NEAR, REACH, VAE, WINDOW
from storage import replacing

BITS = {"encoder": 8, "decoder": 16}
MOST = 3000  # images of TEST on the page
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ANGLES = np.linspace(0, 2 * np.pi, 73)
ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("reports", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=True,
)


def explore(before: list[str], after: list[str], usage: str) -> None:
    """Write the page that shows the images of TEST and VAL in the plane of a trained model."""
    parser = CommandLine(usage, "test.npz val.npz explore plane.html vae.pth")
    parser.add_argument("out", type=Path, help="what to write")
    parser.add_model(gmm=True)
    options = parser.parse(after)
    test_path, val_path = map(Path, before)
    labels = None
    if has_array(test_path, "labels"):
        test, labels = (part[:MOST] for part in load_labelled_images(test_path))
    else:
        test = load_images(test_path)[:MOST]
    val = load_labelled_images(val_path)
    check_outputs([options.out], inputs=(test_path, val_path, options.model, options.gmm))
    model = load_model(options.model, options.device)
    mixture, component_labels = load_mixture(options.gmm, options.model)
    points = collect(model, mixture, component_labels, test, labels, val)
    packed, error = pack(model)
    page = render(packed, points, mixture, component_labels)
    with replacing(options.out) as file:
        file.write(page.encode())
    print(
        f"wrote {options.out}: {len(points['z'])} images, {len(page) / 2**20:.1f} MiB; "
        f"pixels differ from PyTorch's by at most {error:.5f}"
    )


def collect(
    model: VAE,
    mixture: GaussianMixture,
    component_labels: NDArray,
    test: NDArray,
    labels: NDArray[np.int64] | None,
    val: tuple[NDArray, NDArray],
) -> dict[str, Any]:
    """Collect each image's pixels, latent, the point it is drawn from, its classes and SSIM."""
    images = np.concatenate([test, val[0]]).reshape(-1, 28, 28)
    z, drawn_at = encode(model, images), search(model, images)
    recon = decode(model, drawn_at).reshape(-1, 28, 28)
    similarity = ssim(torch.from_numpy(recon), torch.from_numpy(images)).numpy()
    known = [None] * len(test) if labels is None else labels.tolist()
    return {
        "pixels": as_text((255 * images).round().astype(np.uint8)),
        "z": z.round(4).tolist(),
        "drawn_at": drawn_at.round(5).tolist(),
        "label": [*known, *val[1].tolist()],
        "predicted": component_labels[mixture.predict(z)].tolist(),
        "ssim": similarity.round(4).tolist(),
        "set": ["test"] * len(test) + ["validation"] * len(val[0]),
    }


def as_text(array: NDArray) -> str:
    """Return the bytes of an array in base64, which JavaScript reads with `atob`."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def quantised(weights: Tensor, bits: int) -> tuple[NDArray[np.signedinteger], NDArray[np.float32]]:
    """Return a matrix as integers of `bits` bits, and the factor of each of its rows."""
    largest = 2 ** (bits - 1) - 1
    scale = weights.abs().amax(dim=1).clamp(min=1e-12) / largest
    whole = (weights / scale[:, None]).round().numpy()
    return whole.astype(np.int8 if bits == 8 else np.int16), scale.numpy().astype(np.float32)


def pack(model: VAE) -> tuple[dict[str, Any], float]:
    """Return the network in the page's format, and the error that this causes in what it draws.

    The error is the largest difference of any pixel over 200 latents, some of them outside the
    plane.
    """
    packed, rounded = {}, {}
    for name, tensor in model.cpu().state_dict().items():
        if tensor.ndim == 2:
            whole, scale = quantised(tensor, BITS[name.split(".")[0]])
            rounded[name] = torch.from_numpy(whole * scale[:, None])
            packed[name] = {
                "shape": list(tensor.shape),
                "bits": 8 * whole.itemsize,
                "whole": as_text(whole),
                "scale": as_text(scale),
            }
        else:
            rounded[name] = tensor
            packed[name] = {"shape": list(tensor.shape), "floats": as_text(tensor.numpy())}
    other = VAE()
    other.load_state_dict(rounded)
    z = np.random.default_rng(0).normal(0, 1.5, (200, 2))
    return packed, float(np.abs(decode(model, z) - decode(other.eval(), z)).max())


def render(
    packed: dict[str, Any],
    points: dict[str, Any],
    mixture: GaussianMixture,
    component_labels: NDArray,
) -> str:
    """Return the page: a Bokeh plot, the network, the images, and the code that responds."""
    classes = sorted({*component_labels.tolist(), *points["label"]} - {None})
    colours = {label: figures.COLOURS[i % len(figures.COLOURS)] for i, label in enumerate(classes)}
    plot, sources = draw(points, mixture, component_labels, colours)
    script, div = numbered(*components(plot))
    data = {
        "sizes": {
            "reach": REACH,
            "cell": CELL,
            "near": NEAR,
            "window": WINDOW,
            "waves": VAE().decoder[0].waves,
        },
        "network": packed,
        "points": points,
        "mixture": {
            "weights": mixture.weights_.tolist(),
            "means": mixture.means_.tolist(),
            "covariances": mixture.covariances_.tolist(),
            "labels": component_labels.tolist(),
        },
        "colours": {str(label): colour for label, colour in colours.items()},
        "sources": sources,
    }
    return ENVIRONMENT.get_template("explorer.html").render(
        bokeh=Resources(mode="inline", components=["bokeh"]).render_js(),
        plot_script=script,
        plot_div=div,
        classes=classes,
        has_labels=any(label is not None for label in points["label"]),
        data=json.dumps(data, separators=(",", ":")).replace("</", "<\\/"),
        code=(Path(__file__).parent / "templates" / "explorer.js").read_text(),
    )


def numbered(*texts: str) -> list[str]:
    """Replace Bokeh's random identifiers with numbers, so that the same page has the same bytes."""
    found = dict.fromkeys(UUID.findall(" ".join(texts)))
    names = {uuid: f"bokeh-{number}" for number, uuid in enumerate(found)}
    return [UUID.sub(lambda match: names[match[0]], text) for text in texts]


def draw(
    points: dict[str, Any],
    mixture: GaussianMixture,
    component_labels: NDArray,
    colours: dict[int, str],
) -> tuple[Any, dict[str, str]]:
    """Return the plot, and the identifiers of the sources that the page changes in it."""
    least, most = -REACH * 1.1, REACH * 1.1
    plot = figure(
        x_range=Range1d(start=least, end=most),
        y_range=Range1d(start=least, end=most),
        tools="reset",
        sizing_mode="stretch_width",
        aspect_ratio=1,
        x_axis_label="z1",
        y_axis_label="z2",
        toolbar_location="above",
    )
    plot.add_tools(WheelZoomTool())
    x, y = np.array(points["z"]).T
    own = [colours[label] for label in points["predicted"]]
    shown = ColumnDataSource({"x": x, "y": y, "colour": own})
    marks = ColumnDataSource({"x": [], "y": []})
    line = ColumnDataSource({"x": [], "y": []})
    drawn = ColumnDataSource({"x": [], "y": []})
    plot.scatter("x", "y", source=shown, color="colour", size=6, alpha=0.6, line_color=None)
    for k, mean in enumerate(mixture.means_):
        variances, directions = np.linalg.eigh(mixture.covariances_[k])
        circle = np.stack([np.cos(ANGLES), np.sin(ANGLES)])
        for sigma in (1, 2, 3):
            ring = mean[:, None] + directions @ (sigma * np.sqrt(variances)[:, None] * circle)
            plot.line(ring[0], ring[1], color="black", line_width=1, alpha=0.6)
        label = str(component_labels[k])
        plot.add_layout(Label(x=mean[0], y=mean[1], text=label, text_font_style="bold"))
    plot.line("x", "y", source=line, color="black", line_width=2, line_dash="dashed")
    plot.scatter("x", "y", source=marks, marker="cross", size=18, color="black", line_width=2)
    plot.scatter("x", "y", source=drawn, marker="star", size=18, color="red", line_color="black")
    for event, name in ((MouseMove, "move"), (Tap, "tap"), (PanStart, "start"), (Pan, "drag")):
        plot.js_on_event(event, CustomJS(code=f"explorer.{name}(cb_obj.x, cb_obj.y)"))
    plot.js_on_event(PanEnd, CustomJS(code="explorer.end(cb_obj.x, cb_obj.y)"))
    named = {"shown": shown, "marks": marks, "line": line, "drawn": drawn}
    return plot, {name: source.id for name, source in named.items()}
