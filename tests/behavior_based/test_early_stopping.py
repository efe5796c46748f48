"""Validation, early stopping, hooks and histories of the models that learn in epochs."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from tests.helpers.events import library
from tests.helpers.models import groups
from vidrec_utils import recommender as rec
from vidrec_utils.behavior_based import ALS, BPR, EASE, SASRec
from vidrec_utils.behavior_based.early_stopping import HeldOut, last_rows
from vidrec_utils.hybrid import EndToEnd

QUICK = {"progress": False, "seed": 3}
CLIPS = {
    str(video): np.random.default_rng(video).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    for video in range(20)
}
SMALL = {"length": 6, "dim": 8, "least": 0.0, "batch_size": 16, "epochs": 6, **QUICK}
MAKERS = {
    "als": lambda **more: ALS(factors=3, **{"iterations": 6, **QUICK, **more}),
    "bpr": lambda **more: BPR(factors=3, batch_size=64, **{"epochs": 6, **QUICK, **more}),
    "sasrec": lambda **more: SASRec(
        length=6, dim=8, least=0.0, batch_size=16, **{"epochs": 6, **QUICK, **more}
    ),
    "ids": lambda **more: EndToEnd(source="ids", **{**SMALL, **more}),
    "frozen": lambda **more: EndToEnd(CLIPS, "frozen", encoder="small", **{**SMALL, **more}),
    "joint": lambda **more: EndToEnd(CLIPS, "joint", encoder="small", **{**SMALL, **more}),
}
every_model = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
USERS = [f"u{u:02d}" for u in range(40)]


def rounds_of(make, n):
    return {"iterations" if isinstance(make(), ALS) else "epochs": n}


def without_the_last(data):
    """The same library without everybody's last event, and these events."""
    log = data.interactions.sort_values(["user_id", "timestamp"], kind="stable")
    last = ~log.duplicated("user_id", keep="last")
    return library_of(log[~last], data.videos), log[last]


def library_of(log, videos):
    return type(groups())(videos=videos, interactions=log.reset_index(drop=True))


