from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from attribution_bench.demo import demonstration_sequences, held_out_sequences, training_sequences
from attribution_bench.demo.backgrounds import LENGTH, held_out_windows, shuffled, training_windows
from attribution_bench.demo.motifs import planted_motifs
from attribution_bench.demo.planting import DEMONSTRATION_STRENGTH
from attribution_bench.demo.truth import ACCESSIBILITY, truth_of
from attribution_bench.errors import InvalidInputError
from attribution_bench.sequences.sites import site_effects

MAKERS = (training_sequences, held_out_sequences, demonstration_sequences)
MOTIFS = {motif.name: motif for motif in planted_motifs()}


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_seed_gives_the_same_and_another_one_does_not(make):
    first, again, other = make(20, 3), make(20, 3), make(20, 4)
    assert first.sequences == again.sequences
    assert first.sites == again.sites
    np.testing.assert_array_equal(first.reads, again.reads)
    assert first.sequences.strings != other.sequences.strings


@pytest.mark.parametrize("make", MAKERS)
def test_counts_below_one_are_refused(make):
    with pytest.raises(InvalidInputError, match="count must be at least 1"):
        make(0, 0)


def test_shuffled_windows_keep_their_dinucleotides():
    windows = training_windows()
    rows = shuffled(windows, 200, np.random.default_rng(0))
    for index, row in enumerate(rows):
        original = windows[index % len(windows)]
        text = "".join("ACGT"[letter] for letter in row)
        assert text != original
        assert Counter(pairwise(text)) == Counter(pairwise(original))


def test_held_out_windows_share_no_stretch_with_training():
    training = {window[start : start + 20] for window in training_windows() for start in range(LENGTH - 19)}
    held_out = {window[start : start + 20] for window in held_out_windows() for start in range(LENGTH - 19)}
    assert training.isdisjoint(held_out)
    assert len(held_out_windows()) > 30


def test_shown_sequences_hold_their_sites_and_no_other(demonstration, letters_of):
    letters = letters_of(demonstration.sequences)
    truth = truth_of(letters)
    found = {
        (int(row), int(middle), name)
        for name, effect in truth.effects.items()
        for row, middle in np.argwhere(effect)
    }  # fmt: skip
    middles = {(s.sequence, s.start + (MOTIFS[s.name].width - 1) // 2, s.name) for s in demonstration.sites}
    assert middles == found
    assert min(truth.effects[name][row, middle] for row, middle, name in middles) >= DEMONSTRATION_STRENGTH
    assert demonstration.accessible.all()
    np.testing.assert_array_equal(truth.accessibility, demonstration.accessibility)
    assert {s.sequence for s in demonstration.sites} == set(range(len(letters)))


def test_letters_of_a_site_match_its_motif_on_its_strand(demonstration, letters_of):
    letters = letters_of(demonstration.sequences)
    for site in demonstration.sites:
        motif = MOTIFS[site.name] if site.strand == "+" else MOTIFS[site.name].reverse_complement
        assert site.stop - site.start == motif.width
        score = motif.log_odds[letters[site.sequence, site.start : site.stop], np.arange(motif.width)].sum()
        assert score > 0.7 * motif.log_odds.max(axis=0).sum()
        assert site.effect == np.sign(ACCESSIBILITY[site.name])
    assert {site.strand for site in demonstration.sites} == {"+", "-"}
    assert {site.name for site in demonstration.sites} == set(MOTIFS)


def test_some_shown_sequences_are_repressed_and_sites_do_not_overlap(demonstration):
    repressed = {site.sequence for site in demonstration.sites if site.effect < 0}
    assert 0.2 < len(repressed) / len(demonstration.sequences) < 0.6
    effects = site_effects(demonstration.sites, len(demonstration.sequences), LENGTH)
    assert np.count_nonzero(effects) == sum(site.stop - site.start for site in demonstration.sites)


def test_removing_a_site_takes_its_effect_away(demonstration, letters_of):
    letters = letters_of(demonstration.sequences)
    before = truth_of(letters).accessibility
    for site in demonstration.sites:
        changed = letters[[site.sequence]]
        changed[0, site.start : site.stop] = 3
        assert np.sign(before[site.sequence] - truth_of(changed).accessibility[0]) == site.effect


def test_reads_follow_the_expected_ones(held_out):
    reads = held_out.reads.sum(axis=1)
    expected = np.exp(held_out.log_reads)
    np.testing.assert_allclose(held_out.profile.sum(axis=1), 1, rtol=1e-4)
    # Poisson counts: the standardised deviations have a mean of 0 and a variance of 1.
    deviations = (reads - expected) / np.sqrt(expected)
    assert abs(deviations.mean()) < 0.2
    assert deviations.var() == pytest.approx(1, abs=0.3)


def test_the_mixture_holds_both_labels_and_lone_halves_are_no_sites(held_out):
    assert 0.35 < held_out.accessible.mean() < 0.65
    pairs = Counter(site.name for site in held_out.sites)
    assert pairs["GATA1"] > 50
    assert pairs["SPI1"] > 50
