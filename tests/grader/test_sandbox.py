"""The sandbox at every level that this machine has; the test report's header names the best."""

import contextlib
import ctypes
import grp
import os
import platform
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.sandbox import isolation, launcher, resources, system_calls, watch
from grader.sandbox.command import Command, Imports, Level, Limits, Outcome, SandboxError
from grader.sandbox.resources import temporary_folder
from grader.verdicts import Verdict
from tests.grader.processes import alive, wait_until

LEVELS = [level for level in Level if isolation.obstacle(level) is None]
SEALED = [level for level in LEVELS if level is not Level.TRUSTED]
LIMITS = Limits(seconds=60, memory=512 << 20, disk=8 << 20, files=200, processes=50, cpus=1)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Provide a folder that other users may traverse, since pytest's own are closed to them."""
    with temporary_folder() as folder:
        folder.chmod(0o711)
        yield folder


@pytest.fixture
def folder(scratch: Path) -> Path:
    (scratch / "work").mkdir()
    return scratch / "work"


def run(
    level: Level,
    folder: Path,
    program: str,
    *words: object,
    limits: Limits = LIMITS,
    readable: tuple[Path, ...] = (),
    hidden: tuple[Path, ...] = (),
    recorded: bool = False,
) -> Outcome:
    """Run a Python program, given as text, in the sandbox."""
    python = (sys.executable, "-c", textwrap.dedent(program))
    command = Command((*python, *map(str, words)), folder, readable, hidden, recorded=recorded)
    return isolation.run(command, limits, level)


@pytest.mark.parametrize("level", LEVELS)
def test_a_command_runs_in_its_folder_and_its_output_is_kept(level: Level, folder: Path) -> None:
    program = """
        import pathlib, sys, time
        pathlib.Path("made").write_text("x")
        print("said", sys.stdin.read())
        print("warned", file=sys.stderr)
        time.sleep(0.5)  # memory is looked at from time to time
    """
    outcome = run(level, folder, program)
    assert outcome.verdict is Verdict.OK
    assert outcome.code == 0
    assert sorted(outcome.output.split()) == ["said", "warned"]
    assert (folder / "made").read_text() == "x"
    assert 0 < outcome.cpu_seconds < 60
    assert outcome.peak_memory > 1 << 20


