from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vae
from data import load_labelled_images
from studies.celeba.data import find_partition, read_partition
from studies.demo_data import writers as demo_data
from studies.faces.data import describe_source
from studies.pokemon.dataset import PokemonDataset
from studies.shared.datasets import read_split
from studies.shared.pictures import open_source


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "new"
    assert vae.main(["digits", "demo_data", str(folder)]) == 0
    return folder


def test_the_files_are_in_the_course_format(demo: Path) -> None:
    sizes = {}
    for path in demo.iterdir():
        with np.load(path) as arrays:
            assert arrays["data"].dtype == np.uint8
        images, labels = load_labelled_images(path)
        assert set(labels) == {1, 4, 8}
        assert images.shape[1:] == (28, 28)
        assert 0.05 < images.mean() < 0.3
        assert images[:, :3].mean() < 0.02, "the border of a digit is nearly black"
        sizes[path.stem] = len(images)
    assert sizes["val"] == 15
    assert sizes["test_recon"] == 10
    assert sizes["test"] == 110
    assert sizes["train"] > 1500
    _, labels = load_labelled_images(demo / "val.npz")
    assert np.bincount(labels)[[1, 4, 8]].tolist() == [5, 5, 5]


def test_no_image_is_in_two_files(demo: Path) -> None:
    seen: set[bytes] = set()
    for path in demo.iterdir():
        images, _ = load_labelled_images(path)
        own = {image.tobytes() for image in images}
        assert not own & seen
        seen |= own


def test_the_same_bytes_each_time(demo: Path, tmp_path: Path) -> None:
    assert vae.main(["digits", "demo_data", str(tmp_path)]) == 0
    for path in demo.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


@pytest.mark.parametrize("kind", ["mnist", "fashion"])
def test_stand_ins_are_in_the_files_of_the_data_sets_they_stand_for(
    kind: str, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        assert vae.main([kind, "demo_data", str(tmp_path / name)]) == 0
    files = sorted(path for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 4
    for path in files:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    train, held_out = read_split(tmp_path / "a", None, 0)
    assert train.names == held_out.names == tuple("0123456789")
    assert len(train) >= 4000
    seen = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in seen for image in held_out.images)
    means = np.stack([train.images[train.labels == k].mean(axis=0) for k in range(10)]) / 255.0
    distances = np.square(held_out.images[:, None] / 255.0 - means).sum(axis=(2, 3))
    assert (distances.argmin(axis=1) == held_out.labels).mean() > 0.6, "classes can be told apart"


def test_creatures_come_in_three_kinds_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.demo_data.writers.CREATURES", 2)
    assert vae.main(["pokemon", "demo_data", str(tmp_path)]) == 0
    modes = set()
    for path in (tmp_path / "images").iterdir():
        with Image.open(path) as picture:
            modes.add((path.suffix, picture.mode))
    assert modes == {(".png", "RGBA"), (".png", "P"), (".jpg", "RGB")}
    dataset = PokemonDataset(tmp_path, rgb=True)
    assert len(dataset) == 36
    colours = dataset.images.flatten(2).mean(dim=2)
    fire, water = (colours[[kind == name for kind in dataset.types]] for name in ("Bug", "Ice"))
    assert (fire[:, 0] > fire[:, 2]).all()
    assert (water[:, 2] > water[:, 0]).all()


def test_a_stand_in_does_not_take_the_place_of_real_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, name in (("mnist", "MNIST"), ("fashion", "FashionMNIST"), ("pokemon", "pokemon.csv")):
        (tmp_path / name).mkdir()
        assert vae.main([kind, "demo_data", str(tmp_path)]) == 2
        assert "may be the real data" in capsys.readouterr().err
        assert not [*(tmp_path / name).iterdir()]


def test_faces_are_in_the_folders_that_the_studies_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_data, "PORTRAITS", 40)
    monkeypatch.setattr(demo_data, "SITTERS", 3)
    for name in ("a", "b"):
        for kind in ("celeba", "faces"):
            assert vae.main([kind, "demo_data", str(tmp_path / name / kind)]) == 0
    files = sorted(path for path in (tmp_path / "a").rglob("*") if path.is_file())
    for path in files:
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes()
    celeba, faces = tmp_path / "a" / "celeba", tmp_path / "a" / "faces"
    with open_source(celeba / "img_align_celeba") as source:
        file = find_partition(celeba, source.path)
        assert file is not None
        parts = read_partition(file, source.names)
        assert np.bincount([*parts.values()]).tolist() == [32, 4, 4]
        assert source.read(source.names[0]).size == (89, 109)
    with open_source(faces) as source:
        expressions, people, _ = describe_source(source)
    assert set(expressions) == {"happy", "angry", "sad", "surprise"}
    assert sorted(set(people)) == ["person00", "person01", "person02"]
    assert len(files) == 40 + 1 + 3 * 4 * 4


@pytest.mark.parametrize(
    ("kind", "name"), [("celeba", "img_align_celeba.zip"), ("faces", "person00")]
)
def test_real_faces_are_left_alone(
    kind: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).mkdir()
    assert vae.main([kind, "demo_data", str(tmp_path)]) == 2
    assert "may be the real data" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
