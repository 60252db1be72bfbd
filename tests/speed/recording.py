"""What the scripts that judge bars have in common: their command line, and a record of what they measured.

Positional names choose some of a script's cases. ``--output reports/engine/edges`` keeps each figure in a file named
after the script as soon as it is known; what the file holds of other cases stays, so that a script can be run in parts.
Cases that a script has no longer go with the file, when somebody deletes it.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attribution_bench.benchmark.bars import Bar, BarRecord, Conditions, Kind, Line, keep_bars
from attribution_bench.environment import Commit, Machine, describe_machine, library_versions, source_commit


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of names of cases and of the folder of records."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("names", nargs="*", help="names of cases, or parts of them; all cases by default")
    found.add_argument("--output", type=Path, help="folder of records; none is kept by default")
    return found


def chosen(names: Sequence[str], label: str) -> bool:
    """Whether names choose a case: one is a part of its label, whatever the case of letters, or there are no names."""
    return not names or any(name.casefold() in label.casefold() for name in names)


def over_rounds(figures: Sequence[float]) -> dict[str, Any]:
    """Return what a bar says of a figure in each round: the median, the lowest, the highest, and how many."""
    return {
        "figure": statistics.median(figures),
        "lowest": min(figures),
        "highest": max(figures),
        "rounds": len(figures),
    }


@dataclass(frozen=True)
class Recorder:
    """Writes bars into one file, with the conditions under which this process measures them."""

    path: Path
    kind: Kind
    procedure: str
    threads: int
    machine: Machine
    versions: dict[str, str]
    commit: Commit | None

    def keep(self, *bars: Bar) -> None:
        """Write bars, over what was measured of them earlier."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        conditions = Conditions(self.machine, self.threads, self.versions, self.commit, now)
        keep_bars(self.path, self.kind, self.procedure, [Line(bar, conditions) for bar in bars])


class NoRecorder:
    """Keeps nothing: what a script measures is printed alone."""

    def keep(self, *bars: Bar) -> None:
        """Drop bars."""


def recorder(output: Path | None, script: str, kind: Kind, procedure: str, threads: int) -> Recorder | NoRecorder:
    """Return what keeps a script's bars in a folder, or nowhere where there is none.

    Raises
    ------
    ResultError
        The folder holds a file of the script's name that is no record of this schema: nothing is measured in vain.
    """
    if output is None:
        return NoRecorder()
    path = output / Path(script).with_suffix(".json").name
    if path.exists():
        BarRecord.load(path)
    return Recorder(path, kind, procedure, threads, describe_machine("cpu"), library_versions(), source_commit())
