"""Output as JSON and on the terminal: the `Scores` of files, and the `Grade` of a program."""

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..assessment.grade import Grade, Mark, Step
from ..assignment import Assignment, Stage
from ..judging import Judged, Manual
from ..metrics import CONFIDENCE, ClassScore, Score
from ..submission.contents import Check
from ..verdicts import Verdict

PARAMETERS_ALLOWED = 20_000_000
PARAMETERS_ADVISED = 10_000_000

FEW_IMAGES = 100

OUTPUT_SIZE = 90_000  # bytes; Gradescope cuts at 100,000 characters
# What results.json says until there is something to say.
STARTED: dict[str, Any] = {
    "score": 0.0,
    "output": (
        "Grading has started. If this text stays, grading was stopped before it ended, and the "
        "points below are for the steps that were completed."
    ),
    "stdout_visibility": "hidden",
    "extra_data": {},
}
PASSING = (Verdict.OK, Verdict.SKIPPED)


@dataclass
class Scores:
    """The scores of one submission, with remarks on its files."""

    reconstruction: dict[str, Score]
    reconstruction_images: int
    classification: dict[str, Score]
    classes: list[ClassScore]
    classification_images: int
    parameters: int | None = None
    gmm_bytes: int | None = None
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.parameters is not None and self.parameters > PARAMETERS_ADVISED:
            self.remarks.append(
                f"the model has {self.parameters:,} numbers; "
                f"the assignment advises {PARAMETERS_ADVISED:,}"
            )

    @property
    def within_limit(self) -> bool:
        """Return whether the model is within the size that the assignment allows."""
        return self.parameters is None or self.parameters <= PARAMETERS_ALLOWED


def to_json(scores: Scores) -> dict[str, Any]:
    """Return every figure of `scores`, in types that JSON has."""
    return asdict(scores) | {
        "parameters_allowed": PARAMETERS_ALLOWED,
        "within_limit": scores.within_limit,
        "confidence": CONFIDENCE,
    }


LABELS = {
    "one_minus_mse": "1 - MSE",
    "ssim": "SSIM",
    "reconstruction": "Reconstruction score",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "classification": "Classification score",
}


def score_table(scores: Scores) -> Table:
    table = Table(title="Scores")
    for column in ("", "Score", f"{CONFIDENCE:.0%} interval"):
        table.add_column(column, justify="right" if column else "left")
    for part, images in (
        (scores.reconstruction, scores.reconstruction_images),
        (scores.classification, scores.classification_images),
    ):
        for name, score in part.items():
            total = name in ("reconstruction", "classification")
            label = f"{LABELS[name]} ({images} images)" if total else LABELS[name]
            interval = f"{score.low:.4f} .. {score.high:.4f}"
            table.add_row(label, f"{score.value:.4f}", interval, style="bold" if total else "")
        table.add_section()
    return table


def class_table(classes: list[ClassScore]) -> Table:
    table = Table(title="Classes")
    for column in ("Class", "Precision", "Recall", "F1", "Images"):
        table.add_column(column, justify="right")
    for row in classes:
        figures = (f"{value:.4f}" for value in (row.precision, row.recall, row.f1))
        table.add_row(str(row.label), *figures, str(row.images))
    return table


def show(scores: Scores, console: Console) -> None:
    """Print `scores` in readable form."""
    console.print(score_table(scores))
    console.print(class_table(scores.classes))
    if scores.parameters is not None:
        verdict = "within" if scores.within_limit else "ABOVE"
        console.print(
            f"Model: {scores.parameters:,} numbers, {verdict} the limit of {PARAMETERS_ALLOWED:,}"
        )
    if scores.gmm_bytes is not None:
        console.print(f"Mixture: {scores.gmm_bytes:,} bytes, not opened")
    if scores.reconstruction_images < FEW_IMAGES:
        ssim = scores.reconstruction["ssim"]
        console.print(
            f"With {scores.reconstruction_images} images, chance alone moves the SSIM by "
            f"about {(ssim.high - ssim.low) / 2:.2f}: judge on a larger set.",
            soft_wrap=True,
        )
    for remark in scores.remarks:
        console.print(f"Remark: {remark}", markup=False, highlight=False, soft_wrap=True)


def cut(text: str) -> str:
    """Return the beginning of a text, at most OUTPUT_SIZE bytes in UTF-8."""
    return text.encode(errors="backslashreplace")[:OUTPUT_SIZE].decode(errors="ignore")


def storable(value: Any) -> Any:
    """Replace characters in nested JSON that many databases refuse: NUL and lone surrogates."""
    if isinstance(value, str):
        text = value.encode(errors="backslashreplace").decode()
        return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {storable(key): storable(part) for key, part in value.items()}
    return [storable(part) for part in value] if isinstance(value, list | tuple) else value


