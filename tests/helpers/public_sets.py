"""Small public sets in their authors' layout, made up from a seed: MovieLens and KuaiRand.

They lack what the large ones lack. MovieLens has titles, genres and ratings over years, and no
media, exposures or durations. KuaiRand has exposures with watch times and rare likes, and neither
titles nor media; its tags are numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

GENRES = ("Action", "Comedy", "Drama", "Horror", "Romance")
_WORDS = ("Night", "River", "Silent", "Golden", "Return", "City", "Winter", "Secret", "Last", "Red")
_KUAIRAND_FLAGS = ("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate")
_START_MS = 1_650_384_000_000  # 2022-04-19 16:00 UTC, midnight in Beijing


def write_movielens(folder: Path, users: int = 60, movies: int = 90, seed: int = 0) -> Path:
    """Write `ratings.csv`, `movies.csv`, `tags.csv` and `links.csv`, as in ml-latest-small.

    Each user rates about a third of the movies in one sitting or two, and likes one genre.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    genre = rng.integers(0, len(GENRES), movies)
    titles = [" ".join(rng.choice(_WORDS, 2, replace=False)) for _ in range(movies)]
    years = rng.integers(1970, 2018, movies)
    catalogue = pd.DataFrame(
        {
            "movieId": np.arange(1, movies + 1),
            "title": [f"{t} ({y})" for t, y in zip(titles, years, strict=True)],
            "genres": [GENRES[g] if g else "Action|Thriller" for g in genre],
        }
    )
    rows = []
    for user in range(1, users + 1):
        begin = 1_400_000_000 + int(rng.integers(0, 100_000_000))
        for position, movie in enumerate(rng.choice(movies, movies // 3, replace=False)):
            mean = 4.2 if genre[movie] == user % len(GENRES) else 3.0
            rating = np.clip(np.round(2 * rng.normal(mean, 0.8)) / 2, 0.5, 5.0)
            later = 40_000_000 if position > movies // 5 else 0  # the second sitting
            rows.append((user, movie + 1, rating, begin + later + 30 * position))
    ratings = pd.DataFrame(rows, columns=["userId", "movieId", "rating", "timestamp"])
    tagged = ratings.iloc[:: len(ratings) // 40]
    tags = tagged.assign(tag=[_WORDS[m % len(_WORDS)].lower() for m in tagged["movieId"]])
    links = catalogue[["movieId"]].assign(imdbId="0114709", tmdbId="862")
    ratings.to_csv(folder / "ratings.csv", index=False)
    catalogue.to_csv(folder / "movies.csv", index=False)
    tags[["userId", "movieId", "tag", "timestamp"]].to_csv(folder / "tags.csv", index=False)
    links.to_csv(folder / "links.csv", index=False)
    return folder


def write_kuairand(folder: Path, users: int = 80, videos: int = 60, seed: int = 0) -> Path:
    """Write the logs and features of KuaiRand-Pure in `data/`, as the authors' archive has them.

    Each user opens the app several times in three weeks, is shown five videos each time, one a
    minute, and watches those longer whose tag is the user's own. Some durations are 0, some rows
    repeat, and most users of the table of features are in no log.
    """
    rng = np.random.default_rng(seed)
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    tag = rng.integers(1, 7, videos)
    duration_ms = (1000 * np.exp(rng.uniform(np.log(8), np.log(300), videos))).astype(int)
    upload_day = np.minimum(rng.integers(-20, 16, videos), 14)
    catalogue = pd.DataFrame(
        {
            "video_id": np.arange(videos),
            "author_id": rng.integers(0, videos // 3, videos),
            "video_type": "NORMAL",
            "upload_dt": pd.Timestamp("2022-04-20") + pd.to_timedelta(upload_day, unit="D"),
            "upload_type": "ShortImport",
            "visible_status": 1,
            "video_duration": duration_ms,
            "server_width": 720,
            "server_height": 1280,
            "music_id": rng.integers(0, 9, videos),
            "music_type": 9,
            "tag": [str(t) if t % 2 else f"{t},{t + 6}" for t in tag],
        }
    )
    logs = []
    for user in range(users):
        sessions = np.sort(rng.uniform(0, 20, videos // 10))
        for day in np.concatenate([start + np.arange(5) / 1440 for start in sessions]):
            video = int(rng.choice(np.flatnonzero(upload_day < day - 1)))
            own = 2.5 if tag[video] == 1 + user % 6 else 1.0
            played = own * rng.exponential(4_000 * (duration_ms[video] / 8_000) ** 0.4)
            chance = {"is_click": 0.4, "is_like": 0.05 * own**2}
            flags = {f: int(rng.random() < chance.get(f, 0.01)) for f in _KUAIRAND_FLAGS}
            logs.append(
                {
                    "user_id": user,
                    "video_id": video,
                    "time_ms": _START_MS + int(day * 86_400_000),
                    **flags,
                    "long_view": int(played > 18_000),
                    "play_time_ms": int(played),
                    "duration_ms": 0 if rng.random() < 0.02 else int(duration_ms[video]),
                    "profile_stay_time": 0,
                    "comment_stay_time": 0,
                    "is_profile_enter": 0,
                    "is_rand": 0,
                    "tab": 1,
                }
            )
    log = pd.DataFrame(logs)
    log = pd.concat([log, log.iloc[::100]]).sort_values("time_ms", kind="stable")
    half = log["time_ms"] < _START_MS + 10 * 86_400_000
    log[half].to_csv(data / "log_standard_4_08_to_4_21_pure.csv", index=False)
    log[~half].to_csv(data / "log_standard_4_22_to_5_08_pure.csv", index=False)
    catalogue.to_csv(data / "video_features_basic_pure.csv", index=False, date_format="%Y-%m-%d")
    people = pd.DataFrame({"user_id": np.arange(3 * users), "user_active_degree": "full_active"})
    people.to_csv(data / "user_features_pure.csv", index=False)
    return folder
