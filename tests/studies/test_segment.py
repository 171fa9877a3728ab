import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.sparse.csgraph import laplacian

import vae
from studies.segment import study
from studies.segment.study import (
    ANSWERS,
    Options,
    Picture,
    Segmentation,
    kmeans,
    pixel_graph,
    read_picture,
    spectral,
)
from tests.studies.sections import sections

# Written by hand from the assignment: tasks 3 and 4.
ASKED = ("Q3.1", "Q3.2", "Q4.1", "Q4.2", "Q4.3")
SMALL = "--candidates 2 --candidates 3 --spectral-clusters 4"


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


def test_what_is_transparent_is_background(picture: Picture) -> None:
    assert picture.mask.sum() == 400
    assert set(np.unique(picture.grey[picture.mask] * 255).round()) == {60, 180}
    assert (picture.grey[~picture.mask] == 1).all()


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
    grey = kmeans(picture, 2, Options())
    assert grey.regions() == 2.0
    assert grey.spread(picture) < 1e-9
    parts = spectral(picture, 4, Options())
    assert parts.regions() == 1.0
    assert parts.spread(picture) < 1e-9
    assert parts.agreement() == 1.0
    image = parts.runs[0]
    corners = {int(image[r, c]) for r in (5, 18) for c in (5, 18)}
    assert corners == {0, 1, 2, 3}
    assert (image[~picture.mask] == -1).all()


def test_agreement_does_not_mind_names() -> None:
    one = np.array([[0, 0, 1, 1, -1]])
    swapped, other = np.array([[1, 1, 0, 0, -1]]), np.array([[0, 1, 0, 1, -1]])
    assert Segmentation("x", 2, [one, swapped, one], []).agreement() == 1
    assert Segmentation("x", 2, [one, other], []).agreement() < 0.1


def test_everything_is_written_and_the_same_twice(tmp_path: Path) -> None:
    path = tiles(tmp_path)
    for name in ("a", "b"):
        assert segment(f"{path} segment {tmp_path}/{name} {SMALL}") == 0
    names = {p.name for p in (tmp_path / "a").iterdir()}
    assert names == {
        "segments.png",
        "choice.png",
        "graph.png",
        "seeds_kmeans_2.png",
        "seeds_spectral_4.png",
        "summary.json",
        "answers.md",
    }
    for name in names - {"summary.json", "answers.md"}:  # these two contain running times
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    summaries = [json.loads((tmp_path / n / "summary.json").read_text()) for n in ("a", "b")]
    for summary in summaries:
        for result in summary["results"]:
            assert result.pop("seconds") > 0
    assert summaries[0] == summaries[1]
    text = (tmp_path / "a" / "answers.md").read_text()
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(ASKED)


def test_clusters_of_one_s_own_choice_and_one_method(tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.arange(30, dtype=np.uint8), (30, 1))).save(tmp_path / "ramp.png")
    options = "--method kmeans --clusters 2 --clusters 3 --max-iter 5"
    assert segment(f"{tmp_path}/ramp.png segment {tmp_path}/out {options}") == 0
    results = json.loads((tmp_path / "out" / "summary.json").read_text())["results"]
    assert [(r["method"], r["clusters"]) for r in results] == [("k-means", 2), ("k-means", 3)]
    assert "Only one method" in (tmp_path / "out" / "answers.md").read_text()


def result(method: str, agreement: float, regions: float, spread: float) -> dict[str, object]:
    figures = {"agreement": agreement, "regions": regions, "spread": spread}
    return {"method": method, "clusters": 3, "seconds": 1.0, **figures}


def test_the_sentences_follow_the_numbers() -> None:
    summary = {
        "pixels": 400,
        "edges": 760,
        "weight_smallest": 0.1,
        "weight_median": 0.9,
        "parts": 1,
        "grey_levels": 2,
        "best_silhouette": 2,
        "eigengap": 4,
        "silhouettes": {"2": 0.9},
    }
    texts = []
    for agreement, regions, spread, levels in ((1, 1, 0.1, 2), (0.3, 1, 0.9, 200), (1, 9, 0.1, 2)):
        results = [result("k-means", agreement, 5, 0), result("spectral", 1, regions, spread)]
        texts.append(sections(ANSWERS, summary | {"results": results, "grey_levels": levels}))
    assert "hardly differ" in texts[0]["Q3.1"]
    assert "differ in more" in texts[1]["Q3.1"]
    assert "parts that match what one sees" in texts[0]["Q4.1"]
    assert "hardly match what one sees" in texts[1]["Q4.1"]
    assert "no more scattered" in texts[2]["Q4.1"]
    assert "few, as in a logo" in texts[0]["Q4.2"]
    assert "many, as in a photograph" in texts[1]["Q4.2"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("absent.png segment out", "not an image"),
        ("text.png segment out", "not an image"),
        ("white.png segment out", "0 pixels that are not white"),
        ("tiles.png segment out --clusters 1", "Invalid value for '--clusters'"),
        ("tiles.png segment out --clusters 3", "3 clusters of 2 different pixels"),
        ("tiles.png segment out --clusters many", "Invalid value for '--clusters'"),
        ("tiles.png segment out --method best", "'best' is not one of"),
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
    assert summary["pixels"] == summary["height"] * summary["width"]


@pytest.mark.parametrize("small_part", [1, 1000])
def test_eigenvectors_are_those_of_the_whole_graph(
    small_part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "SMALL_PART", small_part)
    grey = np.random.default_rng(0).random((12, 20))
    mask = np.ones((12, 20), bool)
    mask[:, 7] = mask[3:, 14] = mask[2, 14:] = False  # three parts
    graph = study.pixel_graph(study.Picture(grey, np.dstack([grey] * 3), mask), 0)
    values, vectors = study.eigenvectors(graph, 8)
    matrix, roots = laplacian(graph, normed=True, return_diag=True)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix.toarray())[:8], atol=1e-9)
    assert (values[:3] < study.ZERO).all()
    assert values[3] > study.ZERO
    scaled = vectors * roots[:, None]
    np.testing.assert_allclose(matrix @ scaled, scaled * values, atol=1e-8)
    np.testing.assert_allclose(scaled.T @ scaled, np.eye(8), atol=1e-8)


def test_an_image_of_one_bit_in_many_pieces_is_divided(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).random((60, 80)) < 0.5
    bits[10:50, 10:70] = False
    Image.fromarray(bits).save(tmp_path / "scan.png")
    found = study.read_picture(tmp_path / "scan.png")
    result = study.spectral(found, 6, study.Options())
    assert np.unique(result.runs[0]).tolist() == [-1, 0, 1, 2, 3, 4, 5]
    assert result.agreement() > 0.9
