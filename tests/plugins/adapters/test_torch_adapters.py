"""Adapters of PyTorch packages, on networks that stand for the packages' own: the numbers are those of the networks."""

import json
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import attribution_bench as ab
from attribution_bench.cli.app import app
from attribution_bench.errors import ModelError
from attribution_bench.models.loading import model_source
from attribution_bench.sequences import Genome
from attribution_bench.variants import ProfileEffects, SplicingEffects
from parity import assert_parity, brute_force, one_hot

EXAMPLES = Path(str(files("attribution_bench.sequences") / "data" / "examples"))
GENES = "#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END\n"


def written(module: torch.nn.Module, path: Path) -> Path:
    """Write a network's weights, drawn anew; the network keeps them."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for parameter in module.parameters():
            parameter.normal_(0, 0.4)
    torch.save(module.state_dict(), path)
    return path


def opened(text: str, length: int | None = None) -> Any:
    return model_source(text).open(length=length, device="cpu")


def check(model: Any, length: int, expected: Callable[[torch.Tensor], Any]) -> None:
    """Compare predictions with a function of (N, 4, L) in single precision, and fastISM with full passes in double."""
    x = one_hot(2, 4, length, seed=2)
    with torch.no_grad():
        outputs = expected(torch.as_tensor(x, dtype=torch.float32))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for found, wanted in zip(model.predict(x.astype(np.float32)).values(), outputs, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-6)
    module = model.model.double()
    if model.layout == "NAL":
        result = ab.get_method("fastism")(module, min_speedup=0.0).attribute(x, target="all")
        assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)


def test_openspliceai(installed: Callable[..., None], tmp_path: Path) -> None:
    installed("openspliceai")
    network = import_module("openspliceai.train_base.openspliceai").SpliceAI
    for context, kernel, dilation in ((80, 11, 1), (400, 11, 4)):
        units = [(11, 1)] * 4 + ([(11, 4)] * 4 if context == 400 else [])
        theirs = network(32, *np.array(units).T)
        path = written(theirs, tmp_path / f"{context}.pt")
        assert theirs.half * 2 == context
        assert (theirs.unit.kernel_size, theirs.unit.dilation) == ((kernel,), (dilation,))
        check(opened(f"openspliceai?context={context}&weights={path}", context + 20), context + 20, theirs)
    source = model_source(f"openspliceai?weights={path}")
    assert (source.default_length, source.default_effects) == (
        10_101,
        SplicingEffects({"acceptor": 1, "donor": 2}, distance=50),
    )
    source = model_source(f"openspliceai?weights={path}&distance=20&masked=1")
    assert (source.default_length, source.default_effects) == (
        10_041,
        SplicingEffects({"acceptor": 1, "donor": 2}, distance=20, masked=True),
    )
    for options, length in (("context=80", 181), ("context=400&distance=20", 441), ("context=2000", 2_101)):
        source = model_source(f"openspliceai?weights={path}&{options}")
        assert source.default_length == length
    with pytest.raises(ModelError, match="contexts of 80, 400, 2000, 10000 letters, not 90"):
        opened(f"openspliceai?context=90&weights={path}")
    with pytest.raises(ModelError, match="takes more than 400 letters"):
        opened(f"openspliceai?context=400&weights={path}", 400)
    with pytest.raises(ModelError, match="contexts of 80, 400, 2000, 10000 letters, not 90"):
        opened(f"openspliceai?context=90&weights={path}", 400)
    with pytest.raises(ModelError, match=r"no weights; give a file of them: openspliceai\?weights=FILE"):
        opened("openspliceai")


def test_cautions_on_long_alleles_name_the_variant_and_what_would_do_for_a_catalogued_model(
    installed: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    installed("openspliceai")
    network = import_module("openspliceai.train_base.openspliceai").SpliceAI
    written(network(32, *np.array([(11, 1)] * 4).T), Path("80.pt"))
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 1200))
    Path("genome.fa").write_text(f">1\n{letters}\n")
    before = letters[599]
    alleles = {
        (letters[599:660], before): "the first is 1:600:.* with 61 letters, all of which are seen with --distance 60",
        (letters[599:720], before): "121 letters, for 100; --distance 120 sees all that it removes",
        (before, before + "ACGTA" * 11): "the first is 1:600:.*, which inserts 55 letters: --length 291 has room for",
    }
    for (reference, alternative), said in alleles.items():
        record = f"1\t600\t.\t{reference}\t{alternative}\t.\t.\t.\n"
        Path("one.vcf").write_text(f"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{record * 2}")
        command = ["variants", "openspliceai?context=80&weights=80.pt&genes=none", "one.vcf", "--genome", "genome.fa"]
        command += ["--strand", "+", "--threads", "1", "--output", "effects.tsv", "--restart"]
        outcome = CliRunner().invoke(app, command, catch_exceptions=False)
        text = " ".join(outcome.stderr.split())
        assert re.search(said, text), text
        assert text.count("the first is") == ("the first" in said)
        assert "--length" in said or "--length" not in text
        assert json.loads(Path("effects.tsv.json").read_text())["length"] == 281


def test_openspliceai_has_the_genes_of_a_genome(installed: Callable[..., None], tmp_path: Path) -> None:
    letters = "A" * 100 + "GT" + "A" * 46 + "AG" + "A" * 150
    tables = {name: f"{GENES}G\t1\t-\t0\t300\t0,{end},\t100,300,\n" for name, end in (("grch37", 151), ("grch38", 150))}
    tables["grch38"] = tables["grch38"].replace("\t-\t", "\t+\t")
    installed("openspliceai", {f"openspliceai/variant/annotations/{name}.txt": text for name, text in tables.items()})
    network = import_module("openspliceai.train_base.openspliceai").SpliceAI
    path = written(network(32, *np.array([(11, 1)] * 4).T), tmp_path / "80.pt")
    (tmp_path / "genome.fa").write_text(f">chr1\n{letters}\n")
    (tmp_path / "other.fa").write_text(f">chr1\n{letters.replace('G', 'C')}\n")
    text = f"openspliceai?context=80&weights={path}"
    with Genome(tmp_path / "genome.fa") as genome, Genome(tmp_path / "other.fa") as other:
        assert model_source(text).default_genes(genome).name == "grch38"
        assert model_source(f"{text}&genes=grch37").default_genes(genome).at("1", 5)[0].strand == "-"
        assert model_source(f"{text}&genes=none").default_genes(other) is None
        with pytest.raises(ModelError, match="openspliceai has no genes hg19, and there is no such file; give grch37,"):
            model_source(f"{text}&genes=hg19").default_genes(genome)
        with pytest.raises(ModelError, match=r"no genes of the package openspliceai .*openspliceai\?genes=none"):
            model_source(text).default_genes(other)
    assert opened(f"{text}&genes=none", 100).outputs(100)[0].shape == (3, 20)


def test_no_file_of_weights_is_unpickled(installed: Callable[..., None], tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "mark",))

    for package, name in (
        ("openspliceai", "openspliceai"),
        ("bpnet-lite", "bpnet-lite"),
        ("bpnet-lite", "bpnet-lite-chrombpnet"),
        ("enformer-pytorch", "enformer-pytorch"),
        ("borzoi-pytorch", "borzoi-pytorch"),
    ):
        if not any((tmp_path / "site").glob(f"{package.replace(chr(45), chr(95))}-*")):
            installed(package)
        torch.save({"iconv.weight": Trap()}, tmp_path / "trap.pt")
        with pytest.raises(ModelError, match=r"trap\.pt"):
            opened(f"{name}?weights={tmp_path / 'trap.pt'}")
    assert not (tmp_path / "mark").exists()


@pytest.fixture
def pangolins(installed: Callable[..., None], tmp_path: Path) -> Mapping[tuple[int, int], torch.nn.Module]:
    """Networks by replicate and number of the tissue's file."""
    networks, files = {}, {}
    installed("pangolin")
    model = import_module("pangolin.model")
    for replicate in (1, 2, 3):
        for kind in (0, 2, 4, 6):
            networks[replicate, kind] = model.Pangolin(model.L, model.W, model.AR)
            path = tmp_path / f"{replicate}.{kind}"
            with torch.random.fork_rng():
                torch.manual_seed(10 * replicate + kind)
                torch.save(networks[replicate, kind].state_dict(), path)
            files[f"final.{replicate}.{kind}.3.v2"] = path
    (tmp_path / "site/pangolin/models").mkdir()
    for name, path in files.items():
        path.rename(tmp_path / "site/pangolin/models" / name)
    return networks


