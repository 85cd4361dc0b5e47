"""Which encoding a text file has, when nobody says so.

UTF-8 proves itself. The national encodings do not: almost any bytes are text in several of
them, and reading a German or a Japanese file as Chinese gives no error, only nonsense. So each
candidate is judged by how common the characters are that it would make of the bytes, and the
file is refused when no candidate stands out.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from unicodedata import category

__all__ = ["find_encoding"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Controls, private and unassigned signs: what bytes that are no text decode to.
_NO_TEXT = frozenset({"Cc", "Cn", "Co", "Cs"})
# A candidate needs this score, and this much more than the next.
_ENOUGH, _APART = 0.60, 0.12
# Bytes looked at; what a file is written in shows early.
_LOOKED_AT = 400_000
# Pairs from which their distribution says something.
_MANY = 8


def _pairs(content: bytes, low_trail: bool = True) -> Iterator[tuple[int, int]]:
    """Double bytes: lead and trail; (byte, 0) where a high byte has no fitting trail."""
    i, end = 0, len(content)
    while i < end:
        lead = content[i]
        if lead < 0x80:
            i += 1
            continue
        trail = content[i + 1] if i + 1 < end else 0
        fits = trail >= 0xA1 or (low_trail and (0x40 <= trail <= 0x7E or 0x80 <= trail <= 0xA0))
        yield lead, trail if fits else 0
        i += 2 if fits else 1


def _mean(scores: list[float]) -> float:
    return sum(scores) / len(scores) if scores else 0.0


def _gb18030(content: bytes) -> float:
    scores, beyond = [], False
    for lead, trail in _pairs(content):
        beyond = beyond or lead > 0xC8
        if trail < 0xA1:
            scores.append(0.0)
        elif 0xB0 <= lead <= 0xD7:
            scores.append(1.0)
        elif 0xA1 <= lead <= 0xA3:
            scores.append(0.8)
        else:
            scores.append(0.2 if 0xD8 <= lead <= 0xF7 else 0.1)
    # Nearly half of Chinese characters lie where Korean ones never do.
    return _mean(scores) * (1.0 if beyond or len(scores) < _MANY else 0.5)


def _big5(content: bytes) -> float:
    scores, n_low = [], 0
    for lead, trail in _pairs(content):
        n_low += 0x40 <= trail <= 0x7E
        if trail == 0 or 0x7F <= trail <= 0xA0:
            scores.append(0.0)
        elif 0xA4 <= lead <= 0xC6:
            scores.append(1.0)
        elif 0xA1 <= lead <= 0xA3:
            scores.append(0.8)
        else:
            scores.append(0.2 if 0xC9 <= lead <= 0xF9 else 0.0)
    # Two in five second bytes of Big5 are those of ASCII; other double bytes have none.
    share = n_low / len(scores) if scores else 0.0
    return _mean(scores) * min(1.0, share / 0.10)


def _shift_jis(content: bytes) -> float:
    scores = []
    i, end = 0, len(content)
    while i < end:
        lead = content[i]
        if lead < 0x80:
            i += 1
            continue
        if 0xA1 <= lead <= 0xDF:
            # Half-width katakana: exports of old systems have them, surveys rarely.
            scores.append(0.1)
            i += 1
            continue
        trail = content[i + 1] if i + 1 < end else 0
        if not (0x40 <= trail <= 0xFC) or trail == 0x7F:
            scores.append(0.0)
            i += 1
            continue
        kana = (lead == 0x82 and trail >= 0x9F) or (lead == 0x83 and trail <= 0x96)
        if kana:
            scores.append(1.0)
        elif lead in (0x81, 0x82):
            scores.append(0.8)
        else:
            scores.append(0.9 if 0x88 <= lead <= 0x97 else 0.2 if lead >= 0x98 else 0.0)
        i += 2
    return _mean(scores)


def _euc_jp(content: bytes) -> float:
    scores, kana = [], False
    for lead, trail in _pairs(content, low_trail=False):
        if trail == 0:
            scores.append(0.0)
        elif lead in (0xA4, 0xA5):
            kana = True
            scores.append(1.0)
        elif lead in (0xA1, 0xA3):
            scores.append(0.8)
        else:
            scores.append(0.9 if 0xB0 <= lead <= 0xCF else 0.2)
    return _mean(scores) if kana else 0.0


def _cp949(content: bytes) -> float:
    scores = []
    for lead, trail in _pairs(content):
        if trail >= 0xA1 and 0xB0 <= lead <= 0xC8:
            scores.append(1.0)
        elif trail >= 0xA1 and 0xA1 <= lead <= 0xA3:
            scores.append(0.8)
        else:
            scores.append(0.0)
    return _mean(scores)


def _runs(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Runs of high bytes, with the bytes before and after them (0 at the ends)."""
    i, end = 0, len(content)
    while i < end:
        if content[i] < 0x80:
            i += 1
            continue
        stop = i
        while stop < end and content[stop] >= 0x80:
            stop += 1
        yield (content[i - 1] if i else 0), content[i:stop], (content[stop] if stop < end else 0)
        i = stop


def _is_letter(byte: int) -> bool:
    return 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A


