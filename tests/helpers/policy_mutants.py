"""Changes of policies that the tests must notice, each with the test that does: ``make mutants`` makes and tries them.

A policy (a budget, a tolerance, what is timed, how long a value lives) changes no number of a result, so that tests of
results do not see it. Each change is made in a copy of the tree, and its test must fail there.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGINE = "plugins/attribution_bench_plugins/fastism"
FAILED = 1
"""Exit code of pytest where tests ran and failed; any other says that they could not run."""


@dataclass(frozen=True)
class Mutant:
    """One change of one line, and the test that must fail with it."""

    what: str
    file: str
    before: str
    """Occurs once in the file."""
    after: str
    test: str
    """Node id of a test, or of all cases of one."""

    def apply(self, root: Path) -> None:
        """Make the change in a copy of the tree."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.what}: {self.file} holds {self.before!r} {text.count(self.before)} times, not once"
            )
        path.write_text(text.replace(self.before, self.after), encoding="utf-8")


MUTANTS = (
    Mutant(
        "the default memory budget is 16 times as large",
        f"{ENGINE}/planning/sizes.py",
        "share = free // self.default_budget_share",
        "share = 16 * free // self.default_budget_share",
        "tests/plugins/fastism/test_sizes.py::test_the_default_budget_is_a_quarter_of_what_is_free_and_on_a_cpu_at_most_4_gib",
    ),
    Mutant(
        "the self-check allows 10,000 times as much",
        f"{ENGINE}/precision.py",
        "return max(allowed, LOW_TOLERANCE) if matmul_precision else allowed",
        "return 1e4 * (max(allowed, LOW_TOLERANCE) if matmul_precision else allowed)",
        "tests/plugins/fastism/test_self_check.py::test_a_rule_that_is_a_little_wrong_is_refused",
    ),
    Mutant(
        "what is rounding of predictions is 1,000 times as much",
        "attribution_bench/models/differences.py",
        '{"full": 1e-4, "low": 3e-2}',
        '{"full": 1e-1, "low": 3e1}',
        "tests/models/test_consistency.py::test_what_is_refused",
    ),
    Mutant(
        "what differs by rounding alone is refused without a second look",
        "attribution_bench/models/consistency.py",
        "        return None if again is None else replace(finding, kind=again.kind)",
        "        return finding",
        "tests/models/test_consistency.py::test_rounding_is_no_fault",
    ),
    Mutant(
        "a model that draws random numbers is asked again once only",
        "attribution_bench/models/consistency.py",
        "AGAIN = 8",
        "AGAIN = 1",
        "tests/models/test_consistency.py::test_a_dropout_of_few_units_is_found",
    ),
    Mutant(
        "compare times methods without a warm-up",
        "attribution_bench/evaluation/scoring.py",
        "        bound.attribute(one_hot[:2], target=target)\n",
        "",
        "tests/evaluation/test_evaluate.py::test_seconds_are_those_of_100_sequences_by_a_warm_method",
    ),
    Mutant(
        "compare reports the seconds of 10 sequences as those of 100",
        "attribution_bench/evaluation/summaries.py",
        "scored.seconds * 100 /",
        "scored.seconds * 10 /",
        "tests/evaluation/test_evaluate.py::test_seconds_are_those_of_100_sequences_by_a_warm_method",
    ),
    Mutant(
        "the benchmark reports the seconds of 10 sequences as those of 100",
        "attribution_bench/benchmark/results.py",
        "self.asked.sequences) * 100",
        "self.asked.sequences) * 10",
        "tests/benchmark/test_results.py",
    ),
    Mutant(
        "one round of the benchmark is enough",
        "attribution_bench/benchmark/rounds.py",
        "FEWEST_ROUNDS = 3",
        "FEWEST_ROUNDS = 1",
        "tests/benchmark/test_protocol.py::test_a_hiccup_in_one_round_changes_nothing",
    ),
    Mutant(
        "rounds are not held against the sweep",
        "attribution_bench/benchmark/rounds.py",
        "FORETOLD = 1.5",
        "FORETOLD = 150.0",
        "tests/benchmark/test_protocol.py::test_rounds_that_agree_and_take_far_longer_than_the_sweep_foretold_are_in_doubt",
    ),
    Mutant(
        "rounding of predictions is taken for effects",
        "attribution_bench/evaluation/shared_inputs.py",
        "PLACES = 8",
        "PLACES = 0",
        "tests/evaluation/test_blind_models.py::test_of_a_model_that_ignores_its_input_nothing_is_compared",
    ),
    Mutant(
        "a value is given up one use too early",
        f"{ENGINE}/planning/liveness.py",
        "read = {alias_of[operand] for operand in step.node.inputs} | {name}",
        "read = {alias_of[operand] for operand in step.node.inputs[:1]} | {name}",
        "tests/plugins/fastism/test_liveness.py::test_a_value_is_dropped_after_its_last_reader_and_nowhere_else",
    ),
    Mutant(
        "a value outlives its last use",
        f"{ENGINE}/planning/liveness.py",
        "frozenset(read - live)",
        "frozenset(read - live - {alias_of[operand] for operand in step.node.inputs[:1]})",
        "tests/plugins/fastism/test_liveness.py::test_a_value_is_dropped_after_its_last_reader_and_nowhere_else",
    ),
    Mutant(
        "what a lazy window reads is overwritten",
        f"{ENGINE}/ops/lazy_window.py",
        "for lazy in (*self._fusible, *self._scheduled) for operand in lazy.operands)",
        "for lazy in self._fusible for operand in lazy.operands)",
        "tests/plugins/fastism/test_liveness.py::test_what_a_lazy_window_still_reads_is_not_overwritten",
    ),
    Mutant(
        "a group holds any number of sequences",
        f"{ENGINE}/planning/sizes.py",
        "min(positions // phase, self.sequences_at_once(alternatives))",
        "positions",
        "tests/plugins/fastism/test_sizes.py::test_sequences_of_a_group_keep_no_more_than_half_the_budget",
    ),
    Mutant(
        "a worker may take twice the memory beyond which it is ended",
        "attribution_bench/environment.py",
        "limit - int(psutil.Process().memory_info().rss)",
        "2 * limit",
        "tests/test_environment.py::test_a_process_has_what_is_left_of_its_limit_and_of_its_share",
    ),
)


def survives(mutant: Mutant) -> bool:
    """Whether a mutant's test passes with the change.

    Raises
    ------
    RuntimeError
        The test could not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, tracked.split("\0")):
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, Path(folder) / name)
        mutant.apply(Path(folder))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutant.test]
        paths = {"PYTHONPATH": f"{folder}:{folder}/plugins"}
        run = subprocess.run(command, cwd=folder, env={**os.environ, **paths}, capture_output=True, text=True)
    if run.returncode not in (0, FAILED):
        raise RuntimeError(f"{mutant.what}: {mutant.test} did not run: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.returncode == 0


def main() -> int:
    """Try every mutant; returns 1 where one survives."""
    survivors = 0
    for mutant in MUTANTS:
        alive = survives(mutant)
        survivors += alive
        print(f"{'SURVIVES' if alive else 'noticed '}  {mutant.what}  ({mutant.test.rpartition('/')[2]})", flush=True)
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
