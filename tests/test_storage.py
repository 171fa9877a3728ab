import os
import pickle
import resource
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import storage
from grader.errors import UserError
from tests.mutations import damaged

VALUE = {
    "weights": [0.25, 0.75],
    "labels": [1, 8],
    "name": "mixture",
    "list": [1, 2.5, (True, None), {"a": 3.5}],
}


class Payload:
    """An object whose pickle runs a command when it is loaded."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    with storage.replacing(path) as file:
        file.write(b"old")
    with pytest.raises(ZeroDivisionError), storage.replacing(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["file/below", ".", "x" * 300])
def test_a_place_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(UserError, match="cannot be written"):
        storage.check_writable({tmp_path / name: 1})
    with pytest.raises(UserError, match="cannot be written"), storage.replacing(tmp_path / name):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_checking_a_place_leaves_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    storage.check_writable({path: 1})
    assert path.read_bytes() == b"old"
    storage.check_writable({tmp_path / "other": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    program = (
        "import pathlib, sys, storage\n"
        "try:\n"
        "    path = pathlib.Path(sys.argv[1])\n"
        "    with storage.replacing(path) as file: file.write(bytes(1 << 20))\n"
        "except storage.UserError as error: print(error)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    ).stdout
    assert "cannot be written" in out
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_pickle_of_data_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "data.pkl"
    storage.save_pickle(VALUE, path)
    value = storage.load_pickle(path, "data")
    assert value == VALUE
    assert pickle.loads(path.read_bytes()) == VALUE


def test_a_payload_does_not_run(tmp_path: Path) -> None:
    path, proof = tmp_path / "data.pkl", tmp_path / "proof"
    path.write_bytes(pickle.dumps({"weights": Payload(f"touch {proof}")}))
    with pytest.raises(UserError, match=r"posix\.system, which is refused"):
        storage.load_pickle(path, "data")
    assert not proof.exists()
    pickle.loads(path.read_bytes())
    assert proof.exists(), "the payload was no threat, so the test above shows nothing"


@pytest.mark.parametrize(
    "value",
    [
        {"a": np.zeros(2)},
        {"a": np.float64(2)},
        {"a": OrderedDict(x=1)},
        {"a": {1, 2}.__class__},
        {"a": eval},
        [1, 2],
        "text",
    ],
)
def test_other_values_are_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(value, 4))
    with pytest.raises(UserError, match="expected data"):
        storage.load_pickle(path, "data")


@given(content=damaged(pickle.dumps(VALUE, 4)))
def test_a_damaged_pickle_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(content)
    try:
        assert isinstance(storage.load_pickle(path, "data"), dict)
    except UserError as error:
        assert str(path) in str(error)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_a_state_dict_comes_back(tmp_path: Path) -> None:
    path, model, other = (
        tmp_path / "m.pth",
        network(),
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),
    )
    storage.save_state_dict(model, path)
    state = torch.load(path, weights_only=True)
    assert list(state) == list(model.state_dict())
    storage.load_state_dict(other, path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_the_bytes_of_a_state_dict_do_not_depend_on_its_place(tmp_path: Path) -> None:
    storage.save_state_dict(network(), tmp_path / "a.pth")
    storage.save_state_dict(network(), tmp_path / "b" / "other.name")
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b" / "other.name").read_bytes()
    assert storage.sha256(tmp_path / "a.pth") == storage.sha256(tmp_path / "b" / "other.name")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (nn.Linear(3, 4).state_dict(), "another network"),
        (nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)).state_dict(), "another network"),
        ({"0.weight": 3}, "another network"),
        ([torch.zeros(3)], "another network"),
        (torch.zeros(3), "another network"),
        (network().state_dict() | {"0.weight": torch.full((4, 3), torch.nan)}, "not finite"),
        (network(), "cannot|can read safely"),
    ],
)
def test_a_state_dict_of_another_kind_is_refused(
    tmp_path: Path, state: object, message: str
) -> None:
    path = tmp_path / "m.pth"
    torch.save(state, path)
    with pytest.raises(UserError, match=message):
        storage.load_state_dict(network(), path)


def test_a_payload_in_a_state_dict_does_not_run(tmp_path: Path) -> None:
    path, proof = tmp_path / "m.pth", tmp_path / "proof"
    torch.save({"0.weight": Payload(f"touch {proof}")}, path)
    with pytest.raises(UserError, match="read safely"):
        storage.load_state_dict(network(), path)
    assert not proof.exists()


@given(data=st.data())
def test_a_damaged_state_dict_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "m.pth"
    storage.save_state_dict(network(), path)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    model = network()
    try:
        storage.load_state_dict(model, path)
    except UserError as error:
        assert str(path) in str(error)
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a regular file"):
        storage.check_writable({tmp_path / "pipe": 1})
    with pytest.raises(UserError, match="not a regular file"), storage.replacing(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()


def test_an_error_is_one_line_of_plain_characters() -> None:
    error = UserError("a\nb\x1b[2J", "\r", "ü")
    assert str(error) == "a\\nb\\x1b[2J: \\r; expected ü"


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, found in {
        "nothing": "cannot be read",
        ".": "a folder",
        "empty": "an empty file",
        "pipe": "not a regular file",
        "x" * 300: "cannot be read",
    }.items():
        with pytest.raises(UserError, match=found):
            storage.read_bytes(tmp_path / name, "a file")
