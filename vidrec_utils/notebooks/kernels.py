"""Run one notebook in a fresh kernel that sees nothing of the user's own settings."""

from __future__ import annotations

import atexit
import os
import re
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipykernel.kernelspec
import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets import Instance
from traitlets.config import Config

from vidrec_utils.cache import LOG_VARIABLE, Lookup, read_log
from vidrec_utils.files import draft_folder, write_atomically
from vidrec_utils.notebooks.reading import read_node

CELL_TIMEOUT_S = 600
"""Seconds after which a cell counts as hung: several times what the slowest machine needs."""

_STARTUP = '''"""Run in every kernel of the course before the notebook's first cell."""
import os
import warnings

# Figures belong into the notebook, whatever backend the surrounding process uses.
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
for category in (FutureWarning, DeprecationWarning):
    warnings.filterwarnings("error", category=category, module=r"vidrec_utils(\\.|$)")


def _refuse_the_network():
    import ipaddress
    import socket
    import sys

    # The kernel itself talks over the loopback address.
    local_names = {"", "localhost", "ip6-localhost", socket.gethostname().lower()}
    families = (socket.AF_INET, socket.AF_INET6)
    looks_up = {"socket.getaddrinfo", "socket.gethostbyname"}
    sends = {"socket.connect", "socket.sendto", "socket.sendmsg"}

    def refuse(host):
        raise PermissionError(
            f"This notebook asks the network for {host}. The course runs without a network: put "
            "what it needs into the data folder first (HF_HUB_OFFLINE=0 in the environment lifts "
            "this)."
        )

    def watch(event, arguments):
        if event in looks_up:
            host, is_address_fine = arguments[0], True
        elif event in sends:
            which, address = arguments[:2]
            if which.family not in families or not isinstance(address, tuple):
                return
            host, is_address_fine = address[0], False
        else:
            return
        if host is None:
            return
        name = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
        name = str(name).lower().rstrip(".")
        if name in local_names or name.endswith(".localhost"):
            return
        try:
            number = ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            refuse(name)
        number = getattr(number, "ipv4_mapped", None) or number
        # Taking a number apart asks nobody; only the connection does.
        if not (is_address_fine or number.is_loopback or number.is_unspecified):
            refuse(name)

    sys.addaudithook(watch)


if os.environ.get("HF_HUB_OFFLINE", "1").lower() not in ("0", "false", "no", "off"):
    _refuse_the_network()
del _refuse_the_network, category, os, warnings
'''


_KERNEL_SETTINGS = """c = get_config()  # noqa: F821
c.HistoryManager.enabled = False  # several kernels at once would share one database
c.IPKernelApp.log_level = 40  # errors; that messages go over the loopback unencrypted is known
"""


@dataclass(frozen=True)
class CellCost:
    """What one code cell took.

    Attributes
    ----------
    number : int
        Position among the code cells that were run, from 1.
    source : str
        The cell's text.
    seconds : float
        Wall time.
    processor_seconds : float
        Processor time of the kernel and its child processes. It counts children that ended
        without being waited for up to the last look at them, so it can be a little too small.
    peak_memory_mb : float
        Highest memory seen while the cell ran, in 10^6 bytes.
    lookups : tuple of Lookup
        What the cell asked the caches for.
    """

    number: int
    source: str
    seconds: float
    processor_seconds: float
    peak_memory_mb: float
    lookups: tuple[Lookup, ...] = ()


@dataclass(frozen=True)
class Run:
    """What one executed notebook took.

    Attributes
    ----------
    name : str
        File name without its suffix, such as `"00_tour"`.
    title : str
        First heading of the notebook.
    seconds : float
        Wall time, starting the kernel included.
    peak_memory_mb : float
        Highest memory of the kernel and its child processes together, in 10^6 bytes. On Linux pages
        that they share are counted once; elsewhere, once for each.
    cells : int
        Number of code cells that were run.
    processor_seconds : float
        Processor time of the kernel and its child processes, starting the kernel included.
    costs : tuple of CellCost
        The same for each code cell that was run.
    """

    name: str
    title: str
    seconds: float
    peak_memory_mb: float
    cells: int
    processor_seconds: float = 0.0
    costs: tuple[CellCost, ...] = ()


