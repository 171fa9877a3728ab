import math
import re
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


def without_times(log: str) -> str:
    return re.sub(r"\d+:\d\d left", "", log)


def test_progress_is_one_line_on_a_terminal_and_a_log_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(2)
    log = capsys.readouterr().out
    parts = [line.split("  ")[0] for line in log.splitlines()]
    assert parts == [*["epoch 1/2"] * len(BATCHES), *["epoch 2/2"] * len(BATCHES)]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    run(2)
    shown = capsys.readouterr().out
    assert "epoch 2/2" in shown
    assert "0:00 left" in shown
    monkeypatch.setenv("TERM", "dumb")
    run(2)
    assert without_times(capsys.readouterr().out) == without_times(log)


def test_the_log_of_a_long_training_has_a_line_for_each_twentieth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, _, history = run(200)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        f"epoch {epoch}/200" for epoch in range(10, 201, 10)
    ]
    losses = "  ".join(f"{name} {value:.3f}" for name, value in history[-1].items())
    assert lines[-1] == f"epoch 200/200  0:00 left  {losses}"


def test_the_time_left_includes_what_follows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    line = training.ProgressLine(0, 100, 3.0)
    line.show(1, "epoch 1/1", {"loss": torch.tensor(2.0)}, 1)
    assert "epoch 1/1  66:30 left  loss 2.000" in capsys.readouterr().out, "99 steps, and 300 more"