@pytest.mark.parametrize("level", LEVELS)
def test_a_python_named_by_a_roundabout_path_works_as_well(
    level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = Path(sys.executable)
    around = python.parent / ".." / python.parent.name
    monkeypatch.setattr(sys, "executable", str(around / python.name))
    monkeypatch.setattr(sys, "prefix", str(around / ".."))
    assert isolation.obstacle(level) is None


@pytest.mark.parametrize("level", LEVELS)
def test_a_failure_is_told_with_its_last_words(level: Level, folder: Path) -> None:
    outcome = run(level, folder, "raise ValueError('of mine')")
    assert outcome.verdict is Verdict.RUNTIME_ERROR
    assert outcome.code == 1
    assert "ValueError: of mine" in outcome.output
    assert run(level, folder, "import os; os.kill(os.getpid(), 9)").code != 0


@pytest.mark.parametrize("level", LEVELS)
def test_output_without_end_is_cut(level: Level, folder: Path) -> None:
    program = "for i in range(100_000): print(f'{i:09}' + 'x' * 1000)"
    outcome = run(level, folder, program)
    assert outcome.verdict is Verdict.OK
    assert outcome.output_bytes == 1010 * 100_000
    assert len(outcome.output) < 3 * watch.TAIL
    assert outcome.output.startswith("000000000x")
    assert outcome.output.splitlines()[-1].startswith("000099999x")


@pytest.mark.parametrize("level", LEVELS)
def test_time_is_limited_and_a_daemon_dies_with_the_command(level: Level, folder: Path) -> None:
    mark = uuid.uuid4().hex
    program = """
        import subprocess, sys, time
        daemon = "import os, time; os.setsid(); os.close(1); os.close(2); time.sleep(600)"
        subprocess.Popen([sys.executable, "-c", daemon, sys.argv[1]])
        print("begun", flush=True)
        time.sleep(float(sys.argv[2]))
    """
    outcome = run(level, folder, program, mark, 600, limits=Limits(seconds=2, cpus=1))
    assert outcome.verdict is Verdict.TIME_LIMIT
    assert outcome.seconds >= 2
    assert "begun" in outcome.output
    assert not alive(mark)
    assert run(level, folder, program, mark, 0).verdict is Verdict.OK
    assert not alive(mark)


@pytest.mark.parametrize("level", LEVELS)
def test_cpu_time_is_that_of_all_processes(level: Level, folder: Path) -> None:
    program = """
        import subprocess, sys
        work = "import time\\nwhile time.process_time() < 1: pass"
        subprocess.run([sys.executable, "-c", work])
    """
    assert run(level, folder, program).cpu_seconds > 1


@pytest.mark.parametrize("level", LEVELS)
def test_memory_is_limited_for_all_processes_together(level: Level, folder: Path) -> None:
    program = """
        import os, time
        for _ in range(8):
            if os.fork() == 0:
                kept = os.urandom(1 << 20) * 200
                time.sleep(600)
        os.wait()
    """
    outcome = run(level, folder, program)
    assert outcome.verdict is Verdict.MEMORY_LIMIT


@pytest.mark.parametrize("level", LEVELS)
def test_memory_that_was_refused_was_not_used(level: Level, folder: Path) -> None:
    outcome = run(level, folder, "import numpy; numpy.ones(1 << 40)")
    assert outcome.verdict is Verdict.RUNTIME_ERROR
    assert "MemoryError" in outcome.output


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "program",
    [
        "open('large', 'wb').write(bytes(100 << 20))",
        "import array, os, socket, time\na, b = socket.socketpair()\nfor i in range(5):\n"
        "    with open('x', 'wb') as file:\n        file.write(bytes(7 << 20))\n"
        "        file.flush()\n        os.fsync(file.fileno())\n"
        "        kind = (socket.SOL_SOCKET, socket.SCM_RIGHTS)\n"
        "        a.sendmsg([b'x'], [(*kind, array.array('i', [file.fileno()]))])\n"
        "    os.unlink('x')\ntime.sleep(9)",
        "for i in range(100): open(f'{i}', 'wb').write(bytes(1 << 20))\nimport time; time.sleep(9)",
        "import os, time\nkept = []\nfor i in range(5):\n    kept.append(open(f'{i}', 'wb'))\n"
        "    os.unlink(f'{i}')\n    kept[-1].write(bytes(7 << 20))\ntime.sleep(9)",
        "for i in range(1000): open(f'{i}', 'wb')\nimport time; time.sleep(9)",
        "import os, time\nos.mkdir('d')\nopen('d/f', 'wb').write(bytes(7 << 20))\n"
        "open('g', 'wb').write(bytes(7 << 20))\nos.chmod('d', 0)\ntime.sleep(9)",
        "import os, time\nfor i in range(9000): os.mkdir('d'); os.chdir('d')\ntime.sleep(9)",
    ],
)
def test_what_it_may_write_is_limited(level: Level, folder: Path, program: str) -> None:
    assert run(level, folder, program).verdict is Verdict.OUTPUT_LIMIT
    resources.remove(folder)
    assert not folder.exists()


@pytest.mark.parametrize("level", LEVELS)
def test_a_file_at_its_limit_counts_whatever_the_folder_held(level: Level, folder: Path) -> None:
    (folder / "given").write_bytes(bytes(4 << 20))
    outcome = run(level, folder, "open('large', 'wb').write(bytes(100 << 20))")
    assert outcome.verdict is Verdict.OUTPUT_LIMIT


@pytest.mark.parametrize("level", LEVELS)
def test_deep_folders_are_no_fault_of_the_grader(level: Level, folder: Path) -> None:
    program = "import os\nfor i in range(190): os.mkdir('d'); os.chdir('d')\nraise SystemExit(1)"
    assert run(level, folder, program).verdict in (Verdict.RUNTIME_ERROR, Verdict.OUTPUT_LIMIT)


@pytest.mark.parametrize("level", LEVELS)
def test_a_file_that_is_handed_on_is_not_blamed_for_others(level: Level, folder: Path) -> None:
    program = """
        import array, socket, time
        a, b = socket.socketpair()
        with open("/dev/null") as file:
            rights = array.array("i", [file.fileno()])
            for _ in range(30):
                a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                time.sleep(0.06)
                b.recvmsg(1, 100)
                time.sleep(0.06)
    """
    with tempfile.TemporaryFile() as other:
        writer = threading.Timer(1, lambda: other.write(bytes(20 << 20)))
        writer.start()
        assert run(level, folder, program).verdict is not Verdict.OUTPUT_LIMIT
        writer.join()


