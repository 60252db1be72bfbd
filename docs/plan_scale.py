"""Write the plan for large jobs, docs/scale.md, from what was measured: ``make scale``.

It reads records of the engine (reports/engine/records) and those of reports/scale, which ``make scale-records`` makes:
what parts of the work take (inputs.json), what memory a worker takes (memory.json), and what handing out costs
(scheduler-8.json and so on).
"""

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TEMPLATE = Path(__file__).with_name("scale.template")
"""The page with a field for each figure."""
WORKERS = (8, 64, 512)
CELLS = ("basset-1000-64_sequences", "chrombpnet-2114-1_sequences")
"""Of the engine's records."""
CORES = 2
"""Cores of a worker, as the engine was measured."""

PEAKS = 300_000
MODELS, REGIONS = 1000, 100_000
MEASURED_MODELS = {"basset": "Basset", "chrombpnet": "ChromBPNet"}
"""Models of the table of memory, as they are called."""
OPEN, SHARD_GROUP = 10, 64
"""Models that a process opens at once, and shards of each process that it adds them to
(`attribution_bench.jobs.open_models.MOST_OPEN`, `attribution_bench.jobs.grid.SHARD_GROUP`)."""
GENOME = 3_088_269_832
"""Letters of chromosomes 1 to 22, X and Y of GRCh38."""
WINDOW, MIDDLE = 1000, 500
CHROMOSOMES = 24
SNVS, INDELS = 786_500_648, 122_583_462
"""Of gnomAD v4.1."""
SPLICEAI_MODELS = 5
MOST_OVERHEAD = 0.05
BLOCK = 128
"""Variants of a block (`attribution_bench.variants.score.BLOCK`)."""


@dataclass(frozen=True)
class Plan:
    """One of the jobs."""

    name: str
    core_seconds: float
    """Of the whole job."""
    tasks: int
    """Shards, blocks of variants, or some models on a shard."""
    bytes: float
    """Of what is stored in the end."""
    files_a_task: float
    write_seconds: float
    """Of a task."""
    open_seconds: float
    """Of the processor, of a worker until it has opened every model once."""
    layout: str
    shards: int | None = None
    """Of an ensemble, whose models are opened anew for each group of shards; the others open theirs once."""
    passed_on: float = 0.0
    """Bytes that a task writes, and another one reads and removes."""
    stored_files: float | None = None
    """In the end; by default those that the tasks write."""

    @property
    def task_seconds(self) -> float:
        """Seconds of a task on a worker."""
        return self.core_seconds / CORES / self.tasks

    @property
    def files(self) -> float:
        """Files in the end."""
        return self.tasks * self.files_a_task if self.stored_files is None else self.stored_files

    def opening(self, workers: int) -> float:
        """Return the processor's seconds of opening models on all of some workers."""
        shard_groups = 1 if self.shards is None else math.ceil(self.shards / (SHARD_GROUP * workers))
        return self.open_seconds * workers * shard_groups

    def days(self, workers: int) -> float:
        """Return the days on some workers."""
        return self.core_seconds / CORES / workers / 86_400


@dataclass(frozen=True)
class Measured:
    """The records."""

    inputs: dict[str, Any]
    simulations: dict[int, dict[str, Any]]
    basset: float
    """Core-seconds of a sequence of 1,000 letters."""
    chrombpnet: float
    """Core-seconds of a sequence of 2,114 letters."""
    engine_cpu: str
    """Processor of the engine's records."""
    memory: list[dict[str, Any]]
    """Of workers, by model and limit."""

    @classmethod
    def read(cls, root: Path = ROOT) -> "Measured":
        """Read the records of a repository."""
        folder = root / "reports" / "scale"
        records = root / "reports" / "engine" / "records"
        basset, chrombpnet = (_json(records / f"{name}-torch-fastism.json") for name in CELLS)
        found = {workers: _json(folder / f"scheduler-{workers}.json") for workers in WORKERS}
        return cls(
            _json(folder / "inputs.json"),
            {workers: one["simulation"] for workers, one in found.items()},
            _core_seconds(basset),
            _core_seconds(chrombpnet),
            basset["machine"]["cpu"],
            json.loads((folder / "memory.json").read_text(encoding="utf-8")),
        )

    @property
    def handing_out(self) -> float:
        """Seconds of one processor that a task takes, of the scheduler's or of the client's: what limits their rate."""
        return max(
            max(one["scheduler_seconds_per_task"], one["client_seconds_per_task"]) for one in self.simulations.values()
        )


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _core_seconds(record: dict[str, Any]) -> float:
    return statistics.median(record["durations"]) / record["done"]["sequences"] * record["threads"]


