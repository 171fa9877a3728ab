"""The work of staff on a class, from the roster to the platform's file and the feedback: times.

python -m benchmarks.staff_work FOLDER [COUNT]: writes a class of 200 students into FOLDER: a
roster, an assignment with a rubric, notebooks with reports in the form of a Gradescope export, and
Moodle's grading worksheet. Then it does what docs/classes.md does, command by command. Everything
stays there. The two markers are made up; both mark the same tenth of the class.
"""

import csv
import io
import json
import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
from matplotlib.figure import Figure

from benchmarks.common import ROOT, save
from grader.classroom.marks import read_log
from grader.classroom.open_book import open_book
from grader.staff.marking_commands import points_by_hand
from grader.staff.requests import stored_requests
from tests.grader.staff_class import ASSIGNMENT, DUE, entry_number, full_name, student_row

MISSING = 6  # of 200 students
ITEMS = {"Report": ["elbo", "clear", "some", "sources"], "Question 1": ["sign", "no_reason"]}


def notebook(i: int, generator: random.Random) -> str:
    """Return a student's notebook as JSON, with outputs; some have a cell that failed."""
    code = nbformat.v4.new_code_cell(f"kl = 5.{i}\nprint(kl)", execution_count=1)
    code.outputs = [nbformat.v4.new_output("stream", text=f"5.{i}\n")]
    if generator.random() < 0.1:
        code.outputs.append(
            nbformat.v4.new_output("error", ename="NameError", evalue="x", traceback=[])
        )
    text = nbformat.v4.new_markdown_cell(f"# Question 1\n\nThe KL term of model {i} is 5.{i} nats.")
    return str(nbformat.writes(nbformat.v4.new_notebook(cells=[text, code])))


def report(i: int) -> bytes:
    """Return a report of two pages as PDF, like one that was typeset."""
    from matplotlib.backends.backend_pdf import PdfPages

    content = io.BytesIO()
    with PdfPages(content) as pages:
        for number in (1, 2):
            figure = Figure(figsize=(8.3, 11.7))
            lines = "\n".join(f"{n}. The bound of model {i} holds." for n in range(40))
            head = f"{full_name(i)} ({entry_number(i)})\npage {number}"
            figure.text(0.1, 0.95, f"{head}\n\n{lines}", va="top", fontsize=14)
            pages.savefig(figure)
    return content.getvalue()


def write_class(folder: Path, count: int) -> None:
    """Write the files of a class of `count` students."""
    generator, metadata = random.Random(0), []
    (folder / "data").mkdir(parents=True)
    (folder / "lab.toml").write_text(ASSIGNMENT, encoding="utf-8")
    rows = [student_row(i) for i in range(count)]
    write_table(folder / "roster.csv", rows)
    write_table(folder / "worksheet.csv", [worksheet_row(i) for i in range(count)])
    for i in range(count - MISSING):
        home = folder / "submissions" / f"submission_{1000 + i}"
        home.mkdir(parents=True)
        (home / "lab.ipynb").write_text(notebook(i, generator), encoding="utf-8")
        (home / "report.pdf").write_bytes(report(i))
        late = timedelta(days=i % 4 + 0.5) if i % 10 == 9 else timedelta(0)
        stamp = DUE + late - timedelta(hours=generator.expovariate(1 / 20))
        metadata.append(
            f"{home.name}:\n  :submitters:\n  - :name: {json.dumps(full_name(i))}\n"
            f"    :sid: {entry_number(i)}\n  :created_at: {stamp.isoformat()}\n"
        )
    (folder / "submissions" / "submission_metadata.yml").write_text("".join(metadata), "utf-8")


