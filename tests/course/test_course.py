"""Running the course: throw-away notebooks in real kernels."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from vidrec_utils import course, doctor, settings
from vidrec_utils.files import write_atomically
from vidrec_utils.notebooks import kernels

REPO = Path(__file__).resolve().parents[2]


def notebook(folder: Path, name: str, *cells: str) -> Path:
    """Write a notebook; cells that begin with `#` and a blank are text."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [
        nbformat.v4.new_markdown_cell(cell)
        if cell.startswith("# ")
        else nbformat.v4.new_code_cell(cell)
        for cell in cells
    ]
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def run(folder: Path, *arguments: str) -> tuple[int, Path]:
    output = folder.parent / "build"
    code = course.main(["--notebooks", str(folder), "--output", str(output), *arguments])
    return code, output


def command(folder: Path, output: Path) -> list[str]:
    """The same as a process of its own."""
    program = [sys.executable, "-m", "vidrec_utils.course"]
    return [*program, "--notebooks", str(folder), "--output", str(output)]


def outputs(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for cell in cells
        for output in cell.get("outputs", [])
    )


def files(folder: Path) -> set[str]:
    """All files but the kernels' own settings."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "kernels" not in path.parts
    }


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Two notebooks that run, their build folder, and what was printed."""
    folder = tmp_path_factory.mktemp("course") / "notebooks"
    notebook(
        folder,
        "01_second",
        "# Count, where $x^2$ is a formula",
        "import os, sys\nprint(os.getcwd(), sys.executable)",
        "print(*(os.environ.get(n) for n in ('HF_HUB_OFFLINE', 'IPYTHONDIR', 'MPLBACKEND')))",
    )
    notebook(
        folder,
        "00_first",
        "# Begin here\nand go on with [the second](01_second.ipynb#count), pay `$5 or $6`",
        "held = bytearray(200_000_000)",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    )
    notebook(folder, "draft", "# Not of the course", "raise SystemError")
    done = subprocess.run(
        command(folder, folder.parent / "build"),
        env=os.environ | {"MPLBACKEND": "Agg", "IPYTHONDIR": str(folder / "mine")},
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder, folder.parent / "build", done.stdout


def test_runs_in_order_with_a_line_for_each(good: tuple[Path, Path, str]) -> None:
    first, second, last = good[2].splitlines()
    assert first.startswith("[1/2] 00_first ")
    assert second.startswith("[2/2] 01_second ")
    assert first.endswith("2 cells")
    assert last.startswith("2 notebooks ran in ")


def test_measures_memory_and_time(good: tuple[Path, Path, str]) -> None:
    timings = json.loads((good[1] / "course.json").read_text("utf-8"))["notebooks"]
    first, second = timings
    assert (first["name"], first["title"], first["cells"]) == ("00_first", "Begin here", 2)
    assert 0 < first["seconds"] < 120
    # The first holds 200 MB that the second does not.
    assert first["peak_memory_mb"] > second["peak_memory_mb"] + 150 > 150


def test_a_lone_process_is_measured_without_going_through_its_pages(monkeypatch) -> None:
    def slow(process: psutil.Process) -> None:
        raise AssertionError("it went through all pages")

    monkeypatch.setattr(psutil.Process, "memory_full_info", slow)
    mine = psutil.Process()
    found = kernels._resident([mine])
    assert found == pytest.approx(mine.memory_info().rss, rel=0.1)


@pytest.mark.skipif(not psutil.LINUX, reason="Only Linux tells what processes share.")
def test_pages_that_processes_share_are_counted_once() -> None:
    code = """
import os, signal, sys
held = bytearray(os.urandom(1)) * 200_000_000
if os.fork():
    print("ready", flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout.readline() == b"ready\n"
            family = kernels._family(parent.pid)
            assert len(family) == 2
            assert 200e6 < kernels._resident(family) < 300e6
        finally:
            kernels.end_family(parent.pid)


def test_looking_leaves_the_time_to_the_notebook(monkeypatch) -> None:
    watch, pauses = kernels.Watch(interval_s=0.1), []
    clock = iter([10.0, 10.001, 20.0, 20.05])  # looks take 1 and 50 milliseconds

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) == 3

    monkeypatch.setattr(kernels.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(watch._stopped, "wait", wait)
    watch.run()
    assert pauses == pytest.approx([0.1, 0.1, 49 * 0.05])


def test_writes_executed_copies_and_leaves_the_source_alone(good: tuple[Path, Path, str]) -> None:
    folder, build, _ = good
    executed = nbformat.read(build / "notebooks" / "00_first.ipynb", as_version=4)
    assert "image/png" in str(executed.cells[2].outputs)
    assert all("execution" not in cell.metadata for cell in executed.cells)
    assert outputs(folder / "00_first.ipynb") == ""


def test_kernel_is_ours_and_sees_no_settings_of_the_user(good: tuple[Path, Path, str]) -> None:
    folder, build, _ = good
    where, what = outputs(build / "notebooks" / "01_second.ipynb").splitlines()
    assert where == f"{folder} {sys.executable}"
    offline, ipython, backend = what.split()
    assert offline == "1"
    assert Path(ipython).is_relative_to(build)
    assert backend == "module://matplotlib_inline.backend_inline"


def test_reading_copies_hold_no_progress_bars() -> None:
    bar = nbformat.v4.new_output(
        "stream", name="stderr", text="files:  50%|#####     | 1/2 [00:01]\r"
    )
    printed = nbformat.v4.new_output("stream", name="stdout", text="Two files were read.\n")
    cell = nbformat.v4.new_code_cell("read()", outputs=[bar, printed])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Read"), cell])
    page = course.pages.reading_copy(notebook, "00_read", set())
    assert "Two files were read." in page
    assert "1/2 [00:01]" not in page
    assert len(notebook.cells[1].outputs) == 2


def test_reading_copies_need_no_network(good: tuple[Path, Path, str]) -> None:
    build = good[1]
    first = (build / "html" / "00_first.html").read_text("utf-8")
    assert "<script src" not in first
    assert "cdnjs" not in first
    assert 'href="01_second.html#count"' in first
    assert "data:image/png;base64," in first
    second = (build / "html" / "01_second.html").read_text("utf-8")
    assert "mathjax" not in second.lower()
    assert "<math " in second
    index = (build / "html" / "index.html").read_text("utf-8")
    assert index.index('href="00_first.html">Begin here') < index.index('href="01_second.html"')
    assert files(build) == {
        "course.json",
        "html/00_first.html",
        "html/01_second.html",
        "html/index.html",
        "notebooks/00_first.ipynb",
        "notebooks/01_second.ipynb",
    }


def test_stops_at_the_failing_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "notebooks"
    notebook(folder, "00_bad", "# Bad", "y = 3", "answer = 41\nraise ValueError('off by one')")
    notebook(folder, "01_fine", "# Fine", "x = 1")
    stale = tmp_path / "build" / "html" / "00_bad.html"
    write_atomically(stale, "of an earlier run")
    code, build = run(folder)
    printed = capsys.readouterr().err
    assert code == 1
    assert "00_bad failed in cell 3" in printed
    assert "answer = 41\nraise ValueError('off by one')" in printed
    assert "----> 2 raise ValueError" in printed
    assert "\x1b[" not in printed
    assert files(build) == set()


def test_two_at_once_see_one_thread_each_and_overlap(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    meet = (
        "import os, pathlib, time\nend = time.monotonic() + 60\npathlib.Path({0!r}).touch()\n"
        "while not pathlib.Path({1!r}).exists() and time.monotonic() < end: time.sleep(0.05)\n"
        "print(pathlib.Path({1!r}).exists(), os.environ['OMP_NUM_THREADS'])"
    )
    notebook(folder, "00_one", "# One, 0.1 GB", meet.format("one", "two"))
    notebook(folder, "01_two", "# Two, 0.1 GB", meet.format("two", "one"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VIDREC_THREADS", "2")
        patched.delenv("OMP_NUM_THREADS", raising=False)
        code, build = run(folder, "--no-html", "--jobs", "2")
    assert code == 0
    for name in ("00_one", "01_two"):
        assert outputs(build / "notebooks" / f"{name}.ipynb").split() == ["True", "1"]


def test_what_comes_after_a_failure_is_ended_and_leaves_nothing(tmp_path, capsys) -> None:
    folder = tmp_path / "notebooks"
    notebook(folder, "00_fine", "# Fine, 0.1 GB", "x = 1")
    notebook(folder, "01_bad", "# Bad, 0.1 GB", "raise ValueError")
    notebook(folder, "02_long", "# Long, 0.1 GB", "import time; time.sleep(300)")
    began = time.monotonic()
    code, build = run(folder, "--no-html", "-j", "3")
    assert code == 1
    assert time.monotonic() - began < 100
    assert "1 of 3 notebooks ran; failed: 01_bad." in capsys.readouterr().err
    assert files(build) == {"course.json", "notebooks/00_fine.ipynb"}
    assert [p for p in psutil.Process().children(recursive=True) if "ipykernel" in p.name()] == []


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_jobs_is_refused(tmp_path, capsys, text: str) -> None:
    with pytest.raises(SystemExit):
        course.main(["--jobs", text])
    assert "whole number from 1 up" in capsys.readouterr().err


def test_keeps_going_if_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "notebooks"
    bad = notebook(folder, "00_bad", "# Bad", "raise ValueError")
    made = nbformat.read(bad, as_version=4)
    made.cells[1].metadata.tags = ["raises-exception"]  # a tag is no excuse
    nbformat.write(made, bad)
    notebook(folder, "01_hang", "# Hang", "import time\ntime.sleep(60)")
    notebook(folder, "02_dead", "# Dead", "import os\nos.write(2, b'last words')\nos._exit(3)")
    notebook(folder, "03_fine", "# Fine", "x = 1")
    code, build = run(folder, "--keep-going", "--no-html", "--cell-timeout", "3")
    printed = capsys.readouterr()
    assert code == 1
    assert "The cell had not ended after 3 seconds." in printed.err
    assert "The kernel died" in printed.err
    assert "1 of 4 notebooks ran; failed: 00_bad, 01_hang, 02_dead." in printed.err
    assert files(build) == {"course.json", "notebooks/03_fine.ipynb"}


def test_warnings_of_our_package_are_errors(tmp_path: Path) -> None:
    emit = "import warnings\ndef old(kind): warnings.warn('going away', kind)"
    path = notebook(
        tmp_path / "notebooks",
        "00_warn",
        "# Warn",
        f"import types\nours = types.ModuleType('vidrec_utils.x')\nexec({emit!r}, vars(ours))\n"
        f"other = types.ModuleType('vidrec_utilsy')\nexec({emit!r}, vars(other))",
        "other.old(FutureWarning)\nours.old(UserWarning)",
        "for kind in (FutureWarning, DeprecationWarning):\n"
        "    try:\n        ours.old(kind)\n"
        "    except kind as error:\n        print('caught', error)",
    )
    executed, _ = course.execute(path, course.environment(tmp_path / "build"))
    assert executed.cells[3].outputs[0].text == "caught going away\n" * 2


def test_bars_without_widgets_do_not_greet_with_a_warning(tmp_path: Path) -> None:
    path = notebook(
        tmp_path / "notebooks", "00_bar", "# Bar", "import vidrec_utils\nimport tqdm.auto"
    )
    executed, _ = course.execute(path, course.environment(tmp_path / "build"))
    assert executed.cells[1].outputs == []


def links(page: Path) -> list[str]:
    return re.findall(r'href="(\d\d_[^"]+)"', page.read_text("utf-8"))


def test_run_of_some_keeps_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "notebooks"
    notebook(folder, "00_first", "# First\n[on](01_second.ipynb#x), [later](02_third.ipynb)", "1")
    notebook(folder, "01_second", "# Second\n[back](00_first.ipynb) `01_second.ipynb`", "2\n")
    notebook(folder, "02_third", "# Third", "3")
    monkeypatch.setenv("VIDREC_PROFILE", "large")
    code, build = run(folder, "00")
    html = build / "html"
    assert code == 0
    assert links(html / "00_first.html") == ["01_second.ipynb#x", "02_third.ipynb"]
    assert links(html / "index.html") == ["00_first.html"]
    monkeypatch.setenv("VIDREC_PROFILE", "small")
    run(folder, "01")
    assert links(html / "00_first.html") == ["01_second.html#x", "02_third.ipynb"]
    assert links(html / "01_second.html") == ["00_first.html"]
    assert "01_second.ipynb<" in (html / "01_second.html").read_text("utf-8")
    assert links(html / "index.html") == ["00_first.html", "01_second.html"]
    report = json.loads((build / "course.json").read_text("utf-8"))
    assert [entry["name"] for entry in report["notebooks"]] == ["00_first", "01_second"]
    # What was measured under other circumstances says so.
    assert report["machine"]["profile"] == "small"
    assert report["notebooks"][0]["machine"]["profile"] == "large"
    assert "machine" not in report["notebooks"][1]
    # One that fails afterwards loses its copies and its place, and nothing links to it.
    notebook(folder, "01_second", "# Second", "raise ValueError")
    assert run(folder, "01")[0] == 1
    assert links(html / "00_first.html") == ["01_second.ipynb#x", "02_third.ipynb"]
    assert links(html / "index.html") == ["00_first.html"]
    (entry,) = json.loads((build / "course.json").read_text("utf-8"))["notebooks"]
    assert entry["name"] == "00_first"


def test_unreadable_report_is_written_anew(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    notebook(folder, "00_first", "# First", "1")
    write_atomically(tmp_path / "build" / "course.json", '{"notebooks": [{"name": 3}]}')
    code, build = run(folder, "--no-html")
    assert code == 0
    (entry,) = json.loads((build / "course.json").read_text("utf-8"))["notebooks"]
    assert entry["name"] == "00_first"
    assert files(build) == {"course.json", "notebooks/00_first.ipynb"}


_LOOPBACK = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        with socket.socket() as ours:
            ours.connect((host, port))
            server.accept()[0].close()
print(socket.getaddrinfo("192.0.2.1", 80)[0][4], sorted(n for n in dir() if "network" in n))
"""

_NETWORK = """
import socket, urllib.request
def datagram(ours): ours.sendto(b"x", ("192.0.2.1", 9))
def attempt(what):
    try:
        what()
    except OSError as error:
        print("course runs without a network" in str(error), end=" ")
attempt(lambda: socket.create_connection(("192.0.2.1", 80), timeout=5))
attempt(lambda: socket.socket().connect_ex(("192.0.2.1", 80)))
attempt(lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80)))
attempt(lambda: datagram(socket.socket(type=socket.SOCK_DGRAM)))
attempt(lambda: socket.getaddrinfo(b"example.org", 80))
attempt(lambda: socket.gethostbyname("example.org"))
attempt(lambda: urllib.request.urlopen("http://example.org", timeout=5))
"""


def test_loopback_is_allowed_and_the_network_refused(tmp_path: Path) -> None:
    path = notebook(tmp_path / "notebooks", "00_net", "# Net", _LOOPBACK, _NETWORK)
    executed, _ = course.execute(path, course.environment(tmp_path / "build"))
    assert executed.cells[1].outputs[0].text == "('192.0.2.1', 80) []\n"
    assert executed.cells[2].outputs[0].text == "True " * 7


_CONNECT = "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=2)"


def test_notebook_that_needs_the_network_fails_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "notebooks"
    notebook(folder, "00_net", "# Net", _CONNECT)
    code, _ = run(folder)
    assert code == 1
    assert "This notebook asks the network for 192.0.2.1." in capsys.readouterr().err


def test_network_is_allowed_when_asked_for(tmp_path: Path) -> None:
    tried = _CONNECT.replace("import socket\n", "import socket\ntry:\n    ") + (
        "\nexcept PermissionError as error:\n    print(error)\nexcept OSError:\n    pass"
    )
    path = notebook(tmp_path / "notebooks", "00_net", "# Net", tried)
    given = os.environ | {"HF_HUB_OFFLINE": "0"}
    executed, _ = course.execute(path, course.environment(tmp_path / "build", given))
    assert "This notebook asks" not in str(executed.cells[1].outputs)


def test_kernels_of_the_tests_refuse_the_network_too(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_nothing.py").write_text("def test(): pass\n", "utf-8")
    notebook(tmp_path / "notebooks", "00_net", "# Net", _CONNECT)
    program = (
        "import subprocess, sys; from pathlib import Path\n"
        "from vidrec_utils.course import command\n"
        "first = command.subprocess.run\n"
        "def skip_the_world(call, **options):\n"
        "    if 'vidrec_utils.minitube' in call:\n"
        "        call = [sys.executable, '-c', '']\n"
        "    return first(call, **options)\n"
        "command.subprocess.run = skip_the_world\n"
        f"here = Path({str(tmp_path)!r})\n"
        "sys.exit(command.run_tests(here / 'notebooks', here / 'build', workers=1))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "This notebook asks the network for 192.0.2.1." in done.stdout
    assert "1 failed, 1 passed" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize("wait_s", [0.0, 0.1, 0.3])
def test_interruption_while_a_kernel_starts_leaves_none(tmp_path: Path, wait_s: float) -> None:
    notebook(tmp_path / "notebooks", "00_long", "# Wait", "import time; time.sleep(90)")
    running = subprocess.Popen(
        command(tmp_path / "notebooks", tmp_path / "build"),
        cwd=REPO,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process, family, end = psutil.Process(running.pid), [], time.monotonic() + 60
    while not family and time.monotonic() < end:
        family = process.children(recursive=True)
    time.sleep(wait_s)
    running.send_signal(signal.SIGINT)
    assert "Interrupted" in running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert family
    assert psutil.wait_procs(family, timeout=10)[1] == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("count", [1, 2])
def test_interruption_ends_the_kernels(tmp_path: Path, number: int, count: int) -> None:
    folder = tmp_path / "notebooks"
    child = "import subprocess, sys, time, pathlib"
    for k in range(count):
        notebook(
            folder,
            f"{k:02d}_long",
            "# Wait, in 0.1 GB",
            f"{child}\np = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(90)'])"
            f"\npathlib.Path('started-{k}').touch()\ntime.sleep(90)",
        )
    running = subprocess.Popen(
        command(folder, tmp_path / "build"),
        cwd=REPO,
        env={**os.environ, "PYTHONFAULTHANDLER": "1", "VIDREC_THREADS": "2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # As in a terminal: a job that a script started in the background inherits a deaf ear.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 60
    while len(list(folder.glob("started-*"))) < count and time.monotonic() < end:
        time.sleep(0.1)
    family = psutil.Process(running.pid).children(recursive=True)
    assert len(family) >= 2 * count
    running.send_signal(number)
    try:
        printed = running.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGABRT)  # faulthandler then tells where each thread stands
        pytest.fail(running.communicate()[1])
    assert running.returncode == 130
    assert "Interrupted" in printed
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert files(tmp_path / "build") == set()


def test_finds_notebooks_by_beginning_name_and_path(tmp_path: Path) -> None:
    one, two = (notebook(tmp_path, name, "# T") for name in ("00_tour", "01_clean"))
    assert course.find(tmp_path) == [one, two]
    assert course.find(tmp_path, ["01", "00_tour"]) == [one, two]
    assert course.find(tmp_path, [str(two)]) == [two]
    with pytest.raises(FileNotFoundError, match="there are: 00_tour, 01_clean"):
        course.find(tmp_path, ["7"])


def test_no_notebook_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert course.main(["--notebooks", str(tmp_path)]) == 2
    assert "There is no notebook" in capsys.readouterr().err


READ_ONLY = {"linux": "/proc/new", "darwin": "/System/new"}
"""Folders that nobody, not even an administrator, can make."""


@pytest.mark.parametrize("arguments", [[], ["--test"]])
def test_copies_that_cannot_be_written_are_said_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch, arguments: list[str]
) -> None:
    folder = tmp_path / "notebooks"
    notebook(folder, "00_first", "raise SystemError")
    (tmp_path / "file").touch()
    outputs = [str(tmp_path / "file" / "build"), READ_ONLY.get(sys.platform)]
    for output in filter(None, outputs):
        given = ["--notebooks", str(folder), "--output", output, *arguments]
        assert course.main(given) == 2
        printed = capsys.readouterr().err
        assert printed.startswith(f"The course cannot write its copies to {output}: ")
        assert printed.endswith("Name another folder: --output FOLDER.\n")
        assert printed.count("\n") == 1
        # The doctor says the same, for the same reason.
        monkeypatch.setattr(settings, "build_dir", lambda output=output: Path(output))
        (copies,) = [finding for finding in doctor.check_room() if finding.name == "copies"]
        assert copies.status == doctor.MISSING
        assert "--output FOLDER" in copies.remedy
        reason = copies.detail.partition(": ")[2]
        assert reason
        assert reason in printed
        assert not Path(output).exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file.")
def test_a_disk_that_becomes_full_is_said_in_a_sentence(tmp_path: Path) -> None:
    folder, output = tmp_path / "notebooks", tmp_path / "build"
    notebook(folder, "00_first", "# Begin", "print('hello')")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); "
    program = (
        f"import sys; {limit}from vidrec_utils.course import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command(folder, output)[3:]],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    page = output / "html" / "00_first.html"
    assert f"The course stopped: [Errno 27] File too large: '{page}'. Free some" in done.stderr
    assert "Traceback" not in done.stderr
    assert files(output) == {"notebooks/00_first.ipynb"}


def test_relative_folders_mean_the_same_in_notebooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    given = {"VIDREC_DATASET": "mine", "VIDREC_DATA": "data", "HF_HUB_OFFLINE": "0"}
    env = course.environment(tmp_path / "build", given)
    assert env["VIDREC_DATASET"] == str(tmp_path.resolve() / "mine")
    assert env["VIDREC_DATA"] == str(tmp_path.resolve() / "data")
    assert env["HF_HUB_OFFLINE"] == "0"
    assert "MPLBACKEND" not in env
    named = course.environment(tmp_path / "build", {"VIDREC_DATASET": "minitube"})
    assert named["VIDREC_DATASET"] == "minitube"
