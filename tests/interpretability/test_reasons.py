"""Reasons of recommendations add up to the score and say so in words; remedies are verified."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.helpers.models import groups, recommenders, small
from vidrec_utils import datasets
from vidrec_utils.behavior_based import ALS, BPR, EASE, ItemKNN
from vidrec_utils.content_based import ContentRecommender, LearnedRanker, TermRecommender
from vidrec_utils.explanations import NotExplainable
from vidrec_utils.hybrid import Stacked
from vidrec_utils.interpretability import NotRecommended, explain, explain_absence
from vidrec_utils.recommender import Popularity, Random


def random_log(seed: int = 0, users: int = 30, videos: int = 15) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    pairs = np.argwhere(rng.random((users, videos)) < 0.3)
    return pd.DataFrame(
        {
            "user_id": [f"u{user}" for user, _ in pairs],
            "video_id": [f"v{video}" for _, video in pairs],
            "watch_ratio": rng.uniform(0.1, 1.4, len(pairs)),
            "timestamp": pd.Timestamp("2025-03-03", tz="UTC")
            + pd.to_timedelta(np.arange(len(pairs)), "h"),
        }
    )


def first(model, user: str, k: int = 10) -> str:
    return model.recommend([user], k=k)["video_id"].iloc[0]


@pytest.mark.parametrize(
    "model",
    [EASE(1.0), EASE(5.0, binary=True), ItemKNN(), ALS(4, 5, progress=False)],
    ids=lambda model: f"{model.name}",
)
def test_influences_sum_to_the_score(model) -> None:
    model.fit(random_log())
    for user in model.user_ids:
        for video in model.recommend([user], k=5)["video_id"]:
            reasons = explain(model, user, video, k=5)
            score = model.score([user])[0, model.video_ids.get_loc(video)]
            assert abs(reasons.total - score) < 1e-5
            assert reasons.score == pytest.approx(score)
            history = model.video_ids[model.seen[[model.user_ids.get_loc(user)]].indices]
            assert set(reasons.table["reason"]) <= set(history)


def test_the_rank_is_that_of_the_list() -> None:
    model = EASE(1.0).fit(random_log())
    for user in model.user_ids[:10]:
        listed = model.recommend([user], k=8)
        for video, rank in zip(listed["video_id"], listed["rank"], strict=True):
            assert explain(model, user, video).rank == rank


def test_every_model_explains_what_it_recommends_or_says_explain_absence() -> None:
    world = groups()
    explained = set()
    for name, cls in recommenders().items():
        model = small(cls).fit(world)
        video = first(model, "u00")
        try:
            reasons = explain(model, "u00", video)
        except NotExplainable:
            continue
        explained.add(name)
        assert reasons.rank == 1
        assert video in reasons.sentence()
        assert isinstance(reasons.figure(), Figure)
    assert {"EASE", "ALS", "ItemKNN", "ContentRecommender", "TermRecommender"} <= explained
    assert {"Stacked", "WeightedFusion"} <= explained


def test_sentences_name_titles_shares_and_tags() -> None:
    log = pd.DataFrame(
        [("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "c"), ("cat", "a"), ("cat", "c"),
         ("dan", "b"), ("dan", "c"), ("eve", "d")],
        columns=["user_id", "video_id"],
    ).assign(watch_ratio=1.0, timestamp=pd.Timestamp("2025-01-01", tz="UTC"))  # fmt: skip
    videos = pd.DataFrame(
        {
            "video_id": list("abcd"),
            "title": ["Cats", "Dogs", "Birds", pd.NA],
            "tags": ["pets|fur", "dogs", "pets|sky", pd.NA],
        }
    )
    library = datasets.VideoLibrary(videos, log)
    model = EASE(1.0).fit(log)
    reasons = explain(model, "ann", "c", library=library)
    sentence = reasons.sentence()
    assert sentence.startswith(
        '"Birds" is number 1 on the list of ann because ann watched "Cats" ('
    )
    assert ' and "Dogs" (' in sentence
    assert sentence.endswith("; the first shares #pets.")
    assert reasons.shares.sum() == pytest.approx(1)
    assert "Dogs" not in reasons.sentence(n=1)
    assert '"d"' in explain(model, "ann", "d", library=library).sentence()  # no title, no reason


def test_one_watched_video_is_the_only_reason() -> None:
    log = pd.DataFrame(
        [("ann", "a"), ("bob", "a"), ("bob", "b"), ("cat", "c"), ("dan", "c")],
        columns=["user_id", "video_id"],
    ).assign(watch_ratio=1.0)
    model = EASE(1.0).fit(log)
    reasons = explain(model, "ann", "b")
    assert reasons.sentence().endswith('because of "a", the only one watched.')
    with pytest.raises(KeyError, match="nobody"):
        explain(model, "nobody", "b")
    with pytest.raises(KeyError, match="nothing"):
        explain(model, "ann", "nothing")
    quiet = pd.concat(
        [log, pd.DataFrame({"user_id": ["eve"], "video_id": ["a"], "watch_ratio": 0.0})]
    )
    with pytest.raises(NotExplainable, match="popular"):
        explain(EASE(1.0).fit(quiet), "eve", "c")


def test_what_would_not_be_recommended_is_refused() -> None:
    model = EASE(1.0).fit(random_log())
    user = "u3"
    row = model.user_ids.get_loc(user)
    watched = model.video_ids[model.seen[[row]].indices[0]]
    with pytest.raises(NotRecommended, match=r"has watched it.*explain_absence"):
        explain(model, user, watched)
    last = model.recommend([user], k=15)["video_id"].iloc[-1]
    with pytest.raises(NotRecommended, match=r"it is number \d+ of \d+, and the list has 2"):
        explain(model, user, last, k=2)
    with pytest.raises(NotExplainable, match="Random"):
        explain(Random().fit(random_log()), user, first(Random().fit(random_log()), user))
    bpr = BPR(2, epochs=1, progress=False).fit(random_log())
    with pytest.raises(NotExplainable, match="BPR"):
        explain(bpr, user, first(bpr, user))


def test_a_stack_is_explained_by_its_members() -> None:
    log = random_log(users=60)
    model = Stacked([ItemKNN(), Popularity()]).fit(log)
    user = model.user_ids[0]
    reasons = explain(model, user, first(model, user))
    assert set(reasons.table["kind"]) == {"member", "video", "average"}
    score = model.score([user])[0, model.video_ids.get_loc(reasons.video_id)]
    assert abs(reasons.total - score) < 1e-5
    assert reasons.members is not None
    assert " by " in reasons.sentence(n=3)


def test_content_and_terms_name_videos_and_a_ranker_its_features() -> None:
    world = groups()
    for cls in (ContentRecommender, TermRecommender):
        model = small(cls).fit(world)
        assert "because u00 watched" in explain(model, "u00", first(model, "u00")).sentence()
    ranker = small(LearnedRanker).fit(world)
    assert " because of " in explain(ranker, "u00", first(ranker, "u00")).sentence()


def test_explain_absence_finds_each_obstacle() -> None:
    log = random_log()
    videos = pd.DataFrame({"video_id": [*sorted(log["video_id"].unique()), "new"]})
    model = EASE(1.0).fit(datasets.VideoLibrary(videos.assign(title="t"), log))
    user = "u5"
    listed = model.recommend([user], k=20)["video_id"].tolist()
    row = model.user_ids.get_loc(user)
    watched = model.video_ids[model.seen[[row]].indices[0]]
    assert explain_absence(model, user, watched).obstacle == "watched"
    assert explain_absence(model, user, listed[0]).obstacle == "listed"
    low = [v for v in listed[4:] if v != "new"][-1]
    answer = explain_absence(model, user, low, k=3)
    assert answer.obstacle == "outscored"
    assert answer.rank == listed.index(low) + 1
    assert answer.last == listed[2]
    scores = dict(zip(model.video_ids, model.score([user])[0], strict=True))
    assert answer.gap == pytest.approx(scores[listed[2]] - scores[low], abs=1e-5)
    assert answer.table["difference"].sum() == pytest.approx(-answer.gap, abs=1e-5)
    assert low in answer.sentence()
    for text in ("has watched it", "is on the list"):
        video = watched if text.startswith("has") else listed[0]
        assert text in explain_absence(model, user, video).sentence()
    if listed.index("new") >= 3:
        cold = explain_absence(model, user, "new", k=3)
        assert cold.obstacle == "no information"
        assert "nobody has watched it" in cold.sentence()


def test_a_remedy_is_verified_by_scoring_again() -> None:
    tried = 0
    for seed in range(6):
        log = random_log(seed)
        model = EASE(1.0).fit(log)
        for user in model.user_ids[:6]:
            listed = model.recommend([user], k=20)["video_id"].tolist()
            answer = explain_absence(model, user, listed[-1], k=3)
            if answer.remedy is None:
                continue
            tried += 1
            row = model.history[[model.user_ids.get_loc(user)]].tocoo()
            ids = [*model.video_ids[row.col], answer.remedy]
            scores = model.score_next(ids, [*row.data, np.median(row.data)])
            seen = model.video_ids.isin(ids)
            seen[model.seen[[model.user_ids.get_loc(user)]].indices] = True
            target = model.video_ids.get_loc(answer.video_id)
            ahead = (scores > scores[target]) & ~seen
            assert answer.rank_with_remedy == ahead.sum() + 1 < answer.rank
            assert f"number {answer.rank_with_remedy}" in answer.sentence()
    assert tried >= 10


def test_models_without_reasons_still_say_what_is_in_the_way() -> None:
    model = Popularity().fit(random_log())
    listed = model.recommend(["u2"], k=20)["video_id"].tolist()
    answer = explain_absence(model, "u2", listed[-1], k=2)
    assert answer.obstacle == "outscored"
    assert answer.table.empty
    assert answer.remedy is None
    assert "below that of" in answer.sentence()
