"""Everything that is done with stored results, as functions of a path: what hostile and fuzzed files must not break."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from attribution_bench import AttributionResult, MutationResult
from attribution_bench.benchmark.engine_profile import load_profiles
from attribution_bench.benchmark.logo_scores import find_logo_scores
from attribution_bench.benchmark.results import load_records
from attribution_bench.cli.report import report
from attribution_bench.conventions import CONVENTIONS
from attribution_bench.evaluation.results import Evaluation
from attribution_bench.reporting.faithfulness import csv_files
from attribution_bench.reporting.faithfulness.page import page
from attribution_bench.reporting.faithfulness.scores import load_scores
from attribution_bench.reporting.faithfulness.summary import markdown_summary
from attribution_bench.reporting.score_panels import read_score_panels
from attribution_bench.storage import write_modisco

Reader = Callable[[Path], None]


def attributions(path: Path) -> None:
    """Load an attribution result and use all of it; what loads is sound, and can be saved and loaded again."""
    result = AttributionResult.load(path)
    repr(result)
    for convention in CONVENTIONS if result.predictions else ():
        assert result.with_convention(convention).scores.shape[:3] == result.one_hot.shape
    assert result.observed.shape[:2] == (len(result), len(result.positions))
    assert AttributionResult.concatenate([result, result[:1]]).scores.dtype == result.scores.dtype
    with tempfile.TemporaryDirectory() as folder:
        again = AttributionResult.load(result.save(Path(folder) / "again"))
    np.testing.assert_array_equal(again.scores, result.scores)
    assert len(result.metadata["alphabet"]) == result.one_hot.shape[1]


def drawn_attributions(path: Path) -> None:
    """Give an attribution result to everything that draws or exports it."""
    result = AttributionResult.load(path)
    result.to_xarray()
    with tempfile.TemporaryDirectory() as folder:
        write_modisco(result, folder)


def panels(path: Path) -> None:
    """Read an attribution result as ``plot`` does."""
    read_score_panels([path], target=None)


def mutations(path: Path) -> None:
    """Load a mutation result and use all of it."""
    result = MutationResult.load(path)
    repr(result)
    for output in result.predictions:
        assert len(result.effects(output)) == len(result)
    with tempfile.TemporaryDirectory() as folder:
        assert len(MutationResult.load(result.save(Path(folder) / "again"))) == len(result)


def comparison(folder: Path) -> None:
    """Read the folder of a comparison and write its pages, without figures."""
    evaluation = Evaluation.load(folder)
    scores = load_scores(folder, evaluation)
    page(evaluation, scores, None)
    markdown_summary(evaluation, None, ())
    for write in (csv_files.metrics_csv, csv_files.values_csv, csv_files.agreement_csv, csv_files.curves_csv):
        write(evaluation)
    with tempfile.TemporaryDirectory() as again:
        evaluation.save(again)
        assert Evaluation.load(again) == evaluation


def benchmark(folder: Path) -> None:
    """Read the folder of a benchmark."""
    load_records(folder)
    find_logo_scores(folder)
    load_profiles(folder)


READERS: Mapping[str, tuple[Reader, ...]] = {
    "npz": (attributions, drawn_attributions, panels, mutations),
    "comparison": (comparison, report),
    "benchmark": (benchmark, report),
}
"""Kind of file or folder -> what reads it."""
