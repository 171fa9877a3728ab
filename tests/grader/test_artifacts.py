import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import artifacts
from grader.artifacts import Deviations
from grader.errors import UserError
from grader.safe_text import FormatError, SafeText
from grader.submission.unpacking import unpack
from tests.mutations import damaged
from tests.test_data import npz

N = 6
RECON = np.random.default_rng(0).random((N, 28, 28)).astype(np.float32)


def read_recon(path: Path, **arrays: Any) -> tuple[np.ndarray, list[str]]:
    path.write_bytes(npz(**arrays))
    deviations = Deviations(path)
    return artifacts.read_reconstructions(path, deviations, N), [str(d) for d in deviations.found]


def read_csv(path: Path, text: str | bytes, count: int = 3) -> tuple[list[int], list[str]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    deviations = Deviations(path)
    return artifacts.read_predictions(path, deviations, count).tolist(), [
        str(d) for d in deviations.found
    ]


def test_the_asked_format_leaves_no_remark(tmp_path: Path) -> None:
    images, remarks = read_recon(tmp_path / "r.npz", data=RECON)
    np.testing.assert_array_equal(images, RECON)
    assert remarks == []


@pytest.mark.parametrize(
    ("arrays", "remark"),
    [
        ({"recon_data": RECON}, "called 'recon_data'"),
        ({"reconstructed_images": RECON, "labels": np.zeros(N)}, "called 'reconstructed_images'"),
        ({"anything": RECON}, "called 'anything'"),
        ({"data": RECON.reshape(N, 784)}, "shape"),
        ({"data": RECON.reshape(N, 1, 28, 28)}, "shape"),
        ({"data": RECON.reshape(N, 28, 28, 1)}, "shape"),
        ({"data": RECON * 255}, "divided by 255"),
        ({"data": np.asfortranarray(RECON.astype(">f8")).reshape(N, 1, 784)}, "shape"),
    ],
)
def test_other_forms_with_a_certain_meaning_leave_a_remark(
    tmp_path: Path, arrays: dict[str, np.ndarray], remark: str
) -> None:
    images, remarks = read_recon(tmp_path / "r.npz", **arrays)
    np.testing.assert_allclose(images, RECON, atol=1e-6)
    assert len(remarks) == 1
    assert remark in remarks[0]
    assert "expected" in remarks[0]


def test_values_a_little_outside_are_scored_as_they_are(tmp_path: Path) -> None:
    images, remarks = read_recon(tmp_path / "r.npz", data=RECON * 1.2 - 0.1)
    np.testing.assert_allclose(images, RECON * 1.2 - 0.1, atol=1e-6)
    assert "as they are" in remarks[0]


def test_uint8_images_are_divided(tmp_path: Path) -> None:
    images, remarks = read_recon(tmp_path / "r.npz", data=(RECON * 255).astype(np.uint8))
    np.testing.assert_allclose(images, RECON, atol=1 / 255)
    assert len(remarks) == 1


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"a": RECON, "b": RECON},
        {"recon_a": RECON, "recon_b": RECON},
        {"data": RECON[:5]},
        {"data": RECON[:, :20]},
        {"data": RECON[0]},
        {"data": np.array(1.0)},
        {"data": np.where(RECON > 0.99, np.nan, RECON)},
        {"data": np.where(RECON > 0.99, np.inf, RECON)},
        {"data": RECON * 300},
        {"data": RECON * 255 - 127},
        {"data": RECON.astype(complex)},
        {"data": RECON.astype(object)},
        {"data": RECON.astype("S10")},
    ],
)
def test_no_certain_meaning_is_an_error(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(UserError, match=r"r\.npz: .*; expected "):
        read_recon(tmp_path / "r.npz", **arrays)


def test_an_array_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 28, 28)}
    )
    path = tmp_path / "r.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", header.getvalue() + bytes(100))
    with pytest.raises(UserError, match="damaged"):
        artifacts.read_reconstructions(path, Deviations(path), N)


