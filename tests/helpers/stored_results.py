"""Small stored results of every kind, right in all their parts: what hostile and fuzzed files are made from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from attribution_bench import AttributionResult, Mutation, MutationResult
from attribution_bench.attribution import Tags
from attribution_bench.benchmark.bars import Bar, BarRecord, Conditions, Line
from attribution_bench.benchmark.engine_profile import EngineProfile, MeasuredProfile, NodeTime, PrecisionTime
from attribution_bench.benchmark.logo_scores import LogoScores, MethodScores
from attribution_bench.benchmark.results import (
    BatchTiming,
    OutputCheck,
    Record,
    SequenceSource,
    Units,
    Workload,
    save_record,
)
from attribution_bench.environment import Commit, Machine
from attribution_bench.evaluation.results import Evaluation, Interval, MethodEvaluation, PairAgreement, save_evaluation
from attribution_bench.sequences import DNA
from attribution_bench.sequences.interval import Interval as Genomic
from attribution_bench.sequences.sites import Site

STRINGS = ("ACGTNA", "TTGACC", "GGGATC")
NAMES = ("first", "second", "third")
MACHINE = Machine("Linux x86_64", "a processor", 2, 2**34)
SHARES = (0.0, 0.5, 1.0)
METHODS = {"fastism": True, "deepshap": False}


def attribution(method: str = "fastism", predicts: bool = True) -> AttributionResult:
    """Return a result of three sequences: predictions of two outputs, or scores of one."""
    random = np.random.default_rng(len(method))
    one_hot = DNA.one_hot(list(STRINGS))
    outputs = {"profile": (3,), "count": ()} if predicts else {"count": ()}
    metadata: dict[str, Any] = {
        "method": method,
        "method_label": method,
        "options": {"seed": 1},
        "alphabet": "ACGT",
        "length": len(STRINGS[0]),
        "outputs": [{"name": name, "shape": list(shape)} for name, shape in outputs.items()],
        "target": None,
    }
    places = {
        "positions": np.arange(len(STRINGS[0])),
        "names": NAMES,
        "intervals": tuple(Genomic("chr1", start, start + 6, "+") for start in (0, 10, 20)),
    }
    if not predicts:
        scores = random.normal(size=one_hot.shape)
        return AttributionResult(
            one_hot, metadata=metadata, stored_scores=scores, convergence_delta=np.zeros(3), **places
        )
    references = {name: random.normal(size=(3, *shape)) for name, shape in outputs.items()}
    predictions = {name: random.normal(size=(*one_hot.shape, *shape)) for name, shape in outputs.items()}
    return AttributionResult(
        one_hot, metadata={**metadata, "convention": "centred"}, predictions=predictions,
        reference_predictions=references, **places,
    )  # fmt: skip


def scalar(method: str) -> AttributionResult:
    """Return a result of one number a sequence, as a comparison stores it."""
    result = attribution(method, METHODS[method])
    if not METHODS[method]:
        return result
    facts = {**result.metadata, "outputs": [{"name": "count", "shape": []}]}
    return AttributionResult(
        result.one_hot, result.positions, facts, {"count": result.predictions["count"]},
        {"count": result.reference_predictions["count"]}, names=NAMES,
    )  # fmt: skip


def mutations() -> MutationResult:
    """Return predictions of three mutations of two sequences."""
    random = np.random.default_rng(0)
    listed = (Mutation(1, 4, "ACG"), Mutation(0, 0, "", deleted=2), Mutation(0, 2, np.eye(4)[:, :2]))
    metadata = {"method": "fastism", "alphabet": "ACGT", "length": 20, "outputs": [{"name": "y", "shape": [2]}]}
    return MutationResult(listed, {"y": random.normal(size=(3, 2))}, {"y": random.normal(size=(2, 2))}, metadata)


def evaluation() -> Evaluation:
    """Return a comparison of two methods on three sequences."""
    bounds = Interval(0.5, 0.25, 0.75)
    values = (0.25, 0.5, None)
    curves = {name: tuple((1.0, 0.5, 0.0) for _ in NAMES) for name in ("deletion", "insertion")}
    methods = tuple(
        MethodEvaluation(
            name, options={"seed": 1}, seconds_per_100_sequences=1.5 + exact,
            convention="centred" if exact else None, exact=exact, cautions=("Scores are centred.",),
            values={"pearson": values, "auroc": values}, means={"pearson": bounds, "auroc": bounds},
            behind_best={"pearson": Interval(0.0, -0.1, 0.1)}, curves=curves, label=name.title(), result_method=name,
        )
        for name, exact in METHODS.items()
    )  # fmt: skip
    return Evaluation(
        model="example", framework="torch", device="cpu", threads=1, machine="a processor",
        date="2026-01-02T03:04:05+00:00", versions={"torch": "2"}, alphabet="ACGT", target="count",
        sequence_source="made up", names=NAMES, strings=STRINGS, predictions=(0.5, 1.5, -2.0),
        sites=(Site(0, 1, 3, "GATA1", "+", 1),), truth="fastism", shares=SHARES, settings={"seed": 0, "top": 0.1},
        methods=methods, agreements=(PairAgreement("fastism", "deepshap", {"pearson": values}, {"pearson": bounds}),),
    )  # fmt: skip


def comparison_folder(folder: Path) -> Path:
    """Write the folder of a comparison."""
    save_evaluation(folder, evaluation(), {name: scalar(name) for name in METHODS})
    return folder


def record(method: str = "fastism", seconds: float = 1.5) -> Record:
    """Return the record of a measured cell."""
    units = Units(2, 1000, 1)
    return Record(
        workload=Workload("basset", 1000, "torch", method), status="ok", error=None, durations=(seconds, 1.5 * seconds),
        done=units, asked=Units(100, 1000, 1), batch_sizes=(BatchTiming(None, 1.0, units),), batch_size=8, device="cpu",
        threads=2, peak_memory_bytes=2**30, memory_kind="resident set",
        check=OutputCheck("every value is finite", True, 1e-7, 0.01), machine=MACHINE, versions={"torch": "2"},
        commit=Commit("0123456789abcdef", False), sequences=SequenceSource("made up", "f" * 64, 100, 1000),
        settings={"budget": 6.0, "full": False}, date="2026-01-02T03:04:05+00:00", warnings=("it warned",),
        label=method.title(), tags=Tags(frozenset({"torch"}), exact=True, partial_passes=method == "fastism"),
    )  # fmt: skip


def logo_scores() -> LogoScores:
    """Return logo scores of two methods, one of which failed."""
    rows = tuple(tuple(float(value) for value in row) for row in np.arange(24.0).reshape(4, 6))
    methods = (MethodScores("fastism", rows, "centred", label="Fast"), MethodScores("mine", reason="it failed"))
    return LogoScores("basset", 1000, "torch", "cpu", "window", "ACGTNA", 440, "ACGT", methods)


def benchmark_folder(folder: Path) -> Path:
    """Write the folder of a benchmark, with logo scores."""
    for method, seconds in (("fastism", 1.5), ("standard_ism", 30.0)):
        save_record(record(method, seconds), folder)
    logo_scores().save(folder)
    return folder


def engine_folder(folder: Path) -> Path:
    """Write the folder of an engine benchmark, with a profile."""
    for count in (1, 8):
        of = record()
        save_record(replace(of, workload=replace(of.workload, sequences=count)), folder)
    profile().save(folder)
    bars().save(folder / "edges" / "positions.json")
    (folder / "notes.md").write_text("What stands in the way.\n")
    return folder


def bars() -> BarRecord:
    """Return the record of two bars, one of which is missed."""
    conditions = Conditions(MACHINE, 2, {"torch": "2"}, Commit("0123456789abcdef", False), "2026-01-02T03:04:05+00:00")
    ratio = Bar("Basset", 600, "torch", "20 positions", "all positions", "ratio", 0.5, 0.4, 0.75, 7, "at most", 1.1)
    command = Bar("explain basset", None, None, "a command", "", "seconds", 3.5, 3.5, 3.5, 1, "at most", 3.0)
    return BarRecord("Spread positions", "Medians.", (Line(ratio, conditions), Line(command, conditions)))


def profile() -> EngineProfile:
    """Return a profile of the engine."""
    measured = MeasuredProfile(
        letters=4, products_standard=10**6, products_fast=10**4, predicted_ratio=100.0, fallback="",
        matrix_products_per_second=1e9, capture_seconds=0.5, positions=100, first_seconds=1.0, warm_seconds=0.5,
        single_thread_seconds=0.6, nodes=(NodeTime("conv", "conv", "windowed", 0.5),),
        precisions=(PrecisionTime("float32", 0.5, 1e-7, 1e-6),),
    )  # fmt: skip
    return EngineProfile(
        "fastism", "fastISM", "basset", 1000, "torch", "cpu", 2, 5.0, MACHINE, {"torch": "2"}, None, "2026-01-02",
        measured,
    )  # fmt: skip
