"""MovieLens in the forms in which GroupLens publishes it, from 100K to 32M."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from vidrec_utils.datasets._csv import Table
from vidrec_utils.datasets._library import VideoLibrary
from vidrec_utils.datasets._problems import LibraryError
from vidrec_utils.datasets._public import read_plain, read_public
from vidrec_utils.datasets._tables import TEXT

FILES = ("ratings.csv", "movies.csv", "tags.csv", "links.csv")
DAT_FILES = ("ratings.dat", "movies.dat")
DATA_FILES = ("u.data", "u.item")
LIKED_FROM = 4.0
_NO_GENRES = "(no genres listed)"
_YEAR = r"\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*$"

_RATINGS = {"userId": "id", "movieId": "id", "rating": "number", "timestamp": "whole"}
_MOVIES = {"movieId": "id", "title": "text", "genres": "text"}
_TAGS = {"userId": "id", "movieId": "id", "tag": "text", "timestamp": "whole"}
_LINKS = {"movieId": "id", "imdbId": "text", "tmdbId": "text"}
_USERS_1M = {
    "user_id": "id",
    "gender": "text",
    "age": "whole",
    "occupation": "text",
    "zip_code": "text",
}
_USERS_100K = {
    key: _USERS_1M[key] for key in ("user_id", "age", "gender", "occupation", "zip_code")
}
_GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance"),
    *("Sci-Fi", "Thriller", "War", "Western"),
)
_NOT_READ = ("genome-scores.csv", "genome-tags.csv")


def is_movielens(folder: Path) -> bool:
    """Whether a folder holds MovieLens rather than a library of ours."""
    forms = (FILES[:2], DAT_FILES, DATA_FILES)
    return any(all((folder / name).is_file() for name in names) for names in forms)


def load_movielens(path: str | Path) -> VideoLibrary:
    """Read MovieLens in any of its forms.

    These are `ml-latest-small`, `ml-latest`, 20M, 25M and 32M (`ratings.csv`), 1M and 10M
    (`ratings.dat`), and 100K (`u.data`). Movies become videos: `title` without the year, which
    goes to `year` (Int64); `category` the first genre and `genres` all of them, joined with `|`;
    `tags` the tags that users applied, each once whatever its case, in order of application (1M
    and 100K have none); `imdb_id` and `tmdb_id` where the set has links. Ratings become
    interactions: `rating` (0.5 to 5) is kept and `liked` means a rating of at least 4. The data
    have no exposures, watch ratios, shares, comments, files or thumbnails: those are NA. 1M and
    100K tell the users' `gender`, `age` (1M: the least of their age group), `occupation` (1M: its
    number) and `zip_code`.

    Parameters
    ----------
    path : path
        The folder with `ratings.csv`, `movies.csv`, `tags.csv` and `links.csv`; with
        `ratings.dat` and `movies.dat`; or with `u.data` and `u.item`.

    Returns
    -------
    VideoLibrary
        With `extras["tag_applications"]` (`user_id`, `video_id`, `tag`, `timestamp`) and counts in
        `notes`, among them those of repeated ratings and titles; `duplicates()` names the rows.
        `notes["not_read"]` lists files that have no use here, such as the tag genome.

    Raises
    ------
    LibraryError
        If a file is absent or broken, lacks a column, or has a cell that cannot be read.

    References
    ----------
    F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 2015.
    """
    root = Path(path).expanduser().resolve()
    if all((root / name).is_file() for name in DAT_FILES):
        return _load_dat(root)
    if all((root / name).is_file() for name in DATA_FILES):
        return _load_100k(root)
    absent = [name for name in FILES if not (root / name).is_file()]
    if absent:
        raise LibraryError(
            f"{root} is not MovieLens: {', '.join(absent)} is not there. Unpack an archive of "
            f"GroupLens, such as ml-latest-small.zip, and name its folder. Other forms are "
            f"recognized by {' and '.join(DAT_FILES)} (1M, 10M) or {' and '.join(DATA_FILES)} "
            "(100K)."
        )
    ratings = read_public(root, ["ratings.csv"], _RATINGS)
    movies = read_public(root, ["movies.csv"], _MOVIES)
    tags = read_public(root, ["tags.csv"], _TAGS)
    links = read_public(root, ["links.csv"], _LINKS)
    users = pd.concat([ratings.frame["userId"], tags.frame["userId"]])
    sources = {"videos": "movies.csv", "interactions": "ratings.csv", "users": "ratings.csv"}
    videos = _videos(movies.frame, tags.frame).assign(**_ids_elsewhere(movies.frame, links.frame))
    library = _library(
        ratings, movies, tags, videos, pd.DataFrame({"user_id": users.unique()}), sources
    )
    library.add_problems(links.problems)
    not_read = [name for name in _NOT_READ if (root / name).is_file()]
    if not_read:
        library.notes["not_read"] = not_read
    return library


def _load_dat(root: Path) -> VideoLibrary:
    """Read 1M, or 10M, which has tags and no table of users."""
    ratings = read_plain(root, "ratings.dat", b"::", _RATINGS, list(_RATINGS))
    movies = read_plain(root, "movies.dat", b"::", _MOVIES, list(_MOVIES))
    sources = {"videos": "movies.dat", "interactions": "ratings.dat", "users": "ratings.dat"}
    tags = _no_tags()
    if (root / "tags.dat").is_file():
        tags = read_plain(root, "tags.dat", b"::", _TAGS, list(_TAGS))
    users = Table(pd.DataFrame({"user_id": ratings.frame["userId"].unique()}))
    if (root / "users.dat").is_file():
        users = read_plain(root, "users.dat", b"::", _USERS_1M, list(_USERS_1M))
        sources["users"] = "users.dat"
    videos = _videos(movies.frame, tags.frame)
    library = _library(ratings, movies, tags, videos, users.frame, sources)
    library.add_problems(users.problems)
    return library


def _load_100k(root: Path) -> VideoLibrary:
    """Read 100K, whose genres are columns of 0 and 1."""
    ratings = read_plain(root, "u.data", b"\t", _RATINGS, list(_RATINGS))
    header = ["movieId", "title", "release_date", "video_release_date", "url", *_GENRES_100K]
    kinds = {"movieId": "id", "title": "text", "release_date": "text"}
    movies = read_plain(root, "u.item", b"|", kinds | dict.fromkeys(_GENRES_100K, "flag"), header)
    flags = movies.frame[list(_GENRES_100K)].fillna(False).to_numpy(dtype=bool)
    genres = ["|".join(g for g, has in zip(_GENRES_100K, row, strict=True) if has) for row in flags]
    movies.frame["genres"] = pd.Series(genres, index=movies.frame.index, dtype=TEXT).replace(
        {"": None, "unknown": None}
    )
    users = Table(pd.DataFrame({"user_id": ratings.frame["userId"].unique()}))
    sources = {"videos": "u.item", "interactions": "u.data", "users": "u.data"}
    if (root / "u.user").is_file():
        users = read_plain(root, "u.user", b"|", _USERS_100K, list(_USERS_100K))
        sources["users"] = "u.user"
    tags = _no_tags()
    videos = _videos(movies.frame, tags.frame)
    videos["release_date"] = movies.frame["release_date"]
    library = _library(ratings, movies, tags, videos, users.frame, sources)
    library.add_problems(users.problems)
    return library


def _no_tags() -> Table:
    types = {"userId": TEXT, "movieId": TEXT, "tag": TEXT, "timestamp": "Int64"}
    return Table(pd.DataFrame({key: pd.Series(dtype=kind) for key, kind in types.items()}))


def _library(
    ratings: Table,
    movies: Table,
    tags: Table,
    videos: pd.DataFrame,
    users: pd.DataFrame,
    sources: dict[str, str],
) -> VideoLibrary:
    log = ratings.frame
    interactions = pd.DataFrame(
        {
            "user_id": log["userId"],
            "video_id": log["movieId"],
            "timestamp": log["timestamp"],
            "liked": (log["rating"] >= LIKED_FROM).astype("boolean").mask(log["rating"].isna()),
            "rating": log["rating"],
        }
    )
    rows = {"videos": movies.rows, "interactions": ratings.rows}
    library = VideoLibrary(
        videos=videos,
        interactions=interactions,
        users=users,
        name="movielens",
        extras={"tag_applications": _tag_applications(tags.frame)},
        earliest=pd.Timestamp("1995-01-01", tz="UTC"),
        sources=sources,
        file_rows={table: row for table, row in rows.items() if row is not None},
    )
    library.add_problems([*ratings.problems, *movies.problems, *tags.problems])
    again = library.duplicates()["kind"].value_counts()
    unrated = ~movies.frame["movieId"].isin(log["movieId"].unique())
    library.notes |= {
        "ratings": len(log),
        "users": int(log["userId"].nunique()),
        "movies": len(videos),
        "tag_applications": len(tags.frame),
        "movies_without_a_rating": int(unrated.sum()),
        "repeated_ratings": int(log.duplicated(["userId", "movieId"]).sum()),
        "repeated_titles": int(again.get("title", 0)),
        "liked_means": f"rating of at least {LIKED_FROM:g}",
    }
    return library


def _videos(movies: pd.DataFrame, tags: pd.DataFrame) -> pd.DataFrame:
    title = movies["title"].str.strip()
    genres = movies["genres"].mask(movies["genres"] == _NO_GENRES)
    return pd.DataFrame(
        {
            "video_id": movies["movieId"],
            "title": title.str.replace(_YEAR, "", regex=True),
            "tags": movies["movieId"].map(_joined_tags(tags)),
            "category": genres.str.split("|").str[0],
            "year": pd.to_numeric(title.str.extract(_YEAR)[0]).astype("Int64"),
            "genres": genres,
        }
    )


def _ids_elsewhere(movies: pd.DataFrame, links: pd.DataFrame) -> dict[str, pd.Series]:
    links = links.drop_duplicates("movieId").set_index("movieId")
    links = links.reindex(movies["movieId"]).set_axis(movies.index)
    # IMDb writes its numbers with seven digits or more.
    return {"imdb_id": links["imdbId"].str.zfill(7), "tmdb_id": links["tmdbId"]}


def _joined_tags(tags: pd.DataFrame) -> pd.Series:
    """Join the tags of each movie, each once, with '|'."""
    tag = tags["tag"].str.replace("|", "/").str.strip()
    tags = tags.assign(tag=tag, plain=tag.str.casefold()).sort_values("timestamp", kind="stable")
    once = tags.dropna(subset="tag").drop_duplicates(["movieId", "plain"])
    return once.groupby("movieId")["tag"].agg("|".join).astype(TEXT)


def _tag_applications(tags: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": tags["userId"],
            "video_id": tags["movieId"],
            "tag": tags["tag"],
            "timestamp": pd.to_datetime(tags["timestamp"], unit="s", utc=True).dt.as_unit("us"),
        }
    )
