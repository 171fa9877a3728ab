"""The Pokemon of the beta-VAE assignment's bonus task: sprites and their types."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from grader.errors import UserError, reason
from studies.shared.datasets import open_on_white, resized

SIDE = 60  # pixels
TYPES = (
    *("Bug", "Dark", "Dragon", "Electric", "Fairy", "Fighting", "Fire", "Flying", "Ghost"),
    *("Grass", "Ground", "Ice", "Normal", "Poison", "Psychic", "Rock", "Steel", "Water"),
)
ENDINGS = (".png", ".jpg", ".jpeg")
EXPECTED = "a folder with pokemon.csv (columns Name, Type1) and images/NAME.png or .jpg"


class PokemonDataset(Dataset[tuple[Tensor, Tensor]]):
    """Sprites on white, (1 or 3, 60, 60) in [0, 1], and the first type of each, one of 18.

    `type_to_one_hot` has the unit vector, (18,), of each type; `names` and `types` have an entry
    for each sprite. Raises UserError if `root` is not a folder of sprites and their types.
    """

    def __init__(self, root: Path | str, rgb: bool = False) -> None:
        root = Path(root)
        table = read_table(root / "pokemon.csv")
        one_hots = torch.eye(len(TYPES))
        self.type_to_one_hot = dict(zip(TYPES, one_hots, strict=True))
        self.names: list[str] = []
        self.types: list[str] = []
        images = []
        for name, kind in zip(table["Name"], table["Type1"], strict=True):
            path = next(
                (p for e in ENDINGS if (p := root / "images" / f"{name}{e}").exists()), None
            )
            if path is None:
                continue
            if kind not in self.type_to_one_hot:
                found, expected = f"the type {kind!r}", f"one of {', '.join(TYPES)}"
                raise UserError(root / "pokemon.csv", found, expected)
            image = resized(open_on_white(path, path).convert("RGB" if rgb else "L"), SIDE)
            images.append(np.atleast_3d(np.asarray(image)).transpose(2, 0, 1))
            self.names.append(name)
            self.types.append(kind)
        if not images:
            raise UserError(root, f"none of the {len(table)} images of pokemon.csv", EXPECTED)
        self.images = torch.from_numpy(np.stack(images)).float() / 255
        self.labels = torch.tensor([TYPES.index(kind) for kind in self.types])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.type_to_one_hot[self.types[index]]


def read_table(path: Path) -> pd.DataFrame:
    """Read the Name and Type1 of each Pokemon, as text."""
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise UserError(path, f"cannot be read ({reason(error)})", EXPECTED) from error
    if not {"Name", "Type1"} <= set(table.columns):
        raise UserError(path, f"the columns {', '.join(map(str, table.columns))}", EXPECTED)
    return table.dropna(subset=["Name", "Type1"])
