"""Class runs: on this machine, across worker processes, interrupted, and repeated."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from grader.assignment import read_assignment
from grader.classroom.batch import most_jobs, with_one_cpu
from grader.classroom.class_run import ClassRun
from grader.errors import UserError
from grader.sandbox.command import Level
from grader.sandbox.resources import reserved_cpu
from grader.shipping.bundle import ROOT
from tests.grader.classes import HONEST, entry_number, grader, make_class
from tests.grader.test_lessons import TAUGHT

COUNT = 6


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "grader", *map(str, words)]


@pytest.fixture(scope="module")
def graded(
    tmp_path_factory: pytest.TempPathFactory, data_folder: Path, level: Level
) -> tuple[Path, str]:
    """Return a folder with class/ and run/, a class and its run, and what the command printed.

    Do not write to the folder.
    """
    folder = tmp_path_factory.mktemp("graded")
    make_class(folder / "class", COUNT)
    (folder / "class" / "broken.zip").write_bytes(b"no zip")
    words = ("batch", folder / "class", "--data", data_folder, "--out", folder / "run")
    process = subprocess.run(
        command(*words, "--jobs", "2"), cwd=ROOT, capture_output=True, text=True, check=True
    )
    return folder, process.stdout


def test_every_submission_has_a_result_and_a_page(graded: tuple[Path, str]) -> None:
    folder, out = graded
    assert f"{COUNT + 1} graded, {COUNT + 1} results" in out
    assert out.count(" points in ") == COUNT + 1
    run = ClassRun(folder / "run")
    results = dict(run.results())
    assert sorted(results) == ["broken", *(f"s{i:02d}" for i in range(COUNT))]
    assert results["broken"]["extra_data"]["verdicts"] == {"unpack": "WRONG_FORMAT"}
    assert results["s04"]["extra_data"]["verdicts"]["rules"] == "FORBIDDEN"
    assert results["s00"]["score"] > 40
    for name in results:
        page = (run.home(name) / "report.html").read_text()
        assert "<html" in page
        assert not any(text in page for text in TAUGHT)
    assert results["s00"]["extra_data"]["record"]["limits"]["train"]["cpus"] == 1


@pytest.mark.slow
def test_nothing_is_graded_twice_and_what_changed_is(
    graded: tuple[Path, str],
    data_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    subprocess.run(["cp", "-r", *graded[0].iterdir(), tmp_path], check=True)
    line = f"batch {tmp_path}/class --data {data_folder} --out {tmp_path}/run"
    assert grader(line, monkeypatch) == 2
    assert "a run with submissions" in capsys.readouterr().err
    moved(tmp_path)  # the folders differ, but their contents are the same
    assert grader(line, monkeypatch) == 0
    assert "0 graded, 7 results" in capsys.readouterr().out
    (tmp_path / "class" / "broken.zip").write_bytes(b"still no zip")
    assert grader(f"regrade {tmp_path}/run --changed", monkeypatch) == 0
    out = capsys.readouterr().out
    assert "1 graded, 7 results" in out
    assert "broken: 0 -> 0" in out
    assert ClassRun(tmp_path / "run").earlier("broken") is not None
    assert grader(f"regrade {tmp_path}/run --only s00", monkeypatch) == 0
    score = ClassRun(tmp_path / "run").result("s00")
    assert score is not None
    assert f"s00: {score['score']:g} -> {score['score']:g}\n" in capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    (tmp_path / "class" / "s00.zip").unlink()
    assert grader("export run book.csv", monkeypatch) == 0
    assert "s00: left out" in capsys.readouterr().err
    assert "s00" not in set(pd.read_csv("book.csv")["submission"])
    kept = ClassRun(tmp_path / "run").result("s00")
    assert grader("regrade run --failed", monkeypatch) == 0
    assert ClassRun(tmp_path / "run").result("s00") == kept, "it is not there to be graded again"


def test_without_the_data_no_result_is_set_aside(
    graded: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    subprocess.run(["cp", "-r", *graded[0].iterdir(), tmp_path], check=True)
    moved(tmp_path)
    path = tmp_path / "run" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data": str(tmp_path)}))
    before = dict(ClassRun(tmp_path / "run").results())
    assert grader(f"regrade {tmp_path}/run --only s00", monkeypatch) == 2
    assert "no such file; expected the data set" in capsys.readouterr().err
    assert dict(ClassRun(tmp_path / "run").results()) == before


def moved(folder: Path) -> None:
    """Set the path of the class in a copied run."""
    plan = json.loads((folder / "run" / "run.json").read_text())
    plan["submissions"] = str(folder / "class")
    (folder / "run" / "run.json").write_text(json.dumps(plan))


def test_what_the_grader_failed_at_is_graded_again(
    graded: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    subprocess.run(["cp", "-r", *graded[0].iterdir(), tmp_path], check=True)
    moved(tmp_path)
    path = tmp_path / "run" / "submissions" / "s00" / "results.json"
    whole = json.loads(path.read_text())
    whole["extra_data"]["verdicts"]["classify"] = "INTERNAL"
    path.write_text(json.dumps(whole))
    plan = ClassRun(tmp_path / "run").plan()
    line = f"batch {plan.submissions} --data {plan.data} --out {tmp_path}/run"
    assert grader(line, monkeypatch) == 0
    assert "1 graded, 7 results" in capsys.readouterr().out


@pytest.mark.slow
def test_odd_names_and_links_stop_nobody_and_gain_nothing(
    tmp_path: Path, data_folder: Path, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_class(tmp_path / "class", 1)
    content = (tmp_path / "class" / "s00.zip").read_bytes()
    for name in (b"\xff.zip", b"-a b#%'\".zip"):
        Path(os.fsdecode(os.fsencode(tmp_path / "class") + b"/" + name)).write_bytes(content)
    (tmp_path / "class" / "thief").mkdir()
    (tmp_path / "class" / "thief" / "x.zip").symlink_to(tmp_path / "class" / "s00.zip")
    line = f"batch {tmp_path}/class --data {data_folder} --out {tmp_path}/run"
    assert grader(line, monkeypatch) == 0
    scores = {name: result["score"] for name, result in ClassRun(tmp_path / "run").results()}
    assert len(scores) == 4
    assert scores.pop("thief") == 0
    assert len(set(scores.values())) == 1
    assert grader(f"stats {tmp_path}/run", monkeypatch) == 0
    assert grader(f"export {tmp_path}/run {tmp_path}/book.csv", monkeypatch) == 0


def test_one_command_at_a_time_works_on_a_run(
    graded: tuple[Path, str],
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = f"batch {graded[0]}/class --data {data_folder} --out {graded[0]}/run"
    with ClassRun(graded[0] / "run").locked():
        assert grader(line, monkeypatch) == 2
    assert "another command at work on it" in capsys.readouterr().err


def gradebook(run: Path, out: Path) -> bytes:
    subprocess.run(command("export", run, out), cwd=ROOT, check=True, capture_output=True)
    return out.read_bytes()


def interrupt_and_go_on(folder: Path, data_folder: Path, times: int) -> bytes:
    """Kill a run `times` times, after 2 to 7 seconds each, finish it, and return its gradebook."""
    generator = random.Random(0)
    words = ("batch", folder / "class", "--data", data_folder, "--out", folder / "killed")
    for _ in range(times):
        process = subprocess.Popen(
            command(*words), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(generator.uniform(2, 7))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(*words), cwd=ROOT, check=True, capture_output=True)
    return gradebook(folder / "killed", folder / "killed.csv")


@pytest.mark.slow
def test_an_interrupt_is_one_line_and_the_same_command_goes_on(
    data_folder: Path, tmp_path: Path, level: Level
) -> None:
    make_class(tmp_path / "class", 2)
    (tmp_path / "class" / "slow").mkdir()
    waits = "import sys\nimport time\nif 'train' in sys.argv:\n    time.sleep(25)\n"
    (tmp_path / "class" / "slow" / "vae.py").write_text(f"{waits}{HONEST}\nmain()\n")
    run = tmp_path / "run"
    words = command("batch", tmp_path / "class", "--data", data_folder, "--out", run, "--jobs", "2")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words,
        cwd=ROOT,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
        # A shell disables the signal for its background jobs.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the first result
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, said = process.communicate(timeout=120)
    done = len(list(run.glob("submissions/*/results.json")))
    assert 0 < done < 3
    expected = f"interrupted: {done} results in {run}; the same command grades the rest"
    assert said.splitlines()[-1:] == [expected]
    assert said.count("\n") == 1 + said.count("python -m grader doctor says how")
    assert process.returncode == 130
    again = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    assert f"{3 - done} graded, 3 results in {run}" in again.stdout


@pytest.mark.parametrize("package", ["distributed", "cryptography"])
def test_without_a_package_nothing_is_written(
    graded: tuple[Path, str], data_folder: Path, tmp_path: Path, package: str
) -> None:
    words = ["batch", str(graded[0] / "class"), "--data", str(data_folder), "--out", "run"]
    program = f"import sys; sys.modules[{package!r}] = None; from grader import cli; "
    program += f"sys.argv[1:] = {words!r}; sys.exit(cli.main())"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"this command needs {package}; python -m pip install {package}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_gradebook(
    graded: tuple[Path, str], data_folder: Path, tmp_path: Path
) -> None:
    subprocess.run(["cp", "-r", graded[0] / "class", tmp_path], check=True)
    expected = gradebook(graded[0] / "run", tmp_path / "whole.csv")
    assert interrupt_and_go_on(tmp_path, data_folder, 2) == expected


@pytest.mark.slow
def test_a_run_killed_ten_times_goes_on_to_the_same_gradebook(
    tmp_path: Path, data_folder: Path, level: Level
) -> None:
    make_class(tmp_path / "class", 20)
    words = ("batch", tmp_path / "class", "--data", data_folder, "--out", tmp_path / "whole")
    subprocess.run(command(*words), cwd=ROOT, check=True, capture_output=True)
    expected = gradebook(tmp_path / "whole", tmp_path / "whole.csv")
    assert interrupt_and_go_on(tmp_path, data_folder, 10) == expected
    table = pd.read_csv(tmp_path / "whole.csv")
    assert list(table["student"]) == [entry_number(i) for i in range(20)]


def test_two_jobs_have_a_cpu_each() -> None:
    available = os.sched_getaffinity(0)
    with reserved_cpu():
        first = os.sched_getaffinity(0)
        assert len(first) == 1
        os.sched_setaffinity(0, available)
        with reserved_cpu():
            second = os.sched_getaffinity(0)
            assert second.isdisjoint(first) or len(available) == 1
        os.sched_setaffinity(0, first)
    assert os.sched_getaffinity(0) == available


def test_as_many_jobs_as_there_is_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    task = with_one_cpu(read_assignment("a3"))
    assert all(stage.limits.cpus == 1 for stage in task.stage)
    largest = max(stage.limits.memory_gib for stage in task.stage)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    assert most_jobs(task) == 1 or most_jobs(task) * largest < machine
    assert most_jobs(task.model_copy(update={"stage": []})) >= 1, "only read, never run"
    monkeypatch.setattr(os, "sysconf", lambda _name: 1)
    assert most_jobs(task) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("batch nowhere --data DATA --out run", "nowhere: no such folder"),
        ("batch CLASS --data nowhere --out run", "no such file; expected the data set"),
        ("batch CLASS --data DATA --out CLASS/s00.zip", "not a folder"),
        ("batch CLASS --data DATA --out run --assignment b9", "no such file; expected the path"),
        ("batch CLASS --data DATA --out run --train --weights", "exclude each other"),
        ("batch CLASS --data DATA --out run --jobs 0", "greater than or equal to 1"),
        ("batch CLASS --data DATA --out CLASS/run", "a folder among the submissions"),
        ("batch CLASS --data DATA --out /dev/null/run", "cannot be written"),
        ("batch CLASS --data DATA --out run --extensions nowhere.csv", "cannot be opened"),
        ("regrade nowhere", "no record of a run"),
        ("regrade RUN --only s99", "expected a submission of this run"),
        ("export RUN nowhere/book.csv", "cannot be written (No such file"),
        ("export RUN book.txt", "expected .csv or .xlsx"),
        ("export nowhere book.csv", "no record of a run"),
        ("stats RUN --board all", "expected none, anonymous or named"),
        ("similarity RUN --base nowhere", "no such folder"),
        ("marks RUN CLASS/s00.zip", "cannot be read"),
    ],
)
def test_a_mistake_is_one_line(
    graded: tuple[Path, str],
    data_folder: Path,
    line: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"CLASS": graded[0] / "class", "RUN": graded[0] / "run", "DATA": data_folder}
    for name, path in names.items():
        line = line.replace(name, str(path))
    assert grader(line, monkeypatch) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_reports_of_a_class_from_a_run(
    graded: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The commands similarity, marks, export and stats run one after the other."""
    subprocess.run(["cp", "-r", *graded[0].iterdir(), tmp_path], check=True)
    moved(tmp_path)
    monkeypatch.chdir(tmp_path)

    assert grader("similarity run", monkeypatch) == 0
    shown = capsys.readouterr()
    assert "s00  s01" in shown.out
    assert shown.err.startswith("broken: not compared: broken.zip: not a zip archive")
    assert shown.err.count("\n") == 1
    page = (tmp_path / "run" / "similarity.html").read_text()
    assert page.count("<details") == 15, "pairs of six, all alike"
    assert "http" not in page.replace("http-equiv", "")

    assert grader("marks run marks.csv", monkeypatch) == 0
    table = pd.read_csv("marks.csv")
    assert list(table["submission"]) == ["broken", *(f"s{i:02d}" for i in range(COUNT))]
    table.loc[1, "Report"] = 12.5
    table.to_csv("marks.csv", index=False)
    assert grader("marks run marks.csv", monkeypatch) == 0
    pd.DataFrame({"submission": ["s00", "s01"], "Report": ["", 3]}).to_csv("other.csv", index=False)
    assert grader("marks run other.csv", monkeypatch) == 0
    marks = json.loads((tmp_path / "run" / "marks.json").read_text())
    assert marks == {"s00": {"Report": 12.5}, "s01": {"Report": 3}}
    table.loc[1, "Report"] = 21
    table.to_csv("too_many.csv", index=False)
    assert grader("marks run too_many.csv", monkeypatch) == 2

    for name in ("book.csv", "book.xlsx"):
        assert grader(f"export run {name}", monkeypatch) == 0
    book = pd.read_csv("book.csv")
    row = book[book["submission"] == "s00"].iloc[0]
    result = ClassRun(tmp_path / "run").result("s00")
    assert result is not None
    assert row["total"] == pytest.approx(result["score"] + 12.5)
    assert "in common with s01" in row["flags"]
    assert pd.read_excel("book.xlsx")["total"].tolist() == book["total"].tolist()
    assert grader("export run import.csv --gradescope", monkeypatch) == 0
    assert list(pd.read_csv("import.csv")) == ["SID", "Total Score"]

    assert grader("stats run --board anonymous", monkeypatch) == 0
    page = (tmp_path / "run" / "index.html").read_text()
    assert page.split('id="list"')[1].count("report.html") == COUNT + 1
    assert "Leaderboard" in page
    assert "similarity.html" in page
    assert not re.search(r"<(?:script|img)[^>]*\ssrc=|<link", page.split("</head>")[1])
    with pytest.raises(UserError):
        ClassRun(tmp_path).plan()


def test_a_missing_package_of_the_class_commands_is_one_line(
    graded: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "copydetect", None)
    monkeypatch.delitem(sys.modules, "grader.classroom.similarity", raising=False)
    assert grader(f"similarity {graded[0]}/run", monkeypatch) == 2
    err = capsys.readouterr().err
    assert err == "this command needs copydetect; python -m pip install copydetect\n"
