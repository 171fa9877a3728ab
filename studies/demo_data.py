"""`demo_data`: data sets in the formats that the other modes read, made without a download."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import coins
from skimage.transform import resize
from sklearn.datasets import load_digits

from data import random_affine
from graded import CommandLine
from storage import UserError, replacing

CLASSES = (0, 4, 6)  # at 8 x 8 pixels many a 1 looks like an 8
VAL_PER_CLASS = 5  # as in the course's own file
RECON_IMAGES = 10  # likewise
TEST_PER_CLASS = 40
COPIES = 3  # distorted copies of each training image


def enlarge(images: np.ndarray) -> np.ndarray:
    """Images (N, 8, 8) in 0..16 as uint8 (N, 28, 28): 20 x 20 in a black border, as in MNIST."""
    larger = resize(images / 16, (len(images), 20, 20), order=3, anti_aliasing=False)
    padded = np.pad(np.clip(larger, 0, 1), ((0, 0), (4, 4), (4, 4)))
    return (255 * padded).round().astype(np.uint8)


def distorted_copies(images: np.ndarray, copies: int) -> np.ndarray:
    """`copies` times all of (N, 28, 28) images, each distorted at random: (copies N, 28, 28)."""
    repeated = torch.from_numpy(np.tile(images, (copies, 1, 1))).float()
    moved = random_affine(repeated, torch.Generator().manual_seed(0))
    return moved.round().clamp(0, 255).to(torch.uint8).numpy()


def write_npz(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with replacing(path) as file:
        np.savez_compressed(file, data=images, labels=labels)


def digits(out: Path) -> None:
    """The handwritten digits 0, 4 and 6 that ship with scikit-learn, split four ways.

    Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998).
    """
    source = load_digits()
    generator = np.random.default_rng(0)
    val: list[int] = []
    test: list[int] = []
    train: list[int] = []
    for label in CLASSES:
        own = generator.permutation(np.flatnonzero(source.target == label))
        ends = np.cumsum([VAL_PER_CLASS, TEST_PER_CLASS])
        for part, indices in zip((val, test, train), np.split(own, ends), strict=True):
            part.extend(indices)
    held_out = generator.permutation(test)
    for name, chosen in (
        ("val", np.array(val)),
        ("test_recon", held_out[:RECON_IMAGES]),
        ("test", held_out[RECON_IMAGES:]),
    ):
        write_npz(out / f"{name}.npz", enlarge(source.images[chosen]), source.target[chosen])
    originals = enlarge(source.images[train])
    images = np.concatenate([originals, distorted_copies(originals, COPIES)])
    write_npz(out / "train.npz", images, np.tile(source.target[train], COPIES + 1))


def image(out: Path) -> None:
    """A picture that ships with scikit-image: coins on a dark ground, cut to their upper rows."""
    with replacing(out / "image.png") as file:
        Image.fromarray(coins()[20:180, 20:260]).save(file, format="png")


KINDS = {"digits": digits, "image": image}


def demo_data(before: list[str], after: list[str], usage: str) -> None:
    """Write the data sets of one kind."""
    parser = CommandLine(usage)
    parser.add_argument("out", type=Path)
    out = parser.parse(after).out
    kind = before[0]
    if kind not in KINDS:
        raise UserError("KIND", repr(kind), f"one of {', '.join(KINDS)}")
    KINDS[kind](out)
    names = sorted(path.name for path in out.iterdir() if path.suffix in (".npz", ".png"))
    print(f"wrote {', '.join(names)} to {out}")
