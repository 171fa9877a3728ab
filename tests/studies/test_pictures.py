"""Pictures in any format, and the parts that their folders put them in."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from grader.errors import UserError
from studies.shared.pictures import divided, open_image, open_source, over, part_of, read_image


def test_a_photograph_is_the_way_up_that_its_phone_says(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "white")
    image.paste("black", (0, 0, 10, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # turned clockwise by 90 degrees
    image.save(tmp_path / "photo.jpg", exif=exif)
    upright = read_image(tmp_path / "photo.jpg", "photo.jpg")
    assert upright.size == (20, 40)
    assert np.asarray(upright)[2].mean() < 20, "what was left is above"


DEEP: dict[str, np.ndarray] = {
    "16 bits.png": np.array([[0, 255, 257, 100 * 257, 65535]], np.uint16),
    "dark 16 bits.png": np.array([[0, 128, 129, 255, 255]], np.uint16),
    "32 bits.tif": np.array([[0, 255, 257, 100 * 257, 65535]], np.int32),
    "8 of 32 bits.tif": np.array([[0, 1, 1, 100, 255]], np.int32),
    "unit floats.tif": np.array([[0, 1, 1, 100, 255]], np.float32) / 255,
    "floats.tif": np.array([[0, 1, 1, 100, 255]], np.float32),
}


@pytest.mark.parametrize("name", DEEP)
def test_other_grey_levels_are_scaled(tmp_path: Path, name: str) -> None:
    Image.fromarray(DEEP[name]).save(tmp_path / name)
    shown = np.asarray(read_image(tmp_path / name, name))
    expected = [0, 0, 1, 1, 1] if name.startswith("dark") else [0, 1, 1, 100, 255]
    assert shown[0, :, 0].tolist() == expected


@pytest.mark.parametrize("levels", [[0, 70000], [-1, 3]])
def test_grey_levels_of_an_unknown_scale_are_refused(tmp_path: Path, levels: list[int]) -> None:
    Image.fromarray(np.array([levels], np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif: grey levels from"):
        read_image(tmp_path / "a.tif", "a.tif")


def test_ink_on_a_transparent_background_stays_ink(tmp_path: Path) -> None:
    for name, ink in (("dark.png", 0), ("light.png", 255)):
        image = np.full((8, 8, 4), ink, np.uint8)
        image[..., 3] = 0
        image[2:6, 3:5, 3] = 255
        Image.fromarray(image, "RGBA").save(tmp_path / name)
        grey = np.asarray(read_image(tmp_path / name, name).convert("L"))
        assert (grey[2:6, 3:5] == ink).all()
        assert (grey[0] == 255 - ink).all(), name
    white = over(open_image(tmp_path / "light.png", "light.png"), "white")
    assert np.asarray(white).min() == 255


WRITTEN = ("png", "jpg", "jfif", "webp", "tiff", "tif", "bmp", "gif", "pgm", "ico", "jp2", "tga")


@pytest.mark.parametrize("ending", WRITTEN)
def test_whatever_pillow_opens_is_read(tmp_path: Path, ending: str) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGB", (16, 16), (9, 99, 199)).convert("L" if ending == "pgm" else "RGB").save(
        tmp_path / "a" / f"picture.{ending.upper()}",
        format={"jfif": "jpeg", "pgm": "ppm", "tif": "tiff", "jp2": "jpeg2000"}.get(ending),
    )
    with open_source(tmp_path) as source:
        assert source.read(source.names[0]).size == (16, 16)
    assert not source.left_out


PARTS = {
    "p/train": "train",
    "Training": "train",
    "test": "test",
    "a/Testing/b": "test",
    "val": "val",
    "p/valid": "val",
    "validation": "val",
}


@pytest.mark.parametrize("place", PARTS)
def test_folders_name_the_parts(place: str) -> None:
    part = PARTS[place]
    inside = [f"{place}/cat/{number}.png" for number in range(3)]
    other = "train/cat/9.png" if part != "train" else "test/cat/9.png"
    found = divided(Path("p"), [*inside, other], classes=True)
    assert found == {part: inside, part_of(other, classes=True): [other]}
    assert divided(Path("p"), inside, classes=True) == {"": inside}, "one folder is no part"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/a/1.png", "test/a/1.png", "a/1.png"), "'a/1.png' next to the folders"),
        (("train/1.png", "test/1.png"), "images without a class in test, train"),
        (("test/a/1.png", "val/a/1.png"), "expected a part train"),
    ],
)
def test_parts_that_are_unclear_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        divided(Path("p"), [*names], classes=True)


def test_a_class_may_be_called_like_a_part() -> None:
    names = ["train/1.png", "bus/1.png"]
    assert divided(Path("p"), names, classes=True) == {"": names}


FOLDERS = st.sampled_from(["train", "Test", "val", "cat", "dog", "set", "training"])


@given(st.lists(st.lists(FOLDERS, max_size=3), min_size=1), st.booleans())
def test_every_image_is_in_one_part_or_the_layout_is_refused(
    places: list[list[str]], classes: bool
) -> None:
    names = ["/".join([*folders, f"{number}.png"]) for number, folders in enumerate(places)]
    try:
        found = divided(Path("p"), names, classes)
    except UserError as error:
        assert str(error).startswith("p: ")
        return
    assert sorted(name for part in found.values() for name in part) == sorted(names)
    assert set(found) == {""} or "train" in found
    assert "" not in found or len(found) == 1


FILES = {
    "{}.png": "",
    "{}.webp": "",
    "{}.TIF": "",
    "{}.heic": "HEIC: save it as JPEG",
    "{}.txt": "no image",
    ".ipynb_checkpoints/{}.png": "hidden, or left by a system",
    "__MACOSX/cat/._{}.png": "hidden, or left by a system",
    "Thumbs.db": "hidden, or left by a system",
}


@given(chosen=st.lists(st.tuples(st.sampled_from(list(FILES)), st.integers(0, 5)), min_size=1))
@pytest.mark.parametrize("packed", [False, True])
def test_every_file_is_read_or_named(
    chosen: list[tuple[str, int]], packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("pictures")
    folder = home / "set"
    files = {f"cat/{name.format(number)}": FILES[name] for name, number in chosen}
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"content")
    path = folder
    if packed:
        path = home / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in files:
                archive.write(folder / name, name)
    wanted = sorted(name for name, why in files.items() if not why)
    if not wanted:
        with pytest.raises(UserError, match="no images in it, but cat/"), open_source(path):
            pass
        return
    with open_source(path) as source:
        assert source.names == wanted
        assert source.left_out == {name: why for name, why in files.items() if why}
