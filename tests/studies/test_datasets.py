import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from grader.errors import UserError
from studies.demo_data.writers import write_idx, write_mnist
from studies.shared.datasets import ImageSet, open_on_white, read_idx, read_split, resized, split
from tests.mutations import damaged

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (40, 28, 28), dtype=np.uint8)
LABELS = (np.arange(40) % 4).astype(np.uint8)


def same(found: ImageSet, images: np.ndarray, labels: np.ndarray) -> bool:
    return np.array_equal(found.images, images) and np.array_equal(found.labels, labels)


@pytest.mark.parametrize("folder", [".", "raw", "MNIST/raw", "FashionMNIST/raw"])
def test_the_files_of_mnist_in_any_of_their_folders(tmp_path: Path, folder: str) -> None:
    write_mnist(
        tmp_path / folder, {"train": (IMAGES, LABELS), "t10k": (IMAGES[:5], LABELS[:5] + 1)}
    )
    with pytest.raises(UserError, match="classes"):  # 1, 2, 3 and 4 instead of 0, 1, 2 and 3
        read_split(tmp_path, None, 0)
    write_mnist(tmp_path / folder, {"t10k": (IMAGES[:8], LABELS[:8])})
    train, held_out = read_split(tmp_path, None, 0)
    assert same(train, IMAGES, LABELS)
    assert same(held_out, IMAGES[:8], LABELS[:8])
    assert train.names == ("0", "1", "2", "3")


def test_idx_without_compression_and_under_the_other_name(tmp_path: Path) -> None:
    write_mnist(tmp_path, {"train": (IMAGES, LABELS)})
    for name in ("images-idx3", "labels-idx1"):
        packed = tmp_path / f"train-{name}-ubyte.gz"
        (tmp_path / f"train-{name}-ubyte").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    for path in (tmp_path, tmp_path / "train-images-idx3-ubyte"):
        train, held_out = read_split(path, None, 0)
        assert len(train) == 36
        assert len(held_out) == 4
    for name in ("images-idx3", "labels-idx1"):
        dotted = name.replace("-idx", ".idx")
        (tmp_path / f"train-{name}-ubyte").rename(tmp_path / f"train-{dotted}-ubyte")
    assert len(read_split(tmp_path, None, 0)[0]) == 36


def test_npz_of_integers_and_of_floats(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=IMAGES, labels=LABELS)
    np.savez(tmp_path / "b.npz", data=IMAGES.reshape(40, 784) / 255, labels=LABELS)
    train, held_out = read_split(tmp_path / "a.npz", tmp_path / "b.npz", 0)
    assert same(train, IMAGES, LABELS)
    assert same(held_out, IMAGES, LABELS)


def pictures(folder: Path) -> None:
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            image = Image.fromarray(np.full((56, 56), 20 * number, np.uint8))
            image.save(folder / name / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")


def test_folders_and_zips_of_images(tmp_path: Path) -> None:
    pictures(tmp_path / "pets")
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in sorted((tmp_path / "pets").rglob("*.*")):
            archive.write(path, path.relative_to(tmp_path))
        archive.writestr("__MACOSX/pets/cat/._0.png", b"\0")
    for path in (tmp_path / "pets", tmp_path / "pets.zip"):
        train, held_out = read_split(path, None, 0)
        assert train.names == ("cat", "dog")
        assert (len(train), len(held_out)) == (18, 2)
        assert (train.images == train.images[:, :1, :1]).all()
        assert set(np.unique(train.images)) <= set(range(0, 200, 20))


def test_what_is_transparent_becomes_white_and_sizes_change_by_the_mean(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    image = np.zeros((56, 56, 4), np.uint8)
    image[:28, :, 3] = 255
    image[::2, ::2, :3] = 200
    for name in ("x/a", "x/b", "y/a", "y/b"):
        Image.fromarray(image, "RGBA").save(tmp_path / f"{name}.png")
    train, _ = read_split(tmp_path, None, 0)
    assert (train.images[0, :14] == 50).all()
    assert (train.images[0, 14:] == 255).all()
    assert resized(Image.new("L", (3, 3), 7), 28).size == (28, 28)


def test_the_split_is_by_seed_and_leaves_no_image_out() -> None:
    whole = ImageSet(IMAGES, LABELS.astype(np.int64), ("a", "b", "c", "d"))
    train, held_out = split(whole, 0)
    assert same(split(whole, 0)[1], held_out.images, held_out.labels)
    assert not np.array_equal(split(whole, 1)[1].images, held_out.images)
    both = np.concatenate([train.images, held_out.images])
    assert sorted(image.tobytes() for image in both) == sorted(i.tobytes() for i in IMAGES)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "nothing there"),
        ("text.txt", "no data set"),
        ("empty", "no images in it"),
        ("text.zip", "not a zip"),
        ("no_labels.npz", "no 'labels'"),
        ("shape.npz", "'data' of shape"),
        ("range.npz", "values from -1 to"),
        ("names.npz", "'labels' of type"),
        ("short", "40 images for 39 labels"),
        ("lonely", "train-labels-idx1-ubyte: cannot be read"),
        ("only_test", "no train-images"),
        ("small", r"images of shape \(14, 14\)"),
        ("broken", "not an image"),
        ("one_class.npz", "at least two classes"),
        ("black.npz", "images of one shade"),
        ("both", "both MNIST and FashionMNIST"),
    ],
)
def test_what_is_no_data_set_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "text.txt").write_text("no data")
    (tmp_path / "text.zip").write_text("no data")
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "no_labels.npz", data=IMAGES)
    np.savez(tmp_path / "shape.npz", data=IMAGES[:, :20], labels=LABELS)
    np.savez(tmp_path / "range.npz", data=IMAGES - 1.0, labels=LABELS)
    np.savez(tmp_path / "names.npz", data=IMAGES, labels=LABELS.astype(str))
    write_mnist(tmp_path / "short", {"train": (IMAGES, LABELS[:39])})
    write_idx(tmp_path / "lonely" / "train-images-idx3-ubyte.gz", IMAGES)
    write_mnist(tmp_path / "only_test", {"t10k": (IMAGES, LABELS)})
    write_mnist(tmp_path / "small", {"train": (IMAGES[:, ::2, ::2], LABELS)})
    np.savez(tmp_path / "one_class.npz", data=IMAGES, labels=0 * LABELS)
    np.savez(tmp_path / "black.npz", data=0 * IMAGES, labels=LABELS)
    for folder in ("MNIST", "FashionMNIST"):
        write_mnist(tmp_path / "both" / folder / "raw", {"train": (IMAGES, LABELS)})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_text("no picture")
    with pytest.raises(UserError, match=message):
        read_split(tmp_path / name, None, 0)


