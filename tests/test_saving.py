"""Models on disk: equal after a round trip, whole after a kill, refused when changed."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from vidrec_utils import recommender as rec
from vidrec_utils import saving
from vidrec_utils.behavior_based import ItemKNN
from vidrec_utils.content_based import ContentRecommender

VIDEOS = ["a", "ü b/c", "7", "", "猫", "f"]


def world(seed=0):
    rng = np.random.default_rng(seed)
    rows = [(f"u{u}", VIDEOS[v]) for u in range(9) for v in rng.integers(0, 5, 4)]
    frame = pd.DataFrame(rows, columns=["user_id", "video_id"])
    frame = frame.assign(watch_ratio=rng.random(len(rows)))
    return SimpleNamespace(interactions=frame, videos=pd.DataFrame(index=VIDEOS))


def vectors():
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(6, 4)), index=VIDEOS)
    return frame.drop(index="7")


MODELS = {
    "Popularity": rec.Popularity,
    "Random": lambda: rec.Random(seed=5),
    "ItemKNN": lambda: ItemKNN(3, 1.5, name="knn"),
    "ContentRecommender": lambda: ContentRecommender(vectors(), dislike=0.5),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_round_trip_changes_nothing(kind, tmp_path):
    model = MODELS[kind]().fit(world())
    folder = model.save(tmp_path / "kept")
    again = rec.load(folder)
    assert type(again) is type(model)
    assert (again.name, again.parameters()) == (model.name, model.parameters())
    users = [*model.user_ids, "nobody"]
    np.testing.assert_array_equal(again.score(users), model.score(users))
    pd.testing.assert_frame_equal(again.recommend(users, 3), model.recommend(users, 3))
    assert sorted(p.suffix for p in folder.iterdir()) == [".json", ".safetensors"]
    assert again.save(tmp_path / "twice").joinpath("model.json").read_text(
        encoding="utf-8"
    ) == folder.joinpath("model.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["ItemKNN", "ContentRecommender"])
def test_a_loaded_model_explains_and_learns_again(kind, tmp_path):
    model = MODELS[kind]().fit(world())
    again = rec.load(model.save(tmp_path))
    pd.testing.assert_frame_equal(again.explain("u1", "a").table, model.explain("u1", "a").table)
    pd.testing.assert_frame_equal(again.similar("a", 2), model.similar("a", 2))
    other = world(3)
    np.testing.assert_allclose(
        again.fit(other).score(["u2"]), MODELS[kind]().fit(other).score(["u2"]), rtol=1e-6
    )


def test_saving_over_a_model_leaves_one(tmp_path):
    rec.Popularity().fit(world(0)).save(tmp_path)
    newer = rec.Popularity().fit(world(1))
    newer.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    np.testing.assert_array_equal(rec.load(tmp_path).popularity, newer.popularity)


def test_a_kill_while_saving_leaves_the_old_model(tmp_path, monkeypatch):
    old = rec.Popularity().fit(world(0))
    old.save(tmp_path)
    replace = saving.replace_whole

    def killed(target, data):
        if target.name == saving.DESCRIPTION:
            raise KeyboardInterrupt
        replace(target, data)

    monkeypatch.setattr(saving, "replace_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        rec.Popularity().fit(world(1)).save(tmp_path)
    np.testing.assert_array_equal(rec.load(tmp_path).popularity, old.popularity)


def test_an_unfitted_model_is_not_saved(tmp_path):
    with pytest.raises(RuntimeError, match="not fitted"):
        rec.Popularity().save(tmp_path)


def test_folders_without_a_whole_model(tmp_path):
    with pytest.raises(saving.SavedModelError, match=r"no saved model.*model\.json is missing"):
        rec.load(tmp_path)
    folder = rec.Popularity().fit(world()).save(tmp_path)
    next(folder.glob("*.safetensors")).unlink()
    with pytest.raises(saving.SavedModelError, match="incomplete"):
        rec.load(folder)
    (folder / "model.json").write_text("{not json", encoding="utf-8")
    with pytest.raises(saving.SavedModelError, match="not JSON"):
        rec.load(folder)
    (folder / "model.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(saving.SavedModelError, match="does not describe"):
        rec.load(folder)


def change(folder, **entries):
    file = folder / "model.json"
    found = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**found, **entries}), encoding="utf-8")


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ({"class": "os.system"}, "os.system, which is no Recommender known"),
        ({"class": ["x"]}, "which is no Recommender known"),
        ({"format": 99}, "format 99"),
        ({"arrays": "../elsewhere.safetensors"}, "names"),
        ({"ids_sha256": "0" * 64}, "ids .* wrong video"),
        ({"arrays_sha256": "0" * 64}, "was changed"),
        ({"parameters": {"size": 3}}, "does not fit its class"),
        ({"parameters": None}, "does not fit its class"),
        ({"parameters": ["seed"]}, "does not fit its class"),
    ],
)
def test_a_changed_description_is_refused(entries, complaint, tmp_path):
    change(rec.Random().fit(world()).save(tmp_path), **entries)
    with pytest.raises(saving.SavedModelError, match=complaint):
        rec.load(tmp_path)


def test_tampered_ids_are_noticed_even_with_a_new_hash(tmp_path):
    model = rec.Popularity().fit(world())
    description, arrays = saving.read(model.save(tmp_path))
    arrays["video_ids"] = saving.encode_ids(["f", *VIDEOS[:-1]])
    kept = {k: v for k, v in description.items() if not k.startswith(("arrays", "format"))}
    saving.write(tmp_path, kept, arrays)
    with pytest.raises(saving.SavedModelError, match="wrong video"):
        rec.load(tmp_path)


def test_a_damaged_file_of_arrays(tmp_path):
    folder = rec.Popularity().fit(world()).save(tmp_path)
    file = next(folder.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(saving.SavedModelError, match="was changed"):
        rec.load(folder)


def test_load_of_a_class_wants_that_class(tmp_path):
    rec.Popularity().fit(world()).save(tmp_path)
    assert isinstance(rec.Popularity.load(tmp_path), rec.Popularity)
    with pytest.raises(saving.SavedModelError, match="no ItemKNN"):
        ItemKNN.load(tmp_path)


def test_sparse_arrays_and_scalars_keep_their_shape(tmp_path):
    from scipy import sparse

    eye = sparse.csr_array(np.eye(3, 5, dtype="f4"))
    saving.write(tmp_path, {}, {"eye": eye, "one": np.array(2.5), "none": np.empty((0, 4))})
    _, arrays = saving.read(tmp_path)
    np.testing.assert_array_equal(arrays["eye"].toarray(), eye.toarray())
    assert arrays["one"].shape == ()
    assert arrays["none"].shape == (0, 4)
