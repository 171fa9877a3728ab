"""Grade many submissions, each on a worker of a Dask cluster, on this machine or any other.

Workers and the command share the file system. A worker that dies costs only time, because Dask
gives its submission to another worker. A result is in the run's folder before it is announced.
"""

import contextlib
import json
import logging
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, as_completed, get_worker
from distributed.security import Security

from ..assessment.grade import Grade, empty_grade
from ..assessment.pipeline import assess
from ..assessment.stages import Settings
from ..assignment import Assignment, StageLimits, read_assignment
from ..display.evidence import all_evidence
from ..display.result_page import render
from ..display.results import to_gradescope
from ..errors import UserError, reason
from ..files import PRIVATE, write_whole
from ..sandbox import isolation
from ..sandbox.command import Level
from ..sandbox.resources import reserved_cpu, temporary_folder
from ..verdicts import Verdict
from .class_run import EVIDENCE, RESULTS, ClassRun, Entry, Plan, find_submissions, keys

FRACTION = 0.9  # of the machine's memory, for all submissions that run at once


@dataclass(frozen=True)
class Job:
    """One submission to grade."""

    entry: Entry
    key: str
    task: Assignment
    settings: Settings
    home: Path

    @property
    def topic(self) -> str:
        """Return the topic of a worker's messages.

        Each run has its own, because a scheduler may have several runs.
        """
        return f"grader {self.home.parent}"


def with_one_cpu(task: Assignment) -> Assignment:
    """Return the assignment with stages that run on one core."""
    return task.with_limits(lambda _: {"cpus": 1})


def most_jobs(task: Assignment) -> int:
    """Return how many submissions fit into this machine's memory at once; at least one.

    Those of an assignment without stages are read in the sandbox all the same.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    limits = [stage.limits for stage in task.stage] or [StageLimits()]
    memory = max(limit.memory_gib for limit in limits)
    return max(1, int(FRACTION * machine / memory))


def failure(job: Job, problem: str) -> Grade:
    """Return the grade of a submission on which the grader failed; the next run grades it again."""
    grade = empty_grade(job.task, job.entry.id)
    grade.fail(problem)
    return grade


def grade_job(job: Job) -> None:
    """Grade one submission and write its result."""

    def tell(stage: str) -> None:
        with contextlib.suppress(ValueError):  # outside of a worker, nobody listens
            get_worker().log_event(job.topic, {"id": job.entry.id, "stage": stage})

    def tell_last_step(grade: Grade) -> None:
        if grade.steps:
            tell(f"after {grade.steps[-1].name}")

    os.umask(PRIVATE)
    tell("unpack")
    try:
        with reserved_cpu():
            grade = assess(job.entry.path, job.task, job.settings, tell_last_step)
        leave_result(job, grade)
    except Exception:  # one submission must not stop the others
        leave_result(job, failure(job, traceback.format_exc()))


def leave_result(job: Job, grade: Grade) -> None:
    """Write a grade to its folder; results.json, the last, shows that the other files are there."""
    content = to_gradescope(grade) | {"key": job.key}
    job.home.mkdir(parents=True, exist_ok=True)
    write_whole(job.home / EVIDENCE, json.dumps(all_evidence(grade)) + "\n")
    write_whole(job.home / "report.html", render(grade))
    write_whole(job.home / RESULTS, json.dumps(content, indent=2) + "\n")


@contextlib.contextmanager
def cluster(jobs: int, scheduler: str | None) -> Iterator[Client]:
    """Yield a client of the scheduler at an address, or of a new cluster on this machine.

    Whoever can talk to a scheduler can run code as its user. So both sides of a connection show a
    certificate; those of a new cluster exist in its memory alone. Raises UserError if there is no
    scheduler at the address, or no certificate for it.
    """
    if scheduler is not None:
        expected = "a Dask scheduler, and its certificates in Dask's settings (docs/classes.md)"
        try:
            client = Client(scheduler, timeout=30)
        except TypeError as error:  # Dask's own message speaks of its code
            raise UserError(scheduler, "no certificates to show", expected) from error
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(scheduler, f"no answer ({reason(error)})", expected) from error
        with client:
            yield client
        return
    no_pages: dict[str, Any] = {
        f"distributed.{part}.http.routes": [] for part in ("scheduler", "worker")
    }
    # A result says what went wrong on a worker.
    quiet = {"distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical"}
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with (
        temporary_folder() as scratch,  # by default, everybody's in one folder of /tmp
        dask.config.set(no_pages | quiet),
        LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            processes=True,
            security=Security.temporary(),
            dashboard_address=None,
            # By default, its HTTP server uses a fixed port, which may be taken.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            local_directory=str(scratch),
            memory_limit=None,  # the sandbox limits the memory of a submission
        ) as local,
        Client(local) as client,
    ):
        client.run(ignore_interrupts)
        yield client


def ignore_interrupts() -> None:
    """Leave Ctrl-C, which reaches the workers as well, to the process that closes them in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def waiting(entries: list[Entry], wanted: dict[str, str], run: ClassRun) -> list[Entry]:
    """Return the submissions whose result is missing, outdated, or a failure of the grader."""
    found = ((entry, run.result(entry.id)) for entry in entries)
    return [e for e, result in found if result is None or outdated(result, wanted[e.id])]


def outdated(result: dict[str, Any], key: str) -> bool:
    failed = Verdict.INTERNAL in result["extra_data"]["verdicts"].values()
    return failed or result.get("key") != key


def prepare(plan: Plan, run: ClassRun) -> tuple[Assignment, list[Entry], dict[str, str]]:
    """Return the assignment, the submissions, and the key that each result should have."""
    task = read_assignment(plan.assignment)
    if plan.weights:
        task = task.without_training()
    entries = find_submissions(plan.submissions)
    return task, entries, keys(entries, task, plan, run)


def grade_class(
    plan: Plan, run: ClassRun, jobs: int, scheduler: str | None, watch: Callable[[str, str], None]
) -> int:
    """Grade the submissions that have no valid result yet, and return their number.

    `watch` is called with ids and stages.
    """
    task, entries, wanted = prepare(plan, run)
    task = with_one_cpu(task)
    # The zips of a class have different names.
    required = task.submission.model_copy(update={"zip_name": None})
    task = task.model_copy(update={"submission": required})
    level = isolation.best_level()
    isolation.require_closed((entry.path for entry in entries), level)
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


def job_of(
    entry: Entry, key: str, task: Assignment, plan: Plan, run: ClassRun, level: Level
) -> Job:
    fetched = run.fetched(entry.id)
    settings = Settings(
        data_folder=plan.data,
        level=level,
        train=plan.train,
        weights_folder=fetched if fetched.is_dir() else None,
    )
    return Job(entry, key, task, settings, run.home(entry.id))


def grade_all(jobs: list[Job], client: Client, watch: Callable[[str, str], None]) -> None:
    """Grade all jobs on the cluster, and wait for them."""

    def hear(event: tuple[float, dict[str, str]]) -> None:
        watch(event[1]["id"], event[1]["stage"])

    client.subscribe_topic(jobs[0].topic, hear)
    futures = client.map(grade_job, jobs, key=[f"{job.home}-{job.key}" for job in jobs])
    of_future = {future.key: job for future, job in zip(futures, jobs, strict=True)}
    for future in as_completed(futures):
        job = of_future[future.key]
        if future.status != "finished":  # it killed several workers
            leave_result(job, failure(job, str(future.exception())))
        watch(job.entry.id, "done")
