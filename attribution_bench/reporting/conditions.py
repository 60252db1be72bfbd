"""How and where records were measured, in sentences made from the records alone."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attribution_bench.benchmark import paper
from attribution_bench.benchmark.results import Record
from attribution_bench.environment import Commit, Machine
from attribution_bench.reporting.comparison import paper_row_of
from attribution_bench.reporting.labels import framework_label, share_text
from attribution_bench.reporting.roles import fast_method, method_labels

GIBIBYTE = 2**30


def difference_sentence(records: Sequence[Record]) -> str:
    """Say where the records were measured, where the paper's figures were, and what can be compared."""
    measured = setup_sentence(records)
    published = [record for record in records if paper_row_of(record)]
    if not published:
        return measured
    reference = fast_method(records)
    relative_to = paper.REFERENCE_LABEL if reference is None else method_labels(records)[reference]
    at_once = max((record.asked.sequences for record in published if record.asked), default=None)
    here = "" if at_once is None else f"; here at most {at_once} are scored at once"
    return (
        f"{measured} The paper's figures come from {paper.DEVICE}, and are amortised over up to {paper.AT_ONCE} "
        f"sequences at once ({paper.AMORTISED}){here}. So seconds differ with the hardware, the framework and the "
        f"number of sequences; the ratios to {relative_to} on the same line compare better, and they too shift with "
        "the device and the number of sequences."
    )


def setup_sentence(records: Sequence[Record]) -> str:
    """Say on which machines, frameworks and devices the records were measured."""
    setups: dict[str, list[str]] = {}
    for record in records:
        setups.setdefault(machine_text(record.machine), []).append(_setup(record))
    return " ".join(f"Measured on {machine}: {_counted(found)}." for machine, found in sorted(setups.items()))


def machine_text(machine: Machine) -> str:
    """Describe a machine: processor, cores, memory, GPU, system."""
    cores = f"{machine.cores} core{'s' * (machine.cores != 1)}"
    gpu = machine.gpu or "no GPU used"
    return f"{machine.cpu} ({cores}, {machine.memory_bytes / GIBIBYTE:.3g} GiB memory, {gpu}), {machine.system}"


def cores_text(machine: Machine) -> str:
    """Name in few words what computed: the GPU, or how many cores of a CPU."""
    return machine.gpu or f"{machine.cores} CPU core{'s' * (machine.cores != 1)}"


def facts(records: Sequence[Record]) -> list[tuple[str, str]]:
    """List what a reader needs in order to measure the same again, as (name, value); several values are all named."""
    return [
        ("machine", _distinct(machine_text(record.machine) for record in records)),
        ("device and threads", _distinct(f"{r.device}, {r.threads} thread{'s' * (r.threads != 1)}" for r in records)),
        ("sequences", _distinct(f"{r.sequences.description} (sha256 {r.sequences.sha256[:12]})" for r in records)),
        ("time budget a cell", _distinct(_budget(record) for record in records)),
        ("rounds a cell", _rounds(records)),
        ("spread of the rounds", _spreads(records)),
        ("batch sizes tried", _sizes(timing.batch_size for record in records for timing in record.batch_sizes)),
        ("batch sizes chosen", _sizes(record.batch_size for record in records if record.status == "ok")),
        ("versions", versions_text(record.versions for record in records)),
        ("commit", commits_text(record.commit for record in records)),
        ("measured on", days_text(record.date for record in records)),
    ]


def versions_text(versions: Iterable[Mapping[str, str]]) -> str:
    """List packages with every version of theirs, by name."""
    found: dict[str, set[str]] = {}
    for installed in versions:
        for name, version in installed.items():
            found.setdefault(name, set()).add(version)
    return ", ".join(f"{name} {' and '.join(sorted(found[name]))}" for name in sorted(found))


def commits_text(commits: Iterable[Commit | None]) -> str:
    """Name each commit once, and whether files differed from it."""
    return _distinct(
        f"{commit.revision[:12]}{' with uncommitted changes' * commit.dirty}" if commit else "not from a checkout"
        for commit in commits
    )


def days_text(dates: Iterable[str]) -> str:
    """Name the day of at least one date, or the first and the last day."""
    days = sorted(date[:10] for date in dates)
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def checks_sentence(records: Sequence[Record]) -> str:
    """Say how the scores and predictions of the measured calls were checked, and how far off they were."""
    checked = [(record, record.check) for record in records if record.check is not None]
    if not checked:
        return "No output was checked."
    passed = sum(check.passed for _, check in checked)
    sentence = f"The outputs of {passed} of {_cells(len(checked))} that were checked passed."
    differences = [check.largest_difference for _, check in checked if check.largest_difference is not None]
    if differences:
        sentence += (
            f" Predictions differ from plain forward passes by at most {max(differences):.1e} of the outputs' "
            f"largest absolute value ({_cells(len(differences))})."
        )
    return sentence


def convergence(records: Sequence[Record]) -> list[tuple[str, str]]:
    """List the largest convergence delta of each method that has one, as (method, delta in units of the output)."""
    labels, largest = method_labels(records), dict[str, float]()
    for record in records:
        if record.check is not None and record.check.convergence_delta is not None:
            method = record.workload.method
            largest[method] = max(largest.get(method, 0.0), record.check.convergence_delta)
    return [(labels[method], f"{delta:.1e}") for method, delta in sorted(largest.items())]


def _setup(record: Record) -> str:
    framework = record.workload.framework
    version = record.versions.get(framework, "")
    tensorflow = record.versions.get("tensorflow")
    backend = f" (TensorFlow {tensorflow})" if framework == "keras" and tensorflow else ""
    threads = f"{record.threads} thread{'s' * (record.threads != 1)}"
    name = " ".join(filter(None, (framework_label(framework), version)))
    return f"{name}{backend}, device {record.device}, {threads}"


def _counted(setups: Sequence[str]) -> str:
    """List distinct set-ups, with the number of cells of each where there are several."""
    counts = Counter(setups)
    if len(counts) == 1:
        return setups[0]
    return "; ".join(f"{setup} ({_cells(count)})" for setup, count in sorted(counts.items()))


def _rounds(records: Sequence[Record]) -> str:
    counts = sorted({len(record.durations) for record in records if record.durations})
    if not counts:
        return "none: no cell was measured"
    several = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{several}; the figure is their median at the best batch size"


def _spreads(records: Sequence[Record]) -> str:
    spreads = [record.spread for record in records if record.spread is not None]
    if not spreads:
        return "not known: no cell has several rounds"
    return (
        "the slowest minus the fastest, as a share of the median, is "
        f"{share_text(statistics.median(spreads))} in the middle of {_cells(len(spreads))} with several rounds and "
        f"{share_text(max(spreads))} at most"
    )


def _budget(record: Record) -> str:
    if record.settings.get("full"):
        return "none: everything was measured"
    budget = record.settings.get("budget")
    return "not recorded" if budget is None else f"{budget:g} s, the warm-up not counted"


def _sizes(sizes: Iterable[int | None]) -> str:
    found = set(sizes)
    names = [str(size) for size in sorted(size for size in found if size is not None)]
    return ", ".join([*names, *["the method's own default"] * (None in found)]) or "none"


def _distinct(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _cells(count: int) -> str:
    return f"{count} cell{'s' * (count != 1)}"
