"""Pictures of faces: read them, with expressions and people, and hold some of them out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data import has_array, read_array
from grader.errors import UserError
from studies.faces.networks import SIDE
from studies.faces.options import Options
from studies.shared.image_cache import Source, cached, open_source

COLUMNS = 8  # faces whose reconstructions show the course of training
FEWEST = 4  # pictures of each of the two expressions, at least


@dataclass(frozen=True)
class Faces:
    """Images, (N, 128, 128, 3) bytes, the expression and person on each, and a name for all."""

    images: NDArray[np.uint8]
    expressions: NDArray[np.str_]
    people: NDArray[np.str_]
    name: str

    def __len__(self) -> int:
        return len(self.images)

    def part(self, chosen: NDArray) -> "Faces":
        """Return the faces with these indices, or those where a mask is true."""
        return Faces(self.images[chosen], self.expressions[chosen], self.people[chosen], self.name)


def read_faces(options: Options, path: Path, folder: Path) -> tuple[Faces, Faces, Faces]:
    """Return all faces, those to train on, and those held out.

    The files are PERSON/EXPRESSION/picture or EXPRESSION/picture, in a folder or zip, or there is
    an .npz with labels and their names. `folder`: where the decoded images are kept.
    """
    with open_source(path) as source:
        expressions, people = map(np.array, describe_source(source))
        kept, held_out = split(expressions, people, options, path)
        file = cached(source, source.names, (SIDE, SIDE), folder)
    faces = Faces(np.load(file, mmap_mode="r"), expressions, people, file.stem)
    return faces, faces.part(kept), faces.part(held_out)


def describe_source(source: Source) -> tuple[list[str], list[str]]:
    """Return the expression and the person of each image."""
    if source.path.suffix != ".npz":
        places = [Path(name).parent for name in source.names]
        return [place.name for place in places], [str(place.parent) for place in places]
    expected = "'labels' (N,), indices of 'label_names', and optionally 'subjects' (N,)"
    labels = read_array(source.path, "labels", expected)
    names = read_array(source.path, "label_names", expected)
    try:
        if labels.min() < 0:
            raise IndexError(f"index {labels.min()}")
        expressions = [str(names[label]) for label in labels]
    except (IndexError, TypeError) as error:
        raise UserError(source.path, f"'labels' without a name ({error})", expected) from error
    people = [""] * len(labels)
    if has_array(source.path, "subjects"):
        people = [str(person) for person in read_array(source.path, "subjects", expected)]
    if {len(expressions), len(people)} != {len(source.names)}:
        raise UserError(source.path, f"{len(labels)} labels", f"{len(source.names)}, {expected}")
    return expressions, people


def split(
    expressions: NDArray[np.str_], people: NDArray[np.str_], options: Options, path: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices to train on, and those of held-out pictures of the two expressions.

    If there are several people, no picture of a held-out person is trained on. `path`: the data,
    for a UserError.
    """
    counts = {name: int((expressions == name).sum()) for name in options.expressions}
    if len(counts) < 2 or min(counts.values()) < FEWEST:
        found = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
        names = ", ".join(sorted(set(expressions.tolist())))
        expected = f"two --expressions with at least {FEWEST} pictures each, from: {names}"
        raise UserError(path, found, expected)
    generator = np.random.default_rng(options.seed)
    wanted = {name: min(options.held_out, count // 2) for name, count in counts.items()}
    pool = everything = np.arange(len(expressions))
    order = generator.permutation(np.unique(people))
    if len(order) > 1:
        away = np.zeros(len(expressions), bool)
        for person in order:
            if all((away & (expressions == name)).sum() >= wanted[name] for name in wanted):
                break
            away |= people == person
        pool = np.flatnonzero(away)
    chosen = np.concatenate(
        [
            generator.permutation(pool[expressions[pool] == name])[: wanted[name]]
            for name in options.expressions
        ]
    )
    kept = np.setdiff1d(everything, pool if len(order) > 1 else chosen)
    if len(kept) < COLUMNS:
        found = f"{len(kept)} pictures to train on"
        raise UserError(path, found, f"at least {COLUMNS}, without those held out")
    return kept, chosen


def spread(images: NDArray, count: int = COLUMNS) -> NDArray:
    """Return `count` of the images, evenly spaced.

    The images are ordered by person or expression, so this takes some of each.
    """
    return images[np.linspace(0, len(images) - 1, count).round().astype(int)]
