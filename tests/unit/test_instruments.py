"""Instruments: the library, the form of a file, the models they imply."""

from pathlib import Path

import pytest

from sqvalid.errors import InstrumentError, OptionError, UnsupportedError
from sqvalid.instruments import Dimension, Instrument, Item, list_instruments, load_instrument

KEY_1988 = {
    "TAN": range(1, 5),
    "REL": range(5, 10),
    "RES": range(10, 14),
    "ASS": range(14, 18),
    "EMP": range(18, 23),
}

MINIMAL = """
id = "tiny"
source = "Nobody (2020)"
wording_status = "adapted"
translation_status = "not_translated"
[name]
en = "Tiny"
[scale]
min = 1
max = 5
[[dimensions]]
id = "F"
name = { en = "Factor" }
[[items]]
id = "a"
dimension = "F"
wording = { en = "A?" }
[[items]]
id = "b"
dimension = "F"
reverse = true
wording = { en = "B?" }
scale = { min = 0, max = 10 }
"""


@pytest.fixture
def write(tmp_path: Path):
    def to_file(text: str, name: str = "own.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


@pytest.mark.parametrize("name", list_instruments())
def test_every_library_file_loads_and_is_complete(name: str) -> None:
    instrument = load_instrument(name)
    assert instrument.id == name
    assert set(instrument.name) == {"en", "zh"}
    assert instrument.source
    for dimension in instrument.dimensions:
        assert set(dimension.name) == {"en", "zh"}
    for item in instrument.items:
        assert set(item.wording) == {"en", "zh"}
        assert all(len(pair) == 2 for pair in item.anchors.values())
        assert item.wording_status == "paraphrase"
        assert item.anchors.keys() == {"en", "zh"}
    assert len({d.id for d in instrument.dimensions}) == len(instrument.dimensions)
    sentences = [item.wording[lang] for item in instrument.items for lang in ("en", "zh")]
    assert len(set(sentences)) == len(sentences)


def test_servqual_has_the_key_of_1988() -> None:
    instrument = load_instrument("servqual")
    assert instrument.batteries == ("expectation", "perception")
    for battery, letter in (("expectation", "E"), ("perception", "P")):
        expected = {d: tuple(f"{letter}{i}" for i in key) for d, key in KEY_1988.items()}
        assert instrument.dimension_items(battery) == expected
    reversed_items = {item.id for item in instrument.items if item.reverse}
    negative = [*range(10, 14), *range(18, 23)]
    assert reversed_items == {f"{b}{i}" for b in "EP" for i in negative}
    assert {(item.scale_min, item.scale_max) for item in instrument.items} == {(1, 7)}


def test_the_study_includes_servqual_and_its_outcomes() -> None:
    study = load_instrument("servqual_study")
    assert len(study.items) == 58
    quality = ["TAN", "REL", "RES", "ASS", "EMP"]
    assert list(study.dimension_items()) == [*quality, "SAT", "RPI", "PF", "OSQ", "DIS"]
    assert study.items_of("SAT") == ("SAT1", "SAT2", "SAT3", "SAT4", "SAT5")
    assert [i.id for i in study.items if i.reverse and i.battery == "outcome"] == ["SAT5"]
    assert study.items_of("TAN", "outcome") == ()
    assert len(study.items_of("TAN")) == 8
    assert study.item("P10").reverse
    assert study.dimension("RPI").name["zh"] == "再次购买意愿"


def test_models() -> None:
    instrument = load_instrument("servqual")
    correlated = (
        "TAN =~ P1 + P2 + P3 + P4\n"
        "REL =~ P5 + P6 + P7 + P8 + P9\n"
        "RES =~ P10 + P11 + P12 + P13\n"
        "ASS =~ P14 + P15 + P16 + P17\n"
        "EMP =~ P18 + P19 + P20 + P21 + P22\n"
    )
    assert instrument.model() == correlated
    assert instrument.model("correlated", "expectation") == correlated.replace("P", "E").replace(
        "EME", "EMP"
    )
    assert instrument.model("second_order") == correlated + "SQ =~ TAN + REL + RES + ASS + EMP\n"
    one = "G =~ " + " + ".join(f"P{i}" for i in range(1, 23)) + "\n"
    assert instrument.model("one_factor", general="G") == one


def test_models_that_cannot_be() -> None:
    instrument = load_instrument("servqual")
    with pytest.raises(OptionError, match="kind='trifactor'"):
        instrument.model("trifactor")
    with pytest.raises(OptionError, match=r"battery='perceptions'.*'perception'"):
        instrument.model("correlated", "perceptions")
    with pytest.raises(InstrumentError, match="has no importance items"):
        instrument.model(battery="importance")
    with pytest.raises(InstrumentError, match="'TAN' is already"):
        instrument.model("second_order", general="TAN")
    item = instrument.items[0]
    formative = Instrument(
        "x", {"en": "X"}, "s", (Dimension("TAN", {"en": "T"}, "causal", "why"),), (item,)
    )
    with pytest.raises(UnsupportedError, match="'TAN' of instrument 'x' is causal"):
        formative.model(battery="expectation")


def test_own_file(write) -> None:
    instrument = load_instrument(write(MINIMAL))
    a, b = instrument.items
    assert (a.scale_min, a.scale_max, a.reverse, a.battery) == (1, 5, False, "perception")
    assert (b.scale_min, b.scale_max, b.reverse) == (0, 10, True)
    assert (a.wording_status, a.translation_status) == ("adapted", "not_translated")
    assert repr(instrument) == "<Instrument tiny: 2 items, 1 dimensions>"


def test_own_file_may_include_the_library_and_a_neighbour(write) -> None:
    write(MINIMAL, "tiny.toml")
    path = write(
        'id = "both"\nsource = "s"\ninclude = ["satisfaction_repurchase", "tiny.toml"]\n'
        'name = { en = "Both" }\n'
    )
    assert [d.id for d in load_instrument(path).dimensions] == ["SAT", "RPI", "F"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('id = "b"', 'id = "a"', "item 'a' more than once"),
        ('id = "b"', 'id = "F"', "'F' is both an item and a dimension"),
        ('id = "b"', 'id = "2b"', "item '2b', id: '2b' cannot be a name"),
        ('id = "b"', 'id = "b c"', "cannot be a name"),
        ("reverse = true", 'reverse = "perhaps"', "item 'b', reverse: "),
        ("reverse = true", "revers = true", "item 'b', revers: is not a key that is known here"),
        ('wording = { en = "B?" }', "", "item 'b', wording: is required and not there"),
        (
            'wording = { en = "B?" }',
            'wording = { fr = "B?" }',
            "item 'b', wording: 'fr' is no language",
        ),
        ("max = 10", "max = 0", "item 'b', scale"),
        ("max = 10", "max = 0", "min 0 is not below max 0"),
        ('dimension = "F"\nwording', 'dimension = "G"\nwording', "item 'a' names dimension 'G'"),
        ('wording_status = "adapted"', "", "item 'a' has no wording_status"),
        ('wording_status = "adapted"', 'wording_status = "stolen"', "wording_status: Input should"),
        ("[scale]\nmin = 1\nmax = 5", "", "item 'a' has no scale"),
        ('{ en = "Factor" }', '{ en = "Factor" }\nmeasurement = "causal"', "needs a reason"),
        ('source = "Nobody (2020)"', "", "source: is required"),
        ('id = "tiny"', "id = tiny", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_told_by_file_item_and_field(
    write, old: str, new: str, expected: str
) -> None:
    assert old in MINIMAL
    with pytest.raises(InstrumentError) as caught:
        load_instrument(write(MINIMAL.replace(old, new, 1)))
    assert expected in caught.value.message
    assert "own.toml" in caught.value.message or "'tiny'" in caught.value.message
    assert caught.value.remedy


def test_all_mistakes_are_told_at_once(write) -> None:
    text = MINIMAL.replace("reverse = true", "revers = true").replace(
        'source = "Nobody (2020)"', ""
    )
    with pytest.raises(InstrumentError, match=r"source: .*item 'b', revers: "):
        load_instrument(write(text))


def test_circular_include(write) -> None:
    path = write('id = "a"\nsource = "s"\ninclude = ["own.toml"]\nname = { en = "A" }\n')
    with pytest.raises(InstrumentError, match="includes itself"):
        load_instrument(path)


def test_no_such_instrument(tmp_path: Path) -> None:
    with pytest.raises(InstrumentError, match=r"no instrument 'servqul'\. Did you mean 'servqual'"):
        load_instrument("servqul")
    with pytest.raises(InstrumentError, match="no instrument file"):
        load_instrument(tmp_path / "gone.toml")
    with pytest.raises(InstrumentError, match="is a directory"):
        load_instrument(tmp_path)


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InstrumentError, match="not UTF-8"):
        load_instrument(path)


def test_nothing_in_it(write) -> None:
    with pytest.raises(InstrumentError, match="has no items"):
        load_instrument(write('id = "a"\nsource = "s"\nname = { en = "A" }\n'))


def test_dimension_without_items() -> None:
    item = Item("a", "F", "perception", {"en": "A"}, "adapted", "translated", False, 1, 5, {})
    with pytest.raises(InstrumentError, match="dimension 'G' has no items"):
        Instrument("x", {}, "s", (Dimension("F", {}), Dimension("G", {})), (item,))


def test_an_instrument_cannot_be_changed() -> None:
    instrument = load_instrument("servqual")
    with pytest.raises(AttributeError):
        instrument.id = "other"
    with pytest.raises(TypeError):
        instrument.items[0].wording["en"] = "x"


def test_brackets_without_end_are_refused(tmp_path):
    file = tmp_path / "deep.toml"
    file.write_text("id = " + "[" * 100_000 + "]" * 100_000, encoding="utf-8")
    with pytest.raises(InstrumentError, match="nested too deeply"):
        load_instrument(file)
