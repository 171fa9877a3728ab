import json
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label as label_regions
from scipy.sparse.csgraph import connected_components, laplacian

import vae
from grader.errors import UserError
from studies.segment import graph as graphs
from studies.segment import measures
from studies.segment.graph import eigenvectors, patch, pixel_graph
from studies.segment.images import Picture, read_picture, read_pictures
from studies.segment.measures import Meter
from studies.segment.methods import Spectral, cells, kmeans, pixel_features
from studies.segment.study import ANSWERS
from tests.studies.sections import sections

# Written by hand from the assignment: tasks 3 and 4.
ASKED = ("Q3.1", "Q3.2", "Q4.1", "Q4.2", "Q4.3")
SMALL = "--candidates 2 --candidates 4"


def tiles(folder: Path) -> Path:
    """Write four tiles on a transparent background; tiles on a diagonal have the same grey."""
    image = np.zeros((24, 24, 4), np.uint8)
    image[2:22, 2:22, 3] = 255
    image[2:12, 2:12, :3] = image[12:22, 12:22, :3] = 60
    image[2:12, 12:22, :3] = image[12:22, 2:12, :3] = 180
    path = folder / "tiles.png"
    Image.fromarray(image, "RGBA").save(path)
    return path


def segment(line: str) -> int:
    return vae.main(line.split())


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    return read_picture(tiles(tmp_path))


def test_the_mask_is_the_demonstration_s(picture: Picture) -> None:
    assert picture.mask.sum() == 400
    assert set(np.unique(picture.grey[picture.mask] * 255).round()) == {60, 180}
    assert (picture.grey[~picture.mask] == 0).all()
    assert (picture.colour[~picture.mask] == 1).all(), "it is shown on white"


def test_white_black_and_transparent_are_background(tmp_path: Path) -> None:
    image = np.full((20, 20, 4), 128, np.uint8)
    image[..., 3] = 255
    image[0], image[1], image[2] = (255, 255, 255, 255), (0, 0, 0, 255), (90, 90, 90, 0)
    image[3] = (90, 90, 90, 1)  # the demonstration does not look at transparency
    Image.fromarray(image, "RGBA").save(tmp_path / "a.png")
    mask = read_picture(tmp_path / "a.png").mask
    assert not mask[:3].any()
    assert mask[3:].all()


COURSE = Path(os.environ.get("VAE_DATA", "/nowhere"))


@pytest.mark.skipif(not (COURSE / "a_logo_s.png").exists(), reason="VAE_DATA has no a_logo_s.png")
@pytest.mark.parametrize(
    ("name", "pixels", "parts"), [("a_logo_s", 7670, 11), ("iron_man_p_s", 29641, 4)]
)
def test_the_course_s_images_have_the_demonstration_s_graph(
    name: str, pixels: int, parts: int
) -> None:
    picture = read_picture(COURSE / f"{name}.png")
    grey = np.array(Image.open(COURSE / f"{name}.png").convert("L"))
    grey[grey == 255] = 0
    assert (picture.mask == grey.astype(bool)).all()
    assert picture.mask.sum() == pixels
    assert label_regions(picture.mask)[1] == parts
    assert connected_components(pixel_graph(picture, 0))[0] == parts


def test_the_graph_joins_neighbours_and_weighs_likeness(picture: Picture) -> None:
    graph = pixel_graph(picture, 0).toarray()
    index = np.full(picture.mask.shape, -1)
    index[picture.mask] = np.arange(400)
    neighbours = np.argwhere(graph - np.diag(np.diag(graph)))
    assert len(neighbours) == 2 * 2 * 20 * 19
    places = np.argwhere(picture.mask)
    assert (np.abs(places[neighbours[:, 0]] - places[neighbours[:, 1]]).sum(axis=1) == 1).all()
    np.testing.assert_allclose(graph, graph.T)
    same, other = graph[index[5, 5], index[5, 6]], graph[index[5, 11], index[5, 12]]
    assert 0 < other < 0.2 < 0.9 < same <= 1


def test_kmeans_finds_greys_and_spectral_clustering_finds_tiles(picture: Picture) -> None:
    meter = Meter(picture)
    grey = meter.measure(kmeans(pixel_features(picture, "grey"), 2, 300, 0).runs[0])
    assert grey.pieces == 4
    assert grey.explained == pytest.approx(1)
    found = Spectral(picture, 4, 0).divide(4)
    parts = meter.measure(found.runs[0])
    assert parts.pieces == 4
    assert parts.explained == pytest.approx(1)
    assert measures.changed(found.runs) == 0
    image = picture.in_place(found.runs[0])
    corners = {int(image[r, c]) for r in (5, 18) for c in (5, 18)}
    assert corners == {0, 1, 2, 3}
    assert (image[~picture.mask] == -1).all()