@pytest.mark.parametrize(
    "shape", [(True, 28, 28), (2**70, 28, 0), (0, 28, 28), (-6, 28, 28), (1,) * 70]
)
def test_shapes_that_no_array_has(tmp_path: Path, shape: tuple[int, ...]) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    path = tmp_path / "r.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", header.getvalue() + bytes(4 * 784))
    with pytest.raises(UserError):
        artifacts.read_reconstructions(path, Deviations(path), N)


def test_names_cannot_command_the_terminal(tmp_path: Path) -> None:
    _, remarks = read_recon(tmp_path / "r.npz", **{"\x1b]0;owned\x07\n": RECON})
    assert len(remarks) == 1
    assert remarks[0].isprintable()
    with pytest.raises(UserError) as caught:
        read_recon(tmp_path / "r.npz", **{"\x1b[2J": RECON, "b": RECON})
    assert str(caught.value).isprintable()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("data.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(80):
            file.write(bytes(1 << 24))
    assert path.stat().st_size < 1 << 21
    with pytest.raises(UserError, match="unpacks to 1280 MiB"):
        artifacts.read_reconstructions(path, Deviations(path), N)


def crowded(entries: int) -> bytes:
    """Return a zip that lists one empty entry under many names: 53 bytes for each."""
    row = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, *7 * [0], 7, *6 * [0])
    first = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, *7 * [0], 7, 0) + b"0000000"
    table = b"".join(row + b"%07d" % number for number in range(entries))
    end = (0, 0, min(entries, 0xFFFF), min(entries, 0xFFFF), len(table), len(first), 0)
    return first + table + struct.pack("<IHHHHIIH", 0x06054B50, *end)


def test_an_archive_of_too_many_entries_is_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = crowded(60_000)
    path = tmp_path / "r.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a directory of 3\.0 MiB, more than 2 MiB"):
        artifacts.open_zip(path, content, "images")
    with pytest.raises(UserError, match="a directory of"):
        unpack(path, tmp_path / "out")
    monkeypatch.setattr(artifacts, "LARGEST_DIRECTORY", len(content))
    assert len(artifacts.open_zip(path, content, "images").namelist()) == 60_000


def test_only_regular_files_with_one_name_are_read(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_bytes(npz(data=RECON))
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "hard").hardlink_to(real)
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, found in {
        "link": "a symbolic link",
        "hard": "2 hard links",
        "pipe": "not a regular file",
        "empty": "an empty file",
        ".": "a folder",
        "nothing": "No such file",
    }.items():
        with pytest.raises(UserError, match=found):
            artifacts.read_file(tmp_path / name, "a file")
    (tmp_path / "hard").unlink()
    with pytest.raises(UserError, match="at most 0 MiB"):
        artifacts.read_file(real, "a file", 100)


@given(content=damaged(npz(data=RECON[:2], extra=np.arange(3))))
def test_a_damaged_npz_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.npz"
    path.write_bytes(content)
    try:
        images = artifacts.read_reconstructions(path, Deviations(path), 2)
    except UserError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert images.shape == (2, 28, 28)
        assert np.isfinite(images).all()


@pytest.mark.parametrize(
    ("text", "remarks"),
    [
        ("Predicted_Label\n1\n4\n8\n", 0),
        ("Predicted_Label\r\n1\r\n4\r\n8", 0),
        ("\ufeffPredicted_Label\n1\n4\n8\n\n", 0),
        ("Predicted_label\n1\n4\n8\n", 1),
        ("predicted label\n1\n4\n8\n", 1),
        ("labels\n1\n4\n8\n", 1),
        ("1\n4\n8\n", 1),
        (",Predicted_Label\n0,1\n1,4\n2,8\n", 1),
        ("Predicted_Label,index\n1,0\n4,1\n8,2\n", 1),
        ("Predicted_Label\n1.0\n4.0\n8.0\n", 1),
        ('"Predicted_Label"\n"1"\n"4"\n"8"\n', 0),
        ("Predicted_Label\n 1\n 4 \n8\n", 0),
        ("0\n1\n4\n8\n", 1),  # pandas, from an array
        (",0\n0,1\n1,4\n2,8\n", 2),
        (";Predicted_Label\n0;1\n1;4\n2;8\n;\n", 2),
        ("Predicted_Label\n1\n4\n8\n".encode("utf-16"), 1),
        ("Prédicted_Label\n1\n4\n8\n".encode("cp1252"), 2),
    ],
)
def test_predictions_are_found(tmp_path: Path, text: str | bytes, remarks: int) -> None:
    labels, texts = read_csv(tmp_path / "vae.csv", text)
    assert labels == [1, 4, 8]
    assert len(texts) == remarks, texts


