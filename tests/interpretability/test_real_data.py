"""Explanations of models that were fitted to real logs; titles of MovieLens are in them."""

import numpy as np
import pytest

from tests.helpers import real_data
from vidrec_utils import datasets
from vidrec_utils.behavior_based import ALS, EASE
from vidrec_utils.interpretability import explain, explain_absence, smallest_removal


@pytest.fixture(scope="module", params=["ml-latest-small", "kuairand-pure"])
def library(request) -> datasets.VideoLibrary:
    library = datasets.load(real_data.require(request.param))
    counts = library.interactions["video_id"].value_counts()
    users = library.interactions["user_id"].value_counts().index[:1500]
    log = library.interactions[library.interactions["user_id"].isin(users)]
    # a catalogue that EASE solves in a second
    return datasets.VideoLibrary(
        library.videos.loc[library.videos.index.isin(counts.index[:1200])],
        log[log["video_id"].isin(counts.index[:1200])],
        name=request.param,
    )


@pytest.mark.parametrize("name", ["EASE", "ALS"])
def test_reasons_add_up_on_real_logs(name, library) -> None:
    model = EASE(200.0) if name == "EASE" else ALS(16, 5, progress=False)
    model.fit(library)
    lengths = model.history_lengths
    users = model.user_ids[np.argsort(-lengths)[[0, 20, 100, 400]]]
    for user in users:
        listed = model.recommend([user], k=10)["video_id"]
        for video in listed[:3]:
            reasons = explain(model, user, video, library=library)
            assert abs(reasons.total - reasons.score) < 1e-5 * max(1, abs(reasons.score))
        print(reasons.sentence())
        if library.name == "ml-latest-small":
            assert f'"{library.videos.at[video, "title"]}"' in reasons.sentence()
        absent = explain_absence(
            model, user, model.recommend([user], k=30)["video_id"].iloc[-1], library=library
        )
        assert absent.obstacle == "outscored"
        assert absent.rank == 30
        print(absent.sentence())


def test_counterfactuals_on_real_logs_hold(library) -> None:
    model = EASE(200.0).fit(library)
    titles = library.videos["title"].dropna().to_dict() if library.has("title") else {}
    lengths = model.history_lengths
    for user in model.user_ids[np.argsort(-lengths)[[300, 500]]]:
        answer = smallest_removal(model, user)
        assert answer is not None
        row = model.user_ids.get_loc(user)
        history = model.history[[row]].tocoo()
        kept = ~model.video_ids[history.col].isin(answer.removed)
        scores = np.array(model.score_next(model.video_ids[history.col[kept]], history.data[kept]))
        scores[model.seen[[row]].indices] = -np.inf
        assert model.video_ids[scores.argmax()] == answer.instead != answer.video_id
        print(answer.sentence(titles))
