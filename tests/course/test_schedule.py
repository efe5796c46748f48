"""Several notebooks at once: order of the results, memory, failures, interruption."""

import threading
import time
from pathlib import Path

import nbformat
import pytest

from vidrec_utils.course import schedule

NAMES = [Path(name) for name in ("a", "b", "c", "d")]


def card(folder: Path, *texts: str) -> Path:
    path = folder / "00_card.ipynb"
    cells = [nbformat.v4.new_markdown_cell(text) for text in texts]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["# T\n**Takes.** About 1 minute and 2 GB of memory; the CPU is enough."], 2.0),
        (["# T", "**Takes.** 1.4 GB of memory, 3 GB of disk"], 1.4),
        (["# T", "Nothing", "12 GB far below"], schedule.UNSTATED_GB),
        (["# T\nof the GBM kind"], schedule.UNSTATED_GB),
    ],
)
def test_the_card_tells_the_memory(tmp_path: Path, texts: list[str], told: float) -> None:
    assert schedule.stated_memory_gb(card(tmp_path, *texts)) == told


def test_a_file_that_is_no_notebook_counts_as_untold(tmp_path: Path) -> None:
    broken = tmp_path / "00_broken.ipynb"
    broken.write_text("{", encoding="utf-8")
    assert schedule.stated_memory_gb(broken) == schedule.UNSTATED_GB
    assert schedule.stated_memory_gb(tmp_path / "absent.ipynb") == schedule.UNSTATED_GB


def test_every_notebook_of_the_course_tells_its_memory(monkeypatch) -> None:
    monkeypatch.setattr(schedule, "UNSTATED_GB", float("inf"))
    folder = Path(__file__).resolve().parents[2] / "notebooks"
    stated = {path.stem: schedule.stated_memory_gb(path) for path in folder.glob("[0-9]*.ipynb")}
    assert len(stated) >= 10
    assert not [name for name, gb in stated.items() if gb > 8]


class Recorder:
    """Work that notes who runs beside whom; the first waits until the second has ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gb: dict[str, float]) -> None:
        monkeypatch.setattr(schedule, "stated_memory_gb", lambda path: gb[path.name])
        self.gb = gb
        self.lock = threading.Lock()
        self.running: list[str] = []
        self.began: list[str] = []
        self.most_gb = self.most = 0.0

    def __call__(self, path: Path, stop: threading.Event) -> str:
        with self.lock:
            self.running.append(path.name)
            self.began.append(path.name)
            self.most = max(self.most, len(self.running))
            self.most_gb = max(self.most_gb, sum(self.gb[name] for name in self.running))
        time.sleep(0.3 if path.name == "a" else 0.05)
        with self.lock:
            self.running.remove(path.name)
        return path.name.upper()


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_results_come_in_order_whoever_ends_first(monkeypatch, jobs: int) -> None:
    work = Recorder(monkeypatch, dict.fromkeys("abcd", 1.0))
    got = [(p.name, f.result()) for p, f in schedule.side_by_side(work, NAMES, jobs, 10.0)]
    assert got == [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")]
    assert work.began == list("abcd")
    assert work.most == jobs


def test_no_two_run_that_do_not_fit_together(monkeypatch) -> None:
    work = Recorder(monkeypatch, {"a": 1.0, "b": 2.0, "c": 9.0, "d": 1.0})
    got = [f.result() for _, f in schedule.side_by_side(work, NAMES, 4, 3.0)]
    assert got == list("ABCD")
    # c is larger than what there is, and runs alone.
    assert work.most == 2
    assert work.most_gb == 9.0


def test_who_stops_to_ask_stops_the_others() -> None:
    ended = {}

    def work(path: Path, stop: threading.Event) -> None:
        if path.name == "a":
            raise ValueError("bad")
        ended[path.name] = stop.wait(20)

    outcomes = schedule.side_by_side(work, NAMES, 2, 1e9)
    _, outcome = next(outcomes)
    with pytest.raises(ValueError, match="bad"):
        outcome.result()
    outcomes.close()
    assert ended.get("b", True) is True  # told to stop, if it had begun
    assert "d" not in ended
    assert [t for t in threading.enumerate() if t.name.startswith("notebook")] == []