def worksheet_row(i: int) -> dict[str, str]:
    """Return a row of Moodle's grading worksheet."""
    return {
        "Identifier": f"Participant {9000 + i}",
        "Full name": full_name(i),
        "ID number": entry_number(i),
        "Email address": f"student{i}@uni.example",
        "Status": "Submitted for grading",
        "Grade": "",
        "Maximum Grade": "100.00",
        "Grade can be changed": "Yes",
        "Last modified (submission)": "-",
        "Last modified (grade)": "-",
        "Feedback comments": "",
    }


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_marks(folder: Path, marker: str, first: int, last: int) -> None:
    """Write a file as the marking page exports it: the marks of submissions first to last."""
    generator = random.Random(marker)
    marks = [
        {
            "submission": f"submission_{1000 + i}",
            "part": part,
            "marker": marker,
            "time": datetime(2026, 11, 10, tzinfo=UTC).isoformat(),
            "items": [generator.choice(items)],
            "comment": generator.choice(["", "Well argued.", "See **page 2**."]),
        }
        for i in range(first, last)
        for part, items in ITEMS.items()
    ]
    content = {"format": "vae-grader marks 1", "assignment": "lab", "marks": marks}
    (folder / f"{marker}-marks.json").write_text(json.dumps(content), encoding="utf-8")


def write_answers(folder: Path, run: Path) -> None:
    """Write a marker's answers to all requests, as the marking page exports them."""
    standing, marks = read_log(run), []
    for request in stored_requests(run):
        seen = [given.id for given in standing.of(request.submission, request.part)]
        mark = {"submission": request.submission, "part": request.part, "marker": "ada"}
        answer = {"request": request.id, "answer": "You are right.", "replaces": seen}
        marks.append(mark | answer | {"items": [], "time": datetime.now(UTC).isoformat()})
    content = {"format": "vae-grader marks 1", "assignment": "lab", "marks": marks}
    (folder / "answers.json").write_text(json.dumps(content), encoding="utf-8")


def step(times: dict[str, float], folder: Path, line: str) -> None:
    """Run a command of the grader in a folder, and note its time."""
    print(f"$ vae-grader {line}", flush=True)
    started = time.perf_counter()
    command = [sys.executable, "-m", "grader", *line.split()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, check=False)
    if done.returncode == 2:
        sys.exit(f"it ended with {done.returncode}")
    times[line] = round(time.perf_counter() - started, 2)


def walk(folder: Path, count: int) -> dict[str, float]:
    """Make a class in a new folder, run every command on it, and return the seconds of each."""
    write_class(folder, count)
    times: dict[str, float] = {}
    batch = "batch submissions --data data --out run --assignment lab.toml --roster roster.csv"
    step(times, folder, batch)
    step(times, folder, "ledger run ledger.csv")
    step(times, folder, "marking run --markers ada,bob --double 0.1")
    handed_in = count - MISSING
    write_marks(folder, "ada", 0, handed_in // 2 + handed_in // 20 + 1)
    write_marks(folder, "bob", handed_in // 2 - handed_in // 20, handed_in)
    step(times, folder, "marks run ada-marks.json")
    step(times, folder, "marks run bob-marks.json")
    step(times, folder, "marks run --agreement")
    lab = folder / "lab.toml"
    lab.write_text(lab.read_text().replace("points = 8\n", "points = 9\n"), encoding="utf-8")
    step(times, folder, "rescore run")
    asked = [
        {"student": entry_number(i), "part": "Question 1", "text": "The sign is right."}
        for i in (1, 3)
    ]
    write_table(folder / "requests.csv", asked)
    step(times, folder, "requests run requests.csv")
    write_answers(folder, folder / "run")
    step(times, folder, "marks run answers.json")
    step(times, folder, "stats run")
    step(times, folder, "export run worksheet.csv --for moodle")
    step(times, folder, "feedback run feedback.zip --for moodle")
    return times


def main() -> None:
    if len(sys.argv) < 2 or Path(sys.argv[1]).exists():
        sys.exit("usage: python -m benchmarks.staff_work NEW_FOLDER [COUNT]")
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200
    times = walk(folder, count)
    book = open_book(folder / "run")
    started = time.perf_counter()
    points_by_hand(book)
    scoring = time.perf_counter() - started
    save("staff_work", {"students": count, "seconds": times, "rescoring_seconds": scoring})


if __name__ == "__main__":
    main()
