"""Whether joining content and behaviour pays, on several MiniTubes.

`python benchmarks/strategies_on_seeds.py --seeds 0 1 2 3 4` renders the worlds that are missing and
goes through each in the same way: split in time, fit on train, choose on validation, measure once
on test. It prints NDCG@10 over all users and over cold videos, the differences on the same users
with 95% intervals, and fails where the course's promises do not hold:

- content beats popularity, and so does behaviour; the hybrid beats both;
- on cold videos behaviour is not above chance, and the hybrid is.

Content is the profile over titles, thumbnails, clips and words; behaviour the best on validation of
EASE, ALS, BPR and ItemKNN; the hybrid stacks content, EASE and ALS, with lessons as far after the
parts' last event as the test is. Two controls: EASE and ALS stacked without content, and a weighted
fusion whose weights were tuned on validation, and which leaves cold videos to content. Candidates
are the videos that could have been shown; a table says what the same fitted models score when
videos that are not published yet compete, too.
`--end-to-end` also trains the sequence recommender with ids, with frozen clip vectors, and jointly
with the video encoder, and prints what came of it; that is no promise. `--write` puts the tables
into `data/README.md`.
"""

from __future__ import annotations

from dataclasses import replace

from side_by_side import WRITE, Option, as_table, not_kept, options, report

from vidrec_utils import datasets, minitube
from vidrec_utils.behavior_based import ALS, BPR, EASE, ItemKNN
from vidrec_utils.content_based import ContentRecommender, combine
from vidrec_utils.datasets import Split, VideoLibrary
from vidrec_utils.evaluation import Result, compare, evaluate
from vidrec_utils.hybrid import (
    EndToEnd,
    FeatureFactorization,
    Stacked,
    WeightedFusion,
    modalities,
    read_clips,
    tune,
)
from vidrec_utils.preprocessing import clean, split_by_time
from vidrec_utils.recommender import Popularity, Random, Recommender
from vidrec_utils.reporting import interval

PAIRS = (
    ("content", "popularity"),
    ("behaviour", "popularity"),
    ("hybrid", "content"),
    ("hybrid", "behaviour"),
)
"""Who has to beat whom."""


def behaviours() -> list[Recommender]:
    """Models of behaviour, with the settings that notebook 08 finds."""
    return [
        EASE(500, name="EASE"),
        ALS(16, 12, unobserved=0.5, progress=False, name="ALS"),
        BPR(16, epochs=30, progress=False, name="BPR"),
        ItemKNN(name="ItemKNN"),
    ]


def ndcg(result: Result, which: str = "all") -> float:
    """Mean NDCG@10."""
    return result.interval("ndcg", which)[0]


def strategies(
    library: VideoLibrary, split: Split, seed: int
) -> tuple[dict[str, Result], dict[str, str], str]:
    """Results on test, the same with other candidates, and what was chosen on validation."""
    vectors = combine(modalities(library))
    on_validation = {m.name: evaluate(m.fit(split), split, on="validation") for m in behaviours()}
    best = max(on_validation, key=lambda name: ndcg(on_validation[name]))
    known = {model.name: model for model in behaviours()}
    ease, als, content = known["EASE"], known["ALS"], ContentRecommender(vectors, name="content")
    tuned = tune(WeightedFusion([content, ease, als]), split, steps=10, seed=seed)
    gap = len(split.validation) / len(split.train)
    models = {
        "random": Random(seed=seed),
        "popularity": Popularity(),
        "content": content,
        "behaviour": {model.name: model for model in behaviours()}[best],
        "hybrid": Stacked([content, ease, als], gap=gap, seed=seed),
        "EASE and ALS stacked": Stacked([ease, als], gap=gap, seed=seed),
        "weighted fusion": tuned.fusion,
        "feature factorisation": FeatureFactorization(vectors.fillna(0), seed=seed, progress=False),
    }
    unpublished = replace(split, videos=split.videos.drop(columns="published_at"))
    results, changed = {}, {}
    for name, model in models.items():
        model.name = name
        results[name] = evaluate(model.fit(split), split, on="test", seed=seed)
        on_validation[name] = evaluate(model, split, on="validation", seed=seed)
        changed[name] = "; ".join(
            change(evaluate(model, unpublished, on=on, seed=seed), after[name])
            for on, after in (("validation", on_validation), ("test", results))
        )
    weights = ", ".join(f"{name} {weight:.1f}" for name, weight in tuned.weights.items())
    return results, changed, f"behaviour is {best}; the weighted fusion has {weights}"


