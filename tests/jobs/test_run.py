"""Jobs from a source into a store, in one process."""

import gzip
import json
import os
import re
import signal
from dataclasses import replace

import numpy as np
import pytest
import xarray

import numpy_jobs
from attribution_bench.errors import AttributionBenchError, InvalidInputError, OutputError, SequenceError, SetAsideError
from attribution_bench.jobs.events import Caution, ShardDone, Started, Summary, Working
from attribution_bench.jobs.file_rows import FileRows
from attribution_bench.jobs.further_inputs import read_further_inputs
from attribution_bench.jobs.job import NamedModel
from attribution_bench.jobs.manifest import Manifest
from attribution_bench.jobs.run import run
from attribution_bench.jobs.scoring import Asked, Choice
from attribution_bench.models.loading import model_source
from attribution_bench.sequences import DNA, read_fasta
from attribution_bench.sequences.fasta_source import FastaSource
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.regions import Windows, read_regions
from numpy_jobs import METHODS, NumpyModel, numpy_job, write_random_fasta


def scores_of(fasta, *, method="weights", model=0, **options):
    """Return what the interface gives of every sequence at once, NaN where there is no sequence."""
    return METHODS[method](NumpyModel(model), **options).attribute(read_fasta(fasta))


def opened(store):
    with xarray.open_zarr(store) as dataset:
        return dataset.load()


def test_the_store_opens_with_xarray_and_holds_what_the_interface_gives(fasta, tmp_path):
    contents = ("scores", "observed", "convergence_delta")
    summary = run(numpy_job(fasta, methods=("weights", "reversed"), contents=contents), tmp_path / "store")
    dataset = opened(tmp_path / "store")
    for method in ("weights", "reversed"):
        expected = scores_of(fasta, method=method)
        np.testing.assert_array_equal(dataset[f"{method}_scores"], expected.scores)
        np.testing.assert_array_equal(dataset[f"{method}_observed"], expected.observed)
    np.testing.assert_array_equal(dataset["weights_convergence_delta"], scores_of(fasta).convergence_delta)
    assert dataset["weights_scores"].dims == ("sequence", "letter", "position")
    assert dataset["letter"].values.tolist() == list("ACGT")
    assert dataset["sequence_name"].values.tolist() == list(read_fasta(fasta).names)
    letters = DNA.indices(read_fasta(fasta).strings)
    np.testing.assert_array_equal(dataset["sequence_letters"], letters)
    metadata = json.loads(dataset.attrs["metadata"])
    assert metadata["methods"]["weights"]["method"] == "weights"
    assert (summary.sequences, summary.scored, summary.left, summary.set_aside) == (22, 22, 0, {})


def test_a_run_goes_on_where_another_stopped(fasta, tmp_path, bytes_of):
    job = numpy_job(fasta)
    asked = iter([None, None, signal.SIGTERM])
    events = []
    first = run(job, tmp_path / "store", stop=lambda: next(asked), observer=events.append)
    assert (first.stopped_by, first.left, first.scored) == ("SIGTERM", 14, 8)
    unfinished = opened(tmp_path / "store")
    assert set(unfinished["set_aside"].values[8:]) == {"not scored yet"}
    assert np.isnan(unfinished["weights_scores"][8:]).all()
    second = run(job, tmp_path / "store", observer=events.append)
    assert (second.resumed_from, second.left, second.scored) == (8, 0, 22)
    run(job, tmp_path / "at once")
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "at once")
    started = [event for event in events if isinstance(event, Started)]
    assert [(event.finished_shards, event.finished_sequences) for event in started] == [(0, 0), (2, 8)]
    assert [event.shard for event in events if isinstance(event, ShardDone)] == list(range(6))
    assert [event.sequences for event in events if isinstance(event, Working)][-1] == 22
    assert events[-1] == second
    assert isinstance(second, Summary)


