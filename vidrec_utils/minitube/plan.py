"""The latent world: what every video shows and is about, who uploads it, and when."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vidrec_utils.minitube.config import WorldConfig
from vidrec_utils.minitube.sprites import all_subjects
from vidrec_utils.minitube.vocabulary import CATEGORIES, MOTIONS, PACES, SCENES, TOPICS

STYLE_DIM = 4
"""Length of the hidden style vector: charm that only the audience's behaviour reveals."""


def plan_videos(config: WorldConfig) -> pd.DataFrame:
    """Draw the latent facts of all original uploads.

    Category, scene, motion, pace and topic are drawn independently of each other, so that none can
    be guessed from another; uploaders have a favourite category and topic.

    Returns
    -------
    pandas.DataFrame
        Indexed by `video_id`, in order of upload, with the columns `category`, `subject`, `scene`,
        `motion`, `pace`, `topic`, `uploader`, `language`, `quality`, `style_0` ...,
        `published_at` (UTC).
    """
    rng = config.rng("videos")
    n = config.n_videos
    uploaders = _uploaders(config, rng)
    # A few uploaders make most of the videos.
    share = 1.0 / np.arange(1, config.n_uploaders + 1) ** 0.6
    who = rng.choice(config.n_uploaders, size=n, p=share / share.sum())
    own = rng.random(n) < 0.5
    category = np.where(own, uploaders["category"].to_numpy()[who], rng.choice(CATEGORIES, n))
    own = rng.random(n) < 0.4
    topic = np.where(own, uploaders["topic"].to_numpy()[who], rng.choice(TOPICS, n))
    characters = {c: [s for owner, s in all_subjects() if owner == c] for c in CATEGORIES}
    subject = [str(rng.choice(characters[c])) for c in category]
    style = 0.7 * np.stack(uploaders["style"])[who] + 0.7 * rng.normal(size=(n, STYLE_DIM))
    table = pd.DataFrame(
        {
            "category": category.astype(str),
            "subject": subject,
            "scene": rng.choice(list(SCENES), n),
            "motion": rng.choice(MOTIONS, n),
            "pace": rng.choice(list(PACES), n),
            "topic": topic.astype(str),
            "uploader": uploaders.index.to_numpy()[who],
            "language": uploaders["language"].to_numpy()[who],
            "quality": rng.normal(size=n),
            **{f"style_{d}": style[:, d] for d in range(STYLE_DIM)},
            "published_at": _upload_times(config, rng),
        }
    ).sort_values("published_at")
    return table.set_index(pd.Index(random_ids("v", rng, n, digits=4), name="video_id"))


def _uploaders(config: WorldConfig, rng: np.random.Generator) -> pd.DataFrame:
    n = config.n_uploaders
    return pd.DataFrame(
        {
            "category": rng.choice(CATEGORIES, n),
            "topic": rng.choice(TOPICS, n),
            "language": rng.choice(["en", "zh"], n, p=[0.78, 0.22]),
            "style": list(rng.normal(size=(n, STYLE_DIM))),
        },
        index=pd.Index([f"channel{k:03d}" for k in range(1, n + 1)], name="uploader"),
    )


def _upload_times(config: WorldConfig, rng: np.random.Generator) -> pd.DatetimeIndex:
    """Two thirds of the catalogue exist on the first day; the rest arrives day by day."""
    start = pd.Timestamp(config.start, tz="UTC")
    old = rng.random(config.n_videos) < 0.66
    days = np.where(
        old,
        -rng.exponential(40, config.n_videos) - 0.5,
        rng.uniform(0, config.n_days - 0.5, config.n_videos),
    )
    return start + pd.to_timedelta(np.round(days * 86_400), unit="s")


def random_ids(prefix: str, rng: np.random.Generator, n: int, digits: int) -> list[str]:
    """Draw ids of so many digits or more that do not reveal the order of what was created."""
    width = max(digits, len(str(3 * n)))
    return [f"{prefix}{k:0{width}d}" for k in rng.choice(3 * n, size=n, replace=False)]
