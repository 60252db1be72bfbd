"""Motifs of the demonstration model: how found ones are told apart, and TF-MoDISco itself where it is installed."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from attribution_bench.demo.motifs import planted_motifs

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def find_motifs():
    spec = importlib.util.spec_from_file_location("find_motifs", DOCS / "find_motifs.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["find_motifs"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["find_motifs"]


def rows_of_the_documentation():
    return re.findall(
        r"^\| (\w+_patterns/pattern_\d+) \| (\w+) \| (\d+) \| ([\w:]+) \| (0\.\d\d) \|$",
        (DOCS / "motifs.md").read_text(),
        re.MULTILINE,
    )


def test_a_motif_is_known_at_any_place_on_either_strand_and_cut_short(find_motifs, tmp_path):
    generator = np.random.default_rng(0)
    with h5py.File(tmp_path / "modisco.h5", "w") as file:
        for index, motif in enumerate(planted_motifs()):
            found = motif.reverse_complement.probabilities if index % 2 else motif.probabilities
            flanks = generator.dirichlet(np.full(4, 20.0), 10).T
            found = np.concatenate([flanks, found], axis=1)[:, : -1 if index == 4 else None]
            sign = "neg_patterns" if motif.name == "REST" else "pos_patterns"
            file[f"{sign}/pattern_{index}/sequence"] = found.T
            file[f"{sign}/pattern_{index}/seqlets/n_seqlets"] = [10 + index]
    found = find_motifs.found_motifs(tmp_path / "modisco.h5")
    assert [(one.motif, one.effect, one.seqlets) for one in found] == [
        (motif.name, "lowers" if motif.name == "REST" else "raises", 10 + index)
        for index, motif in enumerate(planted_motifs())
    ]
    assert min(one.similarity for one in found) > 0.9
    assert max(one.similarity for one in found[:4]) == pytest.approx(1)
    assert find_motifs.table(found).count("\n") == 6


def test_frequencies_without_a_motif_are_like_none(find_motifs):
    flat = np.random.default_rng(0).dirichlet(np.full(4, 50.0), 40).T
    assert max(find_motifs.similarity(flat, motif) for motif in planted_motifs()) < 0.8


def test_the_peaks_are_the_sequences(find_motifs, tmp_path):
    from attribution_bench.demo import demonstration_sequences
    from attribution_bench.sequences import Genome

    find_motifs.write_peaks(tmp_path, 5)
    expected = demonstration_sequences(5, seed=1).sequences.strings
    with Genome(tmp_path / "genome.fa") as genome:
        lines = [line.split("\t") for line in (tmp_path / "peaks.bed").read_text().splitlines()]
        assert tuple(genome.fetch(contig, int(start), int(end)) for contig, start, end, _ in lines) == expected


def test_the_documentation_has_the_lines_that_are_run_and_every_planted_motif(find_motifs):
    blocks = re.findall(r"^```sh\n(.*?)^```$", (DOCS / "motifs.md").read_text(), re.DOTALL | re.MULTILINE)
    assert "\n".join(find_motifs.COMMANDS) + "\n" in blocks
    assert {motif for *_, motif, _ in rows_of_the_documentation()} == {motif.name for motif in planted_motifs()}


@pytest.mark.long
@pytest.mark.skipif(shutil.which("modisco") is None, reason="modisco-lite is not installed: there is no modisco to run")
def test_modisco_finds_the_planted_motifs_as_documented(find_motifs, tmp_path):
    find_motifs.write_peaks(tmp_path, find_motifs.PEAKS)
    find_motifs.run(tmp_path, shutil.which("modisco"))
    assert (tmp_path / "scores.bw").exists()
    # Releases of modisco-lite divide motifs otherwise, so that their numbers are not compared.
    found = {(one.motif, one.effect) for one in find_motifs.found_motifs(tmp_path / "motifs/modisco.h5")}
    assert found >= {(motif, effect) for _, effect, _, motif, _ in rows_of_the_documentation()}
