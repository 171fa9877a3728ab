"""Many submissions, each graded by a worker of a Dask cluster: of this machine's, or any other.

Workers and the command share the file system. A worker that dies loses nothing but time: Dask gives
its submission to another. A result is in the run's folder before anyone hears of it.
"""

import contextlib
import json
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from distributed import Client, LocalCluster, as_completed, get_worker

from grader import sandbox
from grader.assignment import Assignment, read_assignment
from grader.grade import Flag, Grade, Mark, Step
from grader.pipeline import assess
from grader.report import render
from grader.results import to_gradescope
from grader.runs import RESULTS, Entry, Plan, Run, find_submissions, keys, write_whole
from grader.sandbox import Level
from grader.stages import Settings
from grader.verdicts import Verdict

TOPIC = "grader"
FRACTION = 0.9  # of the machine's memory, for all submissions that run at once


@dataclass(frozen=True)
class Job:
    """One submission to grade."""

    entry: Entry
    key: str
    task: Assignment
    settings: Settings
    home: Path


def fit_to_slots(task: Assignment, jobs: int) -> Assignment:
    """The assignment with one processor for each submission, and its share of the memory."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    stages = []
    for stage in task.stage:
        memory = min(stage.limits.memory_gib, FRACTION * machine / jobs)
        limits = stage.limits.model_copy(update={"cpus": 1, "memory_gib": memory})
        stages.append(stage.model_copy(update={"limits": limits}))
    return task.model_copy(update={"stage": stages})


@contextlib.contextmanager
def processor_of_its_own() -> Iterator[None]:
    """Pin this thread to a processor that no other job of this user's has; to all if none is."""
    before = os.sched_getaffinity(0)
    folder = Path(tempfile.gettempdir(), f"vae-grader-processors-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    for processor in sorted(before):
        held = sandbox.lock(folder / str(processor), os.O_CREAT | os.O_RDWR)
        if held is not None:
            try:
                os.sched_setaffinity(0, {processor})
                yield
            finally:
                os.sched_setaffinity(0, before)
                os.close(held)
            return
    yield


def failure(job: Job) -> Grade:
    """The grade of a submission that the grader could not get through."""
    grade = Grade(job.task.name, job.task.title, job.entry.path.name)
    message = "the grader failed here, and a person has to look at it"
    grade.steps = [Step("grader", Verdict.INTERNAL, message, output=traceback.format_exc())]
    grade.marks = [Mark(metric.name, metric.title, metric.points) for metric in job.task.metric]
    grade.flags = [Flag("grader", "an error of the grader's own ended the assessment")]
    return grade


def grade_job(job: Job) -> str:
    """Grade one submission and leave its result; its id comes back."""

    def tell(stage: str) -> None:
        with contextlib.suppress(ValueError):  # without a worker, there is nobody to tell
            get_worker().log_event(TOPIC, {"id": job.entry.id, "stage": stage})

    tell("unpack")
    with processor_of_its_own():
        try:
            grade = assess(
                job.entry.path, job.task, job.settings, lambda g: tell(f"after {g.steps[-1].name}")
            )
        except Exception:  # one submission must not stop the others
            grade = failure(job)
    content = to_gradescope(grade) | {"key": job.key}
    submitted = job.entry.submitted
    content["extra_data"] |= {
        "students": job.entry.students,
        "submitted": submitted.isoformat() if submitted else None,
    }
    job.home.mkdir(parents=True, exist_ok=True)
    write_whole(job.home / "report.html", render(grade))
    write_whole(job.home / RESULTS, json.dumps(content, indent=2) + "\n")
    return job.entry.id


@contextlib.contextmanager
def cluster(jobs: int, scheduler: str | None) -> Iterator[Client]:
    """A client of the scheduler at an address, or of a cluster on this machine."""
    if scheduler is not None:
        with Client(scheduler, timeout=30) as client:
            yield client
        return
    with (
        LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit=None,  # the sandbox bounds what a submission may take
        ) as local,
        Client(local) as client,
    ):
        yield client


def waiting(entries: list[Entry], wanted: dict[str, str], run: Run) -> list[Entry]:
    """The submissions whose result is missing, or is that of something else."""
    found = ((entry, run.result(entry.id)) for entry in entries)
    return [e for e, result in found if result is None or result.get("key") != wanted[e.id]]


def prepare(plan: Plan, run: Run) -> tuple[Assignment, list[Entry], dict[str, str]]:
    """The assignment, the submissions, and the key that each result should have."""
    task = read_assignment(plan.assignment)
    if plan.weights:
        places = [place for place in task.weights if place != "trained"]
        task = task.model_copy(update={"weights": places})
    entries = find_submissions(plan.submissions)
    return task, entries, keys(entries, task, plan, run)


def grade_class(
    plan: Plan, run: Run, jobs: int, scheduler: str | None, watch: Callable[[str, str], None]
) -> int:
    """Grade what has no valid result yet; how many that were. `watch` hears of ids and stages."""
    task, entries, wanted = prepare(plan, run)
    task = fit_to_slots(task, jobs)
    # The zips of a class have names of their own.
    layout = task.submission.model_copy(update={"zip_name": None})
    task = task.model_copy(update={"submission": layout})
    level = sandbox.best_level()
    todo = waiting(entries, wanted, run)
    for entry in todo:
        watch(entry.id, "queued")
        if run.result(entry.id) is not None:
            run.set_aside(entry.id)
    if todo:
        with cluster(min(jobs, len(todo)), scheduler) as client:
            grade_all(
                [job_of(e, wanted[e.id], task, plan, run, level) for e in todo], client, watch
            )
    run.index()
    return len(todo)


def job_of(entry: Entry, key: str, task: Assignment, plan: Plan, run: Run, level: Level) -> Job:
    fetched = run.fetched(entry.id)
    settings = Settings(
        data_folder=plan.data,
        level=level,
        train=plan.train,
        weights_folder=fetched if fetched.is_dir() else None,
    )
    return Job(entry, key, task, settings, run.home(entry.id))


def grade_all(jobs: list[Job], client: Client, watch: Callable[[str, str], None]) -> None:
    """Have the cluster grade all jobs, and wait for them."""

    def hear(event: tuple[float, dict[str, str]]) -> None:
        watch(event[1]["id"], event[1]["stage"])

    client.subscribe_topic(TOPIC, hear)
    futures = client.map(grade_job, jobs, key=[f"{job.entry.id}-{job.key}" for job in jobs])
    names = {future.key: job.entry.id for future, job in zip(futures, jobs, strict=True)}
    for future in as_completed(futures):
        future.result()
        watch(names[future.key], "done")
