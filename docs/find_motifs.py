"""Peaks of the demonstration model, from files to a browser track and TF-MoDISco's motifs: ``make motifs``.

Lays sequences with planted motifs side by side as a genome, with a peak each, runs the lines of docs/motifs.md on it,
and tells which planted motif each found one is. TF-MoDISco (the package modisco-lite) is looked for on the path; it
goes well into an environment of its own: ``python -m venv modisco && modisco/bin/pip install modisco-lite``, and then
``make motifs ARGS="--modisco modisco/bin/modisco"``.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from attribution_bench.demo import demonstration_sequences
from attribution_bench.demo.motifs import Motif, planted_motifs

PEAKS = 1000
COMMANDS = (
    "attribution-bench attribute demo_classifier peaks.bed --genome genome.fa --output scores.zarr",
    "attribution-bench export scores.zarr --to bigwig --output scores.bw",
    "attribution-bench export scores.zarr --to modisco --output motifs",
    "modisco motifs -s motifs/sequences.npz -a motifs/scores.npz -n 2000 -w 256 -o motifs/modisco.h5",
)
SIGNS = {"pos_patterns": "raises", "neg_patterns": "lowers"}
"""What TF-MoDISco calls motifs of positive and of negative scores -> what they do to the prediction."""


@dataclass(frozen=True)
class Found:
    """A motif that TF-MoDISco found, and the planted one that is most like it."""

    pattern: str
    """Its name in TF-MoDISco's file, such as ``pos_patterns/pattern_0``."""
    effect: str
    """One of `SIGNS`' values."""
    seqlets: int
    """Stretches of sequences that it was made from."""
    motif: str
    similarity: float
    """Pearson correlation of the letters' frequencies in the planted motif's columns, from -1 to 1."""


def write_peaks(folder: Path, count: int) -> None:
    """Write ``genome.fa``, one contig of `count` demonstration sequences, and ``peaks.bed`` with each of them."""
    sequences = demonstration_sequences(count, seed=1).sequences
    letters, length = "".join(sequences.strings), sequences.length
    lines = [letters[start : start + 100] for start in range(0, len(letters), 100)]
    (folder / "genome.fa").write_text("\n".join([">planted", *lines, ""]), encoding="utf-8")
    peaks = [f"planted\t{index * length}\t{(index + 1) * length}\tpeak{index}\n" for index in range(count)]
    (folder / "peaks.bed").write_text("".join(peaks), encoding="utf-8")


def run(folder: Path, modisco: str) -> None:
    """Run the lines of the documentation in a folder; raises CalledProcessError where one fails."""
    programs = {
        "attribution-bench": [sys.executable, "-c", "from attribution_bench.cli import main; main()"],
        "modisco": [modisco],
    }
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        name, *arguments = shlex.split(command)
        subprocess.run([*programs[name], *arguments], cwd=folder, check=True)


def similarity(frequencies: NDArray[np.float64], motif: Motif) -> float:
    """Return how like a planted motif some frequencies (4, W) are, at the best place and strand.

    Columns beyond the frequencies' ends are taken for uniform.
    """
    width = motif.width
    padded = np.pad(frequencies, ((0, 0), (width - 1, width - 1)), constant_values=1 / 4)
    return max(
        float(np.corrcoef(padded[:, start : start + width].ravel(), strand.probabilities.ravel())[0, 1])
        for strand in (motif, motif.reverse_complement)
        for start in range(padded.shape[1] - width + 1)
        if np.ptp(padded[:, start : start + width]) > 0
    )


def found_motifs(path: Path) -> list[Found]:
    """Return the motifs of TF-MoDISco's file, in its order, each with the planted one that is most like it."""
    found = []
    with h5py.File(path) as file:
        for sign, effect in SIGNS.items():
            for name, pattern in file.get(sign, {}).items():
                frequencies = np.asarray(pattern["sequence"], dtype=np.float64).T
                alike = {motif.name: similarity(frequencies, motif) for motif in planted_motifs()}
                best = max(alike, key=alike.__getitem__)
                seqlets = int(np.asarray(pattern["seqlets/n_seqlets"])[0])
                found.append(Found(f"{sign}/{name}", effect, seqlets, best, alike[best]))
    return found


def table(found: list[Found]) -> str:
    """Return what was found as a Markdown table."""
    rows = [f"| {one.pattern} | {one.effect} | {one.seqlets} | {one.motif} | {one.similarity:.2f} |" for one in found]
    return "\n".join(["| found | effect | seqlets | planted | similarity |", "| --- | --- | --- | --- | --- |", *rows])


def main() -> int:
    """Run from the command line; returns 1 where a planted motif was not found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("motifs-of-the-demonstration"), help="a new folder")
    parser.add_argument("--modisco", default="modisco", help="the program of modisco-lite")
    options = parser.parse_args()
    modisco = shutil.which(options.modisco)
    if modisco is None:
        parser.error(f"there is no program {options.modisco!r}; install modisco-lite, and name it with --modisco")
    options.folder.mkdir(parents=True)
    write_peaks(options.folder, PEAKS)
    run(options.folder, str(Path(modisco).absolute()))
    found = found_motifs(options.folder / "motifs" / "modisco.h5")
    print(table(found))
    missing = {motif.name for motif in planted_motifs()} - {one.motif for one in found}
    if missing:
        print(f"not found: {', '.join(sorted(missing))}")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