def test_ndcg_by_hand():
    """Videos 1 and 4 are asked for; 0 is hidden; the list is 3, 1, 2, 4."""
    relevant = sparse.csr_array([[0, 1.0, 0, 0, 1.0], [0, 0, 1.0, 0, 0]])
    seen = sparse.csr_array([[1.0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    scores = np.array([[9.0, 5, 3, 7, 1], [1, 2, -np.inf, 4, 5]])
    held_out = HeldOut(np.array([1, 0]), relevant, seen)
    first = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    # a video that is never recommended, as its score is -inf, is not found
    np.testing.assert_allclose(held_out.ndcg(lambda users: scores[1 - users]), first / 2)


def test_only_what_was_published_competes():
    """Video 0 has the highest score, but is published after the event that is asked for."""
    relevant, seen = sparse.csr_array([[0, 0, 1.0]]), sparse.csr_array((1, 3))
    videos = pd.DataFrame({"published_at": pd.to_datetime(["2025-03-09", "2025-03-01", None])})
    until = pd.Series(pd.to_datetime(["2025-03-05"]))
    held_out = HeldOut(np.array([0]), relevant, seen, videos, until)
    value = held_out.ndcg(lambda users: np.array([[3.0, 2, 1]]))
    np.testing.assert_allclose(value, 1 / np.log2(3))


@every_model
def test_the_catalogue_and_the_times_reach_the_validation_part(make):
    """With everything but the video asked for unpublished, it is first whatever the scores are."""
    data = groups()
    last = data.interactions.sort_values("timestamp").iloc[[-1]]
    data.interactions = data.interactions.drop(last.index)
    late = last["timestamp"].iloc[0] + pd.Timedelta(days=1)
    other = data.videos.index.astype(str) != str(last["video_id"].iloc[0])
    data.videos = data.videos.assign(published_at=pd.Series(late, data.videos.index).where(other))
    model = make().fit(data, validation=last)
    assert (model.training_history["ndcg"] == 1).all()


def test_the_last_liked_event_of_those_with_several_is_held_out():
    rows = [("a", 0), ("b", 0), ("a", 1), ("a", 2), ("b", 1), ("c", 2)]
    log = library(rows, range(3)).interactions
    liked = np.array([True, True, True, False, True, True])
    assert log.iloc[last_rows(log, liked, 1.0, 0)][["user_id", "video_id"]].to_numpy().tolist() == [
        ["a", "1"],
        ["b", "1"],
    ]
    assert len(last_rows(log, liked, 0.5, 0)) == 1
    drawn = {int(last_rows(log, liked, 0.5, seed)[0]) for seed in range(20)}
    assert drawn == {2, 4}
    assert len(last_rows(log.iloc[:0], liked[:0], 1.0, 0)) == 0


@every_model
def test_what_is_held_out_is_not_learned_from(make):
    """Cut from the data or given apart: the same training, and the same best epoch."""
    data = groups()
    rest, last = without_the_last(data)
    cut = make(held_out=1.0).fit(data)
    apart = make().fit(rest, validation=last)
    pd.testing.assert_frame_equal(cut.training_history, apart.training_history)
    assert cut.best_epoch == apart.best_epoch == cut.training_history["ndcg"].idxmax()
    if isinstance(cut, SASRec):
        for name, weight in cut.model.state_dict().items():
            np.testing.assert_array_equal(weight, apart.model.state_dict()[name])
    else:
        np.testing.assert_array_equal(cut.video_factors, apart.video_factors)


@every_model
def test_the_best_weights_are_kept_and_patience_ends_training(make):
    data = groups()
    rest, last = without_the_last(data)
    model = make(patience=2, **rounds_of(make, 40)).fit(rest, validation=last)
    history = model.training_history
    assert len(history) == min(40, model.best_epoch + 2)
    assert len(history) < 40
    assert history["ndcg"].idxmax() == model.best_epoch
    short = make(**rounds_of(make, model.best_epoch)).fit(rest)
    users = [*model.user_ids, "nobody"]
    np.testing.assert_allclose(short.score(users), model.score(users), rtol=1e-4, atol=1e-5)
    assert "ndcg" not in short.training_history


@every_model
def test_the_hook_sees_each_epoch_and_can_stop(make):
    seen = []

    def hook(model, epoch, metrics):
        scores = model.score(USERS)
        assert np.isfinite(scores).all()
        seen.append((epoch, metrics["loss"], len(model.training_history)))
        return epoch == 3

    model = make().fit(groups(), on_epoch=hook)
    assert [(epoch, length) for epoch, _, length in seen] == [(1, 1), (2, 2), (3, 3)]
    assert [loss for _, loss, _ in seen] == model.training_history["loss"].tolist()
    assert model.best_epoch == 3
    plain = make(**rounds_of(make, 3)).fit(groups())
    np.testing.assert_array_equal(plain.score(USERS), model.score(USERS))


@every_model
def test_the_history_is_saved(make, tmp_path):
    model = make(held_out=0.5).fit(groups())
    loaded = rec.load(model.save(tmp_path))
    pd.testing.assert_frame_equal(loaded.training_history, model.training_history)
    assert loaded.best_epoch == model.best_epoch
    assert loaded.held_out == 0.5
    np.testing.assert_array_equal(loaded.score(USERS), model.score(USERS))


@every_model
def test_a_validation_part_that_asks_for_nothing_is_refused(make):
    data = groups()
    known = data.interactions.iloc[:5]  # everything in it was shown before
    with pytest.raises(ValueError, match="nobody can be asked"):
        make().fit(data, validation=known)
    with pytest.raises(ValueError, match="nobody can be asked"):
        make().fit(data, validation=known.assign(user_id="stranger"))
    with pytest.raises(ValueError, match="Give one of the two"):
        make(held_out=0.1).fit(data, validation=known)
    with pytest.raises(ValueError, match="held_out"):
        make(held_out=1.5)
    with pytest.raises(ValueError, match="patience"):
        make(patience=0)


def test_als_folds_in_what_was_held_out():
    model = MAKERS["als"](held_out=1.0).fit(groups())
    history = model.matrix[[5]]
    assert history.nnz == 5
    folded = model.fold_in(model.video_ids[history.indices], history.data)
    np.testing.assert_allclose(folded, model.user_factors[5], rtol=1e-4, atol=1e-6)


def test_losses_are_what_they_are_called():
    """The objective of ALS falls, and BPR begins at ln 2."""
    als = MAKERS["als"](held_out=1.0).fit(groups())
    assert (np.diff(als.training_history["loss"]) < 0).all()
    assert np.isnan(MAKERS["als"]().fit(groups()).training_history["loss"]).all()
    bpr = MAKERS["bpr"](learning_rate=1e-9).fit(groups())
    np.testing.assert_allclose(bpr.training_history["loss"], np.log(2), atol=0.05)
    sasrec = MAKERS["sasrec"](learning_rate=1e-9, dropout=0.0).fit(groups())
    np.testing.assert_allclose(sasrec.training_history["loss"], np.log(20), atol=0.1)


def test_training_that_diverges_is_told():
    with pytest.raises(FloatingPointError, match="training diverged"):
        BPR(factors=3, learning_rate=1e30, progress=False).fit(groups())


def test_a_model_that_cannot_stop_early_refuses_a_validation_part():
    with pytest.raises(TypeError, match="validation"):
        EASE().fit(groups(), validation=groups().interactions)


@every_model
def test_warnings_name_the_line_that_fits(make):
    data = groups()
    with pytest.warns(UserWarning, match="No event weighs more than 0") as caught:
        make().fit(data, weights=np.zeros(len(data.interactions)))
    lines = [w.filename for w in caught if "No event weighs" in str(w.message)]
    assert lines == [__file__]
