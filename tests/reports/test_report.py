import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pypdf
import pytest

import vae
from gmm import GaussianMixture
from reports.separation import cluster_text, measure, overlap_text

AUTHORS = "--name Ann --entry 2020CSZ1234 --name Bob --entry 2020CSZ5678"
SECTIONS = ["Reconstructions", "Generated images", "The latent space", "The mixture", "Validation"]


def report(files: Path, model: Path, out: Path, authors: str = AUTHORS) -> int:
    sets = [str(files / f"{name}.npz") for name in ("train", "val")]
    return vae.main([*sets, "report", str(out), str(model), *authors.split()])


def test_the_report_has_three_pages_and_the_authors_come_first(
    files: Path, trained: Path, tmp_path: Path
) -> None:
    for name in ("a.pdf", "b.pdf"):
        assert report(files, trained / "vae.pth", tmp_path / name) == 0
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    pages = pypdf.PdfReader(tmp_path / "a.pdf").pages
    assert len(pages) == 3
    assert all(float(page.mediabox.height) == pytest.approx(841.7, abs=1) for page in pages)
    text = "\n".join(page.extract_text() for page in pages)
    assert text.startswith("Ann (2020CSZ1234), Bob (2020CSZ5678)")
    places = [text.index(title) for title in [*SECTIONS, "Losses", "Architecture"]]
    assert places == sorted(places)
    seconds = json.loads((trained / "vae.training.json").read_text())["seconds"]
    assert f"Training took {seconds / 60:.1f} minutes" in text
    assert "6,601,552 parameters" in text.replace("\n", " ")


def test_every_figure_of_the_text_is_the_run_s(files: Path, trained: Path, tmp_path: Path) -> None:
    """If the validation labels are shifted by one image, the report counts all as wrong."""
    images, labels = (np.load(files / "val.npz")[name] for name in ("data", "labels"))
    np.savez(tmp_path / "val.npz", data=images, labels=np.roll(labels, 1))
    shutil.copy(files / "train.npz", tmp_path)
    assert report(tmp_path, trained / "vae.pth", tmp_path / "a.pdf") == 0
    text = pypdf.PdfReader(tmp_path / "a.pdf").pages[2].extract_text().replace("\n", " ")
    assert "15 of them wrong: accuracy 0.000" in text


@pytest.mark.parametrize(
    ("authors", "message"),
    [
        ("", "0 names and 0 entry numbers"),
        ("--name Ann", "1 names and 0 entry numbers"),
        ("--name Ann --entry 2020", "'2020'; expected an entry number"),
    ],
)
def test_authors_are_asked_for(
    files: Path,
    trained: Path,
    tmp_path: Path,
    authors: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert report(files, trained / "vae.pth", tmp_path / "a.pdf", authors) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.pdf").exists()


@pytest.mark.parametrize("record", [None, "", "[]", "{}", '{"epochs": "x"}'])
def test_a_missing_record_of_training_is_an_error(
    files: Path,
    trained: Path,
    tmp_path: Path,
    record: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("vae.pth", "gmm_params.pkl"):
        shutil.copy(trained / name, tmp_path)
    if record is not None:
        (tmp_path / "vae.training.json").write_text(record)
    assert report(files, tmp_path / "vae.pth", tmp_path / "a.pdf") == 2
    assert "vae.training.json" in capsys.readouterr().err


def mixture(distance: float) -> GaussianMixture:
    """Return three unit Gaussians in a row, each `distance` from the next."""
    found = GaussianMixture(3)
    means = np.array([[-distance, 0], [0, 0], [distance, 0]])
    found._set(np.full(3, 1 / 3), means, np.stack([np.eye(2)] * 3))
    return found


def test_measures_are_those_of_known_gaussians() -> None:
    source = mixture(6.0)
    z, _ = source.sample(30_000, np.random.default_rng(1))
    found = measure(source, z)
    np.testing.assert_allclose(found.within, np.tile(found.expected, (3, 1)), atol=0.02)
    # Between unit Gaussians at distance d, the coefficient is exp(-d^2 / 8).
    np.testing.assert_allclose(found.bhattacharyya[0], np.exp([0, -36 / 8, -144 / 8]), rtol=1e-6)
    # The outer two err beyond half the distance on one side, the middle one on both sides.
    assert found.errors == pytest.approx(4 / 3 * 0.00135, rel=0.15)
    assert found.silhouette > 0.6


def test_the_sentences_follow_the_numbers() -> None:
    labels = np.array([1, 4, 8])
    apart, near = (
        measure(mixture(d), mixture(d).sample(5000, np.random.default_rng(0))[0])
        for d in (6.0, 1.5)
    )
    assert "are well separated" in cluster_text(apart, labels)
    assert "are not clearly separated" in cluster_text(near, labels)
    assert "The components hardly overlap" in overlap_text(apart, labels)
    assert "The components overlap" in overlap_text(near, labels)
    assert "Each cluster is like a Gaussian" in cluster_text(apart, labels)
    ring = replace(apart, within=np.array([[0.0, 1.0, 1.0]] * 3))
    assert "Each cluster is not quite like a Gaussian" in cluster_text(ring, labels)