# Dashes, quotation marks, euro, blanks and the like of the Windows code pages.
_MARKS = frozenset(
    [0x80, 0x82, 0x84, 0x85, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0xA0, 0xA1, 0xA7,
     0xAB, 0xB0, 0xB4, 0xB7, 0xBA, 0xAA, 0xBB, 0xBF]
)  # fmt: skip


def _latin(content: bytes) -> float:
    scores = []
    for before, run, after in _runs(content):
        beside = _is_letter(before) or _is_letter(after)
        for byte in run:
            letter = byte >= 0xC0 or byte in (0x8A, 0x9A, 0x8E, 0x9E, 0x8C, 0x9C, 0x9F)
            if letter:
                scores.append(1.0 if beside and len(run) <= 2 else 0.2)
            elif byte in _MARKS:
                scores.append(0.8 if len(run) <= 2 else 0.1)
            else:
                # Letters of Central Europe that stand among signs in Western pages.
                polish = byte in (0xB3, 0xB9, 0xBE, 0xA3, 0xA5, 0xAF, 0x9D, 0x8D, 0x8F)
                scores.append(0.8 if polish and beside and len(run) <= 2 else 0.0)
    return _mean(scores)


def _latin_name(content: bytes) -> str:
    """Which page of Latin letters: Western, Central European, Turkish."""
    inside = {
        byte
        for before, run, after in _runs(content)
        for byte in run
        if _is_letter(before) or _is_letter(after)
    }
    if inside & {0xB3, 0xB9, 0xBE, 0xA5, 0xAF, 0x9D, 0x8D, 0x8F} or (0xBF in inside and
                                                                     0xEA in inside):  # fmt: skip
        return "cp1250"
    turkish = {0xF0, 0xFD, 0xFE, 0xDD, 0xDE, 0xD0}
    return "cp1254" if len(inside & turkish) >= 2 or 0xFE in inside else "cp1252"


def _cyrillic(content: bytes) -> float:
    scores = []
    for _, run, _after in _runs(content):
        for k, byte in enumerate(run):
            lower = byte >= 0xE0 or byte == 0xB8
            upper = 0xC0 <= byte <= 0xDF or byte == 0xA8
            if lower and len(run) > 1:
                scores.append(1.0)
            elif upper and (k == 0 or 0xC0 <= run[k - 1] <= 0xDF):
                scores.append(0.8)
            else:
                scores.append(0.6 if byte in _MARKS else 0.0)
    return _mean(scores)


_CANDIDATES: dict[str, Callable[[bytes], float]] = {
    "gb18030": _gb18030,
    "big5hkscs": _big5,
    "cp932": _shift_jis,
    "euc_jp": _euc_jp,
    "cp949": _cp949,
    "cp1251": _cyrillic,
    "latin": _latin,
}


def _decodes(content: bytes, name: str) -> bool:
    try:
        content.decode(name)
    except UnicodeDecodeError:
        return False
    return True


def _wide(content: bytes) -> str | None:
    """UTF-16 without a mark: the line ends tell which byte comes first, and all is text."""
    head = content[:8000]
    if 0 not in head:
        return None
    head = head[: len(head) // 2 * 2]
    for name in ("utf-16-le", "utf-16-be"):
        # A pair of surrogates may be cut in two at the end.
        text = head.decode(name, errors="ignore")
        if "\n" not in text and "\r" not in text:
            continue
        if all(sign in "\t\r\n" or category(sign) not in _NO_TEXT for sign in text):
            return name
    return None


def _nearly_utf8(content: bytes) -> bool:
    """Whether a text is UTF-8 but for a few damaged bytes."""
    text = content.decode("utf-8", errors="replace")
    damaged = text.count("\ufffd")
    sound = sum(sign > "\x7f" for sign in text) - damaged
    return sound >= 4 and damaged <= 0.1 * sound


def find_encoding(content: bytes) -> tuple[str | None, tuple[str, ...]]:
    """Tell the encoding of a text.

    Parameters
    ----------
    content : bytes
        The file.

    Returns
    -------
    encoding : str or None
        None where no candidate stands out, or where UTF-8 is damaged.
    candidates : tuple of str
        Encodings that the bytes could be text in, the likeliest first.
    """
    marked = next((name for bom, name in _BOMS if content.startswith(bom)), None)
    name = marked or _wide(content)
    if name is None and b"\x1b$" in content and max(content) < 0x80:
        name = "iso2022_jp"
    if name is None and _decodes(content, "utf-8"):
        name = "utf-8"
    if name is not None:
        return name, (name,)
    head = content[:_LOOKED_AT]
    if _nearly_utf8(head):
        return None, ("utf-8",)
    scores: list[tuple[float, str]] = []
    for key, score in _CANDIDATES.items():
        page = _latin_name(head) if key == "latin" else key
        if not _decodes(content, page):
            if page in ("cp1252", "cp1250", "cp1254") and _decodes(content, "latin-1"):
                page = "latin-1"
            else:
                continue
        scores.append((score(head), page))
    scores.sort(key=lambda entry: -entry[0])
    names = tuple(name for _, name in scores)
    if not scores or scores[0][0] < _ENOUGH:
        return None, names
    if len(scores) > 1 and scores[0][0] - scores[1][0] < _APART:
        return None, names
    return scores[0][1], names
