"""The latent world: what every video shows and is about, who uploads it, and when."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vidrec_utils.minitube.config import WorldConfig
from vidrec_utils.minitube.sprites import all_subjects
from vidrec_utils.minitube.vocabulary import CATEGORIES, MOODS, MOTIONS, PACES, SCENES, TOPICS

STYLE_DIM = 4
"""Length of the hidden style vector: charm that only the audience's behaviour reveals."""


def plan_videos(config: WorldConfig) -> pd.DataFrame:
    """Draw the latent facts of all original uploads.

    Category, scene, motion, pace, topic, mood and duration are drawn independently of each other,
    so that none can be guessed from another; uploaders have a favourite category and topic. What a
    clip of several shots shows stands in `plan_shots`; here are the facts of its longest shot.

    Returns
    -------
    pandas.DataFrame
        Indexed by `video_id`, in order of upload, with the columns `category`, `subject`, `scene`,
        `motion`, `pace`, `topic`, `mood`, `n_frames`, `n_shots`, `uploader`, `language`, `quality`,
        `style_0` ..., `published_at` (UTC).
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
            "mood": rng.choice(MOODS, n),
            "n_frames": _lengths(config, rng),
            "uploader": uploaders.index.to_numpy()[who],
            "language": uploaders["language"].to_numpy()[who],
            "quality": rng.normal(size=n),
            **{f"style_{d}": style[:, d] for d in range(STYLE_DIM)},
            "published_at": _upload_times(config, rng),
        }
    ).sort_values("published_at")
    table["n_shots"] = [_count_shots(n_frames / config.fps, rng) for n_frames in table["n_frames"]]
    return table.set_index(pd.Index(random_ids("v", rng, n, digits=4), name="video_id"))


SHORTEST_SHOT_S = 1.0
"""No shot of a clip of several is shorter."""


def _lengths(config: WorldConfig, rng: np.random.Generator) -> np.ndarray:
    """Frames of each clip: durations are log-uniform."""
    bounds = np.log([config.shortest_s, config.longest_s])
    return np.round(np.exp(rng.uniform(*bounds, config.n_videos)) * config.fps).astype(np.int64)


def _count_shots(duration_s: float, rng: np.random.Generator) -> int:
    """Number of shots: short clips have one, longer ones up to three."""
    if duration_s < 2.5:
        return 1
    return int(rng.choice((1, 2), p=(0.5, 0.5)) if duration_s < 4 else rng.choice(3) + 1)


def plan_shots(plan: pd.DataFrame, config: WorldConfig) -> pd.DataFrame:
    """Draw what each shot of each upload shows, and where it begins and ends.

    Category, pace, mood and topic are those of the whole clip. A cut changes the scene, the subject
    (to another of the category), the motion, or several of them. Re-uploads have the shots of
    their source (a re-encoded file may begin up to two frames later).

    Parameters
    ----------
    plan : pandas.DataFrame
        As `plan_videos` or `dirt.plant_media` returns it; not changed.
    config : WorldConfig
        Frame rate and seed.

    Returns
    -------
    pandas.DataFrame
        Indexed by `video_id` and `shot` (from 0), in the order of the plan: `first_frame`,
        `end_frame` (that of the next shot, or the number of frames), `subject`, `scene`, `motion`.
        The longest shot shows what the plan says (the earliest of several).
    """
    shots = []
    for video_id, row in plan.iterrows():
        # each original has a stream of its own, so that a change to one leaves the others alone
        source = row.get("source_id")
        rng = config.rng(f"shots {video_id if pd.isna(source) else source}")
        edges = _cuts(int(row["n_frames"]), int(row["n_shots"]), config, rng)
        shown = dict(row[["subject", "scene", "motion"]])
        longest = int(np.diff(edges).argmax())
        views: dict[int, dict] = {longest: shown}
        for shot in (*range(longest + 1, len(edges) - 1), *range(longest - 1, -1, -1)):
            neighbor = views[shot - 1 if shot > longest else shot + 1]
            views[shot] = _other_view(neighbor, row["category"], rng)
        for shot in range(len(edges) - 1):
            frames = {"first_frame": edges[shot], "end_frame": edges[shot + 1]}
            shots.append({"video_id": video_id, "shot": shot, **frames, **views[shot]})
    return pd.DataFrame(shots).set_index(["video_id", "shot"])


def _cuts(n_frames: int, n_shots: int, config: WorldConfig, rng: np.random.Generator) -> list[int]:
    """Frames at which shots begin, and the end: no shot is shorter than the least."""
    least = int(np.ceil(SHORTEST_SHOT_S * config.fps))
    if n_shots == 1:
        return [0, n_frames]
    # the frames beyond the least are shared out at random
    spare = n_frames - n_shots * least
    shares = np.sort(rng.integers(0, spare + 1, n_shots - 1))
    return [0, *(int(share) + least * (k + 1) for k, share in enumerate(shares)), n_frames]


def _other_view(view: dict, category: str, rng: np.random.Generator) -> dict:
    """What the next shot shows: something of the view changes, most often the scene."""
    other = dict(view)
    if rng.random() < 0.5:
        subjects = [s for owner, s in all_subjects() if owner == category and s != view["subject"]]
        other["subject"] = str(rng.choice(subjects))
    if rng.random() < 0.5:
        other["motion"] = str(
            rng.choice([motion for motion in MOTIONS if motion != view["motion"]])
        )
    if rng.random() < 0.7 or other == view:
        other["scene"] = str(rng.choice([scene for scene in SCENES if scene != view["scene"]]))
    return other


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