@pytest.mark.parametrize("level", LEVELS)
def test_a_fork_bomb_ends(level: Level, folder: Path) -> None:
    mark = uuid.uuid4().hex
    program = """
        import os, time
        while True:
            try:
                os.fork()
            except OSError:
                time.sleep(0.01)
    """
    outcome = run(level, folder, program, mark, limits=Limits(seconds=2, processes=50, cpus=1))
    assert outcome.verdict in (Verdict.TIME_LIMIT, Verdict.RUNTIME_ERROR)
    assert not alive(mark)


@pytest.mark.parametrize("level", LEVELS)
def test_the_environment_is_cleared(
    level: Level, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "of the grader")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    program = """
        import os
        print(dict(os.environ))
        for pid in os.listdir("/proc"):
            try:
                print(open(f"/proc/{pid}/environ", "rb").read())
            except OSError:
                pass
    """
    outcome = run(level, folder, program)
    assert "'OMP_NUM_THREADS': '1'" in outcome.output
    assert "TORCH_FORCE" not in outcome.output
    if level is not Level.TRUSTED:
        assert "of the grader" not in outcome.output


@pytest.mark.parametrize("level", LEVELS)
def test_it_runs_on_no_more_cpus_than_it_was_given(level: Level, folder: Path) -> None:
    assert run(level, folder, "import os; print(len(os.sched_getaffinity(0)))").output == "1\n"