def test_the_baseline_ignores_grey(picture: Picture) -> None:
    found = cells(picture, 9, 0)
    sizes = np.bincount(found.runs[0])
    assert sizes.max() < 2 * sizes.min()
    dark = Picture(Path("dark"), picture.grey**4, picture.colour, picture.mask)
    assert (cells(dark, 9, 0).runs[0] == found.runs[0]).all()


def test_boundaries_on_edges_have_contrast(picture: Picture) -> None:
    meter = Meter(picture)
    rows, columns = np.nonzero(picture.mask)
    on = (rows >= 12).astype(int)
    off = (rows >= 7).astype(int)
    # All differences between neighbours are on the two lines that separate the tiles.
    assert meter.measure(on).contrast == pytest.approx(len(meter.edges) / 40)
    assert meter.measure(off).contrast == pytest.approx(len(meter.edges) / 40 * 0, abs=1e-9)
    assert meter.measure(np.zeros_like(on)).contrast == 0
    assert meter.measure(on).boundary == pytest.approx(20 / len(meter.edges))
    checked = meter.measure((rows + columns) % 2)
    assert checked.pieces == 400
    assert checked.contrast == pytest.approx(1)


def test_changed_does_not_mind_names() -> None:
    one = np.array([0, 0, 1, 1])
    swapped, other = np.array([1, 1, 0, 0]), np.array([0, 0, 0, 1])
    assert measures.changed([one, swapped, one]) == 0
    assert measures.changed([one, other]) == 0.25


def test_the_rules_choose_a_number() -> None:
    scores = {2: [0.5, 0.6], 4: [0.78, 0.82], 8: [0.79, 0.85], 16: [0.6, 0.7]}
    assert measures.fewest_as_good(scores) == 4, "its mean is within the range of 8"
    spectral = {2: [0.0], 12: [1.9], 24: [1.4], 60: [1.3]}
    blind = {2: [1.6], 12: [1.0], 24: [1.0], 60: [0.8]}
    assert measures.largest_margin(spectral, blind, parts=2) == 12
    assert measures.largest_margin(spectral, blind, parts=11) == 60
    assert measures.largest_margin(spectral, blind, parts=40) == 60, "there is no other"


def test_k_means_gets_better_until_nothing_changes(picture: Picture) -> None:
    ramp = np.linspace(0, 1, 500)[:, None]
    found = measures.inertias(ramp, 8, 300, 0)
    assert 1 < len(found) < 300
    assert all(b <= a for a, b in pairwise(found))
    assert len(measures.inertias(ramp, 8, 3, 0)) == 3
    assert found[measures.enough(found) - 1] <= 1.01 * found[-1]


def test_a_patch_at_the_rim_has_no_edges_to_the_background() -> None:
    grey = np.zeros((8, 3))
    grey[2:7, 1] = 0.5
    picture = Picture(Path("line"), grey, np.dstack([grey] * 3), grey > 0)
    shown, right, down = patch(picture, pixel_graph(picture, 0))
    assert shown.shape == (5, 3)
    assert np.isnan(right).all()
    assert (~np.isnan(down)).sum() == 4


def test_everything_is_written_and_the_same_twice(tmp_path: Path) -> None:
    path = tiles(tmp_path)
    for name in ("a", "b"):
        assert segment(f"{path} segment {tmp_path}/{name} {SMALL}") == 0
    names = {p.name for p in (tmp_path / "a").iterdir()}
    assert names == {
        "tiles_segments.png",
        "tiles_outlines.png",
        "tiles_numbers.png",
        "tiles_choice.png",
        "tiles_graph.png",
        "tiles_seeds_kmeans_2.png",
        "tiles_seeds_spectral_2.png",
        "tiles_seeds_spectral_60.png",
        "summary.json",
        "answers.md",
    }
    for name in names - {"summary.json", "answers.md"}:  # these two contain running times
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    summaries = [json.loads((tmp_path / n / "summary.json").read_text()) for n in ("a", "b")]
    for summary in summaries:
        for result in summary["images"][0]["results"]:
            assert result.pop("seconds") > 0
    assert summaries[0] == summaries[1]
    assert summaries[0]["images"][0]["chosen"] == {"k-means": 2, "spectral": 2}
    text = (tmp_path / "a" / "answers.md").read_text()
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        "This run",
        *ASKED,
    ]
    assert "With a second image in the same folder" in text


