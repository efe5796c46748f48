"""Titles and comments: many, correct, and silent about what they must not tell."""

import re

import numpy as np
import pytest

from vidrec_utils.minitube import phrases
from vidrec_utils.minitube.phrases import COMMENTS, SMILEYS, TITLES, write_comment, write_title
from vidrec_utils.minitube.sprites import all_subjects, names
from vidrec_utils.minitube.vocabulary import MOODS, MOTIONS, PACES, TOPICS


def titles(topic, language, subject, n, seed=0):
    rng = np.random.default_rng(seed)
    return [write_title(topic, language, subject, rng) for _ in range(n)]


@pytest.mark.parametrize("topic", TOPICS)
def test_each_topic_has_many_patterns_in_both_languages(topic):
    def distinct(language, subject):
        without_numbers = (re.sub(r"\d+", "7", t) for t in titles(topic, language, subject, 3_000))
        return len(set(without_numbers))

    assert distinct("en", "cat") > 80
    assert distinct("zh", "猫") > 15


@pytest.mark.parametrize("topic", TOPICS)
def test_titles_of_one_topic_often_share_no_word(topic):
    common = {"the", "a", "of", "to", "and", "with", "in", "for", "cat"}
    words = [
        set(re.findall(r"[a-z]+", t.lower())) - common for t in titles(topic, "en", "cat", 200)
    ]
    apart = [not words[k] & words[k + 1] for k in range(0, 200, 2)]
    assert np.mean(apart) > 0.4


def test_no_pattern_tells_a_motion_a_pace_or_a_mood():
    telling = {word for motion in MOTIONS for word in motion.split("_")} - {"in", "out"}
    telling |= set(PACES) | set(MOODS)
    for topics in TITLES.values():
        for patterns in topics.values():
            assert not telling & set(re.findall(r"[a-z]+", " ".join(patterns).lower()))


def test_articles_and_numbers_are_those_of_the_subject():
    def forms(subject):
        return {
            form: phrases._phrase(m, phrases._noun_forms(subject)) for form, m in MATCHES.items()
        }

    MATCHES = {
        text: re.fullmatch(r"\{(a|the|my|this)(?::([^}]*))?\}", text)
        for text in ("{a}", "{a:old}", "{the}", "{my:old}", "{this}")
    }
    assert list(forms("cat").values()) == [
        "a cat",
        "an old cat",
        "the cat",
        "my old cat",
        "this cat",
    ]
    assert forms("elephant")["{a}"] == "an elephant"
    assert forms("ewe")["{a}"] == "a ewe"
    assert forms("grapes")["{a}"] == "grapes"
    assert forms("grapes")["{this}"] == "these grapes"
    assert forms("bread")["{a:old}"] == "old bread"
    assert forms("Statue of Liberty")["{a}"] == "the Statue of Liberty"
    assert forms("tennis")["{my:old}"] == "my old tennis match"


def test_the_lists_of_irregular_names_name_subjects():
    english = {names(character)["en"] for _, character in all_subjects()}
    listed = phrases.PLURAL | phrases.UNCOUNTED | phrases.SPORTS | phrases.UNIQUE
    assert listed <= english
    assert len(listed) == sum(map(len, (phrases.PLURAL, phrases.UNCOUNTED, phrases.SPORTS))) + 2


def test_no_title_keeps_a_brace_or_a_bracket_and_all_begin_large():
    for language, subject in (("en", "grapes"), ("en", "owl"), ("zh", "猫")):
        for topic in TOPICS:
            for title in titles(topic, language, subject, 300):
                assert not re.search(r"[<>{}|]|  ", title), title
                assert title[0] == title[0].upper()
                assert subject in title.lower()


def test_comments_are_many_and_some_bear_a_smiley():
    rng = np.random.default_rng(0)
    smileys = [smiley for kind in SMILEYS.values() for smiley in kind]
    for language, kinds in COMMENTS.items():
        for kind in kinds:
            texts = [write_comment(language, kind, rng) for _ in range(2_000)]
            assert len(set(texts)) > (100 if language == "en" else 40)
            assert not [text for text in texts if re.search(r"[<>{}|]|  ", text)]
            marked = np.mean([any(smiley in text for smiley in smileys) for text in texts])
            assert 0.15 < marked < 0.25


def test_the_same_seed_gives_the_same_titles():
    assert titles("story", "en", "cat", 20, seed=1) == titles("story", "en", "cat", 20, seed=1)
    assert titles("story", "en", "cat", 20, seed=1) != titles("story", "en", "cat", 20, seed=2)