@pytest.mark.parametrize(
    "text",
    [
        "Predicted_Label\n1\n4\n",
        "Predicted_Label\n1\n4\n8\n1\n",
        "Predicted_Label\n1\nfour\n8\n",
        "Predicted_Label\n1\n4.5\n8\n",
        "Predicted_Label\n1\nnan\n8\n",
        "Predicted_Label\n1\n1e400\n8\n",
        "a,b\n1,1\n4,4\n8,8\n",
        "1,1\n4,4\n8,8\n",
        "0\n1\n4\n8\n1\n",
        ",0\n0,1\n1,4\n",
        "Predicted_Label,Predicted_label\n1,1\n4,4\n8,8\n",
        "Predicted_Label,a,b\n1,1,1\n",
        "Predicted_Label\n1\n4,4\n8\n",
        "Predicted_Label",
        "\n\n\n",
        '"Predicted_Label\n1\n4\n8\n',
        b"\xff\xfe1\x00",
        b"Predicted_Label\n1\n4\n8\x00\n",
        b"\x80\x04\x95",
        "1" * 200_000,
    ],
)
def test_predictions_without_a_certain_meaning_are_refused(
    tmp_path: Path, text: str | bytes
) -> None:
    with pytest.raises(UserError, match=r"vae\.csv: .*; expected "):
        read_csv(tmp_path / "vae.csv", text)


@given(content=st.one_of(damaged(b"Predicted_Label\n1\n4\n8\n"), st.text().map(str.encode)))
def test_a_damaged_csv_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    try:
        labels, _ = read_csv(tmp_path / "vae.csv", content)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert len(labels) == 3


def test_the_truth_needs_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    path.write_bytes(npz(data=RECON))
    with pytest.raises(UserError, match="no 'labels'"):
        artifacts.read_truth_labels(path)
    path.write_bytes(npz(data=RECON, labels=[1, 4]))
    assert artifacts.read_truth_labels(path).tolist() == [1, 4]
    path.write_bytes(npz(data=RECON, labels=np.array([2**63 + 1], np.uint64)))
    with pytest.raises(UserError, match="the label"):
        artifacts.read_truth_labels(path)


