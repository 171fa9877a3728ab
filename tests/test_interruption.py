"""The state of a training on disk."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import interruption
from interruption import SavedTraining
from tests.mutations import damaged


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "SAVE_INTERVAL", 0)


def test_a_state_comes_back_to_the_training_that_saved_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "vae.state"
    first = SavedTraining(path, "settings")
    assert first.state is None
    first.save(lambda: {"z": torch.arange(3)})
    second = SavedTraining(path, "settings")
    assert second.state is not None
    assert second.state["z"].tolist() == [0, 1, 2]
    assert second.seconds > 0
    second.save(lambda: {"z": torch.arange(4)})
    third = SavedTraining(path, "settings")
    assert third.seconds > second.seconds, "the time of all attempts"
    assert SavedTraining(path, "others").state is None
    said = f"{path}: not used, because it is of a training with other data, options or code\n"
    assert capsys.readouterr().out == said
    third.remove()
    third.remove()
    assert not list(tmp_path.iterdir())


def test_states_are_saved_at_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "SAVE_INTERVAL", 1e9)
    SavedTraining(tmp_path / "vae.state", "x").save(dict)
    assert not list(tmp_path.iterdir())


def test_a_state_that_cannot_be_saved_is_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vae.state").mkdir()
    saved = SavedTraining(tmp_path / "vae.state", "x")
    for _ in range(2):
        saved.save(dict)
    said = capsys.readouterr().out
    assert said.startswith(f"warning: {tmp_path}/vae.state: cannot be written (it is not a regular")
    assert said.count("an interruption would lose this training") == 1
    saved.remove()


@given(data=st.data())
def test_a_damaged_state_is_not_used(data: st.DataObject, tmp_path_factory: object) -> None:
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    path = tmp_path_factory.mktemp("state") / "vae.state"
    SavedTraining(path, "x").save(lambda: {"z": torch.arange(3)})
    whole = path.read_bytes()
    path.write_bytes(data.draw(damaged(whole)))
    found = SavedTraining(path, "x").state
    assert found is None or isinstance(found["seconds"], float)
