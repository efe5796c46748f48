"""What an uploader types: titles, tags and descriptions, with typos, gaps and mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from vidrec_utils.minitube.config import WorldConfig
from vidrec_utils.minitube.dirt import record
from vidrec_utils.minitube.phrases import VAGUE, write_title
from vidrec_utils.minitube.sprites import names
from vidrec_utils.minitube.vocabulary import (
    CATEGORIES,
    DESCRIPTIONS,
    TOPIC_TAGS,
)


def write_metadata(plan: pd.DataFrame, config: WorldConfig) -> pd.DataFrame:
    """Write the public fields of every upload, still complete and correct.

    A title names the subject two times in three and never the motion, the pace or the mood, so that
    text, images and sound each carry something that the others do not.

    Parameters
    ----------
    plan : pandas.DataFrame
        As `plan.plan_videos` returns it.
    config : WorldConfig
        Sizes and seed.

    Returns
    -------
    pandas.DataFrame
        Indexed by `video_id`: `title`, `tags` (joined by `|`), `category`, `description`,
        `uploader`, `language`, `published_at`, `duration_s`, `path`, `thumbnail`.
    """
    rng = config.rng("metadata")
    # All titles are drawn first, then all tags, then all descriptions.
    return pd.DataFrame(
        {
            "title": [_title(row, rng) for row in plan.itertuples()],
            "tags": [_tags(row, rng) for row in plan.itertuples()],
            "category": plan["category"],
            "description": [_description(row, rng) for row in plan.itertuples()],
            "uploader": plan["uploader"],
            "language": plan["language"],
            "published_at": plan["published_at"],
            "duration_s": plan["n_frames"] / config.fps,
            "path": [f"clips/{video_id}.mp4" for video_id in plan.index],
            "thumbnail": [f"thumbnails/{video_id}.jpg" for video_id in plan.index],
        },
        index=plan.index,
    )


def _title(row: Any, rng: np.random.Generator) -> str:
    if rng.random() < 0.66:
        subject = names(row.subject)[row.language]
    else:
        subject = str(rng.choice(VAGUE[row.language]))
    title = write_title(row.topic, row.language, subject, rng)
    if row.language == "en" and rng.random() < 0.1:
        title = _typo(title, rng)
    if rng.random() < 0.08:
        title = title.upper()
    if rng.random() < 0.12:
        title += " " + row.subject
    return title


def _typo(text: str, rng: np.random.Generator) -> str:
    """Swap, drop or double one letter, as fingers do."""
    at = int(rng.integers(1, len(text) - 1))
    kind = int(rng.integers(3))
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :] if kind == 1 else text[:at] + text[at] + text[at:]


def _tags(row: Any, rng: np.random.Generator) -> str:
    tags = [str(rng.choice(TOPIC_TAGS[row.topic]))]
    if rng.random() < 0.7:
        tags.append(row.category)
    if rng.random() < 0.5:
        tags.append(names(row.subject)["en"])
    if rng.random() < 0.25:
        tags.append(row.scene)
    tags.append(str(rng.choice(["fyp", "viral", "minitube", "daily", "new"])))
    order = rng.permutation(len(tags))
    return "|".join(dict.fromkeys(tags[k] for k in order))


def _description(row: Any, rng: np.random.Generator) -> str:
    pattern = str(rng.choice(DESCRIPTIONS[row.language]))
    # People often film elsewhere than they say.
    scene = row.scene if rng.random() < 0.3 else "studio"
    return pattern.format(scene=scene, topic=row.topic, category=row.category)


def spoil_metadata(
    videos: pd.DataFrame, config: WorldConfig
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Blank out and falsify fields at the rates of the config.

    Parameters
    ----------
    videos : pandas.DataFrame
        Complete metadata; not changed.
    config : WorldConfig
        Rates and seed.

    Returns
    -------
    spoiled : pandas.DataFrame
        The same rows with gaps and mistakes.
    dirt : list of dict
        One record per spoiled field: `table`, `id`, `kind`, `detail` (the true value).
    """
    rng = config.rng("spoil metadata")
    spoiled, dirt = videos.copy(), []

    def pick(share: float) -> np.ndarray:
        return videos.index.to_numpy()[rng.random(len(videos)) < share]

    gaps = {
        "title": config.missing_title,
        "tags": config.missing_tags,
        "category": config.missing_category,
        "description": config.missing_description,
        "duration_s": config.missing_duration,
    }
    for column, share in gaps.items():
        for video_id in pick(share):
            detail = videos.at[video_id, column]
            dirt.append(record("videos", video_id, f"missing_{column}", detail))
            spoiled.loc[video_id, column] = None
    for video_id in pick(config.wrong_category):
        truth = videos.at[video_id, "category"]
        if pd.notna(spoiled.at[video_id, "category"]):
            wrong = str(rng.choice([one for one in CATEGORIES if one != truth]))
            spoiled.loc[video_id, "category"] = wrong
            dirt.append(record("videos", video_id, "wrong_category", truth))
    for video_id in pick(config.wrong_duration):
        truth = videos.at[video_id, "duration_s"]
        if pd.notna(spoiled.at[video_id, "duration_s"]):
            # A classic: the field was filled with milliseconds.
            spoiled.loc[video_id, "duration_s"] = truth * 1000
            dirt.append(record("videos", video_id, "wrong_duration", truth))
    return spoiled, dirt


def annotate(plan: pd.DataFrame, config: WorldConfig) -> pd.DataFrame:
    """Return what hired annotators wrote down: motion and mood of a share of the watchable clips.

    These labels are public, in `library.extras["annotations"]`, so models may be trained on them.
    Everything else about motion and mood stays in the truth. The motion of clips of several shots
    was not asked for, and a clip without sound has no mood. Not everybody who looked at a clip
    listened to it, nor the reverse, so a clip may have one label alone.

    Returns
    -------
    pandas.DataFrame
        `video_id`, `motion` and `mood`, in the order of the ids; NA where a label is missing.
    """
    rng = config.rng("annotations")
    watchable = plan[plan["playable"] & (plan["media"] != "black")]
    looked, listened = rng.random((2, len(watchable))) < config.annotated
    labels = pd.DataFrame(
        {
            "motion": watchable["motion"].where(looked & (watchable["n_shots"] == 1)),
            "mood": watchable["mood"].where(listened & watchable["has_sound"]),
        }
    ).astype("string")
    return labels.dropna(how="all").sort_index().reset_index(names="video_id")
