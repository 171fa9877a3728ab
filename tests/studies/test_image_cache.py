import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from grader.errors import UserError
from studies.shared import image_cache
from studies.shared.image_cache import ImageFeed, cached
from studies.shared.pictures import open_source

CPU = torch.device("cpu")


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (6, 20, 16, 3)).astype(np.uint8)


@pytest.fixture(params=["folder", "zip", "npz"])
def place(request: pytest.FixtureRequest, pixels: NDArray[np.uint8], tmp_path: Path) -> Path:
    """Return the path of the same six images, 20 x 16, in each form that a source may have."""
    kind = request.param
    path = tmp_path / f"data{'' if kind == 'folder' else '.' + kind}"
    if kind == "npz":
        np.savez(path, data=pixels)
    elif kind == "folder":
        (path / "inner").mkdir(parents=True)
        for number, image in enumerate(pixels):
            Image.fromarray(image).save(path / "inner" / f"{number}.png")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for number, image in enumerate(pixels):
                content = io.BytesIO()
                Image.fromarray(image).save(content, "png")
                archive.writestr(f"inner/{number}.png", content.getvalue())
            archive.writestr("__MACOSX/inner/._0.png", b"no image")
    return path


def test_the_cache_holds_the_images_and_is_made_once(
    place: Path, pixels: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    with open_source(place) as source:
        chosen = source.names[3:]
        path, names = cached(source, chosen, (20, 16), folder)
        assert names == chosen
        assert (np.load(path, mmap_mode="r") == pixels[3:]).all()
        monkeypatch.setattr(image_cache, "decode", None)  # would fail if anything were decoded
        assert cached(source, chosen, (20, 16), folder) == (path, chosen)
        with pytest.raises(TypeError):
            cached(source, source.names, (20, 16), folder)
    assert [file.name for file in folder.iterdir()] == [path.name]


def test_images_of_other_proportions_lose_their_border(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    np.savez(tmp_path / "wide.npz", data=wide[None])
    with open_source(tmp_path / "wide.npz") as source:
        image = np.load(cached(source, source.names, (10, 10), tmp_path)[0])[0]
    assert image.shape == (10, 10, 3)
    assert (np.abs(image[:, 2:-2].astype(int) - 200) < 5).all()


def test_a_changed_file_is_decoded_anew(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    paths = []
    for shade in (10, 200):
        Image.new("RGB", (8, 8), (shade,) * 3).save(folder / "a.png")
        with open_source(folder) as source:
            paths.append(cached(source, source.names, (8, 8), tmp_path)[0])
    assert paths[0] != paths[1]
    assert [int(np.load(path).mean()) for path in paths] == [10, 200]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "nothing there"),
        (lambda path: path.mkdir(), "no images in it"),
        (lambda path: path.write_text("text"), "no data set"),
    ],
)
def test_what_holds_no_images_is_refused(make: object, message: str, tmp_path: Path) -> None:
    assert callable(make)
    make(tmp_path / "data")
    with pytest.raises(UserError, match=message), open_source(tmp_path / "data"):
        pass


@pytest.mark.parametrize(
    "data",
    [np.zeros((3, 8, 8), np.uint8), np.zeros((3, 8, 8, 3)), np.zeros((0, 8, 8, 3), np.uint8)],
)
def test_an_npz_of_other_arrays_is_refused(data: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", data=data)
    with pytest.raises(UserError, match="'data' of"), open_source(tmp_path / "data.npz"):
        pass


def test_damaged_images_are_left_out_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "bad.jpg").write_bytes(b"no image")
    with open_source(folder) as source, pytest.raises(UserError, match="1 damaged images"):
        cached(source, source.names, (8, 8), tmp_path)
    assert not list(tmp_path.glob("*.npy"))
    for shade in range(300):
        Image.new("L", (8, 8), shade % 256).save(folder / f"{shade:03}.png")
    whole = (folder / "200.png").read_bytes()
    (folder / "200.png").write_bytes(whole[:-20])
    for _ in range(2):  # made, and then found
        with open_source(folder) as source:
            path, names = cached(source, source.names, (8, 8), tmp_path)
        assert list(source.left_out) == ["200.png", "bad.jpg"]
        assert len(names) == 299
        images = np.load(path, mmap_mode="r")
        assert images.shape == (299, 8, 8, 3)
        assert images[:, 0, 0, 0].tolist() == [int(Path(name).stem) % 256 for name in names]


def numbered(count: int) -> NDArray[np.uint8]:
    """Return `count` images of 2 x 2 pixels whose first value is their number."""
    images = np.zeros((count, 2, 2, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    return images


def numbers(images: torch.Tensor) -> list[int]:
    return (255 * images[:, 0, 0, 0]).round().int().tolist()


@given(count=st.integers(2, 60), batch_size=st.integers(2, 20))
def test_an_epoch_has_every_image_once(count: int, batch_size: int) -> None:
    feed = ImageFeed(numbered(count), batch_size, CPU)
    batches = list(feed)
    assert len(batches) == len(feed)
    seen = sorted(number for batch in batches for number in numbers(batch.images))
    assert len(seen) == len(set(seen))
    # A single image has no variance, so it waits for another epoch.
    assert len(seen) == count - (count % batch_size == 1)
    for batch in batches:
        assert batch.share == 1
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


@given(count=st.integers(4, 60), batch_size=st.integers(3, 20), world=st.integers(2, 3))
def test_processes_share_out_each_batch(count: int, batch_size: int, world: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_cache, "processes", lambda: world)
        parts = []
        for rank in range(world):
            patch.setattr(image_cache, "process", lambda rank=rank: rank)
            torch.manual_seed(0)
            parts.append(list(ImageFeed(numbered(count), batch_size, CPU)))
        for shares in zip(*parts, strict=True):
            whole = shares[0].whole
            rows = [row for part in shares for row in range(whole)[part.rows]]
            assert sorted(rows) == list(range(whole))
            assert sum(len(part.images) for part in shares) == whole
            assert min(len(part.images) for part in shares) > 0
            assert np.mean([part.share for part in shares]) == pytest.approx(1)
            together = [number for part in shares for number in numbers(part.images)]
            assert len(set(together)) == whole