def seconds_text(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def step_text(step: Step) -> str:
    """Return what a student reads about a step."""
    lines = [step.message or f"{step.name} went well", f"verdict {step.verdict}"]
    if step.peak_memory:
        lines[1] += (
            f", {seconds_text(step.seconds)} (CPU {seconds_text(step.cpu_seconds)}), "
            f"{step.peak_memory / 2**20:.0f} MiB of memory at the peak"
        )
    if step.show_output and step.output:
        lines += ["", "What it printed:", step.output]
    return cut("\n".join(lines))


def label(name: str) -> str:
    """Return the name of a measure for readers; a library's keeps its own."""
    return LABELS.get(name, name)


def mark_text(mark: Mark) -> str:
    """Return what a student reads about a mark, rounded so that another try reveals little."""
    if mark.value is None or not mark.parts:
        return mark.message or ("passed" if mark.value else "")
    parts = ", ".join(f"{label(name)} {score.value:.3f}" for name, score in mark.parts.items())
    text = f"{mark.title} {mark.value:.3f} ({parts}) of 1, times {mark.possible:g} points"
    return text + (f", less {mark.penalty:.0%} for the format" if mark.penalty else "")


def mark_entry(mark: Mark) -> dict[str, Any]:
    """Return the entry of a mark among the tests of results.json."""
    passed = mark.value is not None and (bool(mark.parts) or mark.value == 1)
    entry = {
        "name": mark.title,
        "score": float(mark.points),
        "max_score": 0.0 if mark.bonus else mark.possible,
        "status": "passed" if passed else "failed",
        "output": mark_text(mark),
        "output_format": "text",
    }
    return entry | ({"visibility": "after_published"} if mark.hidden else {})


def to_gradescope(grade: Grade) -> dict[str, Any]:
    """Return the content of results.json, in the form that Gradescope requires.

    Flags, exact figures and the record are in `extra_data`, which students do not see.
    https://gradescope-autograders.readthedocs.io/en/latest/specs/
    """
    tests: list[dict[str, Any]] = [
        {
            "name": f"Step: {step.name}",
            "status": "passed" if step.verdict in PASSING else "failed",
            "output": step_text(step),
            "output_format": "text",
        }
        for step in grade.steps
    ]
    tests += [mark_entry(mark) for mark in grade.marks]
    content = {
        "score": float(grade.points),
        "execution_time": round(sum(step.seconds for step in grade.steps), 3),
        "output": cut(summary_text(grade)),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": tests,
        "leaderboard": [
            {"name": mark.title, "value": round(mark.value or 0.0, 3), "order": "desc"}
            for mark in grade.marks
            if mark.parts
        ],
        "extra_data": {
            "submission": grade.submission,
            "sha256": grade.sha256,
            "members": grade.members,
            "weights": grade.weights,
            "numbers": grade.numbers,
            "verdicts": {step.name: str(step.verdict) for step in grade.steps},
            "steps": [asdict(step) for step in grade.steps],
            "metrics": {mark.name: mark_figures(mark) for mark in grade.marks},
            "flags": [asdict(flag) for flag in grade.flags],
            "record": grade.record,
        },
    }
    return dict(storable(content))


def unfinished(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of results.json after some of the steps."""
    flag = {"source": "grader", "evidence": "grading was stopped before it ended"}
    extra_data = content["extra_data"] | {"flags": [*content["extra_data"]["flags"], flag]}
    output = f"{STARTED['output']}\n{content['output']}"
    return content | {"output": output, "extra_data": extra_data}


# A repetition must share these with the first assessment; times and memory vary.
REPEATED = ("sha256", "weights", "numbers", "verdicts", "metrics", "record")


def flat(value: Any, key: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries: return their leaves by keys joined with dots."""
    if not isinstance(value, dict):
        return {key: value}
    return {k: v for name, inner in value.items() for k, v in flat(inner, f"{key}.{name}").items()}


def differences(earlier: dict[str, Any], later: dict[str, Any]) -> list[str]:
    """List how two `extra_data` differ in what a repetition should share, one line each."""
    before, after = (
        flat({name: extra.get(name) for name in REPEATED}) for extra in (earlier, later)
    )
    return [
        f"{key[1:]} was {before.get(key)}, is {after.get(key)}"
        for key in sorted(before | after)
        if before.get(key) != after.get(key)
    ]


def mark_figures(mark: Mark) -> dict[str, Any]:
    """Return a metric's exact figures."""
    parts = {name: asdict(score) for name, score in mark.parts.items()}
    figures = {"value": mark.value, "points": str(mark.points), "parts": parts}
    return figures | ({"details": mark.details} if mark.details else {})


def show_checks(checks: list[Check], console: Console) -> None:
    """Print a line for each rule."""
    words = {True: ("ok", "green"), False: ("FAIL", "bold red"), None: ("skipped", "yellow")}
    for check in checks:
        word, style = words[check.passed]
        text = check.rule + (f": {check.message}" if check.message else "")
        console.print(Text.assemble((f"{word:8}", style), text), soft_wrap=True)


def summary_text(grade: Grade) -> str:
    """Return the points, the remarks, and what still has to be marked by hand."""
    lines = [f"{grade.points} of {grade.possible:g} points"]
    lines += [f"{title}: up to {points:g} points, marked by hand" for title, points in grade.manual]
    lines += [f"Remark: {remark}" for remark in grade.remarks]
    return "\n".join(lines)


def points_text(part: Judged | Manual) -> str:
    return f"{part.points:g} points" + (" as a bonus" if part.bonus else "")


def run_text(task: Assignment, stage: Stage) -> str:
    """Say what a stage runs."""
    if stage.kind == "program":
        return f"python {' '.join([task.program, *stage.words])}"
    if stage.kind == "notebook":
        return "the notebook, from top to bottom"
    return f"{len(task.test)} calls of functions"


def preview_text(task: Assignment, included: bool, remarks: list[str]) -> str:
    """Describe what an assignment would do with a submission that leaves these remarks."""
    lines = [f"{task.title} ({task.name})"]
    for name, data in task.data.items():
        if data.kind == "file":
            lines.append(f"Data {name}: {' or '.join(data.file)}, as it is")
            continue
        order = "in another order" if data.shuffled else "in its order"
        lines.append(f"Data {name}: {' or '.join(data.file)}, labels {data.labels}, {order}")
    for stage in task.stage:
        limits = stage.limits
        lines += [
            f"Stage {stage.name}: {run_text(task, stage)}",
            f"  at most {seconds_text(limits.seconds)}, {limits.memory_gib:g} GiB of memory, "
            f"{limits.disk_mib:g} MiB in {limits.files} files, {limits.processes} processes, "
            f"{limits.cpus} CPUs",
        ]
        if stage.makes:
            needs = ", ".join(stage.needs) or "nothing"
            lines.insert(-1, f"  needs {needs}; makes {', '.join(stage.makes)}")
        if stage.trains and included and task.weights[0] == "included":
            lines.append("  skipped for this submission, which includes weights")
    for metric in task.metric:
        parts = " + ".join(f"{weight:g} {label(name)}" for name, weight in metric.parts.items())
        lines.append(
            f"Metric {metric.title}: {parts}, of {metric.artefact}: {metric.points:g} points"
        )
    lines += [f"Check {check.title}: {check.kind}: {points_text(check)}" for check in task.check]
    lines += [f"Number {n.title}: of {n.artefact}: {points_text(n)}" for n in task.number]
    lines += [f"Test {test.title}: {test.call[0]}: {points_text(test)}" for test in task.test]
    lines += [f"By hand {manual.title}: {points_text(manual)}" for manual in task.manual]
    if task.most_points is not None:
        lines.append(f"At most {task.most_points:g} points in all")
    lines += [f"Probe {probe.kind} of {probe.stage}: limit {probe.limit:g}" for probe in task.probe]
    return "\n".join(lines + [f"Remark: {remark}" for remark in remarks])


def show_grade(grade: Grade, console: Console) -> None:
    """Print a grade in readable form."""
    steps = Table(title=f"{grade.title}: {grade.submission}")
    for column in ("Step", "Verdict", "Time", "Memory", ""):
        steps.add_column(column, justify="right" if column in ("Time", "Memory") else "left")
    for step in grade.steps:
        ran = step.seconds > 0
        steps.add_row(
            step.name,
            str(step.verdict),
            seconds_text(step.seconds) if ran else "",
            f"{step.peak_memory / 2**20:.0f} MiB" if step.peak_memory else "",
            Text(step.message),
        )
    console.print(steps)
    marks = Table()
    for column in ("", "Score", "95% interval", "Points"):
        marks.add_column(column, justify="right" if column else "left")
    for mark in grade.marks:
        for name, score in mark.parts.items():
            interval = f"{score.low:.4f} .. {score.high:.4f}"
            marks.add_row(label(name), f"{score.value:.4f}", interval, "")
        value = f"{mark.value:.4f}" if mark.parts else ""
        points = f"{mark.points} of {mark.possible:g}"
        marks.add_row(mark.title, value, "", points, style="bold", end_section=bool(mark.parts))
        if mark.message or mark.details:
            marks.add_row(Text(f"  {mark.details or mark.message}"), "", "", "")
    console.print(marks)
    for flag in grade.flags:
        console.print(f"Flag: {flag.source}: {flag.evidence}", markup=False, soft_wrap=True)
    console.print(summary_text(grade), markup=False, highlight=False, soft_wrap=True)
