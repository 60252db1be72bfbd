"""Adapters of packages with Keras files, on small models in the files' places: the numbers are those of the models."""

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import attribution_bench as ab
from attribution_bench.cli.app import app
from attribution_bench.environment import current_threads
from attribution_bench.errors import ModelError
from attribution_bench.models.loading import model_source
from attribution_bench.sequences.genome import Genome
from attribution_bench.variants import SplicingEffects, score_variants
from attribution_bench.variants.vcf import VcfFile
from keras_models import randomised
from parity import assert_parity, one_hot

# Of TensorFlow's tensors and NumPy 2; pytest.warns raises again what pyproject.toml has ignored by module.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
EXAMPLES = Path(str(files("attribution_bench.sequences") / "data" / "examples"))


def opened(text: str, length: int | None = None) -> Any:
    return model_source(text).open(length=length, device="cpu")


def in_letters(x: np.ndarray) -> np.ndarray:
    """Return (N, L, A) of (N, A, L), in single precision."""
    return x.transpose(0, 2, 1).astype(np.float32)


def genes_of(letters: str) -> str:
    """Return a table with a gene for each half of a contig, on the strands + and -, of introns that are such ones."""
    half, lines = len(letters) // 2, ["#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END"]
    for name, strand, start, first, last in (("FIRST", "+", 0, "GT", "AG"), ("SECOND", "-", half, "CT", "AC")):
        donor = letters.index(first, start + 20)
        acceptor = letters.index(last, donor + 50) + 2
        exons = f"{start},{acceptor},\t{donor},{start + half},"
        lines.append(f"{name}\tNC_001416.1\t{strand}\t{start}\t{start + half}\t{exons}")
    return "\n".join(lines) + "\n"


def threads() -> list[str]:
    """Return the option of a command in this process, whose TensorFlow cannot change its threads any more."""
    return ["--threads", str(current_threads("keras"))]


@pytest.fixture
def splicing(installed: Callable[..., None], tmp_path: Path) -> list[Any]:
    """Five small models with SpliceAI's context and classes, and genes of which one table is the examples'."""
    models, layers = [], keras.layers
    for number in range(1, 6):
        keras.utils.set_random_seed(number)
        sequence = keras.Input((None, 4))
        hidden = layers.Conv1D(5, 7, padding="same", activation="relu")(sequence)
        models.append(keras.Model(sequence, layers.Conv1D(3, 1, activation="softmax")(layers.Cropping1D(5000)(hidden))))
        models[-1].save(tmp_path / f"spliceai{number}.h5")
    with Genome(EXAMPLES / "genome.fa") as genome:
        letters = genome.fetch("NC_001416.1", 0, genome.length("NC_001416.1"))
    tables = {"grch37": genes_of(f"{letters[-100:]}{letters[:-100]}"), "grch38": genes_of(letters)}
    files: dict[str, Path | str] = {
        f"spliceai/models/spliceai{n}.h5": tmp_path / f"spliceai{n}.h5" for n in range(1, 6)
    }
    installed("spliceai", {**files, **{f"spliceai/annotations/{name}.txt": text for name, text in tables.items()}})
    return models


@pytest.mark.filterwarnings("ignore::UserWarning:keras.*")
def test_spliceai_is_the_mean_of_five(splicing: list[Any]) -> None:
    x = one_hot(2, 4, 10_005)
    whole = opened("spliceai", 10_005)
    expected = np.mean([np.asarray(model(in_letters(x))) for model in splicing], axis=0)
    np.testing.assert_allclose(next(iter(whole.predict(x).values())), expected, atol=1e-6)
    member = next(iter(opened("spliceai?member=4").predict(x).values()))
    np.testing.assert_allclose(member, splicing[3](in_letters(x)), atol=1e-6)
    near = {"target": "all", "positions": range(4998, 5008)}
    fast, standard = (
        ab.get_method(name)(whole).attribute(x[:1].astype(np.float32), **near).predictions
        for name in ("fastism", "standard_ism")
    )
    assert_parity(dict(fast), dict(standard), 1e-5)
    for text, said in (("member=6", "has the members 1 to 5, not 6"), ("length=10000", "more than 10,000 letters")):
        with pytest.raises(ModelError, match=said):
            opened(f"spliceai?{text}")


