"""Planted dirt: re-uploads, broken files, impossible rows and bots, all written down as truth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vidrec_utils.minitube.config import WorldConfig

UNPLAYABLE = ("truncated", "text_as_video", "empty_file")
"""Kinds of media dirt that no viewer can watch to the end."""

WITHOUT_MEDIA = ("text_as_video", "empty_file")
"""Kinds of media dirt whose files hold neither picture nor sound."""

COPIES = ("exact_duplicate", "reencoded_duplicate")
"""Kinds of media dirt that are an upload of their own, made from another one."""


def record(table: str, row_id: str, kind: str, detail: object) -> dict[str, str]:
    """Return what the truth keeps of one spoiled video, user or row of the log."""
    return {"table": table, "id": row_id, "kind": kind, "detail": str(detail)}


def plant_media(
    plan: pd.DataFrame, config: WorldConfig
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Add re-uploads to the plan and choose which files are broken, black or noisy.

    Parameters
    ----------
    plan : pandas.DataFrame
        Original uploads; not changed.
    config : WorldConfig
        Rates and seed.

    Returns
    -------
    planted : pandas.DataFrame
        The plan with re-uploads appended and the new columns `media` (`"clip"` or a kind of dirt),
        `source_id` (the original of a re-upload, else NA), `playable`, and `has_sound` (whether the
        file has a sound track; a re-upload has one if its original has).
    dirt : list of dict
        One record per spoiled file: `table`, `id`, `kind`, `detail`.
    """
    rng = config.rng("dirt")
    planted = plan.assign(media="clip", source_id=None)
    ids = rng.permutation(plan.index.to_numpy())
    counts = {
        "truncated": config.count(config.truncated),
        "text_as_video": config.count(config.text_as_video),
        "empty_file": config.count(config.empty_files),
        "black": config.count(config.black),
        "noisy": config.count(config.noisy),
        "exact_duplicate": config.count(config.exact_duplicates),
        "reencoded_duplicate": config.count(config.reencoded_duplicates),
    }
    # Each kind takes the next of the shuffled ids; those that are left stay clean.
    *chosen, _ = np.split(ids, np.cumsum(list(counts.values())))
    for kind, sources in zip(counts, chosen, strict=True):
        if kind in COPIES:
            planted = pd.concat([planted, _reuploads(plan, sources, kind, config, rng)])
        else:
            planted.loc[sources, "media"] = kind
    planted = planted.sort_values("published_at", kind="stable").rename_axis("video_id")
    planted["playable"] = ~planted["media"].isin(UNPLAYABLE)
    # A stream of its own, which leaves all other dirt where it was.
    silent = config.rng("silent clips").choice(plan.index, config.count(config.silent), False)
    source = planted["source_id"].fillna(planted.index.to_series())
    planted["has_sound"] = ~source.isin(silent) & ~planted["media"].isin(WITHOUT_MEDIA)
    spoiled = planted[planted["media"] != "clip"]
    dirt = [
        record("videos", video_id, row.media, "" if pd.isna(row.source_id) else row.source_id)
        for video_id, row in zip(spoiled.index, spoiled.itertuples(), strict=True)
    ]
    return planted, dirt


