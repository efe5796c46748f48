"""Tests of what notebook 02 looks at inside language models: heads, hidden words, tags, labels."""

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

from vidrec_utils import text_encoders
from vidrec_utils.text_encoders import masked, tagging, writing
from vidrec_utils.text_encoders.catalogue import CATALOGUE

ready = text_encoders.available()["available"]
needs_gpt = pytest.mark.skipif("packaged" not in ready["smollm2"], reason="no weights of SmolLM2")


@pytest.fixture(scope="module")
def minilm():
    return text_encoders.load("minilm", device="cpu")


@pytest.fixture(scope="module")
def gpt():
    return text_encoders.load("smollm2", device="cpu", max_tokens=64)


# --- attention ----------------------------------------------------------------------------------


def test_attention_is_the_softmax_of_the_first_layers_queries_and_keys(minilm):
    text = "a cat on a mat"
    maps = text_encoders.attention_maps(minilm, text)
    tokens = minilm.tokens(text)
    assert maps.shape == (6, 12, len(tokens), len(tokens))
    torch.testing.assert_close(maps.sum(dim=3), torch.ones(6, 12, len(tokens)))
    net = minilm.net
    ids = torch.tensor([minilm.tokenizer(text)["input_ids"]])
    with torch.inference_mode():
        x = net.embeddings(ids)[0]  # (tokens, dim)
        own = net.encoder.layer[0].attention.self
        q, k = (part(x).reshape(-1, 12, 32).transpose(0, 1) for part in (own.query, own.key))
    expected = (q @ k.transpose(1, 2) / 32**0.5).softmax(-1)
    torch.testing.assert_close(maps[0], expected, atol=1e-5, rtol=1e-4)


def test_attention_leaves_the_encoder_as_it_was(minilm):
    before, usual = minilm.encode(["a cat"]), minilm.net.config._attn_implementation
    text_encoders.attention_maps(minilm, "a cat")
    assert minilm.net.config._attn_implementation == usual
    np.testing.assert_array_equal(minilm.encode(["a cat"]), before)
    with pytest.raises(ValueError, match="blank"):
        text_encoders.attention_maps(minilm, "  ")


def test_patterns_of_heads_by_hand(monkeypatch):
    maps = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.0, 0.4, 0.6]])
    written = lambda _, text: maps[: len(text), : len(text)][None, None]  # noqa: E731
    monkeypatch.setattr("vidrec_utils.text_encoders.heads.attention_maps", written)
    row = text_encoders.head_patterns(None, ["abc"]).loc[(1, 1)]
    assert row["token before"] == pytest.approx((0.1 + 0.4) / 2)
    assert row["token after"] == pytest.approx((0.3 + 0.3) / 2)
    assert row["itself"] == pytest.approx((0.5 + 0.6 + 0.6) / 3)
    assert (row["first token"], row["last token"]) == pytest.approx((0.1, 0.3))
    assert row["uniform"] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="3 or more"):
        text_encoders.head_patterns(None, ["ab"])
    with pytest.raises(ValueError, match="no text"):
        text_encoders.head_patterns(None, [])


# --- next tokens and labels ---------------------------------------------------------------------


@needs_gpt
def test_next_tokens_are_those_of_the_library(gpt):
    file = CATALOGUE["smollm2"].packaged.find()
    whole = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    ids = torch.tensor([gpt.tokenizer("How to bake")["input_ids"]])
    with torch.inference_mode():
        logits = whole(ids).logits[0, -1]
    for temperature in (1.0, 0.5):
        expected, best = (logits / temperature).softmax(-1).topk(4)
        found = text_encoders.next_tokens(gpt, "How to bake", 4, temperature=temperature)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert found.index.tolist() == [gpt.tokenizer.decode([int(i)]) for i in best]