@pytest.fixture
def two_variants(tmp_path: Path) -> Path:
    lines = (EXAMPLES / "variants.vcf").read_text().splitlines(keepends=True)
    records = [line for line in lines if not line.startswith("#")]
    vcf = tmp_path / "two.vcf"
    vcf.write_text("".join([line for line in lines if line.startswith("#")] + [records[1], records[-1]]))
    return vcf


@pytest.mark.filterwarnings("ignore::UserWarning:keras.*", "ignore:fastISM falls back")
def test_variants_have_spliceais_effects_by_default(splicing: list[Any], two_variants: Path, tmp_path: Path) -> None:
    genome, vcf = shutil.copy(EXAMPLES / "genome.fa", tmp_path), two_variants
    table = tmp_path / "effects.tsv"
    command = ["variants", "spliceai", str(vcf), "--genome", str(genome), "--max-unknown", "1", *threads()]
    outcome = CliRunner().invoke(app, [*command, "--output", str(table)], catch_exceptions=False)
    assert outcome.exit_code == 0
    frame = pd.read_csv(table, sep="\t")
    opened_genome = Genome(genome)
    genes = model_source("spliceai").default_genes(opened_genome)
    assert (genes.path.name, genes.name) == ("grch38.txt", "grch38")
    assert "genes: grch38\n" in outcome.stderr
    # The model's own length, and room for insertions of 50 letters, which changes no number.
    assert json.loads((tmp_path / "effects.tsv.json").read_text())["length"] == 10_101 + 100
    with VcfFile(vcf) as file:
        scores = list(
            score_variants(
                opened("spliceai"),
                file.records(),
                opened_genome,
                length=10_101,
                effects=SplicingEffects({"acceptor": 1, "donor": 2}, distance=50),
                largest_unknown_share=1,
                genes=genes,
            )
        )
    assert list(frame["gene"]) == [score.labels["gene"] for score in scores] == ["FIRST", "SECOND"]
    assert {"acceptor_gain", "acceptor_loss", "donor_gain", "donor_loss_offset"} <= set(frame.columns)
    for (_, row), score in zip(frame.iterrows(), scores, strict=True):
        for name, value in score.effects.items():
            assert row[name] == pytest.approx(value, rel=1e-4, abs=1e-6)
    numbers = tmp_path / "numbers.tsv"
    plain = [*command[:1], "spliceai?genes=none", *command[2:], "--target", "50,1", "--output", str(numbers)]
    CliRunner().invoke(app, plain, catch_exceptions=False)
    assert {"delta"} <= set(pd.read_csv(numbers, sep="\t").columns) - {"gene"}