@pytest.mark.parametrize(
    ("shard_size", "seconds", "sequences", "included"),
    [(4, 5.0, 18, False), (11, 1.0, 11, False), (22, 10.0, 22, True)],
)
def test_the_first_shard_is_left_out_of_figures_where_there_are_others(
    fasta, tmp_path, shard_size, seconds, sequences, included
):
    now, done = 0.0, 0

    def observer(event):
        """Let the first shard take 10 seconds, and every other 1."""
        nonlocal now, done
        if isinstance(event, Working):
            now = 10.0 + done
        done += isinstance(event, ShardDone)

    job = numpy_job(fasta, shard_size=shard_size)
    summary = run(job, tmp_path / "store", observer=observer, clock=lambda: now)
    assert summary.seconds_per_100_sequences == pytest.approx(100 * seconds / sequences)
    threads = Manifest.read(tmp_path / "store").machine["threads"]
    assert summary.core_seconds_per_sequence == pytest.approx(threads * seconds / sequences)
    assert (summary.seconds_include_starting, summary.core_seconds_include_starting) == (included, included)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"methods": ("weights", "reversed")}, "methods: reversed: none in the store"),
        ({"options": {"fits": 9}}, "fits: none in the store, 9 now"),
        ({"shard_size": 5}, "settings: shard size: 4 in the store, 5 now"),
        ({"dtype": "float16"}, "'float32' in the store, 'float16' now"),
        ({"contents": ("observed",)}, "stored: 0: 'scores' in the store, 'observed' now"),
        ({"models": 2}, "models: 1 of them in the store, 2 of them now"),
    ],
)
def test_another_job_is_refused_and_shown(fasta, tmp_path, change, shown):
    run(numpy_job(fasta), tmp_path / "store")
    before = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    with pytest.raises(InvalidInputError) as caught:
        run(numpy_job(fasta, **change), tmp_path / "store")
    assert shown in str(caught.value)
    assert {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("target", [lambda outputs: outputs[:, 0] * 2, lambda outputs: outputs[:, -1]])
def test_another_function_as_target_is_refused(fasta, tmp_path, target):
    def job(function):
        return replace(numpy_job(fasta), asked=Asked(function, ("scores",), "float32"))

    run(job(lambda outputs: outputs[:, 0]), tmp_path / "store")
    run(job(lambda outputs: outputs[:, 0]), tmp_path / "store")
    with pytest.raises(InvalidInputError, match="settings: target: sha256: "):
        run(job(target), tmp_path / "store")


def test_another_code_of_model_or_method_is_refused(fasta, tmp_path):
    class Doubled(NumpyModel):
        def forward(self, x, extras=()):
            return {name: value * 2 for name, value in super().forward(x, extras).items()}

    Doubled.__qualname__, Doubled.__module__ = NumpyModel.__qualname__, NumpyModel.__module__
    job = numpy_job(fasta)
    run(job, tmp_path / "store")
    with pytest.raises(InvalidInputError, match="sha256 of structure"):
        run(replace(job, models=[replace(job.models[0], model=Doubled(0))]), tmp_path / "store")

    class Edited(job.methods["weights"].method):
        def _attribute(self, request):
            return super()._attribute(request)

    with pytest.raises(InvalidInputError, match="own code"):
        run(replace(job, methods={"weights": Choice(Edited, {})}), tmp_path / "store")


@pytest.mark.parametrize("other", ["NumpyModel?seed=0&alphabet=DNA", "NumpyModel?seed=1", "Another?seed=0"])
def test_other_options_of_a_callable_are_refused_whatever_model_it_builds(fasta, tmp_path, monkeypatch, other):
    monkeypatch.setattr(numpy_jobs, "Another", NumpyModel, raising=False)

    def job(callable_, model=None):
        source = model_source(f"numpy_jobs:{callable_}")
        return replace(numpy_job(fasta), models=[NamedModel(model or NumpyModel(0), source.label, source.identity)])

    run(job("NumpyModel?seed=0"), tmp_path / "store")
    assert run(job("NumpyModel?seed=0"), tmp_path / "store").resumed_from == 22
    with pytest.raises(
        InvalidInputError, match=rf"label: '.*NumpyModel\?seed=0' in the store, '.*{re.escape(other)}' now"
    ):
        run(job(other), tmp_path / "store")


def test_a_model_under_another_name_is_the_same_job(fasta, tmp_path):
    job = numpy_job(fasta)
    for label in ("fold_1.pt2", "renamed.pt2"):
        summary = run(replace(job, models=[NamedModel(NumpyModel(0), label, "digest")]), tmp_path / "store")
        assert summary.complete
    with pytest.raises(
        InvalidInputError, match=r"label: 'fold_1\.pt2' in the store, 'other\.pt2' now.*sha256 of source"
    ):
        run(replace(job, models=[NamedModel(NumpyModel(0), "other.pt2", "another")]), tmp_path / "store")


class Tally:
    """A target that counts its calls."""

    calls = 0

    def __call__(self, outputs):
        self.calls += 1
        return outputs[:, 0]


def test_a_target_that_counts_its_calls_stays_the_same_job(fasta, tmp_path):
    target = Tally()
    job = replace(numpy_job(fasta), asked=Asked(target, ("scores",), "float32"))
    run(job, tmp_path / "store")
    assert target.calls > 0
    assert run(job, tmp_path / "store").resumed_from == 22


def test_other_sequences_other_weights_and_other_threads_are_refused(fasta, tmp_path):
    run(numpy_job(fasta), tmp_path / "store")
    job = numpy_job(fasta)
    other = replace(job.models[0], model=NumpyModel(7))
    with pytest.raises(InvalidInputError, match="sha256 of weights"):
        run(replace(job, models=[other]), tmp_path / "store")
    with pytest.raises(InvalidInputError, match="threads"):
        run(replace(job, threads=31), tmp_path / "store")
    fasta.write_text(fasta.read_text().replace("sequence_3\n", "sequence_x\n"))
    with pytest.raises(InvalidInputError, match="sha256 of names and letters"):
        run(numpy_job(fasta), tmp_path / "store")


@pytest.mark.parametrize(("name", "value"), [("precision_state", lambda self: {"tf32": True}), ("precision", "low")])
def test_another_precision_of_products_is_refused(fasta, tmp_path, monkeypatch, name, value):
    monkeypatch.setattr(NumpyModel, "precision_state", lambda self: {"tf32": False})
    run(numpy_job(fasta), tmp_path / "store", stop=iter([None, signal.SIGINT]).__next__)
    monkeypatch.setattr(NumpyModel, name, value)
    with pytest.raises(InvalidInputError, match=r"settings: precision: (tf32: False|level: 'full') in the store"):
        run(numpy_job(fasta), tmp_path / "store")


def test_a_source_that_is_compressed_since_is_the_same(fasta, tmp_path):
    run(numpy_job(fasta), tmp_path / "store", stop=iter([None, signal.SIGINT]).__next__)
    compressed = tmp_path / "sequences.fa.gz"
    compressed.write_bytes(gzip.compress(fasta.read_bytes()))
    assert run(numpy_job(compressed), tmp_path / "store").resumed_from == 4


def test_a_source_that_changes_while_the_job_runs_is_noticed(fasta, tmp_path):
    job = numpy_job(fasta)
    text = fasta.read_text()

    def stop():
        fasta.write_text(text.replace("ACG", "TCG"))
        job.source._position = 0  # as after a failure that made the source start again

    with pytest.raises(SequenceError, match="changed while the job ran"):
        run(job, tmp_path / "store", stop=stop)


def test_an_error_of_the_model_names_the_records_and_keeps_what_was_written(fasta, tmp_path, monkeypatch):
    run(numpy_job(fasta), tmp_path / "store", stop=iter([None, signal.SIGINT]).__next__)

    def fails(*_):
        raise RuntimeError("poisoned")

    monkeypatch.setattr("time.sleep", fails)  # which the method calls
    with pytest.raises(RuntimeError, match="poisoned") as raised:
        run(numpy_job(fasta), tmp_path / "store")
    (note,) = raised.value.__notes__
    assert "shard 1 was computed, records 5 to 8; what was written before is kept" in note
    assert "--workers 1" in note
    monkeypatch.undo()
    assert run(numpy_job(fasta), tmp_path / "store").resumed_from == 4


def test_restart_keeps_the_old_store(fasta, tmp_path, bytes_of):
    run(numpy_job(fasta), tmp_path / "store")
    old = bytes_of(tmp_path / "store")
    run(numpy_job(fasta, methods=("reversed",)), tmp_path / "store", restart=True)
    assert bytes_of(tmp_path / "store.old-1") == old
    assert "reversed_scores" in opened(tmp_path / "store")
    run(numpy_job(fasta), tmp_path / "store", restart=True)
    assert (tmp_path / "store.old-2").is_dir()
    with pytest.raises(InvalidInputError, match="too large"):
        run(numpy_job(fasta, dtype="float16", extras={"a": np.full((22, 1), 1e6)}), tmp_path / "store", restart=True)
    assert bytes_of(tmp_path / "store") == old
    assert not (tmp_path / "store.old-3").exists()


def test_what_is_in_the_folder_already_is_left_alone(fasta, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.txt").write_text("years of work")
    (tmp_path / "store" / "effects.tsv.partial").write_text("days of work")
    (tmp_path / "store" / "manifest.json.0123456789abcdef.partial").write_text("what a killed run left")
    for restart in (False, True):
        with pytest.raises(OutputError, match="other files"):
            run(numpy_job(fasta), tmp_path / "store", restart=restart)
    names = {"thesis.txt", "effects.tsv.partial", "manifest.json.0123456789abcdef.partial"}
    assert {path.name for path in (tmp_path / "store").iterdir()} == names
    (tmp_path / "store" / "thesis.txt").unlink()
    with pytest.raises(OutputError, match="other files"):
        run(numpy_job(fasta), tmp_path / "store")
    (tmp_path / "store" / "effects.tsv.partial").unlink()
    assert run(numpy_job(fasta), tmp_path / "store").complete
    assert not list((tmp_path / "store").glob("*.partial"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        run(numpy_job(fasta), tmp_path / "file")


def test_what_fails_at_once_leaves_nothing(fasta, tmp_path):
    for job in (numpy_job(fasta, contents=("predictions",)), numpy_job(fasta, options={"colour": 1})):
        with pytest.raises(InvalidInputError, match=r"predictions|colour"):
            run(job, tmp_path / "store")
        assert not (tmp_path / "store").exists()


def test_a_damaged_shard_is_computed_again(fasta, tmp_path, bytes_of):
    store = tmp_path / "store"
    run(numpy_job(fasta), store)
    whole = bytes_of(store)
    torn = store / "weights_scores/c/5/0/0"
    torn.write_bytes(torn.read_bytes()[:10])
    (store / "sequence_letters/c/1/0").unlink()
    (store / "markers/000002.json").write_text("{")
    (store / "markers/000003.json").unlink()
    (store / "weights_scores/c/3/0/0.0123.partial").write_bytes(b"left by a killed run")
    summary = run(numpy_job(fasta), store)
    assert summary.resumed_from == 8
    assert bytes_of(store) == whole


def test_records_that_cannot_be_scored_are_set_aside_in_their_places(tmp_path):
    fasta = tmp_path / "mixed.fa"
    fasta.write_text(">a\nNNNN\n>b\nACGT\n>c\n>d\nACG\n>e\nACRT\n>f\nTTTT\n>g\nACGT\n>h\nacgn\n")
    job = numpy_job(fasta, options={"poison": "TT"}, contents=("scores", "observed"), shard_size=3)
    job = replace(job, source=type(job.source)(fasta, length=4))
    summary = run(job, tmp_path / "store")
    assert summary.scored == 3
    assert summary.duplicates == 1
    assert summary.set_aside == {
        "unknown letters only": 1,
        "no letters": 1,
        "another length than those that are scored": 1,
        "letters outside the alphabet": 1,
        "scores or predictions are not finite": 1,
    }
    dataset = opened(tmp_path / "store")
    assert dataset["sequence_name"].values.tolist() == list("abcdefgh")
    scored = dataset["set_aside"].values == ""
    assert scored.tolist() == [False, True, False, False, False, False, True, True]
    assert np.isnan(dataset["weights_scores"].values[~scored]).all()
    expected = METHODS["weights"](NumpyModel(0)).attribute(["ACGT", "ACGT", "ACGN"])
    np.testing.assert_array_equal(dataset["weights_scores"].values[scored], expected.scores)
    assert dataset["set_aside_detail"].values[4] == "'R' at position 2"
    assert dataset["set_aside_detail"].values[5] == "weights_scores, weights_observed"


def test_strict_makes_it_fatal_before_and_while_scoring(tmp_path):
    fasta = tmp_path / "mixed.fa"
    fasta.write_text(">a\nACGT\n>b\nNNNN\n")
    with pytest.raises(SetAsideError, match="1 sequences: unknown letters only"):
        run(numpy_job(fasta), tmp_path / "store", strict=True)
    assert not (tmp_path / "store").exists()
    fasta.write_text(">a\nACGT\n>b\nTTTT\n")
    with pytest.raises(SetAsideError, match=r"sequence 1 \(b\).*not finite"):
        run(numpy_job(fasta, options={"poison": "TT"}, shard_size=1), tmp_path / "store", strict=True)
    assert run(numpy_job(fasta, options={"poison": "TT"}, shard_size=1), tmp_path / "store").scored == 1


def test_nothing_that_can_be_scored_is_an_error(tmp_path):
    fasta = tmp_path / "unknown.fa"
    fasta.write_text(">a\nNNNN\n>b\nNNNN\n")
    with pytest.raises(SequenceError, match="2 sequences: unknown letters only"):
        run(numpy_job(fasta), tmp_path / "store")
    fasta.write_text(">a\nACGU\n")
    said = r"1 sequence: letters outside the alphabet, the first 'U' at position 3; --alphabet takes DNA, RNA, protein"
    with pytest.raises(SequenceError, match=said):
        run(numpy_job(fasta), tmp_path / "store")


@pytest.mark.parametrize("region", ["1\t100\t200", "chr1\t100\t200\n1\t100\t200"])
def test_a_contig_by_another_name_is_named(tmp_path, region):
    (tmp_path / "genome.fa").write_text(">chr1\n" + "ACGT" * 100 + "\n")
    (tmp_path / "regions.bed").write_text(region + "\n")
    told = []
    with Genome(tmp_path / "genome.fa") as genome:
        source = read_regions(tmp_path / "regions.bed", genome, Windows(length=20))
        job = replace(numpy_job(write_random_fasta(tmp_path / "a.fa", 1, 20)), source=source)
        with pytest.raises(AttributionBenchError, match=r"contig '1' is not in genome\.fa, which has 'chr1'"):
            run(job, tmp_path / "store", strict=True)
        if "chr1" in region:
            run(job, tmp_path / "store", observer=told.append)
            assert "has 'chr1'" in told[0].examples["contig is not in the genome"]
        else:
            with pytest.raises(SequenceError, match="which has 'chr1'"):
                run(job, tmp_path / "store")


class TwoNumbers(NumpyModel):
    """Two numbers, of which only a user knows whether they are tasks."""

    def forward(self, x, extras=()):
        return {"output": np.einsum("nal,al->n", x, self.coefficients(x.shape[2]))[:, None] * np.array([1.0, 2.0])}


@pytest.mark.parametrize(
    ("model", "target", "strands", "cautions"),
    [(TwoNumbers, 1, True, 1), (TwoNumbers, "sum", True, 0), (TwoNumbers, 1, False, 0), (NumpyModel, None, True, 0)],
)
def test_what_both_strands_take_for_granted_is_told_once(fasta, tmp_path, model, target, strands, cautions):
    job, told = numpy_job(fasta, both_strands=strands), []
    job = replace(
        job, models=[NamedModel(model(), "a"), NamedModel(model(1), "b")], asked=replace(job.asked, target=target)
    )
    run(job, tmp_path / "store", observer=told.append)
    assert len([event for event in told if isinstance(event, Caution) and "give a reducer" in event.text]) == cautions


def test_a_file_in_the_place_of_the_store_is_told(fasta, tmp_path):
    (tmp_path / "store").write_text("")
    assert Manifest.read(tmp_path / "store") is None
    with pytest.raises(OutputError, match="is a file; give the folder"):
        run(numpy_job(fasta), tmp_path / "store")


def test_a_first_shard_without_any_score_is_no_matter(tmp_path, bytes_of):
    fasta = tmp_path / "late.fa"
    fasta.write_text(">a\nNNNN\n>b\nNNNN\n>c\nACGT\n")
    assert run(numpy_job(fasta, shard_size=1), tmp_path / "store").scored == 1
    assert opened(tmp_path / "store")["set_aside"].values[2] == ""


def test_several_models_are_a_mean_and_a_standard_deviation(fasta, tmp_path):
    job = numpy_job(fasta, models=3, members=True, contents=("scores", "observed"))
    run(job, tmp_path / "store")
    dataset = opened(tmp_path / "store")
    each = np.stack([scores_of(fasta, model=model).scores for model in range(3)]).astype(np.float64)
    np.testing.assert_allclose(dataset["weights_scores"], each.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(dataset["weights_scores_sd"], each.std(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(dataset["weights_scores_models"], each.swapaxes(0, 1).astype(np.float32))
    observed = np.stack([scores_of(fasta, model=model).observed for model in range(3)])
    np.testing.assert_allclose(dataset["weights_observed"], observed.mean(axis=0, dtype=float), rtol=1e-6, atol=1e-6)


def test_both_strands_are_averaged_in_the_places_of_the_forward_one(fasta, tmp_path):
    run(numpy_job(fasta, both_strands=True, contents=("scores", "observed")), tmp_path / "store")
    dataset = opened(tmp_path / "store")
    one_hot = read_fasta(fasta).one_hot()
    forward = METHODS["weights"](NumpyModel(0)).attribute(one_hot).scores
    reverse = METHODS["weights"](NumpyModel(0)).attribute(one_hot[:, ::-1, ::-1]).scores[:, ::-1, ::-1]
    np.testing.assert_allclose(dataset["weights_scores"], (forward + reverse) / 2, rtol=1e-6)
    mean = (one_hot * (forward + reverse) / 2).sum(axis=1)
    np.testing.assert_allclose(dataset["weights_observed"], mean, rtol=1e-6)


def test_further_inputs_go_with_their_records(tmp_path):
    fasta = tmp_path / "a.fa"
    fasta.write_text(">a\nACGT\n>b\nNNNN\n>c\nGGGG\n>d\nTTTT\n")
    factors = np.array([[2.0], [np.nan], [3.0], [5.0]])
    run(numpy_job(fasta, extras={"factor": factors}, shard_size=2), tmp_path / "store")
    stored = opened(tmp_path / "store")["weights_scores"].values
    plain = METHODS["weights"](NumpyModel(0)).attribute(["ACGT", "GGGG", "TTTT"]).scores
    np.testing.assert_allclose(stored[[0, 2, 3]], plain * np.array([2, 3, 5])[:, None, None], rtol=1e-6)
    other = factors.copy()
    other[3] = 6
    with pytest.raises(InvalidInputError, match="further_inputs: factor: sha256"):
        run(numpy_job(fasta, extras={"factor": other}, shard_size=2), tmp_path / "store")


def test_a_further_input_that_changes_while_the_job_runs_is_noticed(fasta, tmp_path):
    rows = np.arange(22.0)[:, None]
    np.save(tmp_path / "rows.npy", rows)

    def stop():
        rows[8] += 1
        np.save(tmp_path / "other.npy", rows)
        (tmp_path / "other.npy").replace(tmp_path / "rows.npy")
        job.extras["rows"] = FileRows.open(tmp_path / "rows.npy")  # as another process that opens it then

    job = numpy_job(fasta, extras=read_further_inputs(tmp_path / "rows.npy"))
    asked = iter([None, None, None])
    words = r"the further input 'rows' \(.*rows.npy\) has other values .* or has changed while it ran"
    with pytest.raises(AttributionBenchError, match=words):
        run(job, tmp_path / "store", stop=lambda: next(asked) or stop())


def test_half_precision_is_kept_or_refused(fasta, tmp_path):
    run(numpy_job(fasta, dtype="float16"), tmp_path / "store")
    stored = opened(tmp_path / "store")["weights_scores"].values
    assert stored.dtype == np.float16
    np.testing.assert_array_equal(stored, scores_of(fasta).scores.astype(np.float16))
    factors = np.full((22, 1), 1e6)
    with pytest.raises(InvalidInputError, match="too large for float16"):
        run(numpy_job(fasta, dtype="float16", extras={"factor": factors}), tmp_path / "large")
    assert not (tmp_path / "large").exists()


@pytest.mark.parametrize("fits", [3, 1])
def test_out_of_memory_halves_the_block_and_says_so_once(fasta, tmp_path, bytes_of, fits):
    events = []
    summary = run(numpy_job(fasta, options={"fits": fits}), tmp_path / "store", observer=events.append)
    (said,) = [event.text for event in events if isinstance(event, Caution)]
    assert "memory ran out" in said
    assert summary.halvings == {3: 1, 1: 2}[fits]
    facts = [json.loads(path.read_text()) for path in sorted((tmp_path / "store/markers").iterdir())]
    assert {fact["halvings of the block"] for fact in facts} == {summary.halvings}
    np.testing.assert_array_equal(opened(tmp_path / "store")["weights_scores"], scores_of(fasta).scores)


def test_a_method_that_halves_its_own_blocks_is_told_from_one_that_need_not(fasta, tmp_path):
    events = []
    run(numpy_job(fasta, options={"roomy": 3}), tmp_path / "store", observer=events.append)
    assert len([event for event in events if isinstance(event, Caution)]) == 1
    facts = [json.loads(path.read_text()) for path in sorted((tmp_path / "store/markers").iterdir())]
    # The last shard has two sequences.
    assert [fact.get("halvings of the block") for fact in facts] == [1, 1, 1, 1, 1, None]
    assert "memory_halvings" not in opened(tmp_path / "store").attrs["metadata"]


def test_a_resumed_job_takes_from_its_store_what_the_first_run_took_from_the_machine(fasta, tmp_path, monkeypatch):
    init = METHODS["weights"].__init__

    def noted(self, model, **options):
        os.environ["GIVEN"] = json.dumps(options)
        init(self, model, **options)

    # The environment is no part of the method's code, by which a job is known.
    monkeypatch.setattr(METHODS["weights"], "__init__", noted)
    monkeypatch.setattr(METHODS["weights"], "machine_options", lambda self: {"roomy": int(os.environ["FREE"])})
    for free, stop in (("500", [None, signal.SIGTERM]), ("900", [None] * 6)):
        monkeypatch.setenv("FREE", free)
        monkeypatch.setenv("GIVEN", "")
        run(numpy_job(fasta), tmp_path / "store", stop=iter(stop).__next__)
        assert json.loads(os.environ["GIVEN"]) == {"roomy": 500}
    manifest = json.loads((tmp_path / "store/manifest.json").read_text())
    assert manifest["machine"]["options"] == {"weights": {"roomy": 500}}
    assert "roomy" not in manifest["methods"]["weights"]


class OutOfMemoryError(RuntimeError):
    """As PyTorch names it."""


class ResourceExhaustedError(Exception):
    """As TensorFlow names it."""


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), True),
        (ResourceExhaustedError("OOM when allocating tensor"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_known_in_any_framework_and_as_a_cause(error, answer):
    from attribution_bench.jobs.out_of_memory import is_out_of_memory

    assert is_out_of_memory(error) is answer
    outer = ValueError("the layer failed")
    outer.__cause__ = error
    assert is_out_of_memory(outer) is answer


def test_names_that_are_no_unicode_are_stored_readably(tmp_path):
    class Odd(FastaSource):
        def read(self, start, stop):
            return [replace(record, name="peak\udce9") for record in super().read(start, stop)]

    (tmp_path / "a.fa").write_text(">a\nACGT\n")
    job = replace(numpy_job(tmp_path / "a.fa"), source=Odd(tmp_path / "a.fa"))
    run(job, tmp_path / "store")
    assert opened(tmp_path / "store")["sequence_name"].values.tolist() == ["peak\ufffd"]


def test_memory_for_not_even_one_sequence_is_an_error_that_keeps_what_is_done(fasta, tmp_path):
    from attribution_bench.errors import AttributionBenchError, JobWarning

    with (
        pytest.warns(JobWarning, match="memory ran out"),
        pytest.raises(AttributionBenchError, match="one sequence at"),
    ):
        run(numpy_job(fasta, options={"fits": 0}), tmp_path / "store")


@pytest.mark.parametrize("size", [1, 5, 22, 100])
def test_any_size_of_shards_gives_the_same_scores(fasta, tmp_path, size):
    run(numpy_job(fasta, shard_size=size), tmp_path / "store")
    np.testing.assert_array_equal(opened(tmp_path / "store")["weights_scores"], scores_of(fasta).scores)


def test_what_cannot_be_asked_is_refused(fasta, tmp_path):
    for change, words in (
        ({"shard_size": 0}, "at least 1 sequence"),
        ({"batch_size": 0}, "batch_size"),
        ({"contents": ("logits",)}, "'logits'"),
        ({"contents": ()}, "nothing"),
        ({"dtype": "int8"}, "int8"),
        ({"members": True}, "there is one"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            run(numpy_job(fasta, **change), tmp_path / "store")
    with pytest.raises(InvalidInputError, match="at least one model"):
        run(replace(numpy_job(fasta), models=[]), tmp_path / "store")


def test_memory_does_not_hold_the_sequences(tmp_path):
    """Peak of Python's own allocations for many records against that for few."""
    import tracemalloc

    peaks = []
    for count in (200, 2000):
        fasta = write_random_fasta(tmp_path / f"{count}.fa", count, 500)
        job = numpy_job(fasta, shard_size=100)
        tracemalloc.start()
        run(job, tmp_path / f"{count}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The sequences alone are 900 kB more, their scores 14 MB.
    assert peaks[1] < peaks[0] + 500_000