def plans(measured: Measured) -> dict[str, Plan]:
    """Return the four jobs."""
    inputs = measured.inputs
    stores, opening, spliceai = inputs["stores"], inputs["seconds of opening"], inputs["spliceai"]

    def of_store(name: str, store: str, sequences: int, core_seconds: float, opened: float, layout: str) -> Plan:
        one = stores[store]
        return Plan(
            name,
            core_seconds,
            math.ceil(sequences / one["shard size"]),
            sequences * one["bytes a sequence"],
            one["files a shard"],
            one["seconds of writing a shard"],
            opened,
            layout,
        )

    windows = math.ceil(GENOME / MIDDLE)
    shards = math.ceil(REGIONS / stores["ensemble"]["shard size"])
    groups = math.ceil(MODELS / OPEN)
    stored, sums = stores["ensemble"], inputs["sums"]
    substitutions = SNVS * SPLICEAI_MODELS * spliceai["substitution"]
    full = INDELS * SPLICEAI_MODELS * spliceai["two full passes"]
    opened = opening["basset"]
    return {
        "peaks": of_store(
            f"all 3 x 2,114 substitutions of {PEAKS:,} peaks, a model of ChromBPNet's size",
            "peaks",
            PEAKS,
            PEAKS * measured.chrombpnet,
            opening["chrombpnet"],
            f"one store, shards of {stores['peaks']['shard size']} peaks, `scores` of the count head as float16",
        ),
        "genome": of_store(
            "every substitution of the human genome, Basset",
            "genome",
            windows,
            windows * inputs["basset"]["middle 500 positions"],
            opened,
            f"a store a chromosome ({CHROMOSOMES}), shards of {stores['genome']['shard size']} windows, "
            "`scores` as float16",
        ),
        "ensemble": Plan(
            f"{MODELS:,} models x {REGIONS:,} regions of 1,000 letters, Basset",
            MODELS * REGIONS * measured.basset,
            shards * groups,
            REGIONS * stored["bytes a sequence"],
            # Every task but a shard's last one writes its sums; the last one writes the shard.
            (groups - 1 + stored["files a shard"]) / groups,
            sums["seconds"] + stored["seconds of writing a shard"] / groups,
            opened * MODELS,
            f"one store, shards of {stored['shard size']} regions, a task being {OPEN} models on a shard, "
            "`scores` and their standard deviation as float32",
            shards,
            sums["bytes"],
            shards * stored["files a shard"],
        ),
        "variants": Plan(
            "every variant of gnomAD v4.1, SpliceAI (five models)",
            substitutions + full,
            math.ceil((SNVS + INDELS) / BLOCK),
            (SNVS + INDELS) * inputs["bytes of a row"],
            1,
            # A block is one small file; a shard's files are written one after the other.
            stores["peaks"]["seconds of writing a shard"] / stores["peaks"]["files a shard"],
            opened * SPLICEAI_MODELS,
            f"a table a chromosome ({CHROMOSOMES} commands), blocks of {BLOCK} variants, which the command joins",
        ),
    }


def rounded(number: float) -> str:
    """Return two significant digits with thousands set off."""
    if number == 0:
        return "0"
    digits = 1 - math.floor(math.log10(abs(number)))
    return f"{round(number, digits):,.{max(0, digits)}f}"