def change(before: Result, after: Result) -> str:
    """NDCG@10 of one model under two sets of candidates."""
    return f"{ndcg(before):.3f} to {ndcg(after):.3f} ({ndcg(after) - ndcg(before):+.3f})"


def end_to_end(library: VideoLibrary, split: Split, seed: int) -> dict[str, Result]:
    """The same sequence recommender with three sources of video vectors."""
    clips = read_clips(library)
    models = [EndToEnd(clips, source, seed=seed) for source in ("ids", "frozen", "joint")]
    return {
        f"sequence, {model.name}": evaluate(model.fit(split), split, on="test", seed=seed)
        for model in models
    }


def promises(seed: int, results: dict[str, Result]) -> list[str]:
    """Name what the course builds on and this seed does not keep."""
    kept = {f"{a} beats {b}": compare(results[a], results[b], seed=seed).low > 0 for a, b in PAIRS}
    high = results["random"].interval("ndcg", "cold videos")[2]
    behaviour = results["behaviour"].interval("ndcg", "cold videos")
    kept["behaviour is not above chance on cold videos"] = behaviour[1] <= high
    chance = compare(results["hybrid"], results["random"], which="cold videos", seed=seed)
    kept["the hybrid is above chance on cold videos"] = chance.low > 0
    return not_kept(seed, kept)


def described(results: dict[str, Result]) -> dict[str, str]:
    """NDCG@10 over all users with its interval, and over cold videos."""
    return {
        name: f"{interval(*result.interval('ndcg'))}, {ndcg(result, 'cold videos'):.3f}"
        for name, result in results.items()
    }


def differences(results: dict[str, Result], seed: int) -> dict[str, str]:
    """Differences between strategies on the same users, with intervals."""
    pairs = [
        *PAIRS,
        ("hybrid", "EASE and ALS stacked"),
        ("hybrid", "weighted fusion"),
        ("sequence, joint", "sequence, frozen"),
        ("sequence, joint", "sequence, ids"),
    ]
    compared = [compare(results[a], results[b], seed=seed) for a, b in pairs if a in results]
    return dict(comparison.sentence().split(": ", 1) for comparison in compared)


def main() -> int:
    """Measure, print, and say which promises are broken."""
    end_to_end_too = Option(False, "train the video encoder, too")
    arguments = options(__doc__, seeds=[0, 1, 2, 3, 4], end_to_end=end_to_end_too, write=WRITE)
    scores, gaps, changes, notes, broken = {}, {}, {}, [], []
    for seed in arguments.seeds:
        library, _ = clean(datasets.load_folder(minitube.build(seed=seed)))
        split = split_by_time(library.interactions, library.videos, validation=0.1, test=0.2)
        results, changes[seed], chosen = strategies(library, split, seed)
        if arguments.end_to_end:
            results |= end_to_end(library, split, seed)
        scores[seed], gaps[seed] = described(results), differences(results, seed)
        notes.append(f"Seed {seed}: {chosen}.")
        broken += promises(seed, results)
        both = {seed: scores[seed] | gaps[seed]}
        print(as_table(both, "seed by seed"), as_table({seed: changes[seed]}, "candidates"))
        print(notes[-1], flush=True)
    text = "\n\n".join(
        [
            as_table(scores, "NDCG@10 [95% interval], on cold videos"),
            as_table(gaps, "difference on the same users [95% interval]"),
            as_table(changes, "NDCG@10 on validation; on test: all videos to candidates"),
            "\n".join(notes),
        ]
    )
    return report(text, broken, "strategies", arguments.write)


if __name__ == "__main__":
    raise SystemExit(main())
