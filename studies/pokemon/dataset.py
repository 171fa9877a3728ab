"""The Pokemon of the beta-VAE assignment's bonus task: sprites and their types."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from grader.errors import UserError
from grader.texts import csv_rows
from storage import read_bytes
from studies.shared.pictures import described, open_image, over, problem_of_name, resized

SIDE = 60  # pixels
TYPES = (
    *("Bug", "Dark", "Dragon", "Electric", "Fairy", "Fighting", "Fire", "Flying", "Ghost"),
    *("Grass", "Ground", "Ice", "Normal", "Poison", "Psychic", "Rock", "Steel", "Water"),
)
EXPECTED = "a folder with pokemon.csv (columns Name, Type1) and images/NAME.png or .jpg"


class PokemonDataset(Dataset[tuple[Tensor, Tensor]]):
    """Sprites on white, (1 or 3, 60, 60) in [0, 1], and the first type of each, one of 18.

    `type_to_one_hot` has the one-hot vector, (18,), of each type; `names` and `types` have an entry
    for each sprite; `left_out` says by name why others are not among them. Raises UserError if
    `root` is not a folder of sprites and their types.
    """

    def __init__(self, root: Path | str, rgb: bool = False) -> None:
        root = Path(root)
        rows = read_rows(root / "pokemon.csv")
        files = sprites_in(root / "images")
        one_hots = torch.eye(len(TYPES))
        self.type_to_one_hot = dict(zip(TYPES, one_hots, strict=True))
        self.names: list[str] = []
        self.types: list[str] = []
        self.left_out: dict[str, str] = {}
        images = []
        for name, kind in rows:
            if problem := problem_of_row(name, kind, files):
                self.left_out[name or "a row without a name"] = problem
                continue
            try:
                image = over(open_image(files[name.casefold()], name), "white")
            except UserError as error:
                self.left_out[name] = error.found
                continue
            grey_or_rgb = np.asarray(resized(image.convert("RGB" if rgb else "L"), SIDE))
            images.append(np.atleast_3d(grey_or_rgb).transpose(2, 0, 1))
            self.names.append(name)
            self.types.append(kind)
        if not images:
            found = f"none of the {len(rows)} images of pokemon.csv: {described(self.left_out)}"
            raise UserError(root, found, EXPECTED)
        self.images = torch.from_numpy(np.stack(images)).float() / 255
        self.labels = torch.tensor([TYPES.index(kind) for kind in self.types])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.type_to_one_hot[self.types[index]]


def problem_of_row(name: str, kind: str, files: Mapping[str, Path]) -> str | None:
    """Return why a row of the table is no sprite with a type, or None if it is one."""
    if not name or name.casefold() not in files:
        return "no image"
    if kind not in TYPES:
        return f"the type {kind!r}" if kind else "no type"
    return None


def sprites_in(folder: Path) -> dict[str, Path]:
    """Return the images below a folder by their names without ending, in lower case."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    images = [p for p in paths if problem_of_name(p.relative_to(folder).as_posix()) is None]
    preferred = sorted(images, key=lambda path: path.suffix.lower() != ".png", reverse=True)
    return {path.stem.casefold(): path for path in preferred}


def read_rows(path: Path) -> list[tuple[str, str]]:
    """Read the Name and Type1 of each Pokemon."""
    try:
        rows = [[cell.strip() for cell in row] for _, row in csv_rows(read_bytes(path, EXPECTED))]
    except (ValueError, csv.Error) as error:
        raise UserError(path, f"cannot be read ({error})", EXPECTED) from error
    header = rows[0] if rows else []
    if not {"Name", "Type1"} <= set(header):
        raise UserError(path, f"the columns {', '.join(header)}", EXPECTED)
    name, kind = header.index("Name"), header.index("Type1")
    padded = ([*row, *[""] * len(header)] for row in rows[1:])
    return [(row[name], row[kind]) for row in padded]