@pytest.mark.parametrize("level", LEVELS)
def test_no_open_file_of_the_grader_reaches_it(level: Level, folder: Path) -> None:
    program = "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in range(3, 100) " + (
        "if os.path.lexists(f'/proc/self/fd/{n}')])"
    )
    with Path(folder, "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        assert run(level, folder, program).output == "[]\n"


@pytest.mark.parametrize("level", SEALED)
def test_nothing_but_what_it_is_given_can_be_read_or_written(
    level: Level, folder: Path, scratch: Path
) -> None:
    for name in ("given", "secret"):
        (scratch / name).mkdir()
        (scratch / name / "file").write_text(name)
    program = """
        import sys
        from pathlib import Path
        for name in ("given", "secret"):
            file = Path(sys.argv[1], name, "file")
            for act in (file.read_text, lambda: file.write_text("changed")):
                try:
                    print(name, act())
                except OSError as error:
                    print(name, "refused")
    """
    outcome = run(level, folder, program, scratch, readable=(scratch / "given",))
    assert outcome.output.splitlines() == [
        "given given", "given refused", "secret refused", "secret refused",
    ]  # fmt: skip


@pytest.mark.parametrize("level", SEALED)
def test_there_is_no_network(level: Level, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = f"""
            import socket
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                try:
                    with socket.socket(socket.AF_INET, kind) as s:
                        s.connect(("127.0.0.1", {port}))
                        s.send(b"labels")
                    print("sent")
                except OSError:
                    print("refused")
        """
        outcome = run(level, folder, program)
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    assert outcome.output.splitlines()[0] == "refused"


@pytest.mark.parametrize("level", [level for level in LEVELS if level.namespaces])
def test_hidden_folders_are_empty(level: Level, folder: Path, scratch: Path) -> None:
    (scratch / "given" / "inner").mkdir(parents=True)
    (scratch / "given" / "inner" / "file").write_text("x")
    program = "import os, sys; print(os.listdir(sys.argv[1])); open(sys.argv[1] + '/new', 'w')"
    inner = scratch / "given" / "inner"
    outcome = run(level, folder, program, inner, readable=(scratch / "given",), hidden=(inner,))
    assert outcome.output.startswith("[]\n")
    assert "Error" in outcome.output


def record_of(level: Level, folder: Path, program: str) -> Imports:
    outcome = run(level, folder, program, recorded=True)
    assert outcome.verdict is Verdict.OK, outcome.output
    assert outcome.imports is not None
    return outcome.imports


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "statement",
    [
        "import colorsys",
        "import importlib; importlib.import_module('colorsys')",
        "exec('imp' + 'ort colorsys')",
        "import pickle; pickle.loads(b'ccolorsys\\nrgb_to_hsv\\n.')",
        "import timeit; timeit.timeit('import colorsys', number=1)",
    ],
)
def test_imports_are_recorded_however_they_are_written(
    level: Level, folder: Path, statement: str
) -> None:
    imports = record_of(level, folder, statement)
    assert "colorsys" in imports.by_program
    assert imports.complete


@pytest.mark.parametrize("level", LEVELS)
def test_what_a_library_imports_is_told_apart(level: Level, folder: Path) -> None:
    imports = record_of(level, folder, "import pydoc; pydoc.locate('colorsys.rgb_to_hsv')")
    assert "pydoc" in imports.by_program
    assert "colorsys" in imports.by_library - imports.by_program


@pytest.mark.parametrize("level", LEVELS)
def test_a_record_can_be_silenced_but_not_taken_back(level: Level, folder: Path) -> None:
    for end in ("os._exit(0)", "os.closerange(3, 100)", "os.execv('/bin/true', ['true'])"):
        imports = record_of(level, folder, f"import colorsys, os; {end}")
        assert "colorsys" in imports.by_program
        assert not imports.complete
    forged = """
        import os
        told = open("/proc/self/environ").read()
        pipe = int(told.partition("VAE_GRADER_IMPORTS=")[2].split(":")[0])
        for n in range(100_000):
            os.write(pipe, b"by-program module_%d\\n" % n)
    """
    assert not record_of(level, folder, forged).complete


@pytest.mark.parametrize("level", LEVELS)
def test_a_record_is_not_stopped_from_outside(level: Level, folder: Path) -> None:
    program = """
        import os
        kept, os.write = os.write, lambda *_: 0
        import colorsys
        os.write = kept
        print("VAE_GRADER_IMPORTS" in os.environ)
    """
    imports = record_of(level, folder, program)
    assert "colorsys" in imports.by_program
    assert imports.complete
    ended = """
        import os
        for pipe in range(3, 100):
            try:
                os.write(pipe, b"end\\n")
                os.close(pipe)
            except OSError:
                pass
        import colorsys
    """
    assert not record_of(level, folder, ended).complete


@pytest.mark.parametrize("level", LEVELS)
def test_a_record_goes_nowhere_but_to_its_pipe(level: Level, folder: Path) -> None:
    program = """
        import os
        told = open("/proc/self/environ").read()
        pipe = int(told.partition("VAE_GRADER_IMPORTS=")[2].split(":")[0])
        os.dup2(os.open("data", os.O_RDWR | os.O_CREAT), pipe)
        import colorsys
        print(os.path.getsize("data"))
    """
    assert run(level, folder, program, recorded=True).output == "0\n"


@pytest.mark.parametrize("level", LEVELS)
def test_several_workers_share_memory(level: Level, folder: Path) -> None:
    program = """
        import multiprocessing.shared_memory, socket
        first, second = socket.socketpair()
        kept = multiprocessing.shared_memory.SharedMemory(create=True, size=1 << 20)
        with multiprocessing.Pool(2) as pool:
            print(pool.map(abs, [-1, -2]))
        kept.close(); kept.unlink()
    """
    assert run(level, folder, program).output == "[1, 2]\n"


@pytest.mark.parametrize("level", [level for level in SEALED if level.other_user])
def test_no_kernel_object_outlives_a_command(level: Level, folder: Path) -> None:
    program = """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        print(libc.shmget(0x5eed, 4096, 0o1666))
    """
    run(level, folder, program)
    assert str(0x5EED) not in Path("/proc/sysvipc/shm").read_text().split()


READ_KEY = """
    import ctypes, platform, sys
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    keyctl = {"x86_64": 250, "aarch64": 219}[platform.machine()]

    def get(name):
        key = libc.syscall(keyctl, 10, -3, b"user", name, 0)  # 10: search; -3: the session's
        text = ctypes.create_string_buffer(100)
        if key >= 0:
            libc.syscall(keyctl, 11, key, text, 100)  # 11: read
            return text.value
"""


@pytest.fixture
def session_key() -> bytes:
    """Give these tests a session keyring with a key in it, as a login does; return its name."""
    libc = ctypes.CDLL(None, use_errno=True)
    keyctl, add_key = (system_calls.numbers()[name] for name in ("keyctl", "add_key"))
    name = uuid.uuid4().hex.encode()
    libc.syscall(keyctl, 1, None)  # 1: join a new one
    if libc.syscall(add_key, b"user", name, b"ticket", 6, -3) < 0:
        pytest.skip(f"needs keyrings; the kernel says {os.strerror(ctypes.get_errno())}")
    return name


@pytest.mark.parametrize("defence", ["both", "an empty keyring", "the filter"])
@pytest.mark.parametrize("level", LEVELS)
def test_the_keyring_of_the_session_is_out_of_reach(
    level: Level,
    folder: Path,
    session_key: bytes,
    defence: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Each defence is enough by itself."""
    naive = f"{textwrap.dedent(READ_KEY)}\nprint(get({session_key!r}))"
    shown = subprocess.run([sys.executable, "-c", naive], check=True, capture_output=True)
    assert shown.stdout == b"b'ticket'\n"
    if defence == "an empty keyring":
        denied = {name: n for name, n in system_calls.DENIED.items() if "key" not in name}
        filter_without = system_calls.system_call_filter

        def weaker(*, network: bool) -> bytes:
            with monkeypatch.context() as inner:
                inner.setattr(system_calls, "DENIED", denied)
                return filter_without(network=network)

        monkeypatch.setattr(isolation, "system_call_filter", weaker)
    if defence == "the filter":
        launcher = isolation.LAUNCHER.read_text()
        changed = launcher.replace('leave_session_keyring(instructions["keyctl"])', "pass")
        assert changed != launcher
        (tmp_path / "launcher.py").write_text(changed)
        monkeypatch.setattr(isolation, "LAUNCHER", tmp_path / "launcher.py")
    assert run(level, folder, naive).output == "None\n"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "attempt",
    [
        "syscall(NUMBERS['add_key'], b'user', b'x', b'y', 1, -3)",
        "syscall(NUMBERS['ptrace'], 0, 0, 0, 0)",  # 0: let the parent trace this process
        "syscall(NUMBERS['process_vm_readv'], os.getpid(), 0, 0, 0, 0, 0)",
        "syscall(NUMBERS['bpf'], 0, 0, 0)",
        "syscall(NUMBERS['userfaultfd'], 1)",
        "syscall(NUMBERS['perf_event_open'], 0, 0, -1, -1, 0)",
        "syscall(NUMBERS['io_uring_setup'], 1, ctypes.create_string_buffer(120))",
        "syscall(NUMBERS['personality'], 0xffffffff)",
        "syscall(NUMBERS['shmget'], 0x5eed, 4096, 0)",
        "syscall(NUMBERS['sched_setaffinity'], 0, 8, ctypes.create_string_buffer(b'\\xff' * 8, 8))",
        "unshare(0x10000000)",  # a new user namespace
        "syscall(CLONE, 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0)",
    ],
)
def test_calls_that_no_coursework_needs_are_refused(
    level: Level, folder: Path, attempt: str
) -> None:
    which = list(system_calls.ARCHITECTURES).index(platform.machine())
    numbers = system_calls.numbers()
    program = f"""
        import ctypes, errno, os
        NUMBERS, CLONE = {numbers}, {system_calls.CLONE[which]}
        libc = ctypes.CDLL(None, use_errno=True)
        syscall, unshare = libc.syscall, libc.unshare
        print({attempt}, errno.errorcode.get(ctypes.get_errno()), flush=True)
    """
    words = [sys.executable, "-c", textwrap.dedent(program)]
    naive = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    if naive == "-1 EPERM\n":
        pytest.skip("this machine refuses the call to everybody")
    assert naive
    assert run(level, folder, program).output == "-1 EPERM\n"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "end",
    [
        "raise ValueError('MemoryError')",
        "raise MemoryError",
        "print('OSError: File too large'); sys.exit(1)",
        "print('No space left on device'); sys.exit(1)",
        "sys.exit(152)",
        "sys.exit(153)",
        "os.kill(os.getpid(), signal.SIGXCPU)",
        "os.kill(os.getpid(), signal.SIGXFSZ)",
        "open('sparse', 'wb').truncate(8 << 20); sys.exit(153)",
    ],
)
def test_what_a_command_says_of_its_end_is_no_verdict(level: Level, folder: Path, end: str) -> None:
    program = f"import os, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); {end}"
    assert run(level, folder, program).verdict is Verdict.RUNTIME_ERROR


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_outlives_a_grader_that_is_killed(level: Level, folder: Path) -> None:
    mark = uuid.uuid4().hex
    inner = "import os, sys, time; os.fork(); os.setsid(); print('up'); time.sleep(600)"
    program = f"""
        import sys
        from pathlib import Path
        from grader.sandbox.command import Command, Level, Limits
        from grader.sandbox.isolation import run
        words = (sys.executable, "-c", {inner!r}, "{mark}")
        run(Command(words, Path({str(folder)!r})), Limits(), Level("{level}"))
    """
    root = Path(__file__).resolve().parents[2]
    grader = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=root)
    wait_until(lambda: alive(mark))
    time.sleep(0.3)
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    wait_until(lambda: not alive(mark))


DAEMONS = """
    import os, signal, sys, time
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            for number in range(1, 65):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
            time.sleep(600)
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("level", SEALED)
def test_nothing_outlives_a_launcher_that_is_killed(level: Level, folder: Path) -> None:
    mark = uuid.uuid4().hex

    def kill_the_launcher() -> None:
        wait_until(lambda: len(alive(mark)) >= 4)
        for pid in launcher.descendants(os.getpid()):
            with contextlib.suppress(OSError):
                if b"launcher.py" in Path("/proc", str(pid), "cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_launcher)
    killer.start()
    with pytest.raises(SandboxError):
        run(level, folder, DAEMONS, mark)
    killer.join()
    wait_until(lambda: not alive(mark))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for user ids")
def test_the_next_grader_kills_what_a_killed_grader_left() -> None:
    with resources.reserved_user() as uid:
        pass
    program = "import sys, os; os.setresuid(*3 * [int(sys.argv[1])]); import time; time.sleep(600)"
    left = subprocess.Popen([sys.executable, "-c", program, str(uid)])
    wait_until(lambda: resources.processes_of(uid) == [left.pid])
    with resources.reserved_user() as other:
        assert other != uid  # it may be anybody's
    assert left.poll() is None
    (resources.private_folder() / f"user-{uid}").write_bytes(resources.IN_USE)
    with resources.reserved_user() as again:
        assert again == uid
    assert left.wait() == -signal.SIGKILL


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for user ids")
def test_a_user_id_that_somebody_has_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody = pwd.getpwall()[-1].pw_uid
    group = grp.getgrall()[-1].gr_gid
    ranges = tmp_path / "subuid"
    ranges.write_text("ada:52000:10\nnot a line\n")
    monkeypatch.setattr(resources, "SUBORDINATE", (str(ranges), "/nowhere"))
    monkeypatch.setattr(resources, "USERS", [somebody, group, 52_003, os.getuid(), 52_010])
    with resources.reserved_user() as uid:
        assert uid == 52_010


def test_locks_are_in_a_folder_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 51_998)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    planted = tmp_path / ".vae-grader-51998"
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    planted.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SandboxError, match="not a folder of this user"):
        resources.private_folder()
    planted.unlink()
    planted.mkdir(mode=0o755)
    with pytest.raises(SandboxError, match="closed to all others"):
        resources.private_folder()


def test_no_lock_is_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        resources.lock(tmp_path / "link", os.O_CREAT | os.O_RDWR)
    assert not (tmp_path / "target").exists()


def test_temporary_folders_of_dead_graders_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = tmp_path / "vae-grader-old"
    (old / "deep").mkdir(parents=True)
    os.utime(old, (0, 0))
    (tmp_path / "other").mkdir()
    (tmp_path / "vae-grader-link").symlink_to(tmp_path / "other")
    with temporary_folder() as first:
        os.utime(first, (0, 0))
        with temporary_folder() as second:
            kept = [tmp_path / "other", tmp_path / "vae-grader-link"]
            assert sorted(tmp_path.iterdir()) == sorted([first, second, *kept])
    assert sorted(tmp_path.iterdir()) == kept


def test_a_command_that_cannot_start_is_no_verdict_on_it(folder: Path) -> None:
    with pytest.raises(SandboxError, match="nowhere"):
        isolation.run(Command(("/nowhere",), folder), LIMITS, Level.TRUSTED)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a plain user")
@pytest.mark.skipif(
    Level.FULL not in LEVELS, reason="needs the level full: python -m grader doctor says how"
)
def test_the_unprivileged_level_holds_too(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    home = Path("/tmp", uuid.uuid4().hex)
    home.mkdir()
    shutil.chown(home, 51_999, 51_999)
    words = ["setpriv", "--reuid", "51999", "--regid", "51999", "--clear-groups"]
    words += [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)}
    run = subprocess.run(
        words,
        cwd=root,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    resources.remove(home)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "sandbox: unprivileged" in run.stdout
