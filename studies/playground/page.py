"""`playground`: one page on which the reader trains a small VAE and sees what each setting does.

The page needs no server and no network. Its arithmetic is written in plain JavaScript, in arrays.js
and vae.js: a network of six layers needs a matrix product, and its gradients are a page of code
that readers can follow. A library such as TensorFlow.js would add a megabyte to the page, and a
file to the repository that nobody reads. The tests compare every gradient with PyTorch's.

It trains on the page's own thread, a few milliseconds in each frame: opened from disk, a page has
no other files from which to start a worker, and between two steps it can draw what it has learnt.
"""

import base64
import hashlib
import json
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.colors import to_rgb
from sklearn.datasets import load_digits

import figures
from command_line import CommandLine, check_outputs
from grader.errors import UserError
from storage import replacing

TEMPLATES = Path(__file__).with_name("templates")
SCRIPTS = ("arrays", "vae", "training", "lessons", "settings", "drawing", "panel", "playground")
BETAS = ("0", "0.01", "0.05", "0.1", "0.25", "0.5", "1", "2", "4", "8", "20")
LATENTS = ("2", "3", "4", "6", "8", "12", "16")
WIDTHS = ("4", "8", "16", "32", "64", "128")
RATES = ("0.0003", "0.001", "0.003", "0.01", "0.03", "0.1")
HELD_OUT, BATCH = 6, 50  # every sixth image; images of a step
ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    undefined=jinja2.StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


def playground(before: list[str], after: list[str], usage: str) -> None:
    """Write the page."""
    parser = CommandLine(usage, "digits playground playground.html")
    parser.add_argument("out", type=Path, help="what to write")
    out = parser.parse(after).out
    if before != ["digits"]:
        raise UserError("DATA", repr(before[0]), "digits, which ship with scikit-learn")
    check_outputs([out], inputs=())
    page = render()
    with replacing(out) as file:
        file.write(page.encode())
    print(f"wrote {out}: {len(page) / 2**10:.0f} KiB; open it in a browser")


def render() -> str:
    """Return the page: the digits, the controls, and the code that trains."""
    source = load_digits()
    greys = source.images.astype(np.uint8).tobytes()  # 0 to 16
    data = {"images": base64.b64encode(greys).decode(), "labels": source.target.tolist()}
    code = "\n" + "\n".join((TEMPLATES / f"{name}.js").read_text() for name in SCRIPTS) + "\n"
    units = [("auto", "most active"), *((n, n) for n in range(1, int(LATENTS[-1]) + 1))]
    held_out = len(range(0, len(source.target), HELD_OUT))
    return ENVIRONMENT.get_template("playground.html").render(
        script_hash=content_hash(code),
        colours=figures.COLOURS,
        on_colours=[legible_on(colour) for colour in figures.COLOURS],
        style=(TEMPLATES / "playground.css").read_text(),
        betas=BETAS,
        latents=LATENTS,
        widths=WIDTHS,
        rates=RATES,
        units=units,
        digits=[(digit, digit) for digit in range(10)],
        images=len(source.target),
        held_out=held_out,
        epoch=-(-(len(source.target) - held_out) // BATCH),
        data=json.dumps(data, separators=(",", ":")),
        code=code,
    )


def legible_on(colour: str) -> str:
    """Return black or white, whichever is easier to read on a colour (#rrggbb)."""
    red, green, blue = to_rgb(colour)
    return "#000" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.42 else "#fff"


def content_hash(code: str) -> str:
    """Return the source expression with which a Content-Security-Policy allows one script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
