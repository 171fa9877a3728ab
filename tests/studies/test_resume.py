from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from data import ShuffledBatches
from grader.errors import UserError
from studies.shared.resume import fit_or_resume
from training import History

X = torch.rand(40, 3, generator=torch.Generator().manual_seed(0))


def train(out: Path, *, epochs: int = 6, stop: int = 99, rate: float = 0.01) -> nn.Module:
    """Train a small network with noise; interrupt it in the middle of epoch `stop`."""
    torch.manual_seed(0)
    model = nn.Linear(3, 3)
    seen = 0

    def step(model: nn.Module, index: Tensor, _progress: float) -> dict[str, Tensor]:
        nonlocal seen
        seen += 1
        if seen == 5 + 5 * (stop - 1) + 3:  # five trial steps, then five per epoch
            raise KeyboardInterrupt
        x = X[index] + 0.1 * torch.randn(len(index), 3)
        return {"loss": (model(x) - X[index]).square().mean()}

    def judge(history: History) -> None:
        history[-1]["judged"] = float(len(history))

    optimizer = Adam(model.parameters(), rate)
    batches = ShuffledBatches(40, 8, torch.default_generator)
    fit_or_resume(
        model,
        step,
        batches,
        optimizer,
        CosineAnnealingLR(optimizer, epochs * len(batches)),
        epochs=epochs,
        name="history",
        settings={"rate": rate},
        out=out,
        after_epoch=judge,
    )
    return model


@pytest.mark.parametrize(("every", "kept"), [(0, 3), (60, 1)])
def test_an_interrupted_training_ends_as_one_that_was_not(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    every: float,
    kept: int,
) -> None:
    monkeypatch.setattr("studies.shared.resume.SAVE_EVERY", every)
    whole = train(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", stop=4)
    assert (tmp_path / "b" / "history.csv").read_text().count("\n") == 4
    resumed = train(tmp_path / "b")
    assert f"history: resumes after {kept} epochs" in capsys.readouterr().out
    for name, weights in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weights)
    texts = [(tmp_path / name / "history.csv").read_text() for name in ("a", "b")]
    assert texts[0] == texts[1]
    lines = texts[0].splitlines()
    assert lines[0] == "epoch,loss,judged"
    assert len(lines) == 7


def test_what_is_done_is_not_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path)
    assert "6 epochs of 5 steps, about 0.0 min" in capsys.readouterr().out
    state = (tmp_path / "history.state").read_bytes()
    train(tmp_path)
    assert "steps" not in capsys.readouterr().out
    assert (tmp_path / "history.state").read_bytes() == state


def test_other_options_and_damaged_states_are_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(UserError, match=r"a training with rate 0\.01; expected the same options"):
        train(tmp_path, rate=0.02)
    with pytest.raises(UserError, match="6 epochs; expected 4, or another OUT_DIR"):
        train(tmp_path, epochs=4)
    path = tmp_path / "history.state"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="a damaged file"):
        train(tmp_path)
