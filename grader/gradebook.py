"""The results of a run as a table: a row for each student, or for each submission without any."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from grader.artifacts import ArtifactError
from grader.assignment import Assignment
from grader.grade import rounded
from grader.lateness import days_late, due_date, share_lost
from grader.runs import Run

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for one
GRADESCOPE = {"student": "SID", "total": "Total Score"}


def lateness(
    extra: dict[str, Any], task: Assignment, extensions: dict[str, datetime]
) -> tuple[int, float]:
    """Days late, and the share of the points that this costs."""
    if not extra["submitted"]:
        return 0, 0.0
    members = [*extra["members"], *extra["students"]]
    due = due_date(members, task.late.due, extensions)
    days = days_late(datetime.fromisoformat(extra["submitted"]), due)
    return days, share_lost(days, task.late)


def repeated(results: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The entry numbers that more than one submission names, and the ids of these."""
    found: dict[str, list[str]] = {}
    for name, result in results.items():
        for member in dict.fromkeys(result["extra_data"]["members"]):
            found.setdefault(member, []).append(name)
    return {member: names for member, names in found.items() if len(names) > 1}


def rows_of(
    name: str,
    result: dict[str, Any],
    task: Assignment,
    extensions: dict[str, datetime],
    marks: dict[str, dict[str, float]],
    flags: list[str],
) -> list[dict[str, Any]]:
    """The rows of one submission: everybody in the group gets the same."""
    extra = result["extra_data"]
    row: dict[str, Any] = {"submission": name}
    for metric in task.metric:
        figures = extra["metrics"][metric.name]
        for part in metric.parts:
            row[f"{metric.name}_{part}"] = figures["parts"].get(part, {}).get("value")
        row[metric.name] = float(figures["points"])
    points = sum(row[metric.name] for metric in task.metric)
    for manual in task.manual:
        row[manual.title] = marks.get(name, {}).get(manual.title)
        points += row[manual.title] or 0.0
    days, share = lateness(extra, task, extensions)
    total = float(rounded(1 - share, points))
    row |= {"days_late": days, "penalty": share, "total": total}
    row |= {f"verdict_{step}": verdict for step, verdict in extra["verdicts"].items()}
    row["flags"] = "; ".join([*(f"{f['source']}: {f['evidence']}" for f in extra["flags"]), *flags])
    students = extra["members"] or extra["students"] or [""]
    return [{"student": student, **row} for student in dict.fromkeys(students)]


def gradebook(
    run: Run,
    task: Assignment,
    extensions: dict[str, datetime],
    marks: dict[str, dict[str, float]],
    similar: dict[str, list[str]],
) -> pd.DataFrame:
    """Every student's scores, lateness, penalty, total, verdicts and flags.

    `marks`: points given by hand, by submission and title; `similar`: flags of the comparison of
    sources, by submission.
    """
    results = dict(run.results())
    if not results:
        raise ArtifactError(run.folder, "no result yet", "a run that has graded something")
    flags = {name: list(texts) for name, texts in similar.items()}
    for member, names in repeated(results).items():
        for name in names:
            others = ", ".join(other for other in names if other != name)
            flags.setdefault(name, []).append(f"group: {member} is also in {others}")
    rows = [
        row
        for name, result in results.items()
        for row in rows_of(name, result, task, extensions, marks, flags.get(name, []))
    ]
    return pd.DataFrame(rows).sort_values(["student", "submission"], ignore_index=True)


def harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def write_gradebook(table: pd.DataFrame, path: Path, *, gradescope: bool) -> None:
    """As .csv or .xlsx; with `gradescope`, only what an import there reads."""
    if gradescope:
        table = table[list(GRADESCOPE)].rename(columns=GRADESCOPE)
    table = table.map(harmless).rename(columns=harmless)
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        elif path.suffix == ".xlsx":
            table.to_excel(temporary, index=False)
        else:
            raise ArtifactError(path, f"the ending '{path.suffix}'", ".csv or .xlsx")
        temporary.replace(path)
    except OSError as error:
        found = f"cannot be written ({error.strerror})"
        raise ArtifactError(path, found, "a folder with write access and space") from error


def marks_template(run: Run, task: Assignment, marks: dict[str, dict[str, float]]) -> pd.DataFrame:
    """A row a submission, a column for each title that a person marks, and where its report is."""
    return pd.DataFrame(
        [
            {
                "submission": name,
                "members": " ".join(result["extra_data"]["members"]),
                "page": f"submissions/{name}/report.html",
                **{m.title: marks.get(name, {}).get(m.title) for m in task.manual},
            }
            for name, result in run.results()
        ]
    )


def read_marks(path: Path, run: Run, task: Assignment) -> dict[str, dict[str, float]]:
    """Points by submission and title, from a filled template. Raises ArtifactError."""
    expected = "a filled template of 'grader marks'"
    try:
        table = pd.read_csv(path, dtype={"submission": str})
    except (OSError, ValueError) as error:
        raise ArtifactError(path, f"cannot be read ({error})", expected) from error
    titles = {manual.title: manual.points for manual in task.manual}
    missing = {"submission", *titles} - set(table.columns)
    if missing:
        raise ArtifactError(path, f"no column '{min(missing)}'", expected)
    known = {name for name, _ in run.results()}
    marks: dict[str, dict[str, float]] = {}
    for row in table.to_dict("records"):
        name = str(row["submission"])
        if name not in known:
            raise ArtifactError(path, f"the submission '{name}'", "one of this run's")
        for title, most in titles.items():
            value = pd.to_numeric(row[title], errors="coerce")
            if pd.isna(row[title]):
                continue
            if pd.isna(value) or not 0 <= value <= most:
                found = f"{row[title]!r} for '{title}' of {name}"
                raise ArtifactError(path, found, f"points from 0 to {most:g}")
            marks.setdefault(name, {})[title] = float(value)
    return marks
