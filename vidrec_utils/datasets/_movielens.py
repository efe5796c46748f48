"""MovieLens in GroupLens' own form."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from vidrec_utils.datasets._files import read_public
from vidrec_utils.datasets._library import VideoLibrary
from vidrec_utils.datasets._problems import LibraryError
from vidrec_utils.datasets._tables import TEXT

FILES = ("ratings.csv", "movies.csv", "tags.csv", "links.csv")
LIKED_FROM = 4.0
_NO_GENRES = "(no genres listed)"
_YEAR = r"\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*$"


def is_movielens(folder: Path) -> bool:
    """Whether a folder holds MovieLens rather than a library of ours."""
    return all((folder / name).is_file() for name in FILES[:2])


def load_movielens(path: str | Path) -> VideoLibrary:
    """Read MovieLens (`ml-latest-small` and sets of the same form).

    Movies become videos: `title` without the year, which goes to `year` (Int64); `tags` the tags
    that users applied, each once whatever its case, in order of application; `category` the first
    genre and `genres` all of them, joined with `|`; `imdb_id` and `tmdb_id`. Ratings become
    interactions: `rating` (0.5 to 5) is kept and `liked` means a rating of at least 4. The data
    have no exposures, watch ratios, shares, comments, files or thumbnails: those are NA.

    Parameters
    ----------
    path : path
        The folder with `ratings.csv`, `movies.csv`, `tags.csv` and `links.csv`.

    Returns
    -------
    VideoLibrary
        With `extras["tag_applications"]` (`user_id`, `video_id`, `tag`, `timestamp`) and counts in
        `notes`, among them those of repeated ratings and titles; `duplicates()` names the rows.

    Raises
    ------
    LibraryError
        If a file is absent, broken, or lacks a column.

    References
    ----------
    F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 2015.
    """
    root = Path(path).expanduser().resolve()
    absent = [name for name in FILES if not (root / name).is_file()]
    if absent:
        raise LibraryError(
            f"{root} is not MovieLens: {', '.join(absent)} is not there. "
            "Unpack ml-latest-small.zip of GroupLens and name its folder."
        )
    movies = read_public(root, ["movies.csv"], ["movieId", "title", "genres"])
    ratings = read_public(root, ["ratings.csv"], ["userId", "movieId", "rating", "timestamp"])
    tags = read_public(root, ["tags.csv"], ["userId", "movieId", "tag", "timestamp"])
    links = read_public(root, ["links.csv"], ["movieId", "imdbId", "tmdbId"])
    interactions = pd.DataFrame(
        {
            "user_id": ratings["userId"],
            "video_id": ratings["movieId"],
            "timestamp": ratings["timestamp"],
            "liked": ratings["rating"] >= LIKED_FROM,
            "rating": ratings["rating"].astype("float64"),
        }
    )
    library = VideoLibrary(
        videos=_videos(movies, tags, links),
        interactions=interactions,
        users=pd.DataFrame({"user_id": pd.unique(pd.concat([ratings["userId"], tags["userId"]]))}),
        name="movielens",
        extras={"tag_applications": _tag_applications(tags)},
        earliest=pd.Timestamp("1995-01-01", tz="UTC"),
        sources={"videos": "movies.csv", "interactions": "ratings.csv", "users": "ratings.csv"},
    )
    again = library.duplicates()["kind"].value_counts()
    library.notes |= {
        "ratings": len(ratings),
        "users": int(ratings["userId"].nunique()),
        "movies": len(movies),
        "tag_applications": len(tags),
        "movies_without_a_rating": int((~movies["movieId"].isin(ratings["movieId"])).sum()),
        "repeated_ratings": int(ratings.duplicated(["userId", "movieId"]).sum()),
        "repeated_titles": int(again.get("title", 0)),
        "liked_means": f"rating of at least {LIKED_FROM:g}",
    }
    return library


def _videos(movies: pd.DataFrame, tags: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    title = movies["title"].astype(TEXT).str.strip()
    genres = movies["genres"].astype(TEXT)
    genres = genres.mask(genres == _NO_GENRES)
    links = links.set_index("movieId").reindex(movies["movieId"]).reset_index(drop=True)
    return pd.DataFrame(
        {
            "video_id": movies["movieId"],
            "title": title.str.replace(_YEAR, "", regex=True),
            "tags": movies["movieId"].map(_joined_tags(tags)),
            "category": genres.str.split("|").str[0],
            "year": pd.to_numeric(title.str.extract(_YEAR)[0]).astype("Int64"),
            "genres": genres,
            # IMDb writes its numbers with seven digits or more.
            "imdb_id": links["imdbId"].astype("Int64").astype(TEXT).str.zfill(7),
            "tmdb_id": links["tmdbId"].astype("Int64").astype(TEXT),
        }
    )


def _joined_tags(tags: pd.DataFrame) -> pd.Series:
    """Join the tags of each movie, each once, with '|'."""
    tag = tags["tag"].astype(TEXT).str.replace("|", "/").str.strip()
    tags = tags.assign(tag=tag, plain=tag.str.casefold()).sort_values("timestamp", kind="stable")
    once = tags.dropna(subset="tag").drop_duplicates(["movieId", "plain"])
    return once.groupby("movieId")["tag"].agg("|".join)


def _tag_applications(tags: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": tags["userId"].astype(TEXT),
            "video_id": tags["movieId"].astype(TEXT),
            "tag": tags["tag"].astype(TEXT),
            "timestamp": pd.to_datetime(tags["timestamp"], unit="s", utc=True).dt.as_unit("us"),
        }
    )
