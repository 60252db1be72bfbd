"""Regions of the scored sequences as narrowPeak lines, in the order of an export's rows."""

from pathlib import Path

from attribution_bench.storage.record_arrays import CHROMOSOME, CONTIG_LENGTH, END, START, STRAND
from attribution_bench.storage.selected_scores import SelectedScores
from attribution_bench.storage.whole_files import whole_file


def write_regions(path: Path, selected: SelectedScores) -> list[Path]:
    """Write one line for each scored sequence: the window that was scored, with its middle as the summit.

    Returns no path, and writes nothing, where a sequence has no place in a genome.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    places, names, half = selected.store.places(), selected.store.names, selected.store.length // 2
    if not all(places[CHROMOSOME][record] for record in selected.records):
        return []
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for record in selected.records:
            start, end = int(places[START][record]), int(places[END][record])
            # A window that was filled with N reaches beyond its contig, which BED cannot say.
            within, last = max(0, start), min(end, int(places[CONTIG_LENGTH][record]) or end)
            summit = start + half - within
            words = (places[CHROMOSOME][record], within, last, names[record], 0, places[STRAND][record], 0, -1, -1)
            file.write("\t".join(map(str, (*words, summit))) + "\n")
    return [path]
