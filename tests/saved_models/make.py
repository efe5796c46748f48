"""Write the models of this folder: one of each class, saved by the package of commit cdef2ba.

The models and the scores beside them were made once, with the package on PYTHONPATH as it was in
that commit, and are never made again: later versions have to read them, whatever they call their
classes, modules and parameters. So the names that this script imports are those of that time.

    git worktree add ../before cdef2ba
    PYTHONPATH=../before python tests/saved_models/make.py tests/saved_models
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from vidrec_utils import behavior_based, content_based, hybrid, recommender

ASKED = ["u0", "u3", "nobody"]


def library() -> SimpleNamespace:
    """Six users, ten videos of which the last is cold, an event an hour."""
    rng = np.random.default_rng(0)
    rows = [(f"u{u}", f"v{v}") for _ in range(2) for u in range(6) for v in rng.permutation(9)[:4]]
    frame = pd.DataFrame(rows, columns=["user_id", "video_id"]).astype("str")
    hours = pd.to_timedelta(np.arange(len(frame)), "h")
    frame["timestamp"] = pd.Timestamp("2025-03-01", tz="UTC") + hours
    frame["watch_ratio"] = rng.uniform(0.3, 1, len(frame)).round(3)
    frame["liked"] = rng.random(len(frame)) < 0.3
    return SimpleNamespace(interactions=frame, videos=pd.DataFrame(index=ids()))


def ids() -> list[str]:
    return [f"v{number}" for number in range(10)]


def table(columns: int, seed: int, gap: int | None = None) -> pd.DataFrame:
    """Vectors of the ten videos; one of them may have none."""
    values = np.random.default_rng(seed).normal(size=(10, columns)).astype(np.float32)
    if gap is not None:
        values[gap] = np.nan
    return pd.DataFrame(values, index=ids())


def drawn_clips() -> dict[str, np.ndarray]:
    """Noise for eight of the ten videos."""
    rng = np.random.default_rng(1)
    return {video: rng.integers(0, 255, (8, 32, 32, 3), np.uint8) for video in ids()[:8]}


def models() -> dict[str, recommender.Recommender]:
    """A model of each class that can be saved, and variants with other state, by folder."""
    b, c, h = behavior_based, content_based, hybrid
    small = {"dim": 4, "epochs": 2, "progress": False}
    documents = pd.Series([["cat", f"w{n % 3}", f"x{n % 4}"] for n in range(10)], index=ids())
    users = pd.DataFrame(
        {"old": [1.0, 0.0, 1.0], "new": [0.0, 1.0, 1.0]}, index=["u0", "u1", "nobody"]
    )
    oracle = pd.DataFrame(np.arange(20.0).reshape(2, 10), index=["u0", "nobody"], columns=ids())
    clips = drawn_clips()
    sequence = {"length": 4, "heads": 2, "layers": 1, "least": 0.0, **small}

    def members() -> list[recommender.Recommender]:
        return [
            recommender.Popularity(),
            c.ContentRecommender(table(3, 1, gap=2)),
            b.EASE(l2=2.0),
        ]

    return {
        "popularity": recommender.Popularity(),
        "random": recommender.Random(seed=3),
        "given": recommender.Given(oracle, name="oracle"),
        "windowed_popularity": b.WindowedPopularity(days=1.0),
        "decayed_popularity": b.DecayedPopularity(half_life_days=0.5),
        "item_knn": b.ItemKNN(neighbours=4, shrinkage=2.0, neighbours_of="watched"),
        "ease": b.EASE(l2=2.0, binary=True),
        "als": b.ALS(factors=3, iterations=3, stddev=0.2, progress=False),
        "als_cg": b.ALS(factors=3, iterations=3, cg_steps=2, unobserved=0.2, progress=False),
        "bpr": b.BPR(factors=3, epochs=3, negatives="popular", progress=False),
        "sasrec": b.SASRec(**{**sequence, "layers": 2}),
        "sequential_rules": b.SequentialRules(steps=2, gap_minutes=90.0),
        "content": c.ContentRecommender(table(3, 1, gap=2), dislike=0.2, half_life_days=1.0),
        "terms_bm25": c.TermRecommender(documents, k1=1.0, b=0.5),
        "terms_tfidf": c.TermRecommender(documents, weighting="tfidf", dislike=0.1),
        "interests": c.InterestRecommender(table(3, 1, gap=2), interests=2, progress=False),
        "learned_ranker": c.LearnedRanker(
            {"title": table(4, 1, gap=2), "clip": table(3, 2)}, dims=2
        ),
        "diversified": c.Diversified(b.EASE(l2=2.0), table(3, 1, gap=2), k=3, depth=6),
        "diversified_fusion": c.Diversified(h.WeightedFusion(members()), table(3, 1), k=3, depth=6),
        "feature_factorisation": h.FeatureFactorisation(
            table(3, 1), users, factors=3, epochs=2, progress=False
        ),
        "feature_factorisation_softmax": h.FeatureFactorisation(
            table(3, 1), factors=3, identity=False, loss="softmax", epochs=2, progress=False
        ),
        "two_tower": h.TwoTower(table(3, 1, gap=2), hidden=4, batch_size=16, **small),
        "two_tower_full": h.TwoTower(
            table(3, 1), hidden=4, know_users=False, know_videos=False, full=True, **small
        ),
        "weighted_fusion": h.WeightedFusion(
            members(),
            weights={"popularity": 1, "content": 2, "ease": 3},
            normalise="minmax",
            blind=["ease"],
        ),
        "rank_fusion": h.RankFusion(members(), constant=10.0),
        "fusion_of_fusions": h.RankFusion(
            [h.WeightedFusion(members()), c.Diversified(b.EASE(l2=2.0), table(3, 1), k=3, depth=6)]
        ),
        "stacked_linear": h.Stacked(members(), share=0.4, negatives=3, threshold=0.5),
        "stacked_network": h.Stacked(
            members(), ranker="network", share=0.4, gap=0.1, threshold=0.5
        ),
        "end_to_end_ids": h.EndToEnd(source="ids", **sequence),
        "end_to_end_joint": h.EndToEnd(clips, "joint", "small", fresh=4, **sequence),
    }


def main(folder: Path) -> None:
    scores = {}
    for name, model in models().items():
        model.fit(library()).save(folder / name)
        scores[name] = model.score(ASKED)
    np.savez_compressed(folder / "scores.npz", **scores)

    # five megabytes of weights: the names and shapes of the arrays are enough
    model = hybrid.EndToEnd(drawn_clips(), "frozen", length=4, dim=4, epochs=1, progress=False)
    state = model.fit(library())._state()
    shapes = {name: list(np.shape(array)) for name, array in state.items()}
    text = json.dumps(shapes, indent=0) + "\n"
    (folder / "slowfast_shapes.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
