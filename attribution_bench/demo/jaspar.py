"""Writes the shipped motifs from the JASPAR database that the package pyjaspar carries.

Run it with ``python -m attribution_bench.demo.jaspar``; nothing else needs pyjaspar.
"""

import json
from pathlib import Path
from typing import Any

from attribution_bench.files import write_whole
from attribution_bench.sequences.alphabet import DNA

RELEASE = "JASPAR2024"
NAMES = {"MA0139.2": "CTCF", "MA0099.4": "FOS::JUN", "MA0035.5": "GATA1", "MA0080.7": "SPI1", "MA0138.3": "REST"}
"""JASPAR's identifier -> name of the human factor, which JASPAR writes in lower case where its data are a mouse's."""
LICENCE = "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"
CITATION = (
    "Rauluseviciute et al., JASPAR 2024: 20th anniversary of the open-access database of transcription factor binding "
    "profiles, Nucleic Acids Research 52:D174-D182, 2024, https://doi.org/10.1093/nar/gkad1059"
)
PATH = Path(__file__).parent / "data" / "motifs.json"


def records() -> list[dict[str, Any]]:
    """Return the matrices of `NAMES` as the database has them: identifier, name and counts of each letter."""
    from pyjaspar import jaspardb

    database = jaspardb(release=RELEASE)
    found = []
    for identifier, name in NAMES.items():
        motif = database.fetch_motif_by_id(identifier)
        counts = {letter: [int(count) for count in motif.counts[letter]] for letter in DNA.letters}
        found.append({"identifier": identifier, "name": name, "counts": counts})
    return found


def main() -> None:
    """Write ``data/motifs.json``, one matrix a line."""
    head = {"source": "https://jaspar.elixir.no", "release": RELEASE, "licence": LICENCE, "citation": CITATION}
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    matrices = ",\n".join(f"    {json.dumps(record)}" for record in records())
    write_whole(PATH, "\n".join(["{", *lines, '  "motifs": [', matrices, "  ]", "}", ""]))


if __name__ == "__main__":
    main()