def test_pangolin(pangolins: Mapping[tuple[int, int], torch.nn.Module]) -> None:
    channels = {"heart": (0, 1), "liver": (2, 4), "brain": (4, 7), "testis": (6, 10)}

    def mean(x: torch.Tensor) -> torch.Tensor:
        return torch.stack(
            [
                torch.stack([pangolins[replicate, kind](x)[:, channel] for replicate in (1, 2, 3)]).mean(0)
                for kind, channel in channels.values()
            ],
            dim=1,
        )

    x = torch.as_tensor(one_hot(1, 4, 10_005), dtype=torch.float32)
    with torch.no_grad():
        np.testing.assert_allclose(opened("pangolin").predict(x.numpy())["output"], mean(x).numpy(), atol=1e-6)
        alone = opened("pangolin?tissue=brain&replicate=2", 10_005).predict(x.numpy())["output"]
        np.testing.assert_allclose(alone[:, 0], pangolins[2, 4](x)[:, 7].numpy(), atol=1e-6)
    assert model_source("pangolin?tissue=liver").default_effects == SplicingEffects({"liver": 0}, distance=50)
    assert list(model_source("pangolin").default_effects.classes) == list(channels)
    for text, said in (
        ("tissue=skin", "has the tissues heart, liver, brain, testis, not skin"),
        ("replicate=4", "has the replicates 1 to 3, not 4"),
        ("length=10000", "takes more than 10,000 letters"),
        ("colour=red", "has no option colour; it takes tissue, replicate, length"),
        ("weights=/dev/null", "there is no file of weights"),
    ):
        with pytest.raises(ModelError, match=said):
            opened(f"pangolin?{text}")


