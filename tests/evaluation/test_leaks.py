"""Each leak is injected and found, and clean data raise no alarm."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import datasets, evaluation, preprocessing
from vidrec_utils.datasets import Split
from vidrec_utils.evaluation import leaks
from vidrec_utils.leaks import duplicate_videos, future_videos, group_overlap
from vidrec_utils.recommender import Popularity

DAY = pd.Timedelta(days=1)


def world(n_users=150, n_videos=60, days=20, seed=0):
    """A platform on which some videos are always more popular than others."""
    rng = np.random.default_rng(seed)
    n = n_users * 30
    appeal = rng.dirichlet(np.full(n_videos, 0.5))
    log = pd.DataFrame(
        {
            "user_id": [f"u{i}" for i in rng.integers(0, n_users, n)],
            "video_id": [f"v{i:02d}" for i in rng.choice(n_videos, n, p=appeal)],
            "timestamp": pd.Timestamp("2025-01-01", tz="UTC") + rng.random(n) * days * DAY,
            "watch_ratio": rng.random(n),
        }
    )
    videos = pd.DataFrame(index=pd.Index([f"v{i:02d}" for i in range(n_videos)], name="video_id"))
    # an order that knows nothing of popularity, as the ids of uploads do not
    return log.sort_values("timestamp", ignore_index=True), videos


def clean_split(seed=0):
    return preprocessing.split_by_time(*world(seed=seed), validation=0.1, test=0.2)


SPLIT = clean_split()


def test_clean_splits_raise_no_alarm():
    for seed in range(5):
        found = leaks.check(clean_split(seed), seed=seed)
        assert len(found) == 4
        assert [str(finding) for finding in found if finding] == []
    table = leaks.table(found)
    assert table.columns.tolist() == ["leak", "alarm", "n", "detail", "remedy", "where"]


def test_minitube_raises_no_alarm():
    library = datasets.load("minitube")
    cleaned, _ = preprocessing.clean(library, progress=False)
    split = preprocessing.split_by_time(
        cleaned.interactions, cleaned.videos, validation=0.1, test=0.2
    )
    assert [str(finding) for finding in leaks.check(split) if finding] == []


def test_overlap_is_found_and_counted():
    leaked = replace(SPLIT, train=pd.concat([SPLIT.train, SPLIT.test.head(3)]))
    found = leaks.row_overlap(leaked)
    assert found
    assert found.n == 3
    row = SPLIT.test.iloc[0]
    assert f"{row['user_id']}/{row['video_id']}" in found.detail
    assert "ALARM" in str(found)


def test_no_more_rows_are_counted_than_there_are():
    """Everything at one time: every row of train and of validation is too late, once."""
    same = [part.assign(timestamp=SPLIT.test["timestamp"].min()) for part in
            (SPLIT.train, SPLIT.validation, SPLIT.test)]  # fmt: skip
    found = leaks.time_travel(Split(*same, SPLIT.videos, "at one time"))
    assert found.n == len(SPLIT.train) + len(SPLIT.validation)
    assert f"{found.n:,} rows are not older" in found.detail


def test_a_row_in_all_three_parts_is_repeated_twice():
    """It is in train; its repetitions in validation and in the test are two rows, not three."""
    row = pd.DataFrame({"user_id": ["u"], "video_id": ["a"]})
    found = leaks.row_overlap(Split(row, row, row, pd.DataFrame(index=["a"]), "thrice"))
    assert found.n == 2
    assert found.where == "train and validation: 1, train and test: 1, validation and test: 1"


def test_groups_and_videos_in_all_three_parts_count_once():
    videos = pd.DataFrame({"uploader": ["x", "x", "x", "y"]}, index=list("abcd"))
    split = Split(videos[:1], videos[1:2], videos[2:], videos, "of videos")
    assert group_overlap(split, "uploader").n == 1
    copies = duplicate_videos(split, {"b": "a", "c": "a"})
    assert copies.n == 2  # b and c, though c is a copy of a video of two earlier parts
    both = Split(videos[:1], videos[1:2], videos[1:2], videos, "b twice")
    assert duplicate_videos(both, {"b": "a"}).n == 1
    vectors = pd.DataFrame({"x": [1.0, 1.0]}, index=["a", "b"])
    assert leaks.near_duplicates(both, vectors=vectors).n == 1


def test_views_older_than_their_video_count_once_each():
    videos = pd.DataFrame({"published_at": [pd.Timestamp("2025-01-02")]}, index=["a"])
    rows = pd.DataFrame({"user_id": ["u", "u", "v"], "video_id": "a"})
    rows["timestamp"] = pd.to_datetime(["2025-01-01", "2025-01-01", "2025-01-03"])
    found = future_videos(Split(rows, rows[:1], rows[2:], videos, "early"))
    assert found.n == 3  # two of train, one of validation, though their rows have the same index
    assert found.where == "train: 2, validation: 1"


def test_overlap_sees_through_the_type_of_ids():
    numbers = pd.DataFrame({"user_id": [1, 2], "video_id": [10, 11]})
    texts = numbers.astype("str")
    split = Split(numbers, numbers.iloc[:0], texts.tail(1), pd.DataFrame(index=[10, 11]), "mixed")
    assert leaks.row_overlap(split).n == 1


def test_time_travel_is_found():
    shuffled = SPLIT.train.copy()
    shuffled.loc[shuffled.index[:2], "timestamp"] = SPLIT.test["timestamp"].max()
    found = leaks.time_travel(replace(SPLIT, train=shuffled))
    assert found
    assert found.n == 2  # too late for validation, and for the test: still two rows
    assert found.where == "train and validation: 2, train and test: 2"
    last_out = preprocessing.leave_last_out(*world())
    assert leaks.time_travel(last_out)


def copies(rng, ids):
    """Hashes of three frames and vectors of videos that do not resemble each other."""
    hashes = pd.DataFrame(
        rng.integers(0, 2**63, (len(ids), 3), dtype=np.uint64), index=ids, columns=list("abc")
    )
    return hashes, pd.DataFrame(rng.normal(size=(len(ids), 16)), index=ids)


def test_near_duplicates_under_another_name():
    rng = np.random.default_rng(0)
    test = SPLIT.test.assign(video_id=SPLIT.test["video_id"].replace("v05", "new"))
    split = replace(SPLIT, test=test)
    hashes, vectors = copies(rng, [*SPLIT.videos.index, "new"])
    assert not leaks.near_duplicates(split, hashes=hashes)
    assert not leaks.near_duplicates(split, vectors=vectors)
    hashes.loc["new"] = hashes.loc["v07"] ^ np.uint64(0b10100000001)  # three bits of each frame
    vectors.loc["new"] = vectors.loc["v07"] * 2 + 0.01
    for given in (
        {"hashes": hashes},
        {"vectors": vectors},
        {"hashes": hashes, "vectors": vectors},
        {"hashes": hashes["a"]},
    ):
        found = leaks.near_duplicates(split, **given)
        assert found.n == 1
        assert "in train and test: new, which resembles v07" in found.detail
    assert not leaks.near_duplicates(split, hashes=hashes, max_bits=2)
    # by hash alone alike, by vectors not: two takes of one scene
    other = vectors.assign(**{}).copy()
    other.loc["new"] = rng.normal(size=16)
    assert not leaks.near_duplicates(split, hashes=hashes, vectors=other)
    with pytest.raises(ValueError, match="Give hashes or vectors"):
        leaks.near_duplicates(split)


def test_near_duplicates_in_a_split_of_videos():
    videos = pd.DataFrame(index=list("abcd"))
    split = Split(videos.iloc[:2], videos.iloc[:0], videos.iloc[2:], videos, "of videos")
    vectors = pd.DataFrame([[1, 0], [0, 1], [1, 0.001], [-1, 1]], index=list("abcd"), dtype=float)
    found = leaks.near_duplicates(split, vectors=vectors)
    assert (found.n, "c, which resembles a" in found.detail) == (1, True)


def test_features_of_the_whole_period():
    log, videos = world()
    cut = SPLIT.test["timestamp"].min()

    def views(rows):
        return rows["video_id"].value_counts().reindex(videos.index, fill_value=0)

    past = log[log["timestamp"] < cut]
    rng = np.random.default_rng(1)
    fine = pd.DataFrame(
        {
            "views": views(past),
            "finished": views(past[past["watch_ratio"] > 0.8]),
            "duration": rng.random(len(videos)),
        }
    )
    assert not leaks.future_features(fine, log, cut)
    leaked = fine.assign(views_ever=views(log))
    found = leaks.future_features(leaked, log, cut)
    assert found.n == 1
    assert "views_ever" in found.detail
    late = pd.Series({"views": cut + DAY, "duration": cut - DAY})
    assert "views (as of" in leaks.future_features(fine, log, cut, as_of=late).detail


def test_drift_of_a_spoiled_split():
    videos = SPLIT.videos.index
    rng = np.random.default_rng(0)
    mixed = dict(zip(videos, rng.permutation(videos), strict=True))
    spoiled = replace(SPLIT, test=SPLIT.test.assign(video_id=SPLIT.test["video_id"].map(mixed)))
    assert leaks.popularity_drift(spoiled)
    assert not leaks.popularity_drift(spoiled, part="validation")
    log, table = world()
    random = preprocessing.split_stratified(
        log.assign(one="1"), table, by="one", validation=0.1, test=0.2
    )
    assert not leaks.popularity_drift(random)
    spoiled = replace(random, test=random.test.assign(video_id=random.test["video_id"].map(mixed)))
    assert leaks.popularity_drift(spoiled)


def test_training_that_reads_the_test():
    def honest(split):
        model = Popularity().fit(split)
        len(split.validation)
        return model

    def stops_early(split):
        return evaluation.evaluate(honest(split), split, k=5, on="test")

    def on_validation(split):
        return evaluation.evaluate(honest(split), split, k=5, on="validation")

    assert not leaks.reads_test(honest, SPLIT)
    assert not leaks.reads_test(on_validation, SPLIT)
    assert leaks.reads_test(stops_early, SPLIT)


def test_an_epoch_chosen_on_test():
    history = pd.DataFrame({"validation": [0.1, 0.3, 0.2], "test": [0.1, 0.2, 0.25]})
    found = leaks.stopped_on_test(history, 2)
    assert found
    assert "+0.0500" in found.detail
    assert not leaks.stopped_on_test(history, 1)
    assert not leaks.stopped_on_test(history, 0)
    both = history.assign(test=[0.1, 0.3, 0.2])
    assert not leaks.stopped_on_test(both, 1)  # the best on both


def relevance(seed=0):
    """Sets of candidates with one relevant video each, at a random place."""
    rng = np.random.default_rng(seed)
    relevant = np.zeros((300, 50), dtype=bool)
    relevant[np.arange(300), rng.integers(0, 50, 300)] = True
    return relevant


def rank_of_relevant(scores, relevant, compare=np.greater):
    mine = scores[relevant][:, None]
    return 1 / (1 + compare(scores, mine).sum(axis=1))


def stable_rank(scores, relevant):
    order = np.argsort(-scores, axis=1, kind="stable")
    return 1 / (1 + np.take_along_axis(relevant, order, 1).argmax(axis=1))


def test_a_tie_that_counts_as_won():
    assert leaks.tie_bug(rank_of_relevant, relevance())
    pessimist = leaks.tie_bug(
        lambda scores, relevant: rank_of_relevant(scores, relevant, np.greater_equal), relevance()
    )
    assert not pessimist


def test_ties_in_the_order_of_the_candidates():
    assert not leaks.tie_bug(stable_rank, relevance())
    first = np.sort(relevance(), axis=1)[:, ::-1]  # as sampled evaluations lay them out
    found = leaks.tie_bug(stable_rank, first)
    assert found
    assert found.n == 99


def test_a_catalogue_sorted_by_what_comes():
    assert not leaks.tie_order(SPLIT)
    counts = SPLIT.test["video_id"].value_counts()
    order = counts.reindex(SPLIT.videos.index, fill_value=0).sort_values(ascending=False).index
    assert leaks.tie_order(replace(SPLIT, videos=SPLIT.videos.loc[order]))


def watched(seed, kind, n=8000, n_videos=400):
    """Exposures whose watch ratio falls with the duration, follows the video, or chance alone."""
    rng = np.random.default_rng(seed)
    ids = [f"v{i}" for i in range(n_videos)]
    videos = pd.DataFrame({"duration_s": 2.0 * 10 ** rng.random(n_videos)}, index=ids)
    video = rng.integers(0, n_videos, n)
    odds = {
        "confounded": 0.9 / videos["duration_s"].to_numpy(),
        "of the video": rng.choice([0.05, 0.5], n_videos),
        "chance": np.full(n_videos, 0.25),
    }[kind]
    log = pd.DataFrame({"user_id": "u", "video_id": np.array(ids)[video]})
    return log.assign(watch_ratio=(rng.random(n) < odds[video]).astype(float)), videos


@pytest.mark.parametrize("seed", range(3))
def test_a_label_that_duration_predicts_is_found(seed):
    log, videos = watched(seed, "confounded")
    finding = leaks.duration_bias(log, videos, "ratio")
    assert finding
    assert finding.n == len(log)
    assert "alone predicts the label ratio with an AUC of 0." in str(finding)
    assert "Short videos succeed by this label for their duration" in str(finding)
    turned = videos.assign(duration_s=1 / videos["duration_s"])
    assert "Long videos succeed" in leaks.duration_bias(log, turned, "ratio").remedy
    assert leaks.duration_bias(log, videos, (log["watch_ratio"] > 0).rename("finished"))


@pytest.mark.parametrize("kind", ["of the video", "chance"])
def test_labels_that_do_not_depend_on_duration_raise_few_alarms(kind):
    alarms = [bool(leaks.duration_bias(*watched(seed, kind), "ratio")) for seed in range(12)]
    assert sum(alarms) <= 2  # one of twenty intervals excludes what is true


def test_duration_bias_where_nothing_can_be_said():
    log, videos = watched(0, "chance")
    flat = leaks.duration_bias(log, videos.assign(duration_s=2.0), "ratio")
    assert not flat
    assert "no two exposures differ in duration" in str(flat)
    assert "no two exposures differ" in str(leaks.duration_bias(log, None, "ratio"))
    alike = leaks.duration_bias(log.assign(watch_ratio=1.0), videos, "ratio")
    assert "all exposures with a duration are alike" in str(alike)


def test_check_looks_at_durations_where_they_vary():
    log, videos = watched(0, "confounded")
    log["user_id"] = [f"u{i % 50}" for i in range(len(log))]
    split = Split(log[:7000], log[7000:7500], log[7500:], videos, "by row")
    by_name = {finding.leak: finding for finding in leaks.check(split, label="ratio")}
    assert by_name["duration predicts the label"]
    fair = {finding.leak: finding for finding in leaks.check(split, label="gain")}
    assert "the label gain" in fair["duration predicts the label"].detail
    flat = replace(split, videos=videos.assign(duration_s=2.0))
    assert "duration predicts the label" not in {finding.leak for finding in leaks.check(flat)}
