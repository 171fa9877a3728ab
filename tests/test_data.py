import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data import (
    DigitDataset,
    ShuffledBatches,
    has_array,
    load_images,
    load_labelled_images,
    random_affine,
)
from grader.errors import UserError
from tests.conftest import shapes
from tests.mutations import damaged

IMAGES, LABELS = shapes(6, 0)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def write(path: Path, **arrays: Any) -> Path:
    path.write_bytes(npz(**arrays))
    return path


@pytest.mark.parametrize(
    "data",
    [
        IMAGES,
        IMAGES.astype(np.int64),
        IMAGES.astype(np.float64),
        IMAGES / 255,
        (IMAGES / 255).astype(np.float32),
        np.asfortranarray(IMAGES),
        IMAGES.astype(">i4"),
        IMAGES / 255 * (1 + 1e-6) - 1e-7,
    ],
)
def test_reads_every_scale_and_type(tmp_path: Path, data: np.ndarray) -> None:
    images = load_images(write(tmp_path / "a.npz", data=data))
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, IMAGES / 255, atol=1e-5)
    assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.parametrize("shape", [(6, 784), (6, 1, 28, 28), (6, 28, 28)])
def test_keeps_the_layout(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = load_images(write(tmp_path / "a.npz", data=IMAGES.reshape(shape)))
    assert images.shape == shape
    np.testing.assert_allclose(images.reshape(6, 28, 28), IMAGES / 255, atol=1e-7)


BAD_DATA = {
    "object": np.array([[None]], dtype=object),
    "text": np.array(["a"]),
    "complex": IMAGES.astype(complex),
    "bool": IMAGES > 0,
    "shape": IMAGES[:, :27],
    "scalar": np.array(3),
    "one image": IMAGES[0],
    "none": IMAGES[:0],
    "nan": np.full((2, 28, 28), np.nan),
    "infinite": np.full((2, 28, 28), np.inf),
    "negative": IMAGES.astype(int) - 1,
    "large": IMAGES.astype(int) + 300,
    "centred": IMAGES / 127.5 - 1,
    "either scale": IMAGES / 200,
    "either scale, whole": (IMAGES > 99).astype(np.uint8),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_refuses_data(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.npz", data=BAD_DATA[name])
    with pytest.raises(UserError, match=r"a\.npz: .*; expected (an \.npz file|whole numbers)"):
        load_images(path)


@pytest.mark.parametrize(
    "labels",
    [
        LABELS[:5],
        LABELS[:, None],
        LABELS / 2,
        np.array(["1"] * 6),
        np.array([None] * 6),
        LABELS.astype(np.uint64) + 2**63,
    ],
)
def test_refuses_labels(tmp_path: Path, labels: np.ndarray) -> None:
    path = write(tmp_path / "a.npz", data=IMAGES, labels=labels)
    with pytest.raises(UserError, match="label"):
        load_labelled_images(path)
    assert len(load_images(path)) == 6, "images alone do not need labels"


def bare_array() -> bytes:
    file = io.BytesIO()
    np.save(file, IMAGES)
    return file.getvalue()


def other_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.npy", b"not an array")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "empty"),
        (b"PK", "not an .npz"),
        (npz(data=IMAGES)[:-30], "not an .npz"),
        (bare_array(), "not an .npz"),
        (npz(images=IMAGES), "no 'data' among its arrays .'images'"),
        (npz(), "damaged"),
        (other_zip(), "damaged"),
    ],
)
def test_refuses_files(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=found):
        load_images(path)


@given(content=st.one_of(damaged(npz(data=IMAGES[:2], labels=LABELS[:2])), st.binary(max_size=64)))
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    try:
        images, labels = load_labelled_images(path)
    except UserError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
    else:
        assert len(images) == len(labels)
        assert 0 <= images.min() <= images.max() <= 1


def test_batches_hold_every_image_once_in_a_new_order_each_time() -> None:
    images = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((1, 28, 28), np.float32)
    dataset = DigitDataset(images, torch.device("cpu"))
    assert dataset[3].shape == (784,)
    assert dataset[2:5].shape == (3, 784)
    assert dataset[torch.tensor([7, 2])][:, 0].tolist() == [7, 2]


def test_batches_go_through_all_indices_in_a_new_order_each_time() -> None:
    batches = ShuffledBatches(10, 4, torch.Generator().manual_seed(0))
    first, second = ([index for batch in batches for index in batch.tolist()] for _ in range(2))
    assert len(batches) == 3
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_distorted_images_stay_images_and_stay_near() -> None:
    images = torch.from_numpy(shapes(30, 0)[0] / np.float32(255))
    moved = random_affine(images, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert 0.02 < (moved - images).abs().mean() < 0.2
    assert (moved.mean() / images.mean()).item() == pytest.approx(1, abs=0.1)


def test_an_array_is_looked_for_without_reading_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=np.zeros(3))
    (tmp_path / "text.npz").write_text("text")
    assert has_array(tmp_path / "a.npz", "data")
    assert not has_array(tmp_path / "a.npz", "labels")
    assert not has_array(tmp_path / "text.npz", "data")
    assert not has_array(tmp_path / "absent.npz", "data")
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 84  # the version needed to read it
    (tmp_path / "new.npz").write_bytes(content)
    assert not has_array(tmp_path / "new.npz", "data")