@pytest.mark.filterwarnings("ignore::UserWarning:keras.*")
def test_options_of_splicing_are_those_of_the_effects_whatever_the_folds_are(
    splicing: list[Any], two_variants: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fold_of_a_test.py").write_text(
        "import keras\n\n\ndef build():\n    return keras.models.load_model('spliceai2.h5', compile=False)\n"
    )
    command = ["variants", "spliceai?member=1", str(two_variants), "--genome", str(EXAMPLES / "genome.fa")]
    command += ["--fold", "fold_of_a_test:build", "--effects", "splicing", "--distance", "20", "--masked"]
    command += ["--max-unknown", "1", *threads(), "--output", "effects.tsv"]
    outcome = CliRunner().invoke(app, command, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.stderr
    settings = json.loads(Path("effects.tsv.json").read_text())
    assert [one["label"] for one in settings["models"]] == ["spliceai?member=1", "fold_of_a_test:build"]
    assert settings["length"] == 10_000 + 2 * 20 + 1 + 100
    assert '"distance": 20, "masked": true' in json.dumps(settings["effects"], sort_keys=True)
    frame = pd.read_csv("effects.tsv", sep="\t")
    assert frame["donor_gain_sd"].notna().all()
    assert (frame["donor_gain_offset"].abs() <= 20).all()
    others = [*(word for word in command if word != "--masked"), "--genes", "grch37"]
    refused = str(CliRunner().invoke(app, others).exception)
    assert "effects: masked: True in the table, False now" in refused
    assert "genes: 'grch38' in the table, 'grch37' now" in refused


@pytest.mark.filterwarnings("ignore::UserWarning:keras.*")
def test_spliceai_has_a_distance_and_the_genes_of_a_genome(splicing: list[Any], tmp_path: Path) -> None:
    source = model_source("spliceai?distance=500")
    assert source.default_length == 11_001
    assert source.default_effects == SplicingEffects({"acceptor": 1, "donor": 2}, distance=500)
    masked = SplicingEffects({"acceptor": 1, "donor": 2}, distance=50, masked=True)
    assert model_source("spliceai?masked=1").default_effects == masked
    with pytest.raises(ModelError, match="masked of spliceai is 0 or 1, not yes"):
        _ = model_source("spliceai?masked=yes").default_effects
    with pytest.raises(ModelError, match="must be a whole number of letters, not far"):
        _ = model_source("spliceai?distance=far").default_effects
    other = tmp_path / "other.fa"
    other.write_text(">NC_001416.1\n" + "ACGT" * 3000 + "\n")
    with Genome(other) as genome:
        with pytest.raises(ModelError, match=r"splice sites of no genes.*grch37 0%.*\?genes=none"):
            model_source("spliceai").default_genes(genome)
        assert model_source("spliceai?genes=none").default_genes(genome) is None
        assert model_source("spliceai?genes=grch37").default_genes(genome).at("NC_001416.1", 7)[0].name == "FIRST"
        own = tmp_path / "own.txt"
        own.write_text(genes_of("GTCACAGAGCTTGAAC" * 700))
        assert model_source(f"spliceai?genes={own}").default_genes(genome).path == own


def spline(length: int) -> np.ndarray:
    """Return cubic B-splines with ten bases at each position by the recursion of de Boor, (length, 10)."""
    step = (length - 1) * 1.002 / 7
    knots = -(length - 1) * 0.001 + step * np.arange(-3, 11)
    at = np.arange(length)[:, None]
    bases = ((knots[:-1] <= at) & (at < knots[1:])).astype(float)
    for degree in (1, 2, 3):
        left = (at - knots[: -degree - 1]) / (degree * step)
        right = (knots[degree + 1 :] - at) / (degree * step)
        bases = left * bases[:, :-1] + right * bases[:, 1:]
    return bases


@pytest.fixture
def modules(installed: Callable[..., None], tmp_path: Path) -> dict[str, Any]:
    """Models of MMSplice's layers by their files, written by Keras 2 as the package's are."""
    tf_keras = pytest.importorskip("tf_keras")
    import tensorflow as tf

    layers = tf_keras.layers

    class ConvDNA(layers.Conv1D):
        def __init__(self, *args: Any, seq_length: int | None = None, **options: Any) -> None:
            super().__init__(*args, **options)
            self.seq_length = seq_length

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "seq_length": self.seq_length}

    class GlobalAveragePooling1D_Mask0(layers.Layer):  # noqa: N801 - the package's own name
        def call(self, inputs: Any) -> Any:
            features, sequence = inputs
            known = tf.reduce_max(sequence, axis=2, keepdims=True)
            return tf.reduce_sum(features * known, 1) / tf.maximum(tf.reduce_sum(known, 1), 1e-7)

    class SplineWeight1D(layers.Layer):
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(name="kernel", shape=(10, shape[2]), initializer="random_normal")
            self.bases = tf.constant(spline(shape[1]), "float32")

        def call(self, x: Any) -> Any:
            return x * (1 + self.bases @ self.kernel)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "n_bases": 10, "spline_degree": 3, "share_splines": False, "l2": 0.1}

    def acceptor() -> Any:
        x = tf_keras.Input((53, 4))
        y = layers.BatchNormalization()(ConvDNA(3, 15, padding="same", activation="relu")(x))
        return tf_keras.Model(x, layers.Dense(1, activation="sigmoid")(layers.Flatten()(y)))

    def exon() -> Any:
        x = tf_keras.Input((None, 4))
        y = layers.Activation("relu")(layers.Conv1D(5, 11, padding="same")(x))
        return tf_keras.Model(x, layers.Dense(1)(GlobalAveragePooling1D_Mask0()([y, x])))

    def tissues() -> Any:
        sides = [tf_keras.Input((400, 4), name=name) for name in ("seql", "seqr")]
        weighted = [SplineWeight1D()(layers.Conv1D(3, 9, padding="same", activation="relu")(side)) for side in sides]
        y = layers.GlobalAveragePooling1D()(layers.Concatenate(axis=-2)(weighted))
        return tf_keras.Model(sides, layers.Dense(56)(y))

    made = {"Acceptor.h5": acceptor(), "Exon.h5": exon()}
    made |= {f"mtsplice_deep{number}.h5": tissues() for number in range(4)}
    for number, (name, model) in enumerate(made.items()):
        randomised(model)
        model.set_weights([value + 0.01 * number for value in model.get_weights()])
        model.save(tmp_path / name, save_format="h5")
    installed("mmsplice", {f"mmsplice/models/{name}": tmp_path / name for name in made})
    return made