@needs_gpt
def test_likelihoods_of_labels_add_up_their_tokens(gpt):
    titles = pd.Series(["My cat sleeps", "A very long title about a red bus"], index=["x", "y"])
    labels = ["animals", "animal shelters", "unpronounceable"]  # some have several tokens
    prompt = "Title: {}\nCategory:"
    table = text_encoders.label_likelihoods(titles, labels, gpt, prompt)
    assert (table.index.tolist(), table.columns.tolist()) == (["x", "y"], labels)
    for name, title in titles.items():
        for label in labels:
            before = gpt.tokenizer(prompt.format(title))["input_ids"]
            answer = gpt.tokenizer(" " + label)["input_ids"]
            ids = torch.tensor([before + answer])
            with torch.inference_mode():
                states = gpt.net(ids).last_hidden_state[0]
                log_p = (states @ gpt.net.embed_tokens.weight.T).log_softmax(-1)
            own = [log_p[len(before) - 1 + i, token] for i, token in enumerate(answer)]
            assert table.at[name, label] == pytest.approx(float(sum(own)), abs=2e-3)


def test_what_does_not_write_has_no_next_token(minilm):
    with pytest.raises(ValueError, match="does not write"):
        text_encoders.next_tokens(minilm, "a cat")
    with pytest.raises(ValueError, match="does not write"):
        text_encoders.label_likelihoods(["a cat"], ["animals"], minilm, "{}")


@needs_gpt
@pytest.mark.parametrize(
    ("labels", "prompt", "message"),
    [([], "{}", "must be given"), (["a", "a"], "{}", "each once"), (["a"], "Title:", "no {}")],
)
def test_impossible_prompts_are_refused(gpt, labels, prompt, message):
    with pytest.raises(ValueError, match=message):
        text_encoders.label_likelihoods(["x"], labels, gpt, prompt)


# --- hidden words -------------------------------------------------------------------------------


def test_hidden_words_are_chosen_in_the_stated_shares():
    ids = torch.full((400, 50), 5)
    ids[:, 40:] = masked.PAD
    hidden, labels = masked.hide_words(ids, 100, torch.Generator().manual_seed(0))
    chosen = labels != masked.IGNORED
    assert not chosen[:, 40:].any()
    assert (labels[chosen] == 5).all()
    assert (hidden[~chosen] == ids[~chosen]).all()
    share = chosen[:, :40].float().mean().item()
    assert share == pytest.approx(0.15, abs=0.01)
    assert (hidden[chosen] == masked.MASK).float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert (hidden[chosen] == 5).float().mean().item() == pytest.approx(0.1, abs=0.03)
    assert ((hidden > masked.MASK) | (hidden == masked.MASK) | (hidden == 0)).all()


def test_examples_of_hidden_words_show_those_with_most_of_them_first():
    texts = ["a b c d e f g h i j k l"] * 5 + ["a b c d unheard"]
    model = masked.train_masked(texts[:5], texts[:1], 0, steps=1, report_steps=1, dim=8)
    shown = masked.hidden_examples(model, texts, seed=1, most=6)
    ids = model.ids(texts)
    draw = torch.Generator().manual_seed(1)
    chosen = (masked.hide_words(ids, len(model.vocabulary), draw)[1] >= 0).sum(dim=1).tolist()
    rows = [int(name[-1]) - 1 for name in shown if name.startswith("title")]
    assert rows[-1] == 5  # it holds an unknown word
    numbers = [chosen[row] for row in rows[:-1]]
    assert numbers == sorted(numbers, reverse=True)
    for row in rows:
        words, read = shown[f"title {row + 1}"], shown[f"what the network reads of title {row + 1}"]
        known = [w if w in model.vocabulary else "[UNK]" for w in text_encoders.words(texts[row])]
        assert words == known
        assert sum(a != b for a, b in zip(words, read, strict=True)) <= chosen[row]
    assert shown == masked.hidden_examples(model, texts, seed=1, most=6)
    assert len(masked.hidden_examples(model, texts, seed=1, most=2)) == 4


