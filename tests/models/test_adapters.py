"""The catalogue: models of other packages, from adapters that are laid down as pip would."""

import re
from pathlib import Path

import numpy as np
import pytest

from attribution_bench.errors import MissingDependencyError, ModelError, PluginError, PluginWarning, UnknownNameError
from attribution_bench.models.adapters import ADAPTERS, get_catalogued, list_catalogue
from attribution_bench.models.loading import model_source
from attribution_bench.sequences import DNA, PROTEIN, RNA, Alphabet
from installed_plugins import install

CODE = """
from attribution_bench.models.adapters import Adapter, ModelCard
import torch

class Zoo(Adapter):
    def cards(self):
        common = dict(package={package!r}, outputs="a number", licence="MIT", citation="Someone 2020")
        return (
            ModelCard("zoo_fixed", "a sum", length=30, target="0", **common),
            ModelCard("zoo_any", "a mean", length=None, options={{"scale": "a factor"}}, **common),
            ModelCard("zoo_empty", "untrained", length=None, weights=False, **common),
        )

    def open(self, name, **options):
        if name == "zoo_any" and options.get("scale") == 13:
            raise RuntimeError("no such scale")
        model = torch.nn.Sequential(torch.nn.Conv1d(4, 2, 3), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten())
        model.given = (name, options)
        return model

    def sequence_options(self, name, **options):
        return {{"layout": "NAL", "output_names": ("level",)}} if name == "zoo_fixed" else {{}}
"""


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install the adapter as a distribution of its own, which is the package that its models need."""
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "zoo-of-tests", {"zoo": "Zoo"}, CODE.format(package="zoo-of-tests"), ADAPTERS)
    return "zoo-of-tests"


@pytest.mark.usefixtures("zoo")
def test_models_are_opened_by_name() -> None:
    assert {"zoo_any", "zoo_fixed"} <= {card.name for card in list_catalogue()}
    source = model_source("zoo_fixed")
    assert (source.kind, source.default_length, source.label) == ("catalogued", 30, "zoo_fixed")
    assert (source.default_target, source.default_effects) == ("0", None)
    model = source.open(length=30)
    assert model.model.given == ("zoo_fixed", {})
    assert list(model.predict(np.zeros((1, 4, 30), np.float32))) == ["level"]
    assert model_source("zoo_any?scale=2").open(length=50).model.given == ("zoo_any", {"scale": 2, "length": 50})


@pytest.mark.usefixtures("zoo")
def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ModelError, match="zoo_fixed takes sequences of 30 letters, not 31"):
        model_source("zoo_fixed").open(length=31)
    with pytest.raises(ModelError, match="zoo_any has no option depth; it takes scale, length"):
        model_source("zoo_any?depth=3").open()
    with pytest.raises(ModelError, match=r"no weights; give a file of them: zoo_empty\?weights=FILE"):
        model_source("zoo_empty").open()
    with pytest.raises(ModelError, match="zoo_any cannot be opened with scale=13: RuntimeError: no such scale"):
        model_source("zoo_any?scale=13").open()
    with pytest.raises(UnknownNameError, match="zoo_fixed"):
        get_catalogued("zoo_fixd")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "other-zoo", {"zoo": "Zoo"}, CODE.format(package="not-installed-here"), ADAPTERS)
    found = get_catalogued("zoo_fixed")
    assert not found.card.installed
    with pytest.raises(MissingDependencyError, match="pip install not-installed-here"):
        model_source("zoo_fixed").open()


@pytest.mark.usefixtures("zoo")
def test_two_adapters_of_one_name_are_an_error(tmp_path: Path) -> None:
    install(tmp_path, "second-zoo", {"second": "Zoo"}, CODE.format(package="second-zoo"), ADAPTERS)
    with pytest.raises(PluginError, match=r"two adapters open the model 'zoo_any'"):
        model_source("zoo_any")


BROKEN = {
    "another thing": ("broken = 3\n", "is registered as 3, which is no subclass of Adapter"),
    "a failing import": ("raise OSError('no disk')\n", "cannot be loaded: OSError: no disk"),
    "a missing package": (
        "from attribution_bench.errors import MissingDependencyError\n"
        "raise MissingDependencyError('zoos need the package zoolib')\n",
        "cannot be loaded: zoos need the package zoolib",
    ),
    "a failing constructor": ("    def __init__(self): 1 / 0\n", "cannot be used: ZeroDivisionError"),
    "failing cards": ("    def cards(self): raise KeyError('cards')\n", "cannot be used: KeyError: 'cards'"),
    "no cards": ("    def cards(self): pass\n", "cannot be used: TypeError"),
    "cards of another class": ("    def cards(self): return [{'name': 'x'}]\n", "which is no ModelCard"),
    "a card without licence": (
        "    def cards(self): return [ModelCard('x', 'x', 'x', 1, 'x')]\n",
        "cannot be used: TypeError: .*'licence'",
    ),
    "a name that is no text": (
        "    def cards(self): return [ModelCard(3, 'x', 'x', 1, 'x', 'x', 'x')]\n",
        "cannot be used: TypeError: a card has a name, .* not 3, 'x' and 1",
    ),
    "an unknown alphabet": (
        "    def cards(self): return [ModelCard('x', 'x', 'x', 1, 'x', 'x', 'x', alphabet='dna')]\n",
        "has the alphabet 'dna'; there are DNA, RNA, protein",
    ),
}
"""What is wrong with an adapter -> its code, or the body of its class, and what is said of it."""


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.usefixtures("zoo")
def test_a_broken_adapter_is_named_once_and_the_others_are_used(case: str, tmp_path: Path) -> None:
    code, words = BROKEN[case]
    whole = CODE.format(package="a") + f"\nclass broken(Zoo):\n{code}" if code.startswith(" ") else code
    install(tmp_path, f"broken-zoo-{list(BROKEN).index(case)}", {"broken": "broken"}, whole, ADAPTERS)
    # A name that is found needs no word on others; warnings are errors here.
    assert model_source("zoo_fixed").default_length == 30
    with pytest.warns(PluginWarning, match=f"the adapter 'broken'.*{words}") as told:
        assert "zoo_any" in {card.name for card in list_catalogue()}
    assert len(told) == 1
    for missing in (model_source, get_catalogued):
        with pytest.raises((ModelError, UnknownNameError), match="zoo_fixed") as caught:
            missing("of_the_broken_one")
        (note,) = caught.value.__notes__
        assert re.search(f"the adapter 'broken'.*{words}.*, so that its models are not among these", note)


LETTERS = """
import attribution_bench as ab
import torch
from attribution_bench.models.adapters import Adapter, ModelCard