def test_the_truth_is_divided_by_255_if_whole(tmp_path: Path) -> None:
    path, images = tmp_path / "t.npz", np.full((2, 28, 28), 51, np.uint8)
    path.write_bytes(npz(data=images))
    assert artifacts.read_truth_images(path).max() == 0.2
    path.write_bytes(npz(data=images / 255))
    assert artifacts.read_truth_images(path).max() == 0.2
    path.write_bytes(npz(data=images.astype(float)))
    assert artifacts.read_truth_images(path).max() == 0.2
    path.write_bytes(npz(data=images // 51))
    with pytest.raises(UserError, match="values from 1 to 1"):
        artifacts.read_truth_images(path)
    path.write_bytes(npz(data=images / 40))
    with pytest.raises(UserError, match="values from"):
        artifacts.read_truth_images(path)


def header(shape: str, kind: str) -> bytes:
    """Return an .npy file without values, whose header says this."""
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def zip_with(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


# How a file can carry a secret number in what is said about it.
IMAGES_WITH: dict[str, Callable[[int], bytes]] = {
    "a name": lambda n: npz(**{f"x{n}": RECON}),
    "two names": lambda n: npz(**{f"x{n}": RECON, f"y{n}": RECON}),
    "a name in a name": lambda n: npz(**{f"recon{n}": RECON, f"y{n}": RECON}),
    "a type": lambda n: zip_with("data.npy", header("(6, 28, 28)", f"[('x{n}', '<f4')]")),
    "a type of text": lambda n: zip_with("data.npy", header("(0,)", f"'<U{n}'")),
    "a shape": lambda n: zip_with("data.npy", header(f"(0, {n}, {n + 1})", "'<f4'")),
    "another shape": lambda n: npz(data=np.zeros((N, 28, 28) + (1,) * (n % 20 + 1), np.float32)),
    "values": lambda n: npz(data=RECON + n),
    "values near": lambda n: npz(data=RECON + 0.001 + (n % 1000) / 5000),
    "a damaged zip": lambda n: zip_with(f"x{n}.npy", b"x")[:-20] + b"x" * 20,
    "a damaged array": lambda n: zip_with("data.npy", b"x%d" % n),
    "a zip that is none": lambda n: b"x%d" % n,
}
LABELS_WITH: dict[str, Callable[[int], bytes | str]] = {
    "a label": lambda n: f"Predicted_Label\nx{n}\n1\n2\n",
    "a place": lambda n: "Predicted_Label\n" + (n % 3) * "1\n" + "x\n" + (2 - n % 3) * "1\n",
    "a header": lambda n: f"x{n}\n1\n2\n3\n",
    "two headers": lambda n: f"x{n},y{n}\n1,1\n2,2\n3,3\n",
    "columns": lambda n: "Predicted_Label" + ",x" * (n % 50 + 2) + "\n",
    "rows": lambda n: "Predicted_Label\n1\n" + "1," * (n % 50 + 1) + "\n",
    "a row of many": lambda n: "Predicted_Label\n" + n % 40 * "1\n" + "1,2\n",
    "bytes": lambda n: b"\xff%d" % n,
    "quotes": lambda n: f'Predicted_Label\n"{n}"x\n',
}


def read_images(path: Path) -> list[FormatError | artifacts.Deviation]:
    deviations = Deviations(path)
    try:
        artifacts.read_reconstructions(path, deviations, N)
    except FormatError as error:
        return [*deviations.found, error]
    return list(deviations.found)


def read_labels(path: Path) -> list[FormatError | artifacts.Deviation]:
    deviations = Deviations(path)
    try:
        artifacts.read_predictions(path, deviations, 3)
    except FormatError as error:
        return [*deviations.found, error]
    return list(deviations.found)


@pytest.mark.parametrize(
    ("way", "read"),
    [(way, read_images) for way in IMAGES_WITH] + [(way, read_labels) for way in LABELS_WITH],
)
@given(secret=st.integers(1000, 10**6))
def test_what_students_read_does_not_depend_on_what_a_program_wrote(
    tmp_path: Path, way: str, read: Any, secret: int
) -> None:
    shown = []
    path = tmp_path / "made"
    for number in (secret, secret + 1):
        content = {**IMAGES_WITH, **LABELS_WITH}[way](number)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        problems = read(path)
        assert problems
        shown.append([problem.for_students() for problem in problems])
    assert shown[0] == shown[1]
    assert all(isinstance(text, SafeText) for text in shown[0])


def test_files_that_are_none_tell_students_their_kind(tmp_path: Path) -> None:
    """The full text does depend on what was written."""
    (tmp_path / "made").write_bytes(npz(secret=RECON))
    (deviation,) = read_images(tmp_path / "made")
    assert "'secret'" in str(deviation)
    assert deviation.for_students() == "made: images with another name; expected 'data'"
    (error,) = read_images(tmp_path / "nothing")
    assert error.for_students().startswith("nothing: cannot be opened (No such file")