@pytest.mark.filterwarnings("ignore:fastISM falls back")
@pytest.mark.parametrize(
    ("given", "length", "distance", "told"),
    [
        ((), 10_201, 50, True),
        (("--effects", "splicing", "--distance", "100", "--strand", "-", "--share-windows"), 10_301, 100, False),
        (("--masked", "--genes", "genes.txt", "--length", "10041", "--distance", "20"), 10_041, 20, False),
    ],
)
def test_variants_of_pangolin(
    given: tuple[str, ...],
    length: int,
    distance: int,
    told: bool,
    pangolins: Mapping[tuple[int, int], torch.nn.Module],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("genes.txt").write_text(f"{GENES}G\tNC_001416.1\t-\t0\t48000\t0,\t48000,\n")
    lines = (EXAMPLES / "variants.vcf").read_text().splitlines(keepends=True)
    records = [line for line in lines if not line.startswith("#")]
    Path("one.vcf").write_text("".join([line for line in lines if line.startswith("#")] + records[1:2]))
    command = ["variants", "pangolin?tissue=heart&replicate=1", "one.vcf", "--genome", str(EXAMPLES / "genome.fa")]
    command += ["--max-unknown", "1", "--threads", "1", "--output", "effects.tsv"]
    outcome = CliRunner().invoke(app, [*command, *given], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.stderr
    assert ("gene is on the strand -" in outcome.stderr) == told
    settings = json.loads(Path("effects.tsv.json").read_text())
    assert (settings["length"], settings["share_within"]) == (length, 50 * ("--share-windows" in given))
    assert f'"distance": {distance}' in json.dumps(settings["effects"])
    frame = pd.read_csv("effects.tsv", sep="\t")
    assert frame["heart_gain"].notna().all()
    assert ("gene" in frame.columns) == ("--genes" in given)
    assert ("masked to 0" in outcome.stderr) == ("--masked" in given)


@pytest.mark.parametrize("controls", [0, 2])
def test_bpnet_of_bpnet_lite(installed: Callable[..., None], tmp_path: Path, controls: int) -> None:
    installed("bpnet-lite")
    theirs = import_module("bpnetlite").BPNet(5, 3, 2, controls, count_output_bias=False)
    path = written(theirs, tmp_path / "bpnet.pt")
    whole = import_module("bpnetlite.bpnet").ControlWrapper(theirs)

    def profile(x: torch.Tensor) -> torch.Tensor:
        logits = whole(x)[0].flatten(1)
        logits = logits - logits.mean(1, keepdim=True)
        return (logits * logits.softmax(1)).sum(1, keepdim=True)

    expected = {"counts": lambda x: whole(x)[1], "profile": profile, "both": whole}
    for output in expected if controls else ("both",):
        check(opened(f"bpnet-lite?output={output}&weights={path}", 60), 60, expected[output])
    source = model_source(f"bpnet-lite?output=both&weights={path}")
    assert source.default_effects == ProfileEffects("profile", "counts")
    assert [spec.name for spec in source.open(length=60, device="cpu").outputs(60)] == ["profile", "counts"]
    assert model_source(f"bpnet-lite?weights={path}").default_effects is None
    assert opened(f"bpnet-lite?output=both&trimming=20&weights={path}", 60).outputs(60)[0].shape == (2, 20)
    with pytest.raises(ModelError, match="has the outputs counts, profile, both, not count"):
        opened(f"bpnet-lite?output=count&weights={path}", 60)


def test_chrombpnet_of_bpnet_lite(installed: Callable[..., None], tmp_path: Path) -> None:
    installed("bpnet-lite")
    package = import_module("bpnetlite")
    theirs = package.ChromBPNet(package.BPNet(3, 1, 1, 0), package.BPNet(6, 3, 1, 0))
    path = written(theirs, tmp_path / "chrombpnet.pt")
    check(opened(f"bpnet-lite-chrombpnet?output=both&weights={path}", 70), 70, theirs)
    check(
        opened(f"bpnet-lite-chrombpnet?part=accessibility&weights={path}", 70),
        70,
        lambda x: theirs.accessibility(x)[1],
    )
    with pytest.raises(ModelError, match=r"holds no weights of a BPNet of bpnet-lite: it lacks iconv\.weight"):
        opened(f"bpnet-lite?weights={path}", 70)


def test_enformer_pytorch(installed: Callable[..., None], tmp_path: Path) -> None:
    installed("enformer-pytorch")
    theirs = import_module("enformer_pytorch").Enformer({"human": 5313, "mouse": 1643}, 6, use_tf_gamma=False)
    path = written(theirs, tmp_path / "pytorch_model.bin")

    def tracks(head: str, track: int | slice) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: theirs(x.transpose(1, 2))[head][..., track]

    check(opened(f"enformer-pytorch?weights={path}", 768), 768, tracks("human", slice(None)))
    mouse = opened(f"enformer-pytorch?organism=mouse&track=7&bins=4&weights={path}", 1024)
    assert mouse.outputs(1024)[0].shape == (4,)
    check(opened(f"enformer-pytorch?organism=mouse&track=7&weights={path}", 768), 768, tracks("mouse", 7))
    assert opened(f"enformer-pytorch?weights={path}").model.network.use_tf_gamma
    for text, said in (
        ("organism=rat", "the organisms human and mouse, not rat"),
        ("organism=mouse&track=1643", "the tracks 0 to 1642 for mouse, not 1643"),
        ("gammas=none", "gammas of tensorflow or pytorch, not none"),
        ("length=1000", "multiples of 128 letters"),
        ("length=1024&gammas=tensorflow", "with gammas=tensorflow 196,608 alone, not 1,024"),
    ):
        with pytest.raises(ModelError, match=said):
            opened(f"enformer-pytorch?{text}&weights={path}")


def test_borzoi_pytorch(installed: Callable[..., None], tmp_path: Path) -> None:
    installed("borzoi-pytorch")
    package = import_module("borzoi_pytorch")
    theirs = package.Borzoi(package.BorzoiConfig(True, 8))
    path = written(theirs, tmp_path / "both.pt")
    check(opened(f"borzoi-pytorch?track=5&weights={path}", 256), 256, lambda x: theirs(x)[:, 5])
    mouse = opened(f"borzoi-pytorch?organism=mouse&weights={path}", 256)
    x = one_hot(1, 4, 256).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.as_tensor(x), is_human=False).numpy()
    np.testing.assert_allclose(mouse.predict(x)["output"], expected, atol=1e-6)
    human = written(package.Borzoi(package.BorzoiConfig(False, 8)), tmp_path / "human.pt")
    assert opened(f"borzoi-pytorch?bins=4&weights={human}", 256).outputs(256)[0].shape == (7611, 4)
    for text, said in (
        ("organism=rat", "the organisms human and mouse, not rat"),
        ("organism=mouse", "has no weights for mouse"),
        ("track=7611", "the tracks 0 to 7610 for human, not 7611"),
        ("length=100", "multiples of 128 letters, not 100"),
    ):
        with pytest.raises(ModelError, match=said):
            opened(f"borzoi-pytorch?{text}&weights={human}")


def test_another_package_of_the_same_name_is_told(installed: Callable[..., None]) -> None:
    installed("pangolin")
    with pytest.raises(ModelError, match=r"pangolin 1\.0, which is installed, has no file pangolin/models/final"):
        opened("pangolin")