def test_two_images_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "two"
    (folder / "pokemon").mkdir(parents=True)
    shutil.copy(tiles(tmp_path), folder / "flat.png")
    ramp = np.tile(np.arange(20, 220, 5, dtype=np.uint8), (40, 1))
    Image.fromarray(ramp).save(folder / "shaded.png")
    (folder / "notes.txt").write_text("not an image")
    (folder / "broken.png").write_text("not an image")
    assert segment(f"{folder} segment {tmp_path}/out {SMALL}") == 0
    assert "left out 2: broken.png (not an image" in capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "summary.json").read_text())["images"]
    assert [image["name"] for image in found] == ["flat", "shaded"]
    assert found[0]["flat"] > found[1]["flat"]
    text = (tmp_path / "out" / "answers.md").read_text()
    assert "flat is the flatter drawing" in text
    assert "**shaded:**" in text


def test_images_of_one_name_and_no_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image that can be segmented"):
        read_pictures(tmp_path)
    tiles(tmp_path)
    Image.open(tmp_path / "tiles.png").save(tmp_path / "Tiles.webp")
    with pytest.raises(UserError, match="an image of the same name"):
        read_pictures(tmp_path)


def test_a_number_of_clusters_of_one_s_own(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(10, 40, dtype=np.uint8), (30, 1))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    line = f"{tmp_path}/ramp.png segment {tmp_path}/out {SMALL} --clusters 3 --max-iter 5"
    assert segment(line) == 0
    found = json.loads((tmp_path / "out" / "summary.json").read_text())["images"][0]
    results = [(r["method"], r["clusters"]) for r in found["results"]]
    assert results == [("k-means", 3), ("spectral", 3), ("cells", 3)]
    assert len(found["inertias"]) <= 5


def result(
    method: str, contrast: float, explained: float, pieces: int, changed: float = 0.0
) -> dict[str, object]:
    return {
        "method": method,
        "clusters": 3,
        "seconds": 1.0,
        "contrasts": [contrast, contrast + 0.1],
        "explained": [explained, explained + 0.01],
        "pieces": pieces,
        "changed": changed,
    }


def image(name: str, flat: float, results: list[dict[str, object]], changed: float) -> Any:
    return {
        "name": name,
        "pixels": 400,
        "edges": 760,
        "weight_smallest": 0.1,
        "weight_median": 0.9,
        "parts": 1,
        "grey_levels": 2,
        "common": 0.7,
        "flat": flat,
        "silhouettes": {"2": 0.9},
        "contrasts": {"spectral": {"2": [0.0], "4": [1.4]}, "cells": {"2": [1.0], "4": [0.9]}},
        "chosen": {"k-means": 2, "spectral": 4},
        "inertias": [9.0, 8.0],
        "iterations_enough": 2,
        "demonstration": {"clusters": 60, "changed": changed},
        "results": results,
    }


OPTIONS = {"max_iter": 2, "features": "grey", "fixed": False}


