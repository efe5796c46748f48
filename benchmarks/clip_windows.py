"""Which windows of a clip make the better vector: what each choice of `Windows` gives and costs.

`python benchmarks/clip_windows.py --seeds 0 1 2` renders the worlds that are missing, embeds all
clips anew with each choice, and prints for each encoder and choice, as means over the seeds:

- motion: accuracy of a linear probe on unseen subjects (five folds, grouped by subject), for the
  clips of one shot that annotators described; also those of them that are shorter and those that
  are longer than two seconds;
- direction: the same within pairs of time-reversed motions, where chance is one half;
- several shots: accuracy for the motion of the longest shot of the other clips, whose labels are
  from the truth. It is a check, and no reason to choose;
- NDCG@10 of a content recommender on these vectors, on validation;
- seconds of embedding on all threads together, which a busy machine hardly changes.

Then it prints paired differences of each choice from the first one. What differs in several ways
at once would explain nothing, so each choice changes the default in one way.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import pandas as pd
from side_by_side import Option, options

from vidrec_utils import datasets, minitube, preprocessing, video_encoders
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.embeddings import embed
from vidrec_utils.evaluation import Bench
from vidrec_utils.intervals import mean_intervals
from vidrec_utils.linear_probe import Probe, linear_probe, probe_pairs
from vidrec_utils.minitube import truth
from vidrec_utils.minitube.vocabulary import REVERSED
from vidrec_utils.reporting import interval
from vidrec_utils.video_encoders import Windows

SECONDS = 2.0
CHOICES = {
    "even, mean": Windows(SECONDS),
    "whole clip": None,
    "centre": Windows(SECONDS, at="centre"),
    "even, max": Windows(SECONDS, pooling="max"),
    "hop of 1 s": Windows(SECONDS, hop=1.0),
    "short clips stretched": Windows(SECONDS, short="stretch"),
    "short clips hold": Windows(SECONDS, short="hold"),
}
ENCODERS = ("lite0_correlation", "slowfast_mini", "frame_average")
PROBES = ("motion", "motion, below 2 s", "motion, above 2 s", "direction", "several shots")


def world(seed: int) -> tuple[datasets.VideoLibrary, Bench, dict[str, pd.Series]]:
    """A cleaned library, its split, and the labels of its clips."""
    root = minitube.build(seed=seed)
    library, _ = preprocessing.clean(datasets.load_folder(root), progress=False)
    split = preprocessing.split_by_time(library.interactions, library.videos)
    known = truth.load(root).videos.reindex(library.videos.index)
    several = known["n_shots"] > 1 if "n_shots" in known else pd.Series(False, known.index)
    labels = {
        "public": preprocessing.clip_labels(library).where(~several),
        "true": known["motion"],
        "subject": known["subject"],
        "several": several,
        "seconds": library.videos["duration_s"],
    }
    return library, Bench(split, k=10, seed=seed), labels


def probes(vectors: pd.DataFrame, labels: dict[str, pd.Series]) -> dict[str, pd.Series]:
    """Whether each clip's motion is predicted correctly, by the column of the table."""
    public, subject = labels["public"].dropna(), labels["subject"]
    motion = right(linear_probe(vectors, public, subject))
    seconds = labels["seconds"].loc[motion.index]
    out = {
        "motion": motion,
        "motion, below 2 s": motion[seconds < SECONDS],
        "motion, above 2 s": motion[seconds > SECONDS],
        "direction": right(probe_pairs(vectors, public, REVERSED, subject)),
    }
    several = labels["several"]
    if several.any():
        all_clips = right(linear_probe(vectors, labels["true"].dropna(), subject))
        out["several shots"] = all_clips[several.loc[all_clips.index]]
    return out


def right(probe: Probe) -> pd.Series:
    """Whether each prediction is right, 0 or 1, by video."""
    return pd.Series(probe.right.astype(float), index=probe.labels.index)


def measured(
    encoder: video_encoders.VideoEncoder | video_encoders.FrameAverage,
    library: datasets.VideoLibrary,
    bench: Bench,
    labels: dict[str, pd.Series],
) -> tuple[dict[str, pd.Series], dict[str, float]]:
    """Embed all clips anew: predictions by column, and the other figures."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        start = time.process_time()
        vectors = embed(library, encoder, "clip", Path(folder), progress=False).frame()
        seconds = time.process_time() - start
    with redirect_stdout(None):
        result = bench.score(ContentRecommender(vectors, name=encoder.name))
    return probes(vectors, labels), {"NDCG@10": result.interval("ndcg")[0], "processor s": seconds}


def main() -> int:
    """Measure and print."""
    arguments = options(
        __doc__,
        seeds=[0, 1, 2],
        encoders=Option([*ENCODERS], "encoders of clips", video_encoders.available().index),
        choices=Option([*CHOICES], "choices of windows", CHOICES),
    )
    worlds = {seed: world(seed) for seed in arguments.seeds}
    subjects = pd.concat({seed: labels["subject"] for seed, (*_, labels) in worlds.items()})
    for name in arguments.encoders:
        encoder = video_encoders.load(name)
        rows, answers = {}, {}
        for choice in arguments.choices:
            seeing = encoder.with_windows(CHOICES[choice])
            results = [measured(seeing, *worlds[seed]) for seed in arguments.seeds]
            columns = [column for column in PROBES if column in results[0][0]]
            answers[choice] = {
                c: pd.concat([got[c] for got, _ in results], keys=arguments.seeds) for c in columns
            }
            figures = pd.DataFrame([figures for _, figures in results]).mean()
            rows[choice] = {c: answers[choice][c].mean() for c in columns} | figures.to_dict()
        print(f"\n{name}: means over seeds {', '.join(map(str, arguments.seeds))}")
        print(pd.DataFrame(rows).T.round(4).to_string())
        print(differences(answers, subjects))
    return 0


def differences(answers: dict[str, dict[str, pd.Series]], subjects: pd.Series) -> str:
    """Paired differences of accuracy from the first choice, with intervals that resample subjects.

    A subject is resampled with all its clips of all seeds.
    """
    first, *others = answers
    rows = {
        f"{choice} minus {first}": {
            column: _difference(values, answers[first][column], subjects)
            for column, values in answers[choice].items()
        }
        for choice in others
    }
    return pd.DataFrame(rows).T.to_string()


def _difference(one: pd.Series, other: pd.Series, subjects: pd.Series) -> str:
    gain = one - other.loc[one.index]
    return interval(*mean_intervals(gain.to_numpy()[:, None], subjects.loc[gain.index])[0], "+.3f")


if __name__ == "__main__":
    raise SystemExit(main())
