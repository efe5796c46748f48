"""The world's ground truth: for checking what a notebook claims, never for a model.

The tables lie in a folder of their own beside the library. Only tests and the checking cells of
notebooks open it; a test proves that no other module of the package imports this one and that
fitting a recommender reads nothing from here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from vidrec_utils.minitube.behavior import (
    WEIGHTS,
    Tastes,
    chances,
    exposure_logits,
    liking,
    platform_start,
    published_seconds,
    shot_factors,
    video_factors,
)
from vidrec_utils.minitube.config import WorldConfig
from vidrec_utils.minitube.watching import success_chance, timeline

PLANTED_AS: dict[str, tuple[str, ...]] = {
    "timestamp in the future": ("timestamp_far_future",),
    "timestamp before the platform": ("timestamp_epoch_zero",),
    "watched before it was published": ("timestamp_before_upload",),
    "behaves like a bot": ("bot",),
    "broken file": ("truncated", "text_as_video", "empty_file"),
    "black clip": ("black",),
    "noisy clip": ("noisy",),
    "exact duplicate": ("exact_duplicate",),
    "near duplicate": ("reencoded_duplicate",),
}
"""Problems that a cleaning report names, and the kinds of planted dirt that each should detect."""

FRAMES = ("videos", "shots", "boxes", "exposures", "dirt")
"""Tables of the truth, by the names of their files."""

_FIRST_RECORD = 2
"""File row of the first record: the header is row 1."""


@dataclass(frozen=True)
class Truth:
    """Everything that a platform would love to know and never does.

    Attributes
    ----------
    videos : pandas.DataFrame
        Indexed by `video_id`: `category`, `subject`, `scene`, `motion`, `pace`, `topic`, `mood`,
        `n_frames`, `n_shots`, `quality`, `style_*`, `media` (kind of file), `source_id` (the
        original of a re-upload), `playable`, `has_sound` (whether its file has a sound track).
    shots : pandas.DataFrame
        Indexed by `video_id` and `shot`: `first_frame`, `end_frame`, `subject`, `scene`, `motion`;
        see `plan.plan_shots`.
    boxes : pandas.DataFrame
        The sprite's box in every frame of every undamaged clip: `video_id`, `frame`, `left`, `top`,
        `right`, `bottom` in pixels.
    exposures : pandas.DataFrame
        Row by row beside the log: `propensity` (chance of the video in the first slot of its
        session), `liking` (of the whole clip), `examined`, `uncensored_s` (seconds until the viewer
        leaves a clip that goes round and round), `timestamp` (as it was before it was spoiled).
    dirt : pandas.DataFrame
        `table`, `id` (video, user, or row of the log counted from 0), `kind`, `detail`.
    tastes : Tastes
        Latent tastes of all human users.
    root : Path, optional
        Folder of the library that this is the truth of.
    """

    videos: pd.DataFrame
    shots: pd.DataFrame
    boxes: pd.DataFrame
    exposures: pd.DataFrame
    dirt: pd.DataFrame
    tastes: Tastes
    root: Path | None = None

    def preferences(self, time: float = 0.875, only: tuple[str, ...] | None = None) -> pd.DataFrame:
        """Return how much every human user likes every video at a time: the mean over its shots.

        Parameters
        ----------
        time : float
            0 is the beginning of the world, 1 its end; the default is the middle of the last
            quarter.
        only : tuple of str, optional
            Factors to count, of `behavior.WEIGHTS`; all by default.

        Returns
        -------
        pandas.DataFrame
            float32, users x videos.
        """
        factors = video_factors(self.videos, self.shots)
        return self._liking(factors, self.videos.index, time, only)

    def preferences_by_shot(
        self, time: float = 0.875, only: tuple[str, ...] | None = None
    ) -> pd.DataFrame:
        """Return how much every human user likes every shot at a time.

        Parameters
        ----------
        time, only
            As for `preferences`.

        Returns
        -------
        pandas.DataFrame
            float32, users x (`video_id`, `shot`).
        """
        factors = shot_factors(self.videos, self.shots)
        return self._liking(factors, self.shots.index, time, only)

    def _liking(
        self,
        factors: dict[str, np.ndarray],
        columns: pd.Index,
        time: float,
        only: tuple[str, ...] | None,
    ) -> pd.DataFrame:
        unknown = set(only or ()) - set(WEIGHTS)
        if unknown:
            raise ValueError(f"Tastes have no factor {sorted(unknown)}; they have {list(WEIGHTS)}.")
        matrix = liking(self.tastes, factors, time, only=only)
        matrix = np.broadcast_to(matrix, (len(self.tastes.users), len(columns)))
        return pd.DataFrame(matrix, index=self.tastes.users.index, columns=columns)

    def references(
        self, first: pd.Timestamp, last: pd.Timestamp, least_s: pd.Series | None = None
    ) -> dict[str, pd.DataFrame]:
        """Scores of two recommenders that know what no platform knows.

        Neither is a ceiling. What counts as relevant also depends on what the platform happened to
        show. `"knows every taste"` ranks by liking alone. `"knows every taste and the exposure
        odds"` ranks by the chance of a success: that the platform shows the video on one of the
        days (its popularity and freshness of that day, and the platform's own idea of the user),
        times the chance that the user, looking at it, watches long enough or likes it.

        Parameters
        ----------
        first, last : Timestamp
            First and last event of the part that is evaluated.
        least_s : Series of float, optional
            By video: seconds from which a view counts as a success, as the rule of a label gives
            them for the clips' true durations. Where it lacks a video, or is NaN or infinite, likes
            alone count. Default: four fifths of each clip.

        Returns
        -------
        dict of str to DataFrame
            By name, float32, users x videos; `recommender.FixedScores(table, name)` ranks by them.

        Raises
        ------
        ValueError
            If this truth does not come from a folder, which holds the log and the world's figures,
            or no video of this world has a threshold.
        """
        if self.root is None:
            raise ValueError("Exposure odds need the world's folder; read the truth with load.")
        config = _config(self.root)
        duration_s = self.videos["n_frames"] / config.fps
        least_s = 0.8 * duration_s if least_s is None else least_s.reindex(self.videos.index)
        if least_s.isna().all():
            raise ValueError(
                "No video of this world has a threshold; least_s is indexed by video_id."
            )
        seconds = least_s.to_numpy(dtype=np.float64, na_value=np.nan)
        start = pd.Timestamp(config.start, tz="UTC")
        days = range(max(0, (first - start).days), min(config.n_days, (last - start).days + 1))
        middle = ((first - start) + (last - start)) / 2 / pd.Timedelta(days=config.n_days)
        odds = sum(self._success_odds(day, config, seconds) for day in days)
        return {
            "knows every taste": self.preferences(middle),
            "knows every taste and the exposure odds": pd.DataFrame(
                odds, index=self.tastes.users.index, columns=self.videos.index
            ),
        }

    def _success_odds(self, day: int, config: WorldConfig, least_s: np.ndarray) -> np.ndarray:
        """Chance of each video in the first slot of a session, times that of a success there."""
        clock = timeline(self.videos, self.shots, config.fps)
        by_shot = self.preferences_by_shot((day + 0.5) / config.n_days).to_numpy()
        likes = (clock.shares() @ by_shot.T).T  # (users, videos)
        watched, misjudged = self._platform_on(day, config)
        age_s = (day + 0.5) * 86_400 - published_seconds(self.videos, config)  # (videos,)
        judged = likes + misjudged
        shown = chances(exposure_logits(watched, judged, age_s[None], clock.duration_s))
        return (shown * success_chance(by_shot, clock, least_s)).astype(np.float32)

    def _platform_on(self, day: int, config: WorldConfig) -> tuple[np.ndarray, np.ndarray]:
        """Audience of each video on the morning of a day, and how the platform misjudges users."""
        watched, misjudged = platform_start(self.videos, config, config.rng("behavior"))
        shown = pd.read_parquet(self.root / "interactions.parquet", columns=["video_id"])
        morning = pd.Timestamp(config.start, tz="UTC") + pd.Timedelta(days=day)
        before = self.exposures["timestamp"] < morning
        enjoyed = self.exposures["examined"] & (self.exposures["liking"] > 0) & before
        counts = shown["video_id"][enjoyed.to_numpy(dtype=bool)].value_counts()
        return watched + counts.reindex(self.videos.index, fill_value=0).to_numpy(), misjudged

    def planted(self, *kinds: str) -> set[str]:
        """Return the ids of everything spoiled in one of the given ways.

        Raises
        ------
        ValueError
            If a kind was never planted in this world.
        """
        known = set(self.dirt["kind"])
        if not set(kinds) <= known:
            raise ValueError(
                f"{sorted(set(kinds) - known)} was not planted; the kinds are {sorted(known)}."
            )
        return set(self.dirt.loc[self.dirt["kind"].isin(kinds), "id"])

    def score_report(self, report: pd.DataFrame) -> pd.DataFrame:
        """Measure each detector of a cleaning run against what was planted.

        Parameters
        ----------
        report : DataFrame
            All rows that cleaning reported, with `table`, `row`, `id` and `problem`, such as
            `preprocessing.Report.frame`. A row of the log is identified by its index in the log.

        Returns
        -------
        DataFrame
            Indexed by problem, those of `PLANTED_AS`: `precision` and `recall` (see
            `score_detection`), and `planted`, the number of planted cases.
        """
        index_in_log = (report["row"] - _FIRST_RECORD).astype("str")
        ids = report["id"].where(report["table"] != "interactions", index_in_log)
        scores = {}
        for problem, kinds in PLANTED_AS.items():
            named = report["problem"].str.contains(problem, regex=False, na=False)
            score = score_detection(ids[named], self.planted(*kinds))
            scores[problem] = (score["precision"], score["recall"], score["n"])
        return pd.DataFrame.from_dict(scores, "index", columns=["precision", "recall", "planted"])


def score_detection(detected: Iterable[str], planted: Iterable[str]) -> dict[str, float]:
    """Compare what a detector reported with what was planted.

    Parameters
    ----------
    detected, planted : iterable
        Ids (or pairs of ids); repeated ones count once.

    Returns
    -------
    dict
        `precision` (share of the detected that was planted; 1 when nothing was detected),
        `recall` (share of the planted that was detected; 1 when nothing was planted),
        `f1`, their harmonic mean, and `n`, the number planted.

    Examples
    --------
    >>> score = score_detection(detected=["a", "b"], planted=["b", "c", "d", "e"])
    >>> score["precision"], score["recall"]
    (0.5, 0.25)
    """
    detected, planted = set(detected), set(planted)
    hits = len(detected & planted)
    precision = hits / len(detected) if detected else 1.0
    recall = hits / len(planted) if planted else 1.0
    f1 = 2 * precision * recall / (precision + recall) if hits else float(precision * recall)
    return {"precision": precision, "recall": recall, "f1": f1, "n": len(planted)}


def folder(library_root: Path | str) -> Path:
    """Return the truth folder beside a library's folder."""
    return Path(library_root).parent / "truth"


def save(truth: Truth, target: Path) -> None:
    """Write all tables into a folder that exists."""
    for name in FRAMES:
        getattr(truth, name).to_parquet(target / f"{name}.parquet")
    truth.tastes.users.to_parquet(target / "users.parquet")
    arrays = {f"start {factor}": values for factor, values in truth.tastes.start.items()}
    arrays |= {f"end {factor}": values for factor, values in truth.tastes.end.items()}
    np.savez(target / "tastes.npz", **arrays)


def load(library_root: Path | str) -> Truth:
    """Read the truth of an embedded world.

    Parameters
    ----------
    library_root : path
        The library's folder, as `minitube.build` returns it and `VideoLibrary.root` holds it.

    Raises
    ------
    FileNotFoundError
        If the library is not an embedded world: nobody knows the truth of real data.

    Examples
    --------
    >>> import tempfile
    >>> table = pd.DataFrame({"id": ["v1", "u7"], "kind": ["black", "bot"]})
    >>> tastes = Tastes(pd.DataFrame(index=["u1"]), start={}, end={})
    >>> with tempfile.TemporaryDirectory() as world:
    ...     Path(world, "truth").mkdir()
    ...     save(Truth(*[table] * 5, tastes), Path(world, "truth"))
    ...     known = load(Path(world, "library"))
    >>> known.planted("bot")
    {'u7'}
    """
    source = folder(library_root)
    if not (source / "tastes.npz").is_file():
        raise FileNotFoundError(
            f"There is no ground truth beside {library_root}: only the embedded world has one. "
            "Load it with datasets.load('minitube')."
        )
    frames = {name: pd.read_parquet(source / f"{name}.parquet") for name in FRAMES}
    users = pd.read_parquet(source / "users.parquet")
    with np.load(source / "tastes.npz", allow_pickle=False) as arrays:
        start = {key[6:]: arrays[key] for key in arrays.files if key.startswith("start ")}
        end = {key[4:]: arrays[key] for key in arrays.files if key.startswith("end ")}
    return Truth(**frames, tastes=Tastes(users, start, end), root=Path(library_root))


def _config(library_root: Path) -> WorldConfig:
    """The figures that a world was made with, from its manifest."""
    manifest = json.loads((library_root.parent / "world.json").read_text(encoding="utf-8"))
    names = {field.name for field in fields(WorldConfig)}
    return WorldConfig(**{name: value for name, value in manifest.items() if name in names})
