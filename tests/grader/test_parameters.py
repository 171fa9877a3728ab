import io
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.assignment import read_assignment
from grader.errors import UserError
from grader.parameters import count_numbers, number_sizes
from grader.submission.size import measure_size
from tests.mutations import damaged
from tests.test_data import npz
from tests.test_storage import Payload

A3 = read_assignment("a3")
COUNT = 96_000


def module() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Linear(5, 7).half())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numbers_are_counted_without_loading(tmp_path: Path, protocol: int) -> None:
    path, state = tmp_path / "m.pth", module().state_dict()
    count = sum(tensor.numel() for tensor in state.values())
    for value in (state, {"epoch": 3, "model": state}, OrderedDict(state), list(state.values())):
        torch.save(value, path, pickle_protocol=protocol)
        assert count_numbers(path).numbers == count


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8]
)
def test_numbers_of_every_size_count_once(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "m.pth"
    torch.save({"a": torch.zeros(100, dtype=dtype), "b": torch.zeros(3)}, path)
    assert count_numbers(path).numbers == 103


def test_views_of_one_storage_count_once_and_whole(tmp_path: Path) -> None:
    path, tensor = tmp_path / "m.pth", torch.zeros(100)
    torch.save({"a": tensor[:10], "b": tensor[50:]}, path)
    assert count_numbers(path).numbers == 100


def test_numbers_that_the_description_leaves_out_count_too(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save({"a": torch.zeros(10)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(
            "archive/data/99" if "archive/data.pkl" in archive.namelist() else "m/data/99",
            bytes(50),
        )
    assert count_numbers(path).numbers == 60


def test_two_types_for_one_storage_count_as_the_smaller(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    values = np.zeros(64, np.float32)
    torch.save({"a": torch.from_numpy(values), "b": torch.zeros(1, dtype=torch.complex128)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    graph = next(entry for entry in entries if entry.endswith("data.pkl"))
    # The second tensor, declared as complex, now shares the storage of the first.
    entries[graph] = entries[graph].replace(b"X\x01\x00\x00\x001", b"X\x01\x00\x00\x000")
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    assert count_numbers(path).numbers == 64 + 16


def test_a_payload_is_not_run_when_counting(tmp_path: Path) -> None:
    path, proof = tmp_path / "m.pth", tmp_path / "proof"
    torch.save({"a": torch.zeros(10), "b": Payload(f"touch {proof}")}, path)
    assert count_numbers(path).numbers == 10
    assert not proof.exists()


def test_what_is_no_state_dict_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(b"weights")
    with pytest.raises(UserError, match="not a zip"):
        count_numbers(path)
    path.write_bytes(npz())
    with pytest.raises(UserError, match="no tensors"):
        count_numbers(path)
    torch.save({"a": 3}, path)
    with pytest.raises(UserError, match="no tensors"):
        count_numbers(path)


@given(data=st.data())
def test_a_damaged_state_dict_is_counted_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "m.pth"
    torch.save(nn.Linear(3, 2).state_dict(), path)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    try:
        assert count_numbers(path).numbers >= 0
    except UserError as error:
        assert str(error).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.int64, torch.int8]
)
def test_the_format_of_old_versions_is_counted_too(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "m.pth"
    state = {"a": torch.zeros(50_000, dtype=dtype), "b": torch.zeros(10, dtype=dtype)}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert count_numbers(path).numbers == pytest.approx(50_010, rel=0.01)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_types_without_a_storage_of_their_own_are_counted(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    torch.save({"a": torch.zeros(1000, dtype=dtype), "b": torch.zeros(3)}, tmp_path / "m.pth")
    assert count_numbers(tmp_path / "m.pth").numbers == 1003


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int8])
def test_arrays_of_numpy_are_counted_by_their_type(tmp_path: Path, dtype: type) -> None:
    (tmp_path / "m.pth").write_bytes(npz(a=np.zeros((100, 100), dtype), b=np.zeros(5, dtype)))
    assert count_numbers(tmp_path / "m.pth").numbers == pytest.approx(10_005, rel=0.03)


def test_an_optimizer_is_counted_and_named(tmp_path: Path) -> None:
    path, model = tmp_path / "m.pth", nn.Linear(10, 10)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(1, 10)).sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    count = count_numbers(path)
    assert count.numbers == 3 * 110 + 2  # and the number of steps, twice
    assert "optimizer's state" in count.hint
    torch.save(model.state_dict(), path)
    assert count_numbers(path).hint == ""


def as_complex(path: Path) -> None:
    torch.save({"w": torch.zeros(COUNT, dtype=torch.int8).view(torch.complex128)}, path)


def as_double(path: Path) -> None:
    torch.save({"w": torch.zeros(COUNT // 2).view(torch.float64)}, path)


def behind_empty_entries(path: Path) -> None:
    torch.save({"w": torch.zeros(10)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(100):
            archive.writestr(f"m/{number}", b"")
    hidden = bytes(COUNT)
    path.write_bytes(hidden + path.read_bytes())  # a zip may begin with anything


def with_a_false_size(path: Path) -> None:
    """Write a record that says it has 0 bytes, but takes COUNT."""
    torch.save({"w": torch.zeros(10)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    folder = entries[0][0].split("/")[0]
    out, directory = io.BytesIO(), []
    for name, content in (*entries, (f"{folder}/data/7", bytes(COUNT))):
        size = 0 if name.endswith("/7") else len(content)
        head = (zlib.crc32(content[:size]), len(content), size, len(name), 0)
        directory.append((name, *head[:4], out.tell()))
        out.write(struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0, *head) + name.encode())
        out.write(content)
    start = out.tell()
    for name, crc, packed, size, length, offset in directory:
        fields = (20, 20, 0, 0, 0, 0, crc, packed, size, length, 0, 0, 0, 0, 0, offset)
        out.write(struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, *fields) + name.encode())
    count = len(directory)
    end = (0, 0, count, count, out.tell() - start, start, 0)
    path.write_bytes(out.getvalue() + struct.pack("<IHHHHIIH", 0x06054B50, *end))


def in_the_description(path: Path) -> None:
    torch.save({"w": torch.zeros(10), "x": np.zeros(COUNT // 8)}, path)


def in_an_old_description(path: Path) -> None:
    state = {"w": torch.zeros(10), "x": np.zeros(COUNT // 8)}
    torch.save(state, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    "hide",
    [
        as_complex,
        as_double,
        behind_empty_entries,
        with_a_false_size,
        in_the_description,
        in_an_old_description,
    ],
)
def test_numbers_that_are_hidden_are_counted_or_doubted(
    tmp_path: Path, hide: Callable[[Path], None]
) -> None:
    """The file has COUNT bytes; at most COUNT / 5 numbers are allowed."""
    path = tmp_path / "vae.pth"
    hide(path)
    artefact = A3.artefact["vae.pth"].model_copy(update={"numbers_allowed": COUNT // 5})
    task = A3.model_copy(update={"artefact": A3.artefact | {"vae.pth": artefact}})
    size = measure_size({"vae.pth": path}, task)
    assert size.too_large or size.doubts


def test_a_small_file_of_doubles_leaves_no_doubt(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1000, dtype=torch.float64)}, tmp_path / "vae.pth")
    size = measure_size({"vae.pth": tmp_path / "vae.pth"}, A3)
    assert size.total == 1000
    assert size.doubts == []


def test_any_other_file_that_could_hold_too_many_numbers_is_doubted(tmp_path: Path) -> None:
    limit = A3.artefact["vae.pth"].numbers_allowed
    assert limit is not None
    with (tmp_path / "gmm_params.pkl").open("wb") as file:
        file.truncate(limit + 1)
    size = measure_size({"gmm_params.pkl": tmp_path / "gmm_params.pkl"}, A3)
    assert not size.too_large
    assert size.doubts


def test_a_long_text_in_a_description_does_not_slow_the_reader_down() -> None:
    """Each opcode after it would cost as much as the text is long."""
    graph = b"\x80\x02(X\x07\x00\x00\x00storagectorch\nUntypedStorage\nX\x01\x00\x00\x000"
    graph += b"X\x03\x00\x00\x00cpuK\x01tQX" + (200_000).to_bytes(4, "little") + b"x " * 100_000
    sizes, _ = number_sizes(io.BytesIO(graph + b"0N" * 200_000 + b"."))
    assert sizes == {"0": 1}
