"""The audit of layers, poolings and geometries, against values by hand and planted worlds."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.covariance import ledoit_wolf_shrinkage

from tests.helpers.sounds import sine, write_sound
from vidrec_utils import audio_encoders, datasets, image_encoders
from vidrec_utils.content_based import ContentRecommender
from vidrec_utils.datasets import Split, VideoLibrary
from vidrec_utils.embeddings import Geometry, effective_rank, embed, mean_cosine
from vidrec_utils.embeddings.pooling import pool
from vidrec_utils.encoders import WeightsInfo
from vidrec_utils.evaluation import audit_layers, audit_vectors, evaluate, layer_choice

LOG = pd.DataFrame({"user_id": [], "video_id": [], "timestamp": []})

# --- geometry -------------------------------------------------------------------------------------


def test_mean_cosine_by_hand():
    # Cosines of the pairs: 0, sqrt(.5), sqrt(.5); rows of NaN and zeros have no direction.
    rows = [[1, 0], [0, 2], [3, 3], [np.nan, 1], [0, 0]]
    assert mean_cosine(rows) == pytest.approx(2 * np.sqrt(0.5) / 3)
    assert mean_cosine([[1, 0], [-2, 0]]) == pytest.approx(-1)
    assert np.isnan(mean_cosine([[1, 0]]))


def test_effective_rank_by_hand():
    assert effective_rank(3 * np.eye(5)) == pytest.approx(5)
    assert effective_rank(np.outer([1, 2, 3], [1, 1])) == pytest.approx(1)
    # Shares 3/4 and 1/4.
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert effective_rank([[3, 0, 0], [0, 1, 0], [np.nan, 0, 0]]) == pytest.approx(expected)
    assert np.isnan(effective_rank(np.zeros((2, 2))))


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 6)) * [5, 3, 1, 1, 0.5, 0.1] + [20, 0, 0, 0, 5, 0]
    rows[7] = np.nan
    return rows.astype(np.float32)


def test_centred_learns_from_training_rows_alone(cloud):
    train = cloud[:300]
    got = Geometry("centred").fit(train).transform(cloud)
    np.testing.assert_allclose(np.nanmean(got[:300], axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(got[350], cloud[350] - np.nanmean(train, axis=0), atol=1e-5)
    assert np.isnan(got[7]).all()
    assert got.dtype == np.float32
    np.testing.assert_array_equal(Geometry("raw").fit(train).transform(cloud), cloud)


def test_whitened_has_variances_alike_and_pca_keeps_the_largest(cloud):
    white = Geometry("whitened").fit(cloud).transform(cloud)
    spread = np.nanvar(white, axis=0)
    assert spread.max() < 1.05
    assert spread[:3].min() > 0.9
    flat = Geometry("pca", dim=2).fit(cloud).transform(cloud)
    assert flat.shape == (400, 2)
    np.testing.assert_allclose(np.nanvar(flat, axis=0), [25, 9], rtol=0.2)
    assert Geometry("whitened", dim=3).fit(cloud).transform(cloud).shape == (400, 3)


@pytest.mark.parametrize("kind", ["whitened", "pca"])
def test_truncated_is_the_fit_of_fewer_directions(cloud, kind):
    whole = Geometry(kind).fit(cloud)
    for dim in (1, 3, 6, 99):
        fitted, shorter = Geometry(kind, dim).fit(cloud), whole.truncated(dim)
        np.testing.assert_array_equal(shorter.transform(cloud), fitted.transform(cloud))
        assert shorter.dim == dim
    assert whole.transform(cloud).shape == (400, 6)
    for geometry in (Geometry("centred").fit(cloud), Geometry(kind)):
        with pytest.raises(ValueError, match="has no directions to keep"):
            geometry.truncated(2)
    with pytest.raises(ValueError, match="dim is 0"):
        whole.truncated(0)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_shrinkage_is_that_of_the_reference(shape):
    rows = np.random.default_rng(1).normal(size=shape) * np.linspace(0.2, 3, shape[1])
    fitted = Geometry("whitened").fit(rows)
    assert fitted.shrinkage == pytest.approx(ledoit_wolf_shrinkage(rows))
    assert np.isfinite(fitted.transform(rows)).all()
    assert fitted.transform(rows).shape[1] == (8 if shape[1] == 8 else 7)


def test_geometry_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="choose from 'raw', 'centred'"):
        Geometry("round")
    with pytest.raises(ValueError, match="only 'pca'"):
        Geometry("centred", dim=3)
    with pytest.raises(ValueError, match="too few"):
        Geometry("pca").fit(np.ones((1, 3)))
    with pytest.raises(RuntimeError, match="call fit"):
        Geometry("pca").transform(np.ones((1, 3)))
    same = Geometry("whitened").fit(np.ones((4, 3))).transform(np.ones((4, 3)))
    np.testing.assert_allclose(same, 0)


# --- pooling --------------------------------------------------------------------------------------


def test_poolings_of_a_text_leave_padding_out():
    x = torch.tensor([[[1.0, 3.0, torch.nan], [-2.0, -4.0, torch.nan]]])  # two tokens, two channels
    assert pool(x, "mean").tolist() == [[2, -3]]
    assert pool(x, "max").tolist() == [[3, -2]]
    assert pool(x, "mean_std").tolist() == [[2, -3, 1, 1]]
    assert pool(x, "segments").tolist() == [[1, 1, 3, 3, -2, -2, -4, -4]]
    assert pool(x * torch.nan, "max").isnan().all()
    assert pool(x * torch.nan, "segments").isnan().all()


def test_segments_of_pictures_and_clips():
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert pool(picture, "segments").tolist() == [[2.5, 4.5, 10.5, 12.5]]
    clip = torch.arange(8.0).reshape(1, 1, 8, 1, 1).expand(1, 1, 8, 2, 2)
    assert pool(clip, "segments").tolist() == [[0.5, 2.5, 4.5, 6.5]]
    assert pool(clip[:, :, :2], "segments").tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="nothing to pool"):
        pool(torch.ones(2, 3), "mean")
    with pytest.raises(ValueError, match="choose from mean, max"):
        pool(clip, "median")


# --- a planted world ------------------------------------------------------------------------------

TOPICS = 10
VIDEOS = 120
WIDTH = 30
COMMON = 40.0


class Planted:
    """Topics stand in layer "deep", under a large common part; "early" is noise."""

    name, modality, dim, parameters = "planted", "text", WIDTH, 0
    weights = WeightsInfo("none")
    fingerprint = "planted-1"
    preprocessing, values_per_item = None, WIDTH
    layers = ("early", "deep")

    def __init__(self):
        self.passes = []

    def _deep(self, batch):
        rows = []
        for title in batch:
            number = int(title.split()[-1]) if title[-1].isdigit() else 0
            rng = np.random.default_rng(number)
            topic = np.eye(WIDTH)[number % TOPICS] * 5
            # How strongly a video shows its topic says nothing about liking it; raw cosines prefer
            # the faint ones, which are nearest to what all have in common.
            rows.append(COMMON + rng.choice([0.3, 3]) * (topic + rng.normal(0, 0.5, WIDTH)))
        return np.array(rows, dtype=np.float32)

    def encode(self, batch):
        return self._deep(batch)

    def activations(self, batch, layer):
        self.passes.append(layer)
        if layer == "early":
            rng = np.random.default_rng(len(batch))
            return torch.from_numpy(rng.normal(size=(len(batch), 5, 3)).astype("f4"))
        deep = torch.from_numpy(self._deep(batch))
        # The second token is the opposite of the signal, so that a mean over tokens loses it.
        return torch.stack([deep, 2 * COMMON - deep], dim=2)


def world(seed=0):
    rng = np.random.default_rng(seed)
    ids = [f"v{i}" for i in range(VIDEOS)]
    videos = pd.DataFrame({"title": [f"video {i}" for i in range(VIDEOS)]}, index=ids)
    rows = []
    for user in range(400):
        taste = user % TOPICS
        for place, video in enumerate(rng.permutation(VIDEOS)[:60]):
            liked = rng.random() < (0.9 if video % TOPICS == taste else 0.01)
            rows.append((f"u{user}", ids[video], place, 1.0 if liked else 0.1))
    log = pd.DataFrame(rows, columns=["user_id", "video_id", "timestamp", "watch_ratio"])
    log["liked"] = pd.array([None] * len(log), dtype="boolean")
    part = log["timestamp"]
    split = Split(log[part < 20], log[(part >= 20) & (part < 40)], log[part >= 40], videos, "test")
    return SimpleNamespace(videos=videos), split


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    library, split = world()
    root = tmp_path_factory.mktemp("audit")
    return audit_layers(Planted(), library, "title", split=split, root=root, progress=False), split


def row(table, layer, pooling, geometry):
    wanted = (table["layer"] == layer) & (table["pooling"] == pooling)
    return table[wanted & (table["geometry"] == geometry)].iloc[0]


def test_centring_lifts_recall_where_a_common_part_drowns_the_signal(planted):
    table = planted[0].table
    raw, centred = (row(table, "vector", "none", kind) for kind in ("raw", "centred"))
    assert raw["mean_cosine"] > 0.95
    assert abs(centred["mean_cosine"]) < 0.3
    assert centred["low"] > raw["high"]
    assert centred["effective_rank"] > raw["effective_rank"] + 2


def test_the_planted_layer_is_chosen_and_holds_on_the_test(planted):
    result, _ = planted
    assert result.best["layer"] in ("deep", "vector")
    assert result.best["geometry"] in ("whitened", "pca", "centred")
    noise = result.table[result.table["layer"] == "early"]["high"].max()
    assert result.best["low"] > noise
    assert result.best["test_low"] > result.baseline["test_high"]
    assert result.table["recall_test"].notna().sum() == 2
    assert result.baseline["layer"] == "vector"
    assert result.vectors.shape == (VIDEOS, result.best["dim"])
    # whitening keeps all directions that a block spans, and then the first 16, 32 and 64 of more
    whitened = result.table.query("geometry == 'whitened'")
    spanned = whitened.groupby(["layer", "pooling"])["dim"].max()
    fewer = [sum(number < width for number in (16, 32, 64)) for width in spanned]
    assert sum(fewer) > 0
    assert len(result.table) == 4 * (1 + 4 + 4) + sum(fewer)
    assert (result.table["low"] <= result.table["recall_validation"]).all()


def test_recall_is_that_of_the_evaluation(planted):
    result, split = planted
    liked = split.train[split.train["watch_ratio"] >= 0.8].assign(watch_ratio=1.0)
    model = ContentRecommender(result.vectors, center=False)
    model.fit(VideoLibrary(split.videos.rename_axis("video_id").reset_index(), liked))
    for on in ("validation", "test"):
        measured = evaluate(model, split, k=10, on=on, slices=False)
        profiled = measured.per_user.index.isin(liked["user_id"])
        assert profiled.sum() == getattr(result, f"n_{on}")
        expected = measured.per_user["recall"][profiled].mean()
        assert result.best[f"recall_{on}"] == pytest.approx(expected, abs=1e-6)


def test_the_gain_on_test_is_the_paired_difference(planted):
    result, split = planted
    liked = split.train[split.train["watch_ratio"] >= 0.8].assign(watch_ratio=1.0)
    library = VideoLibrary(split.videos.rename_axis("video_id").reset_index(), liked)
    raw = pd.DataFrame(Planted().encode(list(split.videos["title"])), index=split.videos.index)
    recalls = []
    for vectors in (result.vectors, raw):
        model = ContentRecommender(vectors, center=False).fit(library)
        measured = evaluate(model, split, k=10, on="test", slices=False).per_user["recall"]
        recalls.append(measured[measured.index.isin(liked["user_id"])])
    difference = recalls[0] - recalls[1]
    assert result.gain["mean"] == pytest.approx(difference.mean(), abs=1e-6)
    # the normal interval of the mean, which the bootstrap's percentiles come close to
    half = 1.96 * difference.std() / np.sqrt(len(difference))
    ends = [difference.mean() - half, difference.mean() + half]
    assert result.gain[["low", "high"]].tolist() == pytest.approx(ends, abs=0.1 * half)


def test_a_chosen_baseline_gains_nothing():
    ids = [f"v{i}" for i in range(40)]
    topics = pd.Series(["tea", "rain"] * 20, index=ids)
    separated = pd.DataFrame({"x": np.tile([1.0, -1.0], 20), "y": 0.1}, index=ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few queries
        audit = audit_vectors(separated, relevant=topics, geometries=["raw"], progress=False)
    assert audit.gain.tolist() == [0, 0, 0]


def test_the_choice_never_sees_the_test(planted, tmp_path):
    result, split = planted
    library, _ = world()
    other = split.test.assign(watch_ratio=1 - split.test["watch_ratio"])
    changed = Split(split.train, split.validation, other, split.videos, "changed")
    again = audit_layers(Planted(), library, "title", split=changed, root=tmp_path, progress=False)
    hidden = ["recall_test", "test_low", "test_high"]
    pd.testing.assert_frame_equal(
        again.table.drop(columns=hidden), result.table.drop(columns=hidden)
    )
    assert again.best["recall_test"] != result.best["recall_test"]


def test_labels_alone_are_enough(tmp_path):
    library, _ = world()
    labels = pd.Series(np.arange(VIDEOS) % TOPICS, index=library.videos.index).astype("Int64")
    labels.iloc[:3] = pd.NA
    options = {"root": tmp_path, "progress": False, "layers": ["vector"], "directions": ()}
    result = audit_layers(Planted(), library, "title", relevant=labels, **options)
    assert result.best["recall_test"] > 0.5  # chance: a sixth
    assert result.n_validation + result.n_test == VIDEOS - 3 - (VIDEOS - 3) // 2


def test_an_encoder_without_layers_and_one_pass_for_all(tmp_path):
    library, split = world()

    class Plain:
        name, modality, dim, parameters = "plain", "text", 2, 0
        weights, fingerprint = WeightsInfo("none"), "plain-1"
        preprocessing, values_per_item = None, 2

        def encode(self, batch):
            return np.array([[len(t), hash(t) % 7 + 1] for t in batch], dtype="f4")

    result = audit_layers(Plain(), library, "title", split=split, root=tmp_path, progress=False)
    assert set(result.table["layer"]) == {"vector"}
    assert set(result.table["pooling"]) == {"none"}

    class OnePass(Planted):
        fingerprint = "planted-2"

        def all_activations(self, batch, layers):
            self.passes.append(tuple(layers))
            return {layer: Planted.activations(Planted(), batch, layer) for layer in layers}

    encoder = OnePass()
    audit_layers(encoder, library, "title", split=split, root=tmp_path, progress=False)
    assert encoder.passes == [("early", "deep")] * 3  # to see the widths, and two batches
    encoder.passes.clear()
    audit_layers(encoder, library, "title", split=split, root=tmp_path, progress=False)
    assert encoder.passes == [("early", "deep")]  # the rest was kept


@pytest.mark.filterwarnings("ignore:.*questions of validation")
def test_an_audit_of_sound(tmp_path):
    """Tones and noise, of which the raw statistics tell which is which."""
    rng = np.random.default_rng(0)
    kinds, names = ["tone", "noise"] * 16, [f"v{number:02d}" for number in range(32)]
    for kind, name in zip(kinds, names, strict=True):
        tone = sine(rng.uniform(200, 900), 0.3, 16_000, rng.uniform(0.1, 0.5))
        sound = tone if kind == "tone" else rng.normal(0, 0.1, 4_800).astype("f4")
        write_sound(tmp_path / f"{name}.wav", sound, 16_000, "pcm_s16le")
    videos = pd.DataFrame({"video_id": names, "path": [f"{name}.wav" for name in names]})
    library = VideoLibrary(videos, LOG, root=tmp_path)
    options = {"relevant": pd.Series(kinds, index=names), "k": 4, "progress": False}
    encoder = audio_encoders.load("log_mel")
    result = audit_layers(encoder, library, "sound", root=tmp_path / "store", **options)
    assert set(result.table["layer"]) == {"vector"}
    assert result.best["recall_test"] > 0.9  # chance: a half


def test_failed_videos_are_never_recommended_and_stand_in_the_report(tmp_path):
    library, split = world()
    videos = library.videos.copy()
    videos.loc[["v3", "v9"], "title"] = np.nan
    result = audit_layers(
        Planted(),
        SimpleNamespace(videos=videos),
        "title",
        split=split,
        layers=["vector"],
        root=tmp_path,
        progress=False,
    )
    assert result.failures["video_id"].tolist() == ["v3", "v9"]
    assert result.vectors.loc[["v3", "v9"]].isna().all(axis=None)
    assert result.table["recall_validation"].notna().all()


def few(split, users):
    """The split of these users alone."""
    frames = [
        part[part["user_id"].isin(users)] for part in (split.train, split.validation, split.test)
    ]
    return Split(*frames, split.videos, "few")


def test_few_users_are_told_to_decide(tmp_path):
    library, split = world()
    options = {"layers": ["vector"], "root": tmp_path, "progress": False, "directions": ()}
    with pytest.warns(
        UserWarning, match=r"3 questions of validation decide between 4 choices"
    ) as w:
        result = audit_layers(
            Planted(), library, "title", split=few(split, ["u0", "u1", "u2"]), **options
        )
    assert result.caution == str(w[0].message)
    assert "and 3 of test measure the chosen one" in result.caution


def test_few_queries_are_told_to_decide_between_many_choices(tmp_path):
    library, _ = world()
    labels = pd.Series(np.arange(VIDEOS) % TOPICS, index=library.videos.index)
    with pytest.warns(UserWarning, match=r"questions of validation decide between 4\d choices"):
        audit_layers(Planted(), library, "title", relevant=labels, root=tmp_path, progress=False)


def test_many_users_and_one_choice_need_no_caution(planted, tmp_path):
    result, split = planted
    assert result.n_validation > 300
    assert result.caution == ""
    library, _ = world()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = audit_layers(
            Planted(), library, "title", split=few(split, ["u0"]), layers=["vector"],
            geometries=["raw"], root=tmp_path, progress=False,
        )  # fmt: skip
    assert alone.caution == ""


def test_the_lead_that_chance_gives_by_hand():
    """Two choices whose differences to the first are 1, -1, 1, -1: s = sqrt(4/3) / 2."""
    recalls = np.array([[0, 1], [1, 0], [0, 1], [1, 0]], dtype=float)
    lead = np.sqrt(4 / 3) / 2 * np.sqrt(2 * np.log(2))
    text = layer_choice._caution(recalls, best=1, baseline=0, n_test=99)
    assert f"by about {lead:.3f} of recall on validation; it leads by 0.000" in text
    assert "one question" in layer_choice._caution(recalls[:1], 1, 0, 99)
    assert layer_choice._caution(np.tile(recalls, (20, 1)), 1, 0, 99) == ""
    assert "and 49 of test" in layer_choice._caution(np.tile(recalls, (20, 1)), 1, 0, 49)


@pytest.mark.parametrize(
    ("weights", "source"), [(None, "none"), ("by hand", "by hand"), (WeightsInfo("file"), "file")]
)
def test_an_encoder_without_weights_may_say_none(tmp_path, weights, source):
    library, split = world()

    class Own(Planted):
        fingerprint = f"own-{source}"

    Own.weights = weights
    options = {"root": tmp_path, "progress": False}
    titled = VideoLibrary(library.videos.rename_axis("video_id"), LOG)
    vectors = embed(titled, Own(), "title", **options)
    assert vectors.provenance["weights"]["source"] == source
    audit = audit_layers(Own(), library, "title", split=split, layers=["vector"], **options)
    assert len(audit.table) == 5
    Own.weights = 7
    with pytest.raises(TypeError, match=r"weights of the encoder .* are 7; give an"):
        embed(titled, Own(), "title", **options)


def test_figure_marks_the_chosen_and_draws_the_baseline(planted):
    axes = planted[0].plot(most=5).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert len(names) == 5
    assert names[0].startswith("chosen: ")


def test_audit_refuses_what_makes_no_sense(tmp_path):
    library, split = world()
    options = {"root": tmp_path, "progress": False}
    with pytest.raises(ValueError, match=r"either split=.*or relevant"):
        audit_layers(Planted(), library, "title", **options)
    with pytest.raises(ValueError, match=r"layer is \['late'\]; choose from vector, early, deep"):
        audit_layers(Planted(), library, "title", split=split, layers=["late"], **options)
    with pytest.raises(ValueError, match=r"pooling is \['median'\]"):
        audit_layers(Planted(), library, "title", split=split, poolings=["median"], **options)
    with pytest.raises(ValueError, match="geometry is empty"):
        audit_layers(Planted(), library, "title", split=split, geometries=[], **options)
    with pytest.raises(ValueError, match="too few"):
        audit_layers(Planted(), library, "title", relevant=pd.Series({"x": 1}), **options)
    with pytest.raises(ValueError, match="nothing to measure"):
        audit_layers(
            Planted(),
            library,
            "title",
            split=Split(split.train, split.train, split.test, split.videos, "leaky"),
            **options,
        )


# --- ready-made vectors ---------------------------------------------------------------------------

DIM, SIGNAL = 300, 24


def narrow_vectors(n=900, seed=0):
    """Topics stand in 24 directions of very different variances; 276 more hold weak noise alone."""
    rng = np.random.default_rng(seed)
    topic = np.arange(n) % 20
    rows = rng.normal(0, 0.3, (n, DIM))
    signal = rng.normal(size=(20, SIGNAL))[topic] + rng.normal(size=(n, SIGNAL))
    rows[:, :SIGNAL] = signal * np.geomspace(12, 1, SIGNAL)
    turn, _ = np.linalg.qr(rng.normal(size=(DIM, DIM)))
    ids = [f"v{i}" for i in range(n)]
    return pd.DataFrame(rows @ turn + 5, index=ids), pd.Series(topic, index=ids)


@pytest.mark.parametrize("seed", [0, 1])
def test_whitening_the_first_few_dozen_directions_wins_over_noise(seed):
    vectors, topics = narrow_vectors(seed=seed)
    result = audit_vectors(vectors, relevant=topics, progress=False)
    assert result.best["geometry"] == "whitened"
    assert result.best["dim"] in (16, 32)  # 24 of the directions hold the topics
    recall = result.table.set_index(["geometry", "dim"])["recall_validation"]
    few, everything, centred = (
        recall[key] for key in [("whitened", 32), ("whitened", DIM), ("centred", DIM)]
    )
    assert few > centred + 0.03
    assert few > everything + 0.03
    assert result.best["recall_test"] > result.baseline["recall_test"] + 0.03
    assert (result.baseline["geometry"], result.baseline["layer"]) == ("raw", "vector")
    assert result.vectors.shape == (900, result.best["dim"])
    names = [label.get_text() for label in result.plot().axes[0].get_yticklabels()]
    assert names[0] == f"chosen: vector, none, whitened ({result.best['dim']})"


def test_ready_made_vectors_give_what_their_encoder_gives(planted, tmp_path):
    _, split = planted
    library, _ = world()
    titled = VideoLibrary(library.videos.rename_axis("video_id"), LOG)
    vectors = embed(titled, Planted(), "title", root=tmp_path, progress=False)
    expected = planted[0].table.query("layer == 'vector'")
    tested = ["recall_test", "test_low", "test_high", "chosen"]  # of the best of fewer choices
    for one in (vectors, vectors.frame(), {"vector": vectors.frame().iloc[::-1]}):
        result = audit_vectors(one, split=split, progress=False)
        pd.testing.assert_frame_equal(
            result.table.drop(columns=tested), expected.drop(columns=tested), rtol=1e-5
        )
    assert result.n_validation == planted[0].n_validation
    assert result.vectors.index.name == "video_id"


def test_several_ready_made_vectors_are_told_apart_by_name(planted):
    _, split = planted
    library, _ = world()
    rng = np.random.default_rng(0)
    signal = pd.DataFrame(Planted().encode(library.videos["title"]), index=library.videos.index)
    noise = pd.DataFrame(rng.normal(size=(VIDEOS, 3)), index=library.videos.index)
    named = {"noise": noise, "signal": signal.drop(index="v7")}
    before = {name: frame.copy() for name, frame in named.items()}
    result = audit_vectors(named, split=split, geometries=["raw", "whitened"], progress=False)
    assert result.table["layer"].tolist() == ["noise"] * 2 + ["signal"] * 3
    assert result.table["dim"].tolist() == [3, 3, WIDTH, WIDTH, 16]
    assert result.best["layer"] == "signal"
    assert result.baseline[["layer", "geometry"]].tolist() == ["noise", "raw"]
    assert result.failures.to_numpy().tolist() == [["v7", "signal: there is no vector"]]
    assert result.vectors.loc["v7"].isna().all()
    for name, frame in named.items():
        pd.testing.assert_frame_equal(frame, before[name])


def test_directions_that_the_vectors_do_not_span_are_left_out():
    vectors, topics = narrow_vectors(n=60)  # the gallery of 30 spans 29 directions
    with pytest.warns(UserWarning, match="which is few"):
        result = audit_vectors(vectors, relevant=topics, directions=(8, 8, 29, 500), progress=False)
    assert result.table.query("geometry == 'whitened'")["dim"].tolist() == [29, 8]


def test_vectors_of_real_thumbnails_point_one_way_until_they_are_centred(tmp_path):
    """MiniTube's pictures and categories: the audit finds what can be computed without it."""
    library = datasets.load("minitube")
    encoder = image_encoders.load("efficientnet_lite0", device="cpu", size=64)
    vectors = embed(library, encoder, "thumbnail", root=tmp_path, progress=False)
    category = library.videos["category"].dropna()
    result = audit_vectors(vectors, relevant=category, progress=False)
    rows = result.table.set_index("geometry").loc[["raw", "centred"]]
    known = vectors.frame().dropna()
    known = known[known.index.isin(category.index)]
    unit = known.div(np.linalg.norm(known, axis=1), axis=0)
    cosine = (np.square(unit.sum()).sum() - len(unit)) / (len(unit) * (len(unit) - 1))
    assert rows.loc["raw", "mean_cosine"] == pytest.approx(cosine, abs=0.05)  # of a part of them
    assert rows.loc["raw", "mean_cosine"] > 0.3 > 10 * abs(rows.loc["centred", "mean_cosine"])
    table = result.table
    assert result.best["recall_validation"] == table["recall_validation"].max()
    assert set(result.failures["video_id"]) >= set(vectors.failures["video_id"])
    whole = vectors.frame().dropna().index  # those without a category get their vectors, too
    assert result.vectors.dropna().index.equals(whole)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ({}, "vectors is empty"),
        (np.ones((3, 2)), "'vector' is ndarray; give Embeddings or a DataFrame"),
        (pd.DataFrame([[1.0], [2.0]], index=["v1", "v1"]), "name 'v1' twice"),
        (pd.DataFrame([["tea"]], index=["v1"]), "'vector' are no numbers"),
        (pd.DataFrame([[1.0]], index=["elsewhere"]), "No video that has a vector was shown"),
    ],
)
def test_audit_refuses_vectors_that_make_no_sense(planted, vectors, message):
    with pytest.raises(ValueError, match=message):
        audit_vectors(vectors, split=planted[1], progress=False)
    with pytest.raises(ValueError, match="directions is 0"):
        audit_vectors(narrow_vectors(60)[0], split=planted[1], directions=(0,), progress=False)
