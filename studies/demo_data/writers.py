"""`demo_data`: data sets in the formats that the other modes read, without a download."""

import gzip
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import coins
from skimage.transform import resize
from sklearn.datasets import load_digits

from command_line import CommandLine
from data import random_affine
from grader.errors import UserError
from storage import replacing
from studies.demo_data.drawings import EXPRESSIONS, Person, creature, face, garment
from studies.pokemon.dataset import TYPES

CLASSES = (1, 4, 8)
VAL_PER_CLASS = 5  # as in the course's own file
RECON_IMAGES = 10  # likewise
TEST_PER_CLASS = 40
COPIES = 3  # distorted copies of each training image
GARMENTS_TRAIN, GARMENTS_TEST = 4000, 600
CREATURES = 12  # of each type
PORTRAITS, PORTRAIT_SIZE = 800, (109, 89)  # height and width: half of CelebA's
SITTERS, POSES = 12, 4  # people, and pictures of each in each expression


def enlarge(images: np.ndarray) -> np.ndarray:
    """Enlarge (N, 8, 8) in 0..16 to (N, 28, 28) uint8: 20 x 20 in a black border, as in MNIST."""
    larger = resize(images / 16, (len(images), 20, 20), order=3, anti_aliasing=False)
    padded = np.pad(np.clip(larger, 0, 1), ((0, 0), (4, 4), (4, 4)))
    return (255 * padded).round().astype(np.uint8)


def distorted_copies(images: np.ndarray, copies: int) -> np.ndarray:
    """Distort each of (N, 28, 28) images at random, `copies` times: (copies * N, 28, 28)."""
    repeated = torch.from_numpy(np.tile(images, (copies, 1, 1))).float()
    moved = random_affine(repeated, torch.Generator().manual_seed(0))
    return moved.round().clamp(0, 255).to(torch.uint8).numpy()


def write_npz(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with replacing(path) as file:
        np.savez_compressed(file, data=images, labels=labels)


def digits(out: Path) -> None:
    """Write the handwritten digits 1, 4 and 8 that ship with scikit-learn, split four ways.

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
    """Write a picture that ships with scikit-image.

    It shows coins on a dark background, cropped to their upper rows.
    """
    with replacing(out / "image.png") as file:
        Image.fromarray(coins()[20:180, 20:260]).save(file, format="png")


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an array of bytes in MNIST's own format, compressed."""
    shape = np.array(array.shape, ">u4").tobytes()
    header = bytes([0, 0, 0x08, array.ndim])
    with replacing(path) as file:
        # Without a timestamp, the same array gives the same bytes.
        file.write(gzip.compress(header + shape + array.astype(np.uint8).tobytes(), mtime=0))


def write_mnist(folder: Path, parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Write the images and labels of each part (train, t10k) to files like MNIST's."""
    for part, (images, labels) in parts.items():
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)


def mnist(out: Path) -> None:
    """Write all ten digits of scikit-learn, with distorted copies, in MNIST's files and folders."""
    source = load_digits()
    order = np.random.default_rng(0).permutation(len(source.target))
    test, train = np.split(order, [len(order) // 6])
    originals = enlarge(source.images[train])
    images = np.concatenate([originals, distorted_copies(originals, COPIES)])
    labels = np.tile(source.target[train], COPIES + 1)
    held_out = enlarge(source.images[test]), source.target[test]
    write_mnist(out / "MNIST" / "raw", {"train": (images, labels), "t10k": held_out})


def fashion(out: Path) -> None:
    """Draw garments, and write them in the files and folders of Fashion-MNIST."""
    generator = np.random.default_rng(0)
    parts = {}
    for part, count in (("train", GARMENTS_TRAIN), ("t10k", GARMENTS_TEST)):
        labels = np.arange(count) % 10
        images = np.stack([garment(int(kind), generator) for kind in labels])
        parts[part] = images, labels
    write_mnist(out / "FashionMNIST" / "raw", parts)


def pokemon(out: Path) -> None:
    """Draw creatures, and write them in the three kinds of files that the course's folder has."""
    generator = np.random.default_rng(0)
    lines = ["Name,Type1,Type2"]
    for number in range(CREATURES * len(TYPES)):
        kind = TYPES[number % len(TYPES)]
        name = f"creature{number:03}"
        picture = creature(kind, generator)
        ending, mode = (("png", "RGBA"), ("png", "P"), ("jpg", "RGB"))[number % 3]
        if mode != "RGBA":
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        with replacing(out / "images" / f"{name}.{ending}") as file:
            picture.convert(mode).save(file, format="png" if ending == "png" else "jpeg")
        lines.append(f"{name},{kind},")
    with replacing(out / "pokemon.csv") as file:
        file.write("\n".join([*lines, ""]).encode())


def save_portrait(picture: Image.Image, path: Path) -> None:
    with replacing(path) as file:
        picture.save(file, format="jpeg", quality=90)


def celeba(out: Path) -> None:
    """Draw portraits, and write them to CelebA's folder, with its list, at half its size."""
    generator = np.random.default_rng(0)
    lines = []
    for number in range(PORTRAITS):
        expression = list(EXPRESSIONS)[number % len(EXPRESSIONS)]
        picture = face(Person.drawn(generator), expression, PORTRAIT_SIZE, generator)
        save_portrait(picture, out / "img_align_celeba" / f"{number + 1:06}.jpg")
        lines.append(f"{number + 1:06}.jpg {max(0, 10 * number // PORTRAITS - 7)}")
    with replacing(out / "list_eval_partition.txt") as file:
        file.write("\n".join([*lines, ""]).encode())


def faces(out: Path) -> None:
    """Draw the expressions of several people.

    Each person has a folder, and in it a folder for each expression.
    """
    generator = np.random.default_rng(0)
    for number in range(SITTERS):
        person = Person.drawn(generator)
        for expression in EXPRESSIONS:
            for pose in range(POSES):
                picture = face(person, expression, (128, 128), generator)
                folder = out / f"person{number:02}" / expression
                save_portrait(picture, folder / f"{pose}.jpg")


KINDS = {
    "digits": digits,
    "image": image,
    "mnist": mnist,
    "fashion": fashion,
    "pokemon": pokemon,
    "celeba": celeba,
    "faces": faces,
}


# If these exist, a kind that stands in for a download would overwrite or hide the real data.
REAL = {
    "mnist": ("MNIST",),
    "fashion": ("FashionMNIST",),
    "pokemon": ("pokemon.csv",),
    "celeba": ("img_align_celeba", "img_align_celeba.zip", "list_eval_partition.txt"),
    "faces": ("person00",),
}


def demo_data(before: list[str], after: list[str], usage: str) -> None:
    """Write the data sets of one kind."""
    parser = CommandLine(usage, "mnist demo_data data/mnist")
    parser.add_argument("out", type=Path, help="folder to write to")
    out = parser.parse(after).out
    kind = before[0]
    if kind not in KINDS:
        raise UserError("KIND", repr(kind), f"one of {', '.join(KINDS)}")
    for name in REAL.get(kind, ()):
        if (out / name).exists():
            found = "a file that exists; it may be the real data"
            raise UserError(out / name, found, "another folder")
    KINDS[kind](out)
    print(f"wrote {', '.join(sorted(path.name for path in out.iterdir()))} to {out}")
