"""Every adapter that this checkout registers keeps the contract of adapters."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from attribution_bench.cli.benchmark import parse_target
from attribution_bench.errors import MissingDependencyError, UnknownNameError
from attribution_bench.models import adapters
from attribution_bench.models.adapters import ADAPTERS, find_catalogued, get_catalogued, list_catalogue
from attribution_bench.models.catalogue import list_models
from attribution_bench.models.loading import model_source
from attribution_bench.registry import list_plugins
from attribution_bench.sequences import ALPHABETS
from fake_distributions import PROJECT

NAMES = (
    "spliceai", "mmsplice-acceptor-intron", "mmsplice-acceptor", "mmsplice-exon", "mmsplice-donor",
    "mmsplice-donor-intron", "mtsplice", "mtsplice-shallow", "openspliceai", "pangolin", "bpnet-lite",
    "bpnet-lite-chrombpnet", "enformer-pytorch", "borzoi-pytorch", "crested",
)  # fmt: skip


def test_the_catalogue_has_every_model_once() -> None:
    names = [card.name for card in list_catalogue()]
    assert names == sorted(set(names))
    assert set(NAMES) <= set(names)
    assert not set(names) & set(list_models())


@pytest.mark.parametrize("name", NAMES)
def test_cards_are_complete(name: str) -> None:
    card = get_catalogued(name).card
    for text in (card.summary, card.package, card.outputs, card.licence, card.citation):
        assert text == text.strip() != ""
    assert card.alphabet in ALPHABETS
    assert card.length is None or card.length > 0
    assert card.length is not None or not card.fixed
    assert card.target is None or parse_target(card.target) is not None
    assert all(option.isidentifier() and meaning for option, meaning in card.options.items())


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_opens_what_it_has_cards_of(name: str) -> None:
    adapter = get_catalogued(name).adapter
    assert {card.name for card in adapter.cards()} == {other for other in NAMES if adapter.can_open(other)}
    assert not adapter.can_open(f"{name}-of-nobody")


def test_an_unknown_name_is_told_the_known_ones() -> None:
    assert find_catalogued("splice-ai") is None
    with pytest.raises(UnknownNameError, match="did you mean 'spliceai'"):
        get_catalogued("splice-ai")


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_package_is_one_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(package: str) -> None:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(adapters, "distribution", nothing)
    found = get_catalogued(name)
    assert not found.card.installed
    with pytest.raises(MissingDependencyError, match=rf"{name} needs the package {found.card.package}, .*pip install "):
        found.open()


def test_listing_imports_no_framework_and_no_package() -> None:
    assert set(list_plugins(ADAPTERS)) >= {"spliceai", "crested"}
    modules = [
        f"attribution_bench_plugins.adapters.{name}"
        for name in ("spliceai", "mmsplice", "openspliceai", "pangolin", "bpnet_lite", "enformer_pytorch",
                     "borzoi_pytorch", "crested")
    ]  # fmt: skip
    heavy = "{'torch', 'keras', 'tensorflow', 'h5py', 'scipy', 'pandas', 'spliceai', 'bpnetlite', 'crested'}"
    program = f"import sys, {', '.join(modules)}; print(sorted({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_every_adapter_of_the_folder_is_registered() -> None:
    text = PROJECT.read_text()
    folder = PROJECT.parent / "plugins/attribution_bench_plugins/adapters"
    for path in folder.glob("*.py"):
        if "(Adapter)" in path.read_text():
            assert f"attribution_bench_plugins.adapters.{path.stem}:" in text


def test_the_name_of_a_model_is_a_source() -> None:
    source = model_source("spliceai?member=2")
    assert (source.kind, source.label, source.default_length) == ("catalogued", "spliceai?member=2", 10_101)
