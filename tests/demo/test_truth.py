import numpy as np
import pytest

from attribution_bench.demo import truth
from attribution_bench.demo.motifs import planted_motifs

MOTIFS = {motif.name: motif for motif in planted_motifs()}
LENGTH = 120


def consensus(name):
    return MOTIFS[name].log_odds.argmax(axis=0)


def with_sites(*sites):
    """Letters (1, L) of a sequence of T that holds the consensus of motifs at starts."""
    letters = np.full((1, LENGTH), 3, dtype=np.int8)
    for name, start in sites:
        letters[0, start : start + MOTIFS[name].width] = consensus(name)
    return letters


def brute_force_strength(text, motif):
    """Strength of one stretch, letter by letter."""
    strands = (text, [3 - letter for letter in reversed(text)])
    scores = [sum(motif.log_odds[letter, column] for column, letter in enumerate(strand)) for strand in strands]
    best = sum(max(column) for column in motif.log_odds.T)
    return min(max((max(scores) / best - 0.7) / 0.3, 0), 1)


@pytest.mark.parametrize("name", MOTIFS)
def test_strengths_equal_a_scan_letter_by_letter(name):
    motif = MOTIFS[name]
    generator = np.random.default_rng(0)
    letters = generator.integers(0, 4, (1, 60)).astype(np.int8)
    letters[0, 20 : 20 + motif.width] = motif.sample(2.0, generator)
    strengths = truth.site_strengths(letters, motif)
    middle = (motif.width - 1) // 2
    for start in range(60 - motif.width + 1):
        expected = brute_force_strength(letters[0, start : start + motif.width].tolist(), motif)
        assert strengths[0, start + middle] == pytest.approx(expected, abs=1e-5)
    assert strengths[0, 20 + middle] > 0


@pytest.mark.parametrize(("name", "effect"), [("CTCF", 4.0), ("FOS::JUN", 3.0), ("REST", -4.0)])
def test_a_site_acts_alone(name, effect):
    found = truth.truth_of(with_sites((name, 40)))
    assert found.accessibility[0] == pytest.approx(truth.ACCESSIBILITY_OFFSET + effect, abs=1e-4)
    assert found.log_reads[0] == pytest.approx(truth.READS_OFFSET + truth.LOG_READS[name], abs=1e-4)


@pytest.mark.parametrize("name", truth.PAIR)
def test_half_a_pair_does_nothing(name):
    assert truth.truth_of(with_sites((name, 40))).accessibility[0] == truth.ACCESSIBILITY_OFFSET


@pytest.mark.parametrize(("gap", "acts"), [(2, True), (20, True), (21, False), (50, False)])
def test_a_pair_acts_within_its_reach(gap, acts):
    second = 30 + MOTIFS["GATA1"].width + gap
    found = truth.truth_of(with_sites(("GATA1", 30), ("SPI1", second)))
    assert found.accessibility[0] == pytest.approx(truth.ACCESSIBILITY_OFFSET + 4 * acts, abs=1e-4)


def test_effects_add_up_and_the_repressor_cancels():
    found = truth.truth_of(with_sites(("CTCF", 10), ("REST", 40), ("CTCF", 70)))
    assert found.accessibility[0] == pytest.approx(truth.ACCESSIBILITY_OFFSET + 4 - 4 + 4, abs=1e-4)


def test_both_strands_say_the_same():
    letters = with_sites(("GATA1", 20), ("SPI1", 35), ("CTCF", 60), ("REST", 90))
    forward, backward = truth.truth_of(letters), truth.truth_of(3 - letters[:, ::-1])
    np.testing.assert_allclose(backward.accessibility, forward.accessibility, atol=1e-5)


def test_the_profile_has_a_peak_on_either_side_of_a_site():
    width = MOTIFS["CTCF"].width
    profile = truth.truth_of(with_sites(("CTCF", 50))).profile[0]
    np.testing.assert_allclose(profile.sum(), 1, rtol=1e-5)
    middle = 50 + (width - 1) // 2
    distance = width // 2 + truth.FOOTPRINT_MARGIN
    peaks = np.sort(np.argsort(profile)[-2:])
    np.testing.assert_array_equal(peaks, [middle - distance, middle + distance])
    np.testing.assert_allclose(truth.truth_of(with_sites(("REST", 50))).profile, 1 / LENGTH, rtol=1e-5)