def amount(number: float) -> str:
    """Return bytes in words."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{rounded(number / size)} {unit}"
    return f"{rounded(number)} B"


def duration(days: float) -> str:
    """Return days in words."""
    if days >= 730:
        return f"{rounded(days / 365.25)} years"
    return f"{rounded(days)} days" if days >= 2 else f"{rounded(24 * days)} hours"


def percent(share: float) -> str:
    """Return a share of one in percent."""
    return f"{rounded(100 * share)}%" if share >= 0.001 else "< 0.1%"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown, its first column of words."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def costs(all_plans: dict[str, Plan]) -> str:
    """Return the table of costs."""
    rows = [
        [one.name, rounded(one.core_seconds / 3600), amount(one.bytes), f"{one.tasks:,}", rounded(one.task_seconds)]
        for one in all_plans.values()
    ]
    return table(["job", "core hours", "stored", "tasks", "seconds of each on a worker"], rows)


def layouts(all_plans: dict[str, Plan]) -> str:
    """Return the table of layouts."""
    rows = [[one.name, one.layout, rounded(one.files)] for one in all_plans.values()]
    header = "| job | layout | files |\n| --- | --- | ---: |\n"
    return header + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def shares(one: Plan, workers: int, measured: Measured) -> list[float]:
    """Return what of the scheduler's time, and of a worker's, goes into anything but computing."""
    return [
        workers / one.task_seconds * measured.handing_out,
        measured.simulations[workers]["hand_over_seconds"] / one.task_seconds,
        one.write_seconds / one.task_seconds,
        one.opening(workers) / (one.core_seconds / CORES),
    ]


def bottlenecks(all_plans: dict[str, Plan], measured: Measured) -> str:
    """Return what each job asks of everything but the cores, at each number of workers."""
    rows = []
    for key, one in all_plans.items():
        for workers in WORKERS:
            rate = workers / one.task_seconds
            rows.append(
                [
                    key if workers == WORKERS[0] else "",
                    f"{workers}",
                    duration(one.days(workers)),
                    *map(percent, shares(one, workers, measured)),
                    rounded(rate * one.files_a_task),
                    f"{amount(rate * (one.bytes / one.tasks + one.passed_on))}/s",
                ]
            )
    header = ["job", "workers", "time", "scheduler busy", "handing over", "writing", "opening"]
    return table([*header, "files a second", "written"], rows)


def most_workers(plan: Plan, measured: Measured) -> str:
    """Return at how many workers one processor is full with handing out."""
    return rounded(plan.task_seconds / measured.handing_out)


def simulations(measured: Measured) -> str:
    """Return the table of simulations."""
    rows = [
        [
            f"{workers}",
            f"{one['tasks']:,}",
            rounded(one["task_seconds"]),
            rounded(one["wall_seconds"]),
            percent(one["overhead"]),
            rounded(1000 * one["scheduler_seconds_per_task"]),
            rounded(1000 * one["client_seconds_per_task"]),
            rounded(1000 * one["hand_over_seconds"]),
        ]
        for workers, one in measured.simulations.items()
    ]
    header = ["workers", "tasks", "seconds of a task", "wall seconds", "overhead"]
    return table([*header, "scheduler, ms a task", "client, ms a task", "handing over, ms"], rows)


def memory(measured: Measured) -> str:
    """Return the table of what memory a worker takes."""
    fastest = {
        name: min(one["core-seconds a sequence"] for one in measured.memory if one["model"] == name)
        for name in MEASURED_MODELS
    }
    rows = [
        [
            f"{MEASURED_MODELS[one['model']]}, {one['letters']:,} letters",
            f"{one['limit'] / 1e9:.0f} GB",
            amount(one["opened bytes"]),
            amount(one["peak bytes"]),
            f"{one['core-seconds a sequence'] / fastest[one['model']]:.2f}",
        ]
        for one in measured.memory
    ]
    return table(["model", "granted", "with the model open", "most", "time of a sequence"], rows)


def verdict(measured: Measured) -> str:
    """Return on how many workers handing out cost as little as it may."""
    over = [f"{workers}" for workers, one in measured.simulations.items() if one["overhead"] >= MOST_OVERHEAD]
    if not over:
        return "It is under 5% on each."
    return f"It should be under 5%, and was not on {' and '.join(over)} workers."


def render(measured: Measured, template: str) -> str:
    """Return the document: a template with its fields filled in."""
    found, inputs = plans(measured), measured.inputs
    basset, spliceai = inputs["basset"], inputs["spliceai"]
    windows = GENOME / MIDDLE
    shared = SPLICEAI_MODELS * (
        SNVS * spliceai["further substitution of a window"] + INDELS * spliceai["two full passes"]
    )
    return template.format(
        costs=costs(found),
        layouts=layouts(found),
        bottlenecks=bottlenecks(found, measured),
        simulations=simulations(measured),
        verdict=verdict(measured),
        memory=memory(measured),
        memory_sequences=" and ".join(
            dict.fromkeys(f"{one['sequences']} of {MEASURED_MODELS[one['model']]}" for one in measured.memory)
        ),
        granted_days=math.ceil(1.5 * found["peaks"].days(64)),
        largest=percent(max(max(shares(one, workers, measured)) for one in found.values() for workers in WORKERS)),
        limits=", ".join(f"{most_workers(one, measured)} for the {key}" for key, one in found.items()),
        engine_cpu=measured.engine_cpu,
        cpu=inputs["machine"]["cpu"],
        machine_cores=inputs["machine"]["cores"],
        cores=CORES,
        chrombpnet=rounded(measured.chrombpnet),
        basset=rounded(measured.basset),
        basset_middle=rounded(basset["middle 500 positions"]),
        basset_all=rounded(basset["all positions"]),
        window=f"{WINDOW:,}",
        middle=MIDDLE,
        flank=(WINDOW - MIDDLE) // 2,
        hours_end_to_end=rounded(GENOME / WINDOW * basset["all positions"] / 3600),
        hours_middle=rounded(windows * basset["middle 500 positions"] / 3600),
        hours_overlapping=rounded(windows * basset["all positions"] / 3600),
        snvs=f"{SNVS:,}",
        indels=f"{INDELS:,}",
        letters_a_variant=rounded(GENOME / (SNVS + INDELS)),
        substitution=rounded(spliceai["substitution"]),
        further=rounded(spliceai["further substitution of a window"]),
        full_passes=rounded(spliceai["two full passes"]),
        hours_shared=rounded(shared / 3600),
        models=f"{MODELS:,}",
        weights=amount(inputs["bytes of basset"] * MODELS),
        open=OPEN,
        group=SHARD_GROUP,
        sums=amount(inputs["sums"]["bytes"]),
        sums_8=amount(inputs["sums"]["bytes"] * SHARD_GROUP * 8),
        sums_all=amount(inputs["sums"]["bytes"] * (found["ensemble"].shards or 0)),
        look=rounded(inputs["seconds of opening"]["basset"] * MODELS / 60),
    )


def main() -> None:
    """Write the document."""
    text = render(Measured.read(), TEMPLATE.read_text(encoding="utf-8"))
    (ROOT / "docs" / "scale.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
