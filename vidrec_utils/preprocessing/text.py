"""Normal forms for titles and tags: texts that mean the same should look the same.

Two titles that a person reads as equal can differ in dozens of invisible ways: full-width letters,
composed or decomposed accents, zero-width spaces, HTML entities. A tokenizer sees each difference.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import emoji as emoji_package
import pandas as pd

from vidrec_utils import arguments
from vidrec_utils.preprocessing.report import file_rows, join_reports, make_report

Case = Literal["keep", "lower", "sentence"]
EmojiPolicy = Literal["keep", "name", "remove"]

_JOINERS = "\u200c\u200d"
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_STRAY_JOINER = re.compile(f"(?<![^\\x00-\\x7f])[{_JOINERS}]|[{_JOINERS}](?![^\\x00-\\x7f])")
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_FULL_WIDTH_MARKS = "\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f\uff5e"
_REPEATED_MARK = re.compile(r"([!?,;:~*=#_\-\uff01\uff1f\uff0c\u3002])\1+")
_REPEATED_DOT = re.compile(r"\.{4,}|(?<!\.)\.\.(?!\.)")
_BLANKS = re.compile(r"\s+")


def normalize_text(text: str, *, case: Case = "keep", emoji: EmojiPolicy = "keep") -> str:
    """Bring one text into its normal form.

    In order: HTML entities are resolved; Unicode form NFKC (Unicode Standard Annex 15), in which
    full-width letters become plain ones while Chinese, Japanese and Korean text keeps its own
    punctuation; control and invisible characters go (a joiner inside an emoji or a word of a script
    that needs it stays); a run of one punctuation mark becomes one mark (dots: three); blanks
    become single spaces; then emoji and case.

    Parameters
    ----------
    text : str
        Any text.
    case : {"keep", "lower", "sentence"}
        `"sentence"` only acts on texts that shout (all letters upper case).
    emoji : {"keep", "name", "remove"}
        `"name"` writes an emoji as its English name, which a tokenizer of words can read.

    Returns
    -------
    str
        Normalizing it again changes nothing.

    Raises
    ------
    ValueError
        If `case` or `emoji` is none of the choices.

    Examples
    --------
    >>> normalize_text("  Ｃats &amp; dogs!!!! ")
    'Cats & dogs!'
    """
    arguments.one_of(("keep", "lower", "sentence"), case=case)
    arguments.one_of(("keep", "name", "remove"), emoji=emoji)
    text = _compose(_unescape(text))
    text = _INVISIBLE.sub("", _CONTROL.sub(" ", text))
    text = _STRAY_JOINER.sub("", text)
    if emoji == "name":
        text = emoji_package.replace_emoji(text, lambda _, data: f" {_emoji_name(data)} ")
    elif emoji == "remove":
        text = emoji_package.replace_emoji(text, " ")
    text = _REPEATED_DOT.sub("...", _REPEATED_MARK.sub(r"\1", text))
    text = _BLANKS.sub(" ", text).strip()
    return _apply_case(text, case)


def _unescape(text: str) -> str:
    """Resolve HTML entities; twice-escaped ones (`&amp;amp;`) are common after two exports."""
    for _ in range(3):
        text = html.unescape(text)
    return text


def _compose(text: str) -> str:
    """Apply NFKC, except that East Asian texts keep their full-width punctuation."""
    if not _EAST_ASIAN.search(text):
        return unicodedata.normalize("NFKC", text)
    pieces = re.split(f"([{_FULL_WIDTH_MARKS}])", text)
    return "".join(
        p if p in _FULL_WIDTH_MARKS else unicodedata.normalize("NFKC", p) for p in pieces
    )


def _emoji_name(data: Mapping[str, str]) -> str:
    return data["en"].strip(":").replace("_", " ")


def _apply_case(text: str, case: Case) -> str:
    if case == "lower":
        return text.lower()
    if case == "sentence" and text.isupper() and len(text) > 3:
        return text[:1] + text[1:].lower()
    return text


def normalize_tags(
    tags: str | Iterable[str], *, synonyms: Mapping[str, str] | None = None, separator: str = "|"
) -> tuple[str, ...]:
    """Bring a list of tags into normal form: lower case, no `#`, synonyms joined, each tag once.

    Spellings that differ only in case, width, accents' composition, `_` or `-` become one tag.

    Parameters
    ----------
    tags : str or iterable of str
        Tags, or one text with `separator` between them.
    synonyms : mapping, optional
        Other names for a tag, which are replaced: `{"kitty": "cat"}`.
    separator : str
        Separator between the tags of a text.

    Returns
    -------
    tuple of str
        Each tag once, in order of its first appearance.

    Examples
    --------
    >>> normalize_tags("#Cat|ＣＡＴ|cat_nap|kitty", synonyms={"kitty": "cat"})
    ('cat', 'cat nap')
    """
    names = tags.split(separator) if isinstance(tags, str) else tags
    table = {_tag(old): _tag(new) for old, new in (synonyms or {}).items()}
    normal = (_tag(name) for name in names)
    return tuple(dict.fromkeys(table.get(tag, tag) for tag in normal if tag))


def _tag(text: str) -> str:
    text = normalize_text(text).casefold().lstrip("#")
    return _BLANKS.sub(" ", text.replace("_", " ").replace("-", " ")).strip()


def clean_text(
    videos: pd.DataFrame,
    columns: Iterable[str] = ("title", "description"),
    *,
    case: Case = "keep",
    emoji: EmojiPolicy = "keep",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Normalize text columns; a text with nothing left becomes missing.

    Parameters
    ----------
    videos : DataFrame
        The table of videos, indexed by id. Not changed.
    columns : iterable of str
        Text columns; columns that the table lacks are skipped.
    case, emoji
        See `normalize_text`.

    Returns
    -------
    cleaned : DataFrame
        The same rows.
    report : DataFrame
        One row for each text that changed.
    """
    present = [column for column in columns if column in videos]
    return _map_columns(videos, present, lambda t: normalize_text(t, case=case, emoji=emoji))


def clean_tags(
    videos: pd.DataFrame,
    column: str = "tags",
    *,
    synonyms: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Normalize the tags of each video (see `normalize_tags`); no tag left becomes missing.

    Returns
    -------
    cleaned, report : DataFrame
        The same rows, and one report row for each list of tags that changed.
    """
    columns = [column] if column in videos else []
    return _map_columns(
        videos, columns, lambda text: "|".join(normalize_tags(text, synonyms=synonyms))
    )


def _map_columns(
    videos: pd.DataFrame, columns: Iterable[str], function: Callable[[str], str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    cleaned, reports = videos.copy(), []
    for column in columns:
        before = videos[column]
        after = before.map(function, na_action="ignore").astype("str")
        after = after.mask(after == "")
        changed = (before.notna() & (after.isna() | (after != before))).to_numpy(dtype=bool)
        emptied = after[changed].isna()
        cleaned[column] = after
        reports.append(
            make_report(
                "videos",
                file_rows(videos, changed),
                videos.index[changed],
                column,
                ["is blank" if gone else "is not in normal form" for gone in emptied],
                ["set to missing" if gone else "normalized" for gone in emptied],
                before[changed],
                after[changed],
            )
        )
    return cleaned, join_reports(reports)