class NotebookFailed(RuntimeError):
    """A notebook did not run to its end.

    Parameters
    ----------
    name : str
        The notebook.
    cell_index : int or None
        Position among all cells, from 0; None if the kernel failed before the first.
    source : str
        The text of that cell.
    reason : str
        The traceback, or a sentence; it may hold terminal colours.
    """

    def __init__(self, name: str, cell_index: int | None, source: str, reason: str) -> None:
        self.name = name
        self.cell_index = cell_index
        self.source = source
        self.reason = reason
        where = "before its first cell" if cell_index is None else f"in cell {cell_index + 1}"
        rule = "-" * 80
        text = f"{rule}\n{source.rstrip()}\n{rule}\n" if cell_index is not None else ""
        super().__init__(f"{name} failed {where}\n{text}{reason.rstrip()}")


class Stopped(Exception):
    """A notebook was ended from outside before it came to its end."""


class Watch(threading.Thread):
    """Follows the memory of a process and its children until it is stopped.

    Parameters
    ----------
    interval_s : float
        Seconds between two looks, at least: looking takes no more than a fiftieth of the time. A
        peak that is shorter than that can be missed.
    """

    def __init__(self, interval_s: float = 0.1) -> None:
        super().__init__(daemon=True)
        self.pid: int | None = None
        self.peak_bytes = 0
        self._since_bytes = 0
        self._interval_s = interval_s
        self._stopped = threading.Event()

    def run(self) -> None:
        """Look again and again."""
        pause = self._interval_s
        while not self._stopped.wait(pause):
            began = time.perf_counter()
            self.look()
            pause = max(self._interval_s, 49 * (time.perf_counter() - began))

    def look(self) -> None:
        """Take one measurement of the process and all its descendants."""
        if self.pid is not None:
            seen = _resident(_family(self.pid))
            self.peak_bytes = max(self.peak_bytes, seen)
            self._since_bytes = max(self._since_bytes, seen)

    def peak_since(self) -> int:
        """The highest memory in bytes since the last call of this method; looks once more."""
        self.look()
        peak, self._since_bytes = self._since_bytes, 0
        return peak

    def processor_seconds(self) -> float:
        """Processor time that the process and all its descendants have taken so far."""
        return _processor_seconds(_family(self.pid)) if self.pid is not None else 0.0

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self.join()


class _OwnKernelSpecs(KernelSpecManager):
    """Knows one kernel: this interpreter's, whatever is registered on the machine."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The kernel of the running Python; the name does not matter."""
        return KernelSpec(
            resource_dir=ipykernel.kernelspec.RESOURCES, **ipykernel.kernelspec.get_kernel_dict()
        )


class _OwnKernelManager(AsyncKernelManager):
    """Starts kernels of the running Python."""

    kernel_spec_manager = Instance(_OwnKernelSpecs, args=())


def _family(pid: int) -> list[psutil.Process]:
    """A process and its descendants; empty if it has ended."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _resident(family: list[psutil.Process]) -> int:
    """Bytes in memory of some processes together."""
    # Of several processes, count the proportional share of each page, which only Linux reports.
    # That walks through all of their pages and takes long, so it is spared for a single one.
    in_shares = psutil.LINUX and len(family) > 1
    total = 0
    for process in family:
        with suppress(psutil.Error):  # it may have ended
            memory = process.memory_full_info() if in_shares else process.memory_info()
            total += getattr(memory, "pss", memory.rss)
    return total


def _processor_seconds(family: list[psutil.Process]) -> float:
    """Processor time of some processes, and of their children that have ended."""
    total = 0.0
    for process in family:
        with suppress(psutil.Error):  # it may have ended
            times = process.cpu_times()
            total += times.user + times.system
            total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def _pid(client: NotebookClient) -> int | None:
    """Return the process of a client's kernel, also while it starts; None if there is none."""
    return getattr(getattr(client.km, "provisioner", None), "pid", None)


_ALLOCATION = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**28),
    "MALLOC_ARENA_MAX": "1",
}
"""How the C library of Linux hands out memory (glibc, "Malloc Tunable Parameters"). By default each
tensor of a network's pass gets new pages, which the system has to clear, and gives them back: up to
a third of the processor time of an encoder. Other C libraries do not read these variables."""