def test_a_small_bert_learns_what_context_tells():
    texts = [f"{pet} eats {food}" for pet, food in (("cat", "fish"), ("cow", "grass"))] * 20
    model = masked.train_masked(
        texts, texts[:4], 0, steps=80, batch_size=20, report_steps=20, dim=32
    )
    assert model.vocabulary[:3] == list(masked.SPECIAL)
    assert model.losses.index.tolist() == [20, 40, 60, 80]
    assert model.guesses("cat eats fish", 2, k=1).index[0] == "fish"
    assert model.guesses("cow eats grass", 2, k=1).index[0] == "grass"
    ranks = model.ranks(pd.Series(["cat eats unheard", ""], index=["x", "y"]))
    assert ranks["text"].tolist() == ["x", "x"]
    assert ranks["word"].tolist() == ["cat", "eats"]
    again = masked.train_masked(
        texts, texts[:4], 0, steps=80, batch_size=20, report_steps=20, dim=32
    )
    pd.testing.assert_frame_equal(again.losses, model.losses)


def test_a_small_bert_says_what_it_lacks():
    with pytest.raises(ValueError, match="No word stands 2 times"):
        masked.train_masked(["a b", "c d"], ["a"], 0)
    model = masked.train_masked(["a b"] * 4, ["a b"], 0, steps=1, report_steps=1, dim=8)
    with pytest.raises(IndexError, match="none at 2"):
        model.guesses("a b", 2)


# --- tags ---------------------------------------------------------------------------------------


def test_a_tagger_finds_names_that_it_was_not_shown(minilm):
    texts, spans = [], []
    for name in ("cat", "dog", "horse", "red bus", "old train", "green apple"):
        for pattern in ("I never forgot the {} at home", "Nobody beats the {} today"):
            texts.append(pattern.format(name))
            spans.append(tagging.occurrences(texts[-1], name))
    tagger = tagging.TokenTagger(minilm).fit(texts, spans)
    new = pd.Series(["Nobody beats the rabbit today", ""], index=["x", "y"])
    found = tagger.find(new)
    assert found[["text", "entity"]].to_numpy().tolist() == [["x", "rabbit"]]
    assert found["kind"].tolist() == ["name"]
    assert 0 < found["score"].item() <= 1
    assert tagging.spans_by_text(found) == {"x": [(17, 23)]}
    tags = tagger.tags("Nobody beats the rabbit today")
    assert [tag for _, tag, _ in tags] == ["O", "O", "O", "B", "O"]


def test_a_tagger_says_what_it_lacks(minilm):
    with pytest.raises(RuntimeError, match="learn first"):
        tagging.TokenTagger(minilm).find(["a cat"])
    with pytest.raises(ValueError, match="names for 2"):
        tagging.TokenTagger(minilm).fit(["a cat"], [[], []])
    with pytest.raises(ValueError, match="hold no name"):
        tagging.TokenTagger(minilm).fit(["a cat"], [[]])


def test_tags_and_spans_by_hand():
    words = [(0, 3), (4, 8), (9, 12), (13, 16)]
    assert tagging.bio_tags(words, [(4, 12), (13, 16)]) == ["O", "B", "I", "B"]
    assert tagging.spans_of(words, ["O", "B", "I", "B"]) == [(4, 12), (13, 16)]
    assert tagging.spans_of(words, ["I", "O", "I", "I"]) == [(0, 3), (9, 16)]
    assert tagging.occurrences("Red red", "RED") == [(0, 3), (4, 7)]
    assert tagging.occurrences("red", "") == []


def test_scores_of_spans_by_hand():
    true = {"x": [(0, 3)], "y": [(0, 3), (5, 9)], "z": []}
    found = {"x": [(0, 3)], "y": [(0, 2)], "z": [(1, 2)]}
    scores = tagging.span_scores(true, found)
    assert scores == pytest.approx({"precision": 1 / 3, "recall": 1 / 3, "f1": 1 / 3})
    nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert tagging.span_scores({"x": []}, {}) == nothing


def test_names_are_found_whole_in_part_or_not():
    true = {"x": [(0, 3)], "y": [(0, 5), (7, 9)], "z": [(2, 4)]}
    found = {"x": [(0, 3), (5, 6)], "y": [(0, 2), (3, 5), (9, 11)]}  # (9, 11) only touches (7, 9)
    assert tagging.span_outcomes(true, found) == {"whole": 1, "in part": 1, "missed": 2}
    assert tagging.span_outcomes({"x": []}, found) == {"whole": 0, "in part": 0, "missed": 0}


