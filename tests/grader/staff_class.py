"""A graded class without submissions to run: a run's folder, a roster, an assignment with a rubric.

`write_class` makes them in a second, also for 200 students; the walk-through of docs/classes.md and
the benchmarks use it too.
"""

import csv
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from grader.assessment.grade import Flag, Section, Step, empty_grade
from grader.assignment import read_assignment
from grader.classroom.class_run import EVIDENCE, RESULTS, ClassRun, Plan
from grader.display.evidence import all_evidence
from grader.display.result_page import render
from grader.display.results import to_gradescope
from grader.metrics import Score
from grader.verdicts import Verdict

DUE = datetime(2026, 11, 2, 17, 0, tzinfo=UTC)
ASSIGNMENT = """
name = "lab"
title = "Lab: a VAE of digits"
program = "*.ipynb"

[late]
due = 2026-11-02T17:00:00Z
days = [0.1, 0.2]
bank = 3

[submission]
report = true

[[check]]
name = "cells_run"
title = "Every code cell was run"
kind = "cells_run"
points = 40

[[check]]
name = "no_errors"
title = "No cell ended with an error"
kind = "no_errors"
points = 20

[[manual]]
title = "Report"
points = 20

[[manual.item]]
name = "elbo"
title = "Derives the ELBO"
points = 8
comment = "The bound and both of its terms are there."

[[manual.item]]
name = "clear"
title = "Clear figures"
points = 7
group = "figures"

[[manual.item]]
name = "some"
title = "Figures without units or legends"
points = 3
group = "figures"
comment = "Give every axis a unit, and every picture a legend."

[[manual.item]]
name = "sources"
title = "Names its sources"
points = 5

[[manual]]
title = "Question 1"
section = "^question 1"
points = 20
start = 20

[[manual.item]]
name = "sign"
title = "Sign of the KL term is wrong"
points = -5
comment = "The KL term is subtracted in the bound, so it is added to the loss."

[[manual.item]]
name = "no_reason"
title = "No reason is given"
points = -10
"""
FIRST = ("Ada", "Béla", "Chen", "Dalia", "Emeka", "Freya", "Gül", "Hana", "Ibrahim", "Jana", "Kofi")
LAST = ("Zhang", "O'Neil", "Müller", "Okafor", "Ivanova", "García", "Lindqvist", "Rao", "Sato")


@dataclass(frozen=True)
class Made:
    """The paths of a made-up class."""

    run: Path
    roster: Path
    assignment: Path


def entry_number(i: int) -> str:
    return f"2026CSZ{i:04d}"


def full_name(i: int) -> str:
    """Return a student's name: no two of a class have the same."""
    again = "" if i < len(FIRST) * len(LAST) else f" {i // (len(FIRST) * len(LAST)) + 1}"
    return f"{FIRST[i % len(FIRST)]} {LAST[i // len(FIRST) % len(LAST)]}{again}"


def student_row(i: int) -> dict[str, str]:
    """Return a row of the roster, with the ids of Canvas and Moodle."""
    return {
        "entry number": entry_number(i),
        "name": full_name(i),
        "email": f"student{i}@uni.example",
        "section": "AB"[i % 2],
        "canvas id": str(5000 + i),
        "moodle id": str(9000 + i),
    }


def drawn_page(generator: np.random.Generator, height: int = 600) -> np.ndarray:
    """Return a page with grey lines where a text would be, (height, 424, 3)."""
    page = np.full((height, 424, 3), 255, np.uint8)
    for top in range(40, height - 40, 18):
        page[top : top + 6, 40 : 200 + int(generator.integers(180))] = 60
    return page


def write_result(folder: Path, i: int, task: Any, generator: np.random.Generator) -> None:
    """Write what grading the submission of student i would leave in a folder."""
    grade = empty_grade(task, folder.name)
    grade.members = [entry_number(i)]
    grade.steps = [Step("unpack", Verdict.OK), Step("rules", Verdict.OK, seconds=1.5)]
    for mark in grade.marks:
        mark.value = float(generator.choice([0, 0.5, 0.9, 1, 1], p=[0.1, 0.1, 0.2, 0.3, 0.3]))
        mark.parts = {
            mark.name: Score(mark.value, max(0, mark.value - 0.1), min(1, mark.value + 0.1))
        }
    if i % 17 == 3:
        grade.flags.append(Flag("rules", "notebook.ipynb, cell 3, line 2: os.system"))
    pages = tuple((f"page {n}", drawn_page(generator)) for n in (1, 2))
    text = (
        f"## Question 1\n\nThe **KL** term of student {i} is `0.5 * (mu**2 + var - 1 - log(var))`."
    )
    grade.sections = [
        Section("Report", 20, pictures=pages),
        Section("Question 1", 20, text, "KL 5.31 nats", (("cell 4", drawn_page(generator, 200)),)),
    ]
    folder.mkdir(parents=True)
    content = to_gradescope(grade) | {"key": "made up"}
    (folder / EVIDENCE).write_text(json.dumps(all_evidence(grade)), encoding="utf-8")
    (folder / "report.html").write_text(render(grade), encoding="utf-8")
    (folder / RESULTS).write_text(json.dumps(content), encoding="utf-8")


def write_class(folder: Path, count: int, missing: int = 2) -> Made:
    """Write a class of which the last `missing` students handed in nothing, and return its paths.

    Every tenth submission is late, by a day to four.
    """
    (folder / "submissions").mkdir(parents=True)
    (folder / "data").mkdir()
    made = Made(folder / "run", folder / "roster.csv", folder / "lab.toml")
    made.assignment.write_text(ASSIGNMENT, encoding="utf-8")
    task = read_assignment(str(made.assignment))
    rows = [student_row(i) for i in range(count)]
    with made.roster.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    generator, metadata = np.random.default_rng(0), []
    run = ClassRun(made.run)
    run.save_plan(
        Plan(folder / "submissions", str(made.assignment), folder / "data", roster=made.roster)
    )
    for i in range(count - missing):
        name = f"submission_{1000 + i}"
        (folder / "submissions" / name).mkdir()
        late = timedelta(days=1 + i % 4) if i % 10 == 9 else timedelta(0)
        time = DUE + late - timedelta(hours=float(generator.exponential(20)))
        metadata.append(
            f'{name}:\n  :submitters:\n  - :name: "{full_name(i)}"\n    :sid: {entry_number(i)}\n'
            f"  :created_at: {time.isoformat()}\n"
        )
        write_result(run.home(name), i, task, generator)
    (folder / "submissions" / "submission_metadata.yml").write_text("".join(metadata), "utf-8")
    run.index()
    return made
