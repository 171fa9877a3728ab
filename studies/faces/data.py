"""Pictures of faces: read them, with expressions and people, and hold some of them out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from data import has_array, read_array
from grader.errors import UserError
from studies.faces.networks import SIDE
from studies.faces.options import Options
from studies.shared.image_cache import cached
from studies.shared.pictures import PARTS, Source, divided, open_source, part_of, report

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


def read_faces(
    options: Options, path: Path, folder: Path
) -> tuple[Faces, NDArray[np.int64], NDArray[np.int64]]:
    """Return all faces, and the indices to train on and those held out; a line says how many.

    The files are PERSON/EXPRESSION/picture or EXPRESSION/picture, in a folder or zip, or there is
    fer2013.csv, or an .npz with labels and their names. If they are in parts, the test part is held
    out. `folder`: where the decoded images are kept.
    """
    with open_source(path) as source:
        expressions, people, parts = map(np.array, describe_source(source))
        split(expressions, people, parts, options, path)  # decoding takes longer than a mistake
        file, names = cached(source, source.names, (SIDE, SIDE), folder)
        readable = np.isin(source.names, names)
    expressions, people, parts = expressions[readable], people[readable], parts[readable]
    kept, held_out = split(expressions, people, parts, options, path)
    report(path, source.left_out)
    origin = "from the test part" if (parts != "").any() else f"drawn with seed {options.seed}"
    print(f"{path}: {len(kept):,} pictures to train on; {len(held_out):,} held out, {origin}")
    faces = Faces(np.load(file, mmap_mode="r"), expressions, people, file.stem)
    return faces, kept, held_out


def describe_source(source: Source) -> tuple[list[str], list[str], list[str]]:
    """Return the expression, the person and the part of each image; "" for one that is unknown."""
    if source.path.suffix == ".npz":
        return *describe_arrays(source), [""] * len(source.names)
    expressions, people, parts = [], [], []
    in_parts = "" not in divided(source.path, source.names, classes=True)
    for name in source.names:
        part = part_of(name, classes=True) if in_parts else None
        *person, expression = PurePosixPath(name).parent.parts or [""]
        expressions.append(expression)
        people.append("/".join(f for f in person if not in_parts or f.casefold() not in PARTS))
        parts.append(part or "")
    return expressions, people, parts


def describe_arrays(source: Source) -> tuple[list[str], list[str]]:
    """Return the expression and the person of each image in an .npz."""
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
    expressions: NDArray[np.str_],
    people: NDArray[np.str_],
    parts: NDArray[np.str_],
    options: Options,
    path: Path,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices to train on, and those of held-out pictures of the two expressions.

    If the pictures are in parts, those of test, or else val, are held out, and those of train are
    trained on. Otherwise, if there are several people, no picture of a held-out person is trained
    on. The held-out pictures show as many different people as there are, but at most half of all.
    `path`: the data, for a UserError.
    """
    counts = {name: int((expressions == name).sum()) for name in options.expressions}
    if len(counts) < 2 or min(counts.values()) < FEWEST:
        found = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
        names = ", ".join(sorted(set(expressions.tolist())))
        expected = f"two --expressions with at least {FEWEST} pictures each, from: {names}"
        raise UserError(path, found, expected)
    generator = np.random.default_rng(options.seed)
    wanted = {name: min(options.held_out, count // 2) for name, count in counts.items()}
    order = generator.permutation(np.unique(people))
    models: dict[str, str] = {}
    if (parts == "train").any():
        judge = "test" if (parts == "test").any() else "val"
        train, pool = np.flatnonzero(parts == "train"), np.flatnonzero(parts == judge)
        models = one_expression_each(order, expressions[pool], people[pool], wanted)
    elif len(order) > 1:
        models = one_expression_each(order, expressions, people, wanted, len(order) // 2)
        away = np.isin(people, list(models))
        for person in order:
            if all((away & (expressions == name)).sum() >= wanted[name] for name in wanted):
                break
            away |= people == person
        train, pool = np.flatnonzero(~away), np.flatnonzero(away)
    else:
        train = pool = np.arange(len(expressions))
    pool = generator.permutation(pool)
    chosen = np.concatenate(
        [
            different_first(pool[expressions[pool] == name], people, models, name)[: wanted[name]]
            for name in options.expressions
        ]
    )
    kept = np.setdiff1d(train, chosen)
    if len(kept) < COLUMNS or len(chosen) < len(wanted):
        found = f"{len(kept)} pictures to train on, {len(chosen)} held out"
        raise UserError(path, found, f"at least {COLUMNS} and {len(wanted)}")
    return kept, chosen


def one_expression_each(
    order: NDArray[np.str_],
    expressions: NDArray[np.str_],
    people: NDArray[np.str_],
    wanted: Mapping[str, int],
    most: int | None = None,
) -> dict[str, str]:
    """Return the expression that each of at most `most` people stands for, until all are `wanted`.

    In their `order`, people get the expression they show that needs most people more.
    """
    found: dict[str, str] = {}
    for person in order:
        shown = set(expressions[people == person].tolist())
        missing = {name: n - [*found.values()].count(name) for name, n in wanted.items()}
        needed = [name for name in wanted if name in shown and missing[name] > 0]
        if needed and (most is None or len(found) < most):
            found[str(person)] = max(needed, key=missing.__getitem__)
    return found


def different_first(
    pool: NDArray[np.int64], people: NDArray[np.str_], models: Mapping[str, str], expression: str
) -> NDArray[np.int64]:
    """Order indices of pictures: one of each person first, of those who stand for the expression.

    Then come one of each other person, a second picture of each, and so on.
    """
    seen: dict[str, int] = {}
    ranks = []
    for index in pool:
        person = str(people[index])
        ranks.append((seen.get(person, 0), models.get(person) != expression))
        seen[person] = seen.get(person, 0) + 1
    return pool[sorted(range(len(pool)), key=ranks.__getitem__)]


def spread(images: NDArray, count: int = COLUMNS) -> NDArray:
    """Return `count` of the images, evenly spaced.

    The images are ordered by person or expression, so this takes some of each.
    """
    return images[np.linspace(0, len(images) - 1, count).round().astype(int)]
