"""Tables of genes: what is at a position, and whether they are those of a genome."""

from pathlib import Path

import numpy as np
import pytest

from attribution_bench.errors import SequenceError
from attribution_bench.sequences import Genes, Genome

HEADER = "#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END"
LINES = (
    "PLUS\t7\t+\t10\t60\t10,40,\t20,60,",
    "MINUS\t7\t-\t50\t90\t50,80,\t65,90,",
    "OTHER\tX\t+\t0\t5\t0,\t5,",
)


def table(path: Path, lines: tuple[str, ...] = LINES, header: str = HEADER) -> Path:
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


def test_genes_are_found_by_position_whatever_the_prefix(tmp_path: Path) -> None:
    genes = Genes(table(tmp_path / "genes.txt"))
    for contig in ("7", "chr7"):
        found = {place: [gene.name for gene in genes.at(contig, place)] for place in (9, 10, 49, 50, 59, 60, 89, 90)}
        assert found == {
            9: [], 10: ["PLUS"], 49: ["PLUS"], 50: ["PLUS", "MINUS"], 59: ["PLUS", "MINUS"], 60: ["MINUS"],
            89: ["MINUS"], 90: [],
        }  # fmt: skip
    assert genes.at("chr8", 20) == []
    (minus,) = genes.at("7", 70)
    assert (minus.strand, minus.start, minus.end, minus.introns) == ("-", 50, 90, [(65, 80)])
    assert repr(genes).endswith("genes.txt': 3 genes)")
    assert (genes.name, Genes(genes.path, "of the lab").name) == ("genes.txt", "of the lab")


def test_the_nearest_boundary_of_an_exon_is_worked_by_hand(tmp_path: Path) -> None:
    genes = Genes(table(tmp_path / "genes.txt", (*LINES, "NONE\t8\t+\t0\t9\t\t")))
    (plus,) = genes.at("7", 10)  # of exons 10 to 19 and 40 to 59
    found = {place: plus.nearest_exon_boundary(place) for place in (0, 10, 14, 15, 29, 30, 39, 40, 49, 50, 90)}
    assert found == {0: 10, 10: 10, 14: 10, 15: 19, 29: 19, 30: 40, 39: 40, 40: 40, 49: 40, 50: 59, 90: 59}
    (between,) = (gene for gene in genes.at("7", 50) if gene.name == "MINUS")  # 50 to 64 and 80 to 89
    assert between.nearest_exon_boundary(57) == 50  # as far from 64
    (none,) = genes.at("8", 4)
    assert none.nearest_exon_boundary(4) is None


def test_splice_sites_tell_whether_genes_are_those_of_a_genome(tmp_path: Path) -> None:
    letters = np.random.default_rng(0).choice(list("ACGT"), 100)
    letters[20:22], letters[38:40] = list("GT"), list("AG")
    letters[65:67], letters[78:80] = list("CT"), list("AC")
    genes = Genes(table(tmp_path / "genes.txt"))
    expected = {"chr7": 1, "7": 1, "8": None}
    for contig, share in expected.items():
        path = tmp_path / f"{contig}.fa"
        path.write_text(f">{contig}\n{''.join(letters)}\n")
        assert genes.share_of_splice_sites(Genome(path)) == share
    letters[20] = "A"
    letters[65] = "N"
    for name, text, share in (("wrong", letters, 0), ("short", letters[:60], 0), ("shorter", letters[:30], None)):
        path = tmp_path / f"{name}.fa"
        path.write_text(f">chr7\n{''.join(text)}\n")
        assert genes.share_of_splice_sites(Genome(path)) == share


@pytest.mark.parametrize(("introns", "most"), [(3, 4), (4, 4), (5, 4), (7, 4), (8, 4), (39, 20), (41, 20)])
def test_no_more_introns_are_looked_at_than_asked_for(
    introns: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, looked, fetch = tmp_path / "genome.fa", [], Genome.fetch
    path.write_text(f">7\n{'ACGTTGCA' * 100}\n")
    starts, ends = ("".join(f"{10 * n + end}," for n in range(introns + 1)) for end in (0, 4))
    genes = Genes(table(tmp_path / "genes.txt", (f"MANY\t7\t+\t0\t700\t{starts}\t{ends}",)))

    def noted(genome: Genome, contig: str, start: int, end: int) -> str:
        looked.append(start)
        return fetch(genome, contig, start, end)

    monkeypatch.setattr(Genome, "fetch", noted)
    assert genes.share_of_splice_sites(Genome(path), most) == 0
    assert min(introns, most // 2) <= len(looked) // 2 <= most
    assert max(looked) >= 10 * introns - 10 * introns // 2


@pytest.mark.parametrize(
    ("lines", "header", "said"),
    [
        (LINES, "#NAME\tCHROM\tSTRAND", "lacks the column TX_START"),
        ((LINES[0], "A\t7\t.\t1\t2\t1,\t2,"), HEADER, "line 3: . 1 2 is no strand with a range"),
        (("A\t7\t+\t2\t2\t1,\t2,",), HEADER, "line 2"),
        (("A\t7\t+\tone\t2\t1,\t2,",), HEADER, "line 2"),
        (("A\t7\t+\t1\t2\t1,2,\t2,",), HEADER, "line 2: EXON_START has 2 numbers, but EXON_END 1"),
        (("A\t7\t+",), HEADER, "line 2: it has 3 columns, and the header 7"),
        (LINES, HEADER.replace("\t", " "), "not separated by tabs; write it tab-separated"),
        (('7\tlab\texon\t11\t20\t.\t+\t.\tgene_id "A";',), "##gff", "is a GTF or GFF file.*docs/variants.md"),
    ],
)
def test_what_is_no_table_of_genes_is_one_error(tmp_path: Path, lines: tuple[str, ...], header: str, said: str) -> None:
    with pytest.raises(SequenceError, match=said):
        Genes(table(tmp_path / "genes.txt", lines, header))


def test_a_file_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match=r"there is no file .*nothing"):
        Genes(tmp_path / "nothing.txt")