def end_family(pid: int | None) -> None:
    """End a process, such as a kernel, and everything that it started."""
    for process in reversed(_family(pid) if pid is not None else []):
        with suppress(psutil.Error):
            process.kill()


def environment(output: Path, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables under which kernels run the same on every machine.

    Parameters
    ----------
    output : Path
        The build folder. Jupyter's, IPython's and Matplotlib's own folders are put below it.
    base : mapping of str to str, optional
        The environment to begin with (default: this process's).

    Returns
    -------
    dict of str to str
        A new mapping. `HF_HUB_OFFLINE` and `TRANSFORMERS_OFFLINE` are 1 unless they were set.
        Kernels refuse every connection but those to this machine itself, unless `HF_HUB_OFFLINE`
        was set to 0. Programs that a notebook starts are not watched.
        A relative path in `VIDREC_DATASET` or `VIDREC_DATA` becomes absolute, because notebooks
        run in their own folder. On Linux, memory that is freed is kept for what comes next.
    """
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    env = offline | _ALLOCATION | dict(os.environ if base is None else base)
    home = output.resolve() / "kernels"
    profile = home / "ipython" / "profile_default"
    write_atomically(profile / "startup" / "00-course.py", _STARTUP)
    write_atomically(profile / "ipython_kernel_config.py", _KERNEL_SETTINGS)
    for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "MPLBACKEND", "MATPLOTLIBRC"):
        env.pop(name, None)
    env |= {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    for name in ("VIDREC_DATASET", "VIDREC_DATA"):
        value = env.get(name)
        if value and (name == "VIDREC_DATA" or Path(value).expanduser().is_dir()):
            env[name] = str(Path(value).expanduser().resolve())
    return env


def execute(
    path: Path,
    env: Mapping[str, str],
    cell_timeout_s: float = CELL_TIMEOUT_S,
    on_cell: Any = None,
    stop: threading.Event | None = None,
) -> tuple[nbformat.NotebookNode, Run]:
    """Run one notebook in a fresh kernel, with its own folder as the current one.

    The kernel lives in this interpreter's environment whatever the notebook's metadata name.
    Being interrupted ends the kernel and all its children before the interruption goes on.

    Parameters
    ----------
    path : Path
        The notebook. The file itself is not changed.
    env : mapping of str to str
        The kernel's environment variables, see `environment`.
    cell_timeout_s : float
        Seconds after which a cell has failed.
    on_cell : callable, optional
        Called with (number of the code cell from 1, number of code cells) before each.
    stop : threading.Event, optional
        Once it is set, the kernel and all its children are ended.

    Returns
    -------
    notebook : NotebookNode
        With the new outputs and without any execution times.
    run : Run

    Raises
    ------
    NotebookFailed
        If the file is no notebook, a cell raises, hangs, or the kernel dies. A tag that allows
        errors does not count.
    Stopped
        If `stop` was set.
    """
    try:
        notebook = read_node(path)
    except ValueError as error:
        raise NotebookFailed(path.stem, None, "", str(error)) from error
    total = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    watch = Watch()
    done = 0
    current: int | None = None
    costs: list[CellCost] = []
    started_with = 0.0  # processor seconds before the first cell
    begun: tuple[float, float] = (0.0, 0.0)
    read = 0  # bytes of the record of the caches that belong to earlier cells

    def started(**_: Any) -> None:
        watch.pid = client.km.provisioner.pid
        connection.unlink(missing_ok=True)  # both sides have read it, and it holds the key

    def before(cell: nbformat.NotebookNode, cell_index: int) -> None:
        nonlocal done, current, begun, started_with
        done, current = done + 1, cell_index
        if on_cell is not None:
            on_cell(done, total)
        watch.peak_since()
        if done == 1:
            started_with = watch.processor_seconds()
        begun = time.monotonic(), watch.processor_seconds()

    def after(cell: nbformat.NotebookNode, **_: Any) -> None:
        nonlocal read
        wall, processor = time.monotonic() - begun[0], watch.processor_seconds() - begun[1]
        lookups, read = read_log(record, read)
        peak = round(watch.peak_since() / 1e6)
        costs.append(
            CellCost(done, cell.source, round(wall, 2), round(processor, 2), peak, tuple(lookups))
        )

    def fail(reason: str) -> NotebookFailed:
        source = "" if current is None else notebook.cells[current].source
        return NotebookFailed(path.stem, current, source, reason)

    begin = time.monotonic()
    # The connection file holds the kernel's key; what a killed course left of it is swept here.
    runtime = Path(env.get("JUPYTER_RUNTIME_DIR") or tempfile.gettempdir())
    # What the kernel process says outside of cells (libraries grumbling at its end) is shown only
    # when it explains a failure.
    with draft_folder(runtime / "kernel") as draft, tempfile.TemporaryFile() as log:
        connection, record = draft / "connection.json", draft / "lookups.jsonl"
        client = NotebookClient(
            notebook,
            timeout=cell_timeout_s,
            config=Config({"KernelManager": {"connection_file": str(connection)}}),
            kernel_manager_class=_OwnKernelManager,
            force_raise_errors=True,
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
            on_notebook_start=started,
            on_cell_execute=before,
            on_cell_executed=after,
        )
        watch.start()
        try:
            _in_thread(
                lambda: client.execute(
                    env={**env, LOG_VARIABLE: str(record)}, stdout=log, stderr=log
                ),
                on_interrupt=lambda: end_family(watch.pid or _pid(client)),
                stop=stop,
            )
        except CellTimeoutError as error:
            raise fail(f"The cell had not ended after {cell_timeout_s:g} seconds.") from error
        except CellExecutionError as error:
            outputs = [] if current is None else notebook.cells[current].outputs
            traceback = [line for output in outputs for line in output.get("traceback", [])]
            raise fail("\n".join(traceback) or str(error)) from error
        except DeadKernelError as error:
            raise fail(
                f"The kernel died; too little memory is the usual reason.\n{_tail(log)}"
            ) from error
        except RuntimeError as error:
            # nbclient left a last clean-up for the interpreter's end, of what is cleaned up by now.
            atexit.unregister(client._cleanup_kernel)
            raise fail(
                f"No kernel to talk to: {error}. Notebooks need the loopback address 127.0.0.1 (no "
                f"other), and a working environment: see the doctor.\n{_tail(log)}"
            ) from error
        finally:
            watch.stop()
    seconds = time.monotonic() - begin
    run = Run(
        path.stem,
        title(notebook),
        round(seconds, 1),
        round(watch.peak_bytes / 1e6),
        done,
        round(started_with + sum(cost.processor_seconds for cost in costs), 1),
        tuple(costs),
    )
    return notebook, run


def _tail(log: Any, lines: int = 20) -> str:
    """The last lines of an open binary file."""
    log.seek(0)
    return "\n".join(log.read().decode("utf-8", errors="replace").splitlines()[-lines:])


def _in_thread(work: Any, on_interrupt: Any, stop: threading.Event | None = None) -> None:
    """Call `work` in a thread and wait, so that Ctrl-C arrives here and not in the middle of it.

    Parameters
    ----------
    work : callable
        Its exception is raised here.
    on_interrupt : callable
        Called when the waiting is interrupted, again and again until `work` has come to its end:
        what it is to end may only be starting.
    stop : threading.Event, optional
        Setting it interrupts the waiting, too.

    Raises
    ------
    Stopped
        If `stop` was set.
    """
    errors: list[BaseException] = []
    # Not `join`: one that is interrupted takes the thread for ended (Python 3.11 and 3.12).
    ended = threading.Event()

    def call() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    threading.Thread(target=call, daemon=True).start()
    try:
        while not ended.wait(0.2):
            if stop is not None and stop.is_set():
                raise Stopped
    except BaseException:
        end = time.monotonic() + 20
        while not ended.is_set() and time.monotonic() < end:
            on_interrupt()
            ended.wait(0.2)
        raise
    if errors:
        raise errors[0]


def title(notebook: nbformat.NotebookNode) -> str:
    """The first heading of a notebook, or an empty string."""
    for cell in notebook.cells:
        heading = re.search(r"^#+\s+(.+)$", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and heading:
            return heading[1].strip()
    return ""