@pytest.mark.filterwarnings("ignore::UserWarning:tf_keras.*", "ignore::UserWarning:keras.*")
def test_mmsplice_and_mtsplice(modules: dict[str, Any]) -> None:
    for name, file, length in (("mmsplice-acceptor", "Acceptor.h5", 53), ("mmsplice-exon", "Exon.h5", 80)):
        x = one_hot(3, 4, length)
        x[0, :, :5] = 0
        model = opened(name, length)
        np.testing.assert_allclose(next(iter(model.predict(x).values())), modules[file](in_letters(x)), atol=1e-5)
    sides = [one_hot(2, 4, 400, seed=seed) for seed in (1, 2)]
    deep = [modules[f"mtsplice_deep{number}.h5"] for number in range(4)]
    each = np.stack([model([in_letters(side) for side in sides]) for model in deep])
    assert np.ptp(each, axis=0).max() > 1e-3
    for side, expected in (("acceptor", each.mean(0)), ("donor", each.mean(0))):
        model = opened(f"mtsplice?side={side}")
        given, other = sides if side == "acceptor" else sides[::-1]
        found = model.predict(given, extras=(in_letters(other),))
        np.testing.assert_allclose(next(iter(found.values())), expected, atol=1e-5)
    model = opened("mtsplice?member=2")
    explanation = ab.get_method("fastism")(model).explain(400, additional_forward_args=in_letters(sides[1]))
    assert {layer.mode for layer in explanation.layers} == {"windowed", "global", "constant"}
    found = model.predict(sides[0], extras=(in_letters(sides[1]),))
    np.testing.assert_allclose(next(iter(found.values())), each[2], atol=1e-5)
    for text, said in (
        ("mtsplice?member=4", "the members 0 to 3, not 4"),
        ("mtsplice?side=left", "the sides acceptor and donor, not left"),
        ("mmsplice-acceptor?length=60", "takes sequences of 53 letters, not 60"),
        ("mmsplice-donor", r"mmsplice 1\.0, which is installed, has no file mmsplice/models/Donor\.h5"),
    ):
        with pytest.raises(ModelError, match=said):
            opened(text)


def test_crested_registers_what_its_files_name(
    installed: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed("crested")
    custom = keras.saving.get_custom_objects()
    monkeypatch.setattr(keras.saving, "get_custom_objects", lambda: custom)
    import crested.tl.zoo

    sequence = keras.Input((30, 4))
    hidden = keras.layers.Activation(crested.tl.zoo.gelu_enf)(keras.layers.Conv1D(3, 5)(sequence))
    model = keras.Model(sequence, keras.layers.Dense(2)(keras.layers.Flatten()(hidden)))
    folder = tmp_path / "cache/models/biccn.tar.gz.untar"
    folder.mkdir(parents=True)
    model.save(folder / "DeepBICCN.keras")
    x = one_hot(2, 4, 30)
    monkeypatch.setenv("CRESTED_DATA_DIR", str(tmp_path / "cache"))
    for text in (f"crested?weights={folder / 'DeepBICCN.keras'}", "crested?model=deepbiccn"):
        found = opened(text).predict(x)
        np.testing.assert_allclose(next(iter(found.values())), model(in_letters(x)), atol=1e-6)
    for text, said in (
        ("crested", r"one of weights=FILE\.keras and model=NAME"),
        ("crested?model=DeepFlyBrain", r"has no files DeepFlyBrain\.keras; download the model with crested\.get_model"),
    ):
        with pytest.raises(ModelError, match=said):
            opened(text)
