import math
import sys
import time

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LinearLR, LRScheduler

import training
from training import History, fit

BATCHES = [torch.full((2, 1), float(i)) for i in range(1, 5)]


def squares(model: nn.Linear, batch: Tensor, progress: float) -> dict[str, Tensor]:
    error = (model(batch) - 3 * batch).square().mean()
    return {"loss": error, "progress": torch.tensor(progress)}


def run(epochs: int, deadline: float = math.inf) -> tuple[nn.Linear, LRScheduler, History]:
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    scheduler = LinearLR(optimizer)
    history = fit(model, squares, BATCHES, optimizer, scheduler, epochs=epochs, deadline=deadline)
    return model, scheduler, history


def test_learns_and_records_the_mean_of_each_loss() -> None:
    model, scheduler, history = run(200)
    assert model.weight.item() == pytest.approx(3, abs=0.05)
    assert scheduler.last_epoch == 200 * len(BATCHES)
    assert len(history) == 200
    assert history[-1]["loss"] < history[0]["loss"]
    # Progress is 0, 1/800, 2/800, ...; this is its mean over the first four steps.
    assert history[0]["progress"] == pytest.approx(1.5 / 800)
    assert not model.training


def test_the_clock_cuts_the_schedule_short_after_a_step() -> None:
    _, scheduler, history = run(5, deadline=time.monotonic() - 1)
    assert scheduler.last_epoch == 1
    assert len(history) == 1


def test_a_loss_that_is_not_finite_stops_it() -> None:
    def step(model: nn.Linear, batch: Tensor, progress: float) -> dict[str, Tensor]:
        return {"loss": model(batch).sum() * (math.nan if progress >= 0.5 else 1)}

    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with pytest.raises(FloatingPointError, match="epoch 3"):
        fit(model, step, BATCHES, optimizer, LinearLR(optimizer), epochs=4)


def test_progress_shows_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(2)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    run(2)
    shown = capsys.readouterr().out
    assert "epoch 2/2" in shown
    assert "loss" in shown
    monkeypatch.setenv("TERM", "dumb")
    run(2)
    assert capsys.readouterr().out == ""
    assert "0:00 left" in shown


def test_elsewhere_progress_is_a_line_now_and_then_about_the_whole_training(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    line = training.ProgressLine(0, 100, 3.0)
    for done in range(1, 101):
        line.show(done, "epoch 1/1", {"loss": torch.tensor(2.0)}, 1)
    line.close()
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 16, "a line a minute of a thousand seconds"
    assert shown[0] == "epoch 1/1  65:40 left  loss 2.000", "3,940 s: 94 steps, and 300 more"
