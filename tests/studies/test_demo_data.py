from pathlib import Path

import numpy as np
import pytest

import vae
from data import load_labelled_images


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
        assert set(labels) == {0, 4, 6}
        assert images.shape[1:] == (28, 28)
        assert 0.05 < images.mean() < 0.3
        assert images[:, :3].mean() < 0.02, "the border of a digit is nearly black"
        sizes[path.stem] = len(images)
    assert sizes["val"] == 15
    assert sizes["test_recon"] == 10
    assert sizes["test"] == 110
    assert sizes["train"] > 1500
    _, labels = load_labelled_images(demo / "val.npz")
    assert np.bincount(labels)[[0, 4, 6]].tolist() == [5, 5, 5]


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
