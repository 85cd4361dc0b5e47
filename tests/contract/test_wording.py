"""Every language has every sentence, with the same placeholders."""

import string

import pytest

from sqvalid import wording
from sqvalid.errors import Diagnostic, OptionError

OTHERS = [lang for lang in wording.languages() if lang != "en"]


def placeholders(sentence: str) -> dict[str, set[str]]:
    """Name -> the format specifications it is used with."""
    found: dict[str, set[str]] = {}
    for _, name, spec, _ in string.Formatter().parse(sentence):
        if name is not None:
            found.setdefault(name, set()).add(spec or "")
    return found


def raw(lang: str) -> dict[str, str]:
    return dict(wording._sentences(lang))


def test_there_are_english_and_chinese() -> None:
    assert {"en", "zh"} <= set(wording.languages())


@pytest.mark.parametrize("lang", OTHERS)
def test_no_key_is_missing(lang: str) -> None:
    assert wording.keys(lang) == wording.keys("en")


@pytest.mark.parametrize("lang", OTHERS)
def test_placeholders_agree(lang: str) -> None:
    english, other = raw("en"), raw(lang)
    differing = {
        key: (placeholders(english[key]), placeholders(other[key]))
        for key in english.keys() & other.keys()
        if placeholders(english[key]).keys() != placeholders(other[key]).keys()
    }
    assert differing == {}


@pytest.mark.parametrize("lang", wording.languages())
def test_no_sentence_is_empty_or_untranslated(lang: str) -> None:
    assert [key for key, sentence in raw(lang).items() if not sentence.strip()] == []
    if lang == "zh":
        letters_only = [
            key
            for key, sentence in raw(lang).items()
            if sentence == raw("en")[key] and len(sentence.split()) > 3
        ]
        assert letters_only == []


@pytest.mark.parametrize("lang", wording.languages())
def test_every_diagnostic_has_a_sentence_and_a_remedy(lang: str) -> None:
    codes: dict[str, set[str]] = {}
    for key in wording.keys(lang):
        if key.startswith("diagnostic."):
            _, code, part = key.split(".")
            codes.setdefault(code, set()).add(part)
    assert {code for code, parts in codes.items() if parts != {"sentence", "remedy"}} == set()


def test_unknown_language_lists_the_choices() -> None:
    with pytest.raises(OptionError, match="'fr' is not an option"):
        wording.text("format.yes", lang="fr")


def test_unknown_key_and_missing_value_are_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError, match=r"no sentence 'format\.maybe'"):
        wording.text("format.maybe")
    monkeypatch.setattr(wording, "_sentences", lambda lang: {"a": "{n} rows"})
    with pytest.raises(KeyError, match="needs a value for 'n'"):
        wording.text("a")
    assert wording.text("a", n=3) == "3 rows"


def test_describe_joins_where_in_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {
        "en": {"format.list_separator": ", "},
        "zh": {"format.list_separator": "、"},
    }
    for table in tables.values():
        table["diagnostic.x.sentence"] = "{where}: {value:.2f}"
        table["diagnostic.x.remedy"] = "!"
    monkeypatch.setattr(wording, "_sentences", tables.__getitem__)
    diagnostic = Diagnostic("x", "warning", where=("P1", "P2"), values={"value": 0.5})
    assert wording.describe(diagnostic) == ("P1, P2: 0.50", "!")
    assert wording.describe(diagnostic, "zh") == ("P1、P2: 0.50", "!")