def test_the_sentences_follow_the_numbers() -> None:
    blind = result("cells", 0.9, 0.2, 5)
    texts = []
    for (contrast, explained), pieces, grey, changed, flat in (
        ((1.4, 0.5), 3, 0.9, 0.0, 0.5),
        ((0.95, 0.2), 30, 0.9, 0.1, 0.2),
        ((0.5, 0.5), 3, 0.4, 0.1, 0.3),
    ):
        results = [
            result("k-means", 2, grey, 20),
            result("spectral", contrast, explained, pieces),
            blind,
        ]
        images = [image("x", flat, results, changed), image("y", 0.3, results, changed)]
        texts.append(sections(ANSWERS, OPTIONS | {"images": images}))
    assert "only in the numbers" in texts[0]["Q3.1"]
    assert "in more than the numbers" in texts[1]["Q3.1"]
    for text, said in zip(
        texts,
        (
            ("prefer edges", "by 30.0 percentage points", "fewer, larger parts"),
            (
                "not show that its boundaries",
                "not show that its segments",
                "k-means is more satisfying",
            ),
            ("avoid edges", "by 30.0 percentage points", "spectral clustering is more satisfying"),
        ),
        strict=True,
    ):
        for words in said:
            assert words in text["Q4.1"]
    assert "x is the flatter drawing" in texts[0]["Q4.2"]
    assert "y is the flatter drawing" in texts[1]["Q4.2"]
    assert "All images have the same share" in texts[2]["Q4.2"]
    assert "takes the largest number that was tried" in texts[0]["Q4.2"]
    fixed = OPTIONS | {"fixed": True, "features": "colour_position", "images": images}
    given = sections(ANSWERS, fixed)
    assert "no rule chose it" in given["Q4.2"]
    assert "takes the largest number" not in given["Q4.2"]
    assert "level of grey" not in given["Q4.1"]
    del images[1]["contrasts"]["cells"]["4"], images[1]["contrasts"]["spectral"]["4"]
    row = "| y | cells, contrast | 1.00 | - | |"
    assert row in sections(ANSWERS, OPTIONS | {"images": images})["Q4.2"].splitlines()
    assert "| x | spectral, contrast | - | 1.40 | 4 |" in texts[0]["Q4.2"]
    assert "would go on after that" in texts[0]["Q4.2"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("absent.png segment out", "not an image"),
        ("text.png segment out", "not an image"),
        ("white.png segment out", "0 pixels that are neither white, black nor transparent"),
        ("tiles.png segment out --clusters 1", "Invalid value for '--clusters'"),
        ("tiles.png segment out --clusters 3", "3 clusters of 2 different pixels"),
        ("tiles.png segment out --clusters many", "Invalid value for '--clusters'"),
        ("empty segment out", "no image that can be segmented"),
        ("tiles.png segment out --nonsense 1", "No such option: --nonsense"),
        ("tiles.png segment tiles.png", "not a folder"),
        ("tiles.png segment --clusters 3", "no OUT_DIR"),
    ],
)
def test_a_mistake_is_one_line(
    line: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    tiles(tmp_path)
    Path("empty").mkdir()
    Path("text.png").write_text("no picture")
    Image.new("L", (30, 30), 255).save("white.png")
    assert segment(line) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not Path("out").exists()


def test_a_large_image_is_made_smaller_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.tile(np.arange(250, dtype=np.uint8), (1000, 4))).save(tmp_path / "big.png")
    assert read_picture(tmp_path / "big.png").mask.size <= 100_000
    assert (
        "1000 x 1000 pixels are too many for a graph; cut at 316 x 316" in capsys.readouterr().out
    )


@pytest.mark.slow
def test_it_runs_on_what_demo_data_writes(tmp_path: Path) -> None:
    assert segment(f"image demo_data {tmp_path}") == 0
    assert segment(f"{tmp_path}/image.png segment {tmp_path}/out {SMALL}") == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    found = summary["images"][0]
    assert found["pixels"] == found["height"] * found["width"]


@pytest.mark.parametrize("small_part", [1, 1000])
def test_eigenvectors_are_those_of_the_whole_graph(
    small_part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "SMALL_PART", small_part)
    grey = np.random.default_rng(0).random((12, 20))
    mask = np.ones((12, 20), bool)
    mask[:, 7] = mask[3:, 14] = mask[2, 14:] = False  # three parts
    graph = pixel_graph(Picture(Path("x"), grey, np.dstack([grey] * 3), mask), 0)
    values, vectors = eigenvectors(graph, 8)
    matrix, roots = laplacian(graph, normed=True, return_diag=True)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix.toarray())[:8], atol=1e-9)
    assert (values[:3] < graphs.ZERO).all()
    assert values[3] > graphs.ZERO
    scaled = vectors * roots[:, None]
    np.testing.assert_allclose(matrix @ scaled, scaled * values, atol=1e-8)
    np.testing.assert_allclose(scaled.T @ scaled, np.eye(8), atol=1e-8)


def test_an_image_in_many_pieces_is_divided(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).random((60, 80)) < 0.5
    bits[10:50, 10:70] = False
    Image.fromarray(np.where(bits, 255, 60).astype(np.uint8)).save(tmp_path / "scan.png")
    found = Spectral(read_picture(tmp_path / "scan.png"), 6, 0).divide(6)
    assert np.unique(found.runs[0]).tolist() == [0, 1, 2, 3, 4, 5]
    assert measures.changed(found.runs) < 0.1
