import json
from importlib.resources import files

import numpy as np

from attribution_bench.demo.motifs import INFORMATIVE_BITS, Motif, planted_motifs, read_motifs


def shipped():
    return json.loads((files("attribution_bench.demo") / "data" / "motifs.json").read_text())


def test_the_file_states_its_source_and_licence():
    content = shipped()
    assert content["release"] == "JASPAR2024"
    assert content["licence"].startswith("CC BY 4.0")
    assert "10.1093/nar/gkad1059" in content["citation"]
    assert [record["name"] for record in content["motifs"]] == ["CTCF", "FOS::JUN", "GATA1", "SPI1", "REST"]
    for motif in read_motifs():
        assert motif.counts.shape == (4, motif.width)
        assert motif.counts.min() >= 0
        assert motif.counts.sum(axis=0).min() > 100


def test_the_matrices_are_those_of_the_database():
    from attribution_bench.demo.jaspar import records

    assert shipped()["motifs"] == records()


def test_planted_motifs_begin_and_end_with_informative_columns():
    for whole, trimmed in zip(read_motifs(), planted_motifs(), strict=True):
        assert min(trimmed.information[[0, -1]]) >= INFORMATIVE_BITS
        starts = range(whole.width - trimmed.width + 1)
        assert any(np.array_equal(whole.counts[:, s : s + trimmed.width], trimmed.counts) for s in starts)


def test_probabilities_information_and_log_odds_of_a_known_matrix():
    motif = Motif("MA0000.1", "example", np.array([[100, 25, 50], [0, 25, 50], [0, 25, 0], [0, 25, 0]], float))
    np.testing.assert_allclose(motif.probabilities.sum(axis=0), 1)
    np.testing.assert_allclose(motif.probabilities[:, 0], [0.97, 0.01, 0.01, 0.01])
    np.testing.assert_allclose(motif.log_odds[:, 1], 0, atol=1e-12)
    np.testing.assert_allclose(motif.information[1], 0, atol=1e-12)
    expected = 2 + 2 * 0.49 * np.log2(0.49) + 2 * 0.01 * np.log2(0.01)
    np.testing.assert_allclose(motif.information[2], expected)
    np.testing.assert_array_equal(motif.reverse_complement.counts[:, -1], [0, 0, 0, 100])


def test_sampled_letters_follow_the_sharpened_probabilities():
    motif = Motif("MA0000.1", "example", np.array([[60, 10], [20, 10], [10, 20], [10, 60]], float))
    generator = np.random.default_rng(0)
    for sharpness in (1.0, 2.0):
        sites = np.stack([motif.sample(sharpness, generator) for _ in range(4000)])
        frequencies = np.stack([(sites == letter).mean(axis=0) for letter in range(4)])
        powers = motif.probabilities**sharpness
        np.testing.assert_allclose(frequencies, powers / powers.sum(axis=0), atol=0.03)