@given(data=st.data(), packed=st.booleans())
def test_a_damaged_idx_file_is_read_or_refused(
    tmp_path: Path, data: st.DataObject, packed: bool
) -> None:
    write_idx(tmp_path / "whole.gz", IMAGES[:2])
    content = (tmp_path / "whole.gz").read_bytes()
    path = tmp_path / ("a-idx3-ubyte.gz" if packed else "a-idx3-ubyte")
    path.write_bytes(data.draw(damaged(content if packed else gzip.decompress(content))))
    try:
        assert read_idx(path, 3).ndim == 3
    except UserError as error:
        assert str(path) in str(error)


@given(data=st.data())
def test_a_damaged_zip_of_images_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in ("a/0.png", "b/0.png"):
            picture = io.BytesIO()
            Image.new("L", (28, 28), 9).save(picture, "png")
            archive.writestr(name, picture.getvalue())
    path = tmp_path / "pictures.zip"
    path.write_bytes(data.draw(damaged(content.getvalue())))
    try:
        read_split(path, None, 0)
    except UserError as error:
        assert str(path) in str(error)


def test_a_zip_of_a_version_to_come_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/0.png", b"content")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 84
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="not a zip that can be read"):
        read_split(tmp_path / "a.zip", None, 0)


def test_held_out_images_are_never_those_to_train_on(tmp_path: Path) -> None:
    write_mnist(tmp_path, {"t10k": (IMAGES, LABELS)})
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    train, held_out = read_split(path, None, 0)
    assert not {i.tobytes() for i in train.images} & {i.tobytes() for i in held_out.images}
    assert {*held_out.labels} == {0, 1, 2, 3}, "a tenth of each class"
    with pytest.raises(UserError, match="the training images themselves"):
        read_split(path, path, 0)


def test_what_macos_leaves_beside_images_is_no_image(tmp_path: Path) -> None:
    pictures(tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "._0.png").write_bytes(b"\0")
    assert len(read_split(tmp_path / "pets", None, 0)[0]) == 18


def test_a_photograph_is_the_way_up_that_its_phone_says(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "white")
    image.paste("black", (0, 0, 10, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # turned clockwise by 90 degrees
    image.save(tmp_path / "photo.jpg", exif=exif)
    upright = open_on_white(tmp_path / "photo.jpg", "photo.jpg")
    assert upright.size == (20, 40)
    assert np.asarray(upright)[2].mean() < 20, "what was left is above"


@pytest.mark.parametrize(("dtype", "name"), [(np.uint16, "deep.png"), (np.int32, "deep.tif")])
def test_grey_levels_of_16_bits_are_scaled(tmp_path: Path, dtype: type, name: str) -> None:
    levels: np.ndarray = np.array([[0, 255, 257, 100 * 257, 65535]], dtype)
    Image.fromarray(levels).save(tmp_path / name)
    shown = np.asarray(open_on_white(tmp_path / name, name))
    assert shown[0, :, 0].tolist() == [0, 1, 1, 100, 255]
