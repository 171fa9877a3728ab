import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from grader.errors import UserError
from studies.demo_data.writers import write_idx, write_mnist
from studies.shared.datasets import ImageSet, read_split, some_of_each, split
from studies.shared.idx import read_idx
from studies.shared.pictures import resized
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
        ("only_test", "only the part test"),
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


def test_an_entry_without_a_name_is_no_image(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("QQ", b"content")
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"QQ", b"\0\0"))
    with pytest.raises(UserError, match="no images in it"):
        read_split(tmp_path / "a.zip", None, 0)


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


def test_a_test_part_alone_may_be_held_out(tmp_path: Path) -> None:
    write_mnist(tmp_path / "a", {"train": (IMAGES, LABELS)})
    write_mnist(tmp_path / "b", {"t10k": (IMAGES[:8], LABELS[:8])})
    _, held_out = read_split(tmp_path / "a", tmp_path / "b", 0)
    assert same(held_out, IMAGES[:8], LABELS[:8])


def test_another_table_next_to_pictures_is_not_read(tmp_path: Path) -> None:
    pictures(tmp_path / "pets")
    (tmp_path / "pets" / "train.csv").write_text("id,label\n1,cat\n")
    assert len(read_split(tmp_path / "pets", None, 0)[0]) == 18


def test_what_macos_leaves_next_to_images_is_no_image(tmp_path: Path) -> None:
    pictures(tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "._0.png").write_bytes(b"\0")
    assert len(read_split(tmp_path / "pets", None, 0)[0]) == 18


def test_keras_file_has_its_own_test_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays: dict[str, Any] = {"x_train": IMAGES, "y_train": LABELS}
    arrays |= {"x_test": IMAGES[:8], "y_test": LABELS[:8]}
    np.savez(tmp_path / "mnist.npz", **arrays)
    train, held_out = read_split(tmp_path / "mnist.npz", None, 0)
    assert same(train, IMAGES, LABELS)
    assert same(held_out, IMAGES[:8], LABELS[:8])
    assert "40 images to train on; 8 held out, the part test" in capsys.readouterr().out
    for wrong in ({"x_test": IMAGES / 255}, {"y_train": LABELS[:9]}, {"x_train": IMAGES // 255}):
        np.savez(tmp_path / "mnist.npz", **{**arrays, **wrong})
        with pytest.raises(UserError, match=r"mnist\.npz: "):
            read_split(tmp_path / "mnist.npz", None, 0)


def table(images: np.ndarray, labels: np.ndarray, header: str) -> str:
    """Return a CSV with a row for each image; its labels are "first", "last" or without header."""
    names = [f"pixel{number}" for number in range(784)]
    rows = [list(map(str, image.ravel())) for image in images]
    column = 784 if header == "last" else 0
    for row, label in zip(rows, labels, strict=True):
        row.insert(column, str(label))
    names.insert(column, "label")
    return "\n".join(",".join(row) for row in [names, *rows][not header :]) + "\n"


@pytest.mark.parametrize("header", ["first", "last", ""])
def test_tables_of_grey_values(tmp_path: Path, header: str) -> None:
    path = tmp_path / "mnist_train.csv"
    path.write_text(table(IMAGES, LABELS, header))
    assert len(read_split(path, None, 0)[0]) == 36
    (tmp_path / "mnist_test.csv").write_text(table(IMAGES[:8], LABELS[:8], header))
    train, held_out = read_split(tmp_path, None, 0)
    assert same(train, IMAGES, LABELS)
    assert same(held_out, IMAGES[:8], LABELS[:8])


def test_a_table_without_labels_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.csv").write_text(table(IMAGES, LABELS, "first"))
    rows = table(IMAGES, LABELS, "first").splitlines()
    (tmp_path / "test.csv").write_text("\n".join(row.partition(",")[2] for row in rows))
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    train, held_out = read_split(tmp_path, None, 0)
    assert (len(train), len(held_out)) == (36, 4)
    assert "test.csv: not used, because it has no labels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",", ";", 3), "columns"),
        (lambda text: text + "3,x" + ",0" * 783 + "\n", "in 1 rows: 42"),
        (lambda text: text + "3,999" + ",0" * 783 + "\n", "values from 0 to 999"),
        (lambda text: text + "3,.5" + ",0" * 783 + "\n", "with a fraction"),
        (lambda text: text + "3" + ",0" * 999 + "\n", "cannot be read"),
        (lambda text: text[: text.index("\n") + 1], "0 rows"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    path = tmp_path / "train.csv"
    path.write_text(change(table(IMAGES, LABELS, "first")))
    with pytest.raises(UserError, match=rf"train\.csv: .*{message}"):
        read_split(path, None, 0)


def test_emnist_is_turned_the_right_way_up(tmp_path: Path) -> None:
    for part, count in (("train", 40), ("test", 8)):
        for kind, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
            write_idx(tmp_path / f"emnist-letters-{part}-{kind}-ubyte.gz", array[:count])
    train, held_out = read_split(tmp_path, None, 0)
    assert same(train, IMAGES.transpose(0, 2, 1), LABELS)
    assert len(held_out) == 8
    write_idx(tmp_path / "emnist-digits-train-images-idx3-ubyte.gz", IMAGES)
    with pytest.raises(UserError, match="the data sets emnist-digits, emnist-letters"):
        read_split(tmp_path, None, 0)
    for name in ("emnist-letters.mat", "gzip.tar.gz"):
        (tmp_path / name).write_bytes(b"MATLAB 5.0")
        with pytest.raises(UserError, match=rf"{name}: no data set; expected (EMNIST|the files)"):
            read_split(tmp_path / name, None, 0)


def fer_table(rows: int) -> str:
    usages = ("Training", "Training", "Training", "PublicTest", "PrivateTest")
    lines = [
        f"{3 * (number % 2)},{' '.join([str(number % 200)] * 2304)},{usages[number // 2 % 5]}"
        for number in range(rows)
    ]
    return "\n".join(["emotion,pixels,Usage", *lines, ""])


def test_fer2013_is_read_with_its_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = "3,1 2 3,Training\n9,1,Training\n3,1,Other\n"
    (tmp_path / "fer2013.csv").write_text(fer_table(100) + bad)
    train, held_out = read_split(tmp_path / "fer2013.csv", None, 0)
    assert train.names == ("angry", "happy")
    assert (len(train), len(held_out)) == (60, 20)
    said = capsys.readouterr()
    assert "held out, the part test; the part val is not used" in said.out
    for row in ("row 103 (emotion '9'", "row 104", "train/happy/102 (3 grey values)"):
        assert row in said.err
    (tmp_path / "fer2013.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="1 rows of 2 columns; expected a CSV with a label and 784"):
        read_split(tmp_path / "fer2013.csv", None, 0)
    (tmp_path / "fer2013.csv").write_text("pixels,b\n1,2\n")
    with pytest.raises(UserError, match=r"the columns pixels, b; expected .*emotion, pixels and"):
        read_split(tmp_path / "fer2013.csv", None, 0)


def test_ten_images_show_as_many_classes_as_possible() -> None:
    ten = np.array([3, 3, 1, 0, 2, 4, 5, 9, 8, 8, 7, 6])
    assert ten[some_of_each(ten)].tolist() == list(range(10))
    three = np.array([2] * 20 + [0, 1, 1])
    assert three[some_of_each(three)].tolist() == [0, 1, 1] + [2] * 7
    assert some_of_each(three).tolist() == [20, 21, 22, *range(7)]
