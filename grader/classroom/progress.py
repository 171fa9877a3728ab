"""The progress of a class run: a live table on a terminal, else a line for each submission."""

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from .class_run import ClassRun

SHOWN = 20  # running and finished submissions in the table


@dataclass
class State:
    """The state of a submission: its stage, and when it was started and finished, in seconds."""

    stage: str = "queued"
    started: float | None = None
    done: float | None = None


@dataclass
class Progress:
    """Receives ids and stages and shows them. A context manager: the table is shown inside it."""

    run: ClassRun
    console: Console
    jobs: int
    states: dict[str, State] = field(default_factory=dict)
    live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live = Live(console=self.console, get_renderable=self.table, refresh_per_second=4)
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def watch(self, submission: str, stage: str) -> None:
        state = self.states.setdefault(submission, State())
        now = time.monotonic()
        if state.done is not None:
            return  # the result arrived before this message
        state.stage = stage
        if stage != "queued" and state.started is None:
            state.started = now
        if stage == "done":
            state.done = now
            if self.live is None:
                seconds = now - (state.started or now)
                text = f"{self.counts()}  {submission}: {self.score(submission)} in {seconds:.0f} s"
                self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def score(self, submission: str) -> str:
        result: dict[str, Any] | None = self.run.result(submission)
        return f"{result['score']:g} points" if result else "no result"

    def counts(self) -> str:
        """Return how many submissions of how many are done, and estimate the time for the rest."""
        done = [s for s in self.states.values() if s.done is not None and s.started is not None]
        left = len(self.states) - len(done)
        text = f"{len(done)}/{len(self.states)}"
        if done and left:
            mean = sum((s.done or 0) - (s.started or 0) for s in done) / len(done)
            minutes, seconds = divmod(mean * left / self.jobs, 60)
            text += f", {minutes:.0f}:{seconds:02.0f} left"
        return text

    def table(self) -> Table:
        table = Table(title=self.counts())
        for column in ("submission", "stage", "seconds", "score"):
            table.add_column(column)
        now = time.monotonic()
        started = [(name, s) for name, s in self.states.items() if s.started is not None]
        started.sort(key=lambda pair: (pair[1].done is None, pair[1].done or pair[1].started))
        for name, state in started[-SHOWN:]:
            end = now if state.done is None else state.done
            score = self.score(name) if state.done is not None else ""
            table.add_row(name, state.stage, f"{end - (state.started or end):.0f}", score)
        return table