def _reuploads(
    plan: pd.DataFrame,
    sources: np.ndarray,
    kind: str,
    config: WorldConfig,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Copy planned videos as somebody else's later upload, under a new id."""
    copies = plan.loc[sources].assign(media=kind, source_id=sources)
    start = pd.Timestamp(config.start, tz="UTC")
    delay = pd.to_timedelta(rng.integers(3_600, 10 * 86_400, len(sources)), unit="s")
    latest = start + pd.Timedelta(days=config.n_days - 1)
    later = (copies["published_at"] + delay).clip(upper=latest)
    # An upload of the very last day keeps its order: the copy comes an hour after the original.
    copies["published_at"] = later.where(
        later > copies["published_at"], copies["published_at"] + pd.Timedelta(hours=1)
    )
    copies["uploader"] = [
        str(rng.choice([one for one in plan["uploader"].unique() if one != owner]))
        for owner in copies["uploader"]
    ]
    taken = set(plan.index)
    fresh = [f"v{k:0{len(plan.index[0]) - 1}d}" for k in range(3 * len(plan))]
    free = [one for one in fresh if one not in taken]
    # Two kinds of copies draw from two halves of the free ids, so that none is given twice.
    half = free[::2] if kind == "exact_duplicate" else free[1::2]
    copies.index = pd.Index(rng.choice(half, size=len(sources), replace=False))
    return copies


def plant_log(
    interactions: pd.DataFrame,
    exposures: pd.DataFrame,
    plan: pd.DataFrame,
    users: pd.DataFrame,
    config: WorldConfig,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[dict[str, str]]]:
    """Add bots to the log, make some timestamps impossible and lose some watch ratios.

    Parameters
    ----------
    interactions, exposures : pandas.DataFrame
        As `behavior.simulate` returns them; not changed.
    plan : pandas.DataFrame
        Latent videos with `uploader` and `published_at`.
    users : pandas.DataFrame
        Indexed by `user_id`, with `language`.
    config : WorldConfig
        Rates and seed.

    Returns
    -------
    interactions, exposures : pandas.DataFrame
        With the rows of bots, in the order in which the platform wrote them.
    users : pandas.DataFrame
        With the bots.
    dirt : list of dict
        `table` (`"interactions"` or `"users"`), `id` (row number from 0, or user id), `kind`,
        `detail` (the true value).
    """
    rng = config.rng("log dirt")
    bots, crew = _bots(plan, users, config, rng)
    log = pd.concat([interactions, bots], ignore_index=True)
    # Nobody chose what a bot fetches: its rows have no propensity, liking or watch time in truth.
    unknown = exposures.columns.drop("examined")
    blank = pd.DataFrame(np.nan, index=range(len(bots)), columns=unknown)
    truth = pd.concat([exposures, blank.assign(examined=False)], ignore_index=True)
    order = np.argsort(log["timestamp"].to_numpy(), kind="stable")
    log = log.iloc[order].reset_index(drop=True)
    truth = truth.iloc[order].reset_index(drop=True)
    truth["timestamp"] = log["timestamp"]
    # Numbered anew in order of time, so that a session's id says nothing about who was in it.
    log["session_id"] = [f"s{k:07d}" for k in pd.factorize(log["session_id"])[0]]
    dirt = [record("users", user, "bot", kind) for user, kind in crew.items()]
    dirt += _impossible(log, plan, config, rng)
    lost = np.flatnonzero(rng.random(len(log)) < config.missing_watch_ratio)
    dirt += [
        record("interactions", str(row), "missing_watch_ratio", log.at[row, "watch_ratio"])
        for row in lost
    ]
    log.loc[lost, "watch_ratio"] = np.nan
    spoken = rng.choice(users["language"].to_numpy(), size=len(crew))
    everyone = pd.concat([users, pd.DataFrame({"language": spoken}, index=list(crew))])
    return log, truth, everyone.sort_index().rename_axis("user_id"), dirt


def _impossible(
    log: pd.DataFrame, plan: pd.DataFrame, config: WorldConfig, rng: np.random.Generator
) -> list[dict[str, str]]:
    """Write impossible times into the log, in place: it is this module's own copy."""
    rows = np.flatnonzero(rng.random(len(log)) < config.impossible_timestamps)
    kinds = rng.choice(["epoch_zero", "far_future", "before_upload"], size=len(rows))
    published = pd.DatetimeIndex(plan["published_at"].reindex(log["video_id"].iloc[rows]))
    early = published - pd.to_timedelta(rng.integers(2 * 86_400, 60 * 86_400, len(rows)), unit="s")
    dirt = [
        record("interactions", str(row), f"timestamp_{kind}", log.at[row, "timestamp"])
        for row, kind in zip(rows, kinds, strict=True)
    ]
    impossible = {
        "epoch_zero": pd.Timestamp(0, tz="UTC"),
        "far_future": pd.Timestamp("2099-12-31", tz="UTC"),
    }
    log.loc[rows, "timestamp"] = [
        impossible.get(kind, before) for kind, before in zip(kinds, early, strict=True)
    ]
    return dirt


def _bots(
    plan: pd.DataFrame, users: pd.DataFrame, config: WorldConfig, rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Draw bots: half boost one uploader, half walk through the catalogue and watch nothing."""
    number = max(2, round(config.bots * config.n_users))
    width = len(users.index[0]) - 1
    free = sorted({f"u{k:0{width}d}" for k in range(3 * len(users))} - set(users.index))
    ids = rng.choice(free, size=number, replace=False)
    start = pd.Timestamp(config.start, tz="UTC")
    logs, crew = [], {}
    for k, user in enumerate(ids):
        kind = "booster" if k % 2 == 0 else "scraper"
        crew[str(user)] = kind
        n = int(rng.integers(120, 320))
        begin = start + pd.Timedelta(seconds=int(rng.integers(2, config.n_days - 4) * 86_400))
        step = int(rng.integers(25, 600))
        times = begin + pd.to_timedelta(np.arange(n) * step + rng.integers(-1, 2, n), unit="s")
        online = plan[plan["published_at"] < begin]
        if kind == "booster":
            target = str(rng.choice(online["uploader"].value_counts().index[:10]))
            pool = online.index[online["uploader"] == target].to_numpy()
        else:
            pool = rng.permutation(online.index.to_numpy())
        logs.append(
            pd.DataFrame(
                {
                    "user_id": str(user),
                    "video_id": np.resize(pool, n),
                    "timestamp": times,
                    "watch_ratio": 1.0 if kind == "booster" else np.round(rng.random(n) * 0.02, 3),
                    "liked": kind == "booster",
                    "shared": False,
                    "comment": None,
                    "position": 1,
                    "session_id": f"bot {k}",
                }
            )
        )
    return pd.concat(logs, ignore_index=True), crew