def test_intervals_of_f1_resample_groups_and_pair_the_methods():
    true = {n: [(0, 3)] for n in range(40)}
    even, odd = ({n: [(0, 3)] for n in range(side, 40, 2)} for side in (0, 1))
    methods = {"all": true, "even": even, "odd": odd, "none": {}}
    table = tagging.f1_intervals(true, methods)
    for name, of in methods.items():
        assert table.at[name, "mean"] == pytest.approx(tagging.span_scores(true, of)["f1"])
    assert table.loc["all"].tolist() == [1, 1, 1]
    assert table.loc["none"].tolist() == [0, 0, 0]
    assert 0.45 < table.at["even", "low"] < 2 / 3 < table.at["even", "high"] < 0.85
    pairs = pd.Series({n: n // 2 for n in range(40)})  # in each pair one is found: no chance left
    level = tagging.f1_intervals(true, {"even": even}, pairs).loc["even"]
    assert level.tolist() == pytest.approx([2 / 3] * 3)
    few = pd.Series({n: n % 2 for n in range(40)})  # two groups, one of which is found
    assert tagging.f1_intervals(true, {"even": even}, few).loc["even"].tolist()[1:] == [0, 1]
    ahead = tagging.f1_intervals(true, methods, pairs, than="even")
    assert list(ahead.index) == ["all", "odd", "none"]
    assert ahead.loc["odd"].tolist() == pytest.approx([0, 0, 0])
    assert ahead.loc["all"].tolist() == pytest.approx([1 / 3] * 3)
    with pytest.raises(KeyError, match="no method 'both'"):
        tagging.f1_intervals(true, methods, than="both")


# --- how good tags are --------------------------------------------------------------------------


def test_suggested_tags_are_compared_with_the_videos_own_and_with_another_of_its_kind():
    tags = pd.Series({"a": {"cat"}, "x": {"dog"}, "b": {"cat", "car"}, "y": {"sea"}})
    suggestions = {
        "words": {"a": {"cat", "mat"}, "b": {"bus"}, "x": {"sea"}, "stranger": {"dog"}},
        "nothing": {},
    }
    own, other = text_encoders.tag_hits(suggestions, tags)
    assert own["words"].tolist() == [True, False, False, False]
    assert other["words"].tolist() == [False, False, False, False]  # y, a, x, b suggest for them
    script = pd.Series({"a": "Latin", "b": "Latin", "x": "Han", "y": "Han", "stranger": "Han"})
    own, other = text_encoders.tag_hits(suggestions, tags, script)
    assert own["words"].tolist() == [True, False, False, False]
    assert other["words"].tolist() == [False, False, True, True]  # b gets a's cat, y gets x's sea
    assert not own["nothing"].any()
    assert not other["nothing"].any()
    assert list(other.index) == list(tags.index)


def test_shares_of_right_tags_are_compared_with_those_of_another_video():
    tags = pd.Series([{"cat"}, {"dog"}] * 20)
    script = pd.Series(["Latin"] * 20 + ["Han"] * 20)
    subject = pd.Series(np.arange(40) // 2)
    same = {video: {"cat"} for video in tags.index}
    suggestions = {"same for all": same, "right": dict(tags.items())}
    share, above = text_encoders.tag_shares(suggestions, tags, script, subject)
    names = [f"{kind}, {name}" for kind in ("Han", "Latin") for name in suggestions]
    assert list(share.index) == list(above.index) == names
    assert share.loc["Han, same for all", ["mean", "n"]].tolist() == [0.5, 20]
    assert above.loc["Han, same for all", ["mean", "low", "high"]].tolist() == [0, 0, 0]
    assert share.at["Latin, right", "mean"] == 1
    assert above.at["Latin, right", "low"] == 1  # neighbours never share a tag


# --- tags that are recorded ---------------------------------------------------------------------


@needs_gpt
def test_the_recorded_tags_are_those_that_the_network_writes(gpt):
    record = writing.recorded_tags()
    assert all(isinstance(tags, tuple) for tags in record.values())
    titles = list(record)[:2]
    written = text_encoders.write_tags(titles, gpt)
    assert any(record[title] == tags for title, tags in zip(titles, written, strict=True))
