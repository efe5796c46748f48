"""Libraries of a few (user, video) events, for recommenders that need no media."""

from collections.abc import Iterable
from types import SimpleNamespace

import numpy as np
import pandas as pd

START = pd.Timestamp("2025-03-01", tz="UTC")


def library(rows: Iterable[tuple], videos: Iterable, ratio: float = 1.0) -> SimpleNamespace:
    """One event an hour, in the order given, with the same watch ratio."""
    frame = pd.DataFrame(rows, columns=["user_id", "video_id"]).astype("str")
    times = START + pd.to_timedelta(np.arange(len(frame)), "h")
    frame = frame.assign(watch_ratio=ratio, timestamp=times)
    return SimpleNamespace(interactions=frame, videos=pd.DataFrame(index=[str(v) for v in videos]))