class Letters(Adapter):
    def cards(self):
        common = ("a sum", "letters-of-tests", 9, "a number", "MIT", "Someone 2020")
        return [ModelCard(name, *common, alphabet=letters) for name, letters in (
            ("of_dna", "DNA"), ("of_rna", "RNA"), ("of_protein", "protein"), ("of_text", "DNA"), ("of_own", "RNA"),
            ("of_nothing", "DNA"), ("made", "protein"))]

    def open(self, name, **options):
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(1))
        return ab.as_sequence_model(model, alphabet="protein", output_names=("made",)) if name == "made" else model

    def sequence_options(self, name, **options):
        own = {"of_text": "RNA", "of_own": ab.sequences.Alphabet("two", "01", "?"), "of_nothing": "nothing"}
        return {"alphabet": own[name]} if name in own else {}
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("of_dna", DNA),
        ("of_rna", RNA),
        ("of_protein", PROTEIN),
        ("of_text", RNA),  # what the adapter says counts before its card
        ("of_own", Alphabet("two", "01", "?")),
        ("made", PROTEIN),
    ],
)
def test_a_model_has_the_letters_of_its_adapter_or_card(
    name: str, expected: Alphabet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "letters-of-tests", {"letters": "Letters"}, LETTERS, ADAPTERS)
    source = model_source(name)
    assert source.default_alphabet == expected
    opened = source.open()
    assert opened.alphabet == expected
    assert opened.output_names == (("made",) if name == "made" else None)
    assert source.open(alphabet=RNA).alphabet == RNA
    with pytest.raises(ModelError, match="of_nothing cannot be opened: KeyError: 'nothing'"):
        _ = model_source("of_nothing").default_alphabet


ASKED = """
from attribution_bench.models.adapters import Adapter, ModelCard

class Failing(Adapter):
    def cards(self):
        return [ModelCard("failing", "a sum", "failing-of-tests", None, "a number", "MIT", "Someone 2020", fixed=False)]

    def open(self, name, **options):
        raise AssertionError

    def _fail(self, name, *given, **options):
        raise LookupError("not today")

    default_length = effects = genes = sequence_options = _fail
"""


def test_whatever_an_adapter_fails_with_names_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "failing-of-tests", {"failing": "Failing"}, ASKED, ADAPTERS)
    source = model_source("failing")
    for ask in (
        lambda: source.default_length,
        lambda: source.default_effects,
        lambda: source.default_genes(None),
        lambda: source.default_alphabet,
        lambda: source.open(length=9),
    ):
        with pytest.raises(ModelError, match="failing cannot be opened: LookupError: not today"):
            ask()


NOTHING = """
from attribution_bench.models.adapters import Adapter, ModelCard

class Nothing(Adapter):
    def cards(self):
        return [ModelCard("nothing", "a sum", "nothing-of-tests", 9, "a number", "MIT", "Someone 2020")]

    def open(self, name, **options):
        return None
"""


def test_what_returns_no_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "nothing-of-tests", {"nothing": "Nothing"}, NOTHING, ADAPTERS)
    (tmp_path / "forgetful.py").write_text("def build(): return {}\n")
    for name, kind in (("nothing", "NoneType"), ("forgetful:build", "dict")):
        with pytest.raises(ModelError, match=f"what {name} returns is no model: expected .*, not builtins.{kind}"):
            model_source(name).open()
