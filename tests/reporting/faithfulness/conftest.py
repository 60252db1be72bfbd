"""A comparison made by hand: no model behind it, but everything that a report shows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from attribution_bench.attribution import AttributionResult
from attribution_bench.evaluation.metrics import METRICS
from attribution_bench.evaluation.results import SCORES, Evaluation, Interval, MethodEvaluation, PairAgreement
from attribution_bench.sequences.sites import Site

METHODS = ("fastism", "standard_ism", "gradient_x_input", "integrated_gradients", "deepshap")
EXACT = ("fastism", "standard_ism")
LABELS = ("fastISM", "Standard ISM", "Gradient × Input", "Integrated Gradients", "DeepSHAP")
SECONDS = {"fastism": 1.2, "standard_ism": 21.0, "gradient_x_input": 0.05, "integrated_gradients": 2.4, "deepshap": 1.9}
NOISE = {"fastism": 0.0, "standard_ism": 0.0, "gradient_x_input": 0.9, "integrated_gradients": 0.5, "deepshap": 0.3}
MOTIFS = (("GATA1", "AGATAAG", "+", 1), ("CTCF", "CCACCAGGGGGC", "-", 1), ("REST", "TTCAGCACC", "+", -1))
OPTIONS = {"deepshap": {"n_references": 10}}
SHARES = tuple(round(0.05 * step, 2) for step in range(21))
AGREEMENT = ("pearson", "spearman", "cosine", "top_k", "sign")


def interval(values: NDArray[np.float64]) -> Interval:
    mean, spread = float(values.mean()), float(values.std() / np.sqrt(len(values)))
    return Interval(mean, mean - 2 * spread, mean + 2 * spread)


class Synthetic:
    """Sequences with planted motifs, effects of mutations that know them, and methods that follow the effects."""

    def __init__(self, count: int = 12, length: int = 120, alphabet: str = "ACGT", sites: bool = True) -> None:
        self.random = np.random.default_rng(7)
        self.count, self.length, self.alphabet = count, length, alphabet
        letters = self.random.choice(list(alphabet), size=(count, length))
        self.sites = tuple(self._planted(letters)) if sites else ()
        self.strings = tuple("".join(row) for row in letters)
        self.one_hot = np.stack([(letters == letter) for letter in alphabet], axis=1).astype(np.float32)
        self.deltas = self._deltas()
        self.reference = self.random.normal(2, 0.5, count)

    def _planted(self, letters: NDArray[Any]) -> list[Site]:
        found = []
        for sequence in range(self.count):
            for place, (name, motif, strand, effect) in enumerate(MOTIFS):
                start = int(self.random.integers(place * self.length // 3, (place + 1) * self.length // 3 - 14))
                letters[sequence, start : start + len(motif)] = list(motif)
                found.append(Site(sequence, start, start + len(motif), name, strand, effect))
        return found

    def _deltas(self) -> NDArray[np.float64]:
        weight = np.full((self.count, self.length), 0.05)
        for site in self.sites:
            weight[site.sequence, site.start : site.stop] = site.effect
        deltas = -weight[:, None] * self.random.uniform(0.3, 1, self.one_hot.shape)
        deltas += self.random.normal(0, 0.03, deltas.shape)
        return np.asarray(np.where(self.one_hot > 0, 0, deltas))

    def result(self, method: str) -> AttributionResult:
        metadata = {
            "method": method,
            "options": OPTIONS.get(method, {}),
            "alphabet": self.alphabet,
            "outputs": [{"name": "out", "shape": []}],
            "length": self.length,
        }
        positions = np.arange(self.length)
        if method in EXACT:
            predictions = self.reference[:, None, None] + self.deltas
            return AttributionResult(
                self.one_hot, positions, {**metadata, "convention": "centred"}, {"out": predictions},
                {"out": self.reference},
            )  # fmt: skip
        scores = self.deltas - self.deltas.mean(axis=1, keepdims=True)
        scores = scores + NOISE[method] * scores.std() * self.random.normal(size=scores.shape)
        return AttributionResult(
            self.one_hot, positions, metadata, convergence_delta=np.zeros(self.count), stored_scores=scores
        )

    def evaluation(self, methods: tuple[str, ...] = METHODS) -> Evaluation:
        truth = next((name for name in ("standard_ism", "fastism") if name in methods), None)
        names = tuple(f"sequence {index}" for index in range(self.count))
        return Evaluation(
            model="example.keras", framework="keras", device="cpu", threads=2, machine="Example CPU",
            date="2026-01-02T03:04:05+00:00", versions={"keras": "3.15.1", "python": "3.12.1"}, alphabet=self.alphabet,
            target="output:0", sequence_source="example.fa", names=names, strings=self.strings,
            predictions=tuple(self.reference.tolist()), sites=self.sites, truth=truth, shares=SHARES,
            settings={"seed": 0, "top": 0.1}, methods=tuple(self._method(name, truth) for name in methods),
            agreements=tuple(
                self._pair(first, second) for at, first in enumerate(methods) for second in methods[at + 1 :]
            ),
        )  # fmt: skip

    def _method(self, name: str, truth: str | None) -> MethodEvaluation:
        values: dict[str, NDArray[np.float64]] = {}
        for metric in METRICS.values():
            noise = NOISE[name] * (1 if metric.better == "higher" else -1)
            level = 1 - 0.5 * noise if metric.better == "higher" else 0.2 - 0.3 * noise
            if (metric.group == "agreement" and truth is None) or (metric.group == "recovery" and not self.sites):
                continue
            if metric.name in ("completeness", "stability") and name != "deepshap":
                continue
            values[metric.name] = level - (NOISE[name] > 0) * self.random.uniform(0, 0.2, self.count)
        falls = np.exp(-np.array(SHARES) * (6 - 4 * NOISE[name]))
        levels = self.reference[:, None]
        best = dict.fromkeys(values, 1.0)
        return MethodEvaluation(
            name,
            options=OPTIONS.get(name, {}),
            seconds_per_100_sequences=SECONDS[name],
            convention="centred" if name in EXACT else None,
            exact=name in EXACT,
            label=dict(zip(METHODS, LABELS, strict=True)).get(name, ""),
            cautions=("Median completeness error 1e-07, largest 2e-06.",) if name == "deepshap" else (),
            values={metric: tuple(found.tolist()) for metric, found in values.items()},
            means={metric: interval(found) for metric, found in values.items()},
            behind_best={metric: interval(values[metric] - best[metric]) for metric in values},
            curves={
                "deletion": tuple(map(tuple, (levels * falls).tolist())),
                "insertion": tuple(map(tuple, (levels * (1 - falls)).tolist())),
            },
        )

    def _pair(self, first: str, second: str) -> PairAgreement:
        level = 1 - 0.4 * (NOISE[first] + NOISE[second])
        found = {metric: level - self.random.uniform(0, 0.05, self.count) for metric in AGREEMENT}
        return PairAgreement(
            first,
            second,
            {metric: tuple(values.tolist()) for metric, values in found.items()},
            {metric: interval(values) for metric, values in found.items()},
        )

    def save(self, folder: Path, scored: tuple[str, ...] = METHODS, /, **changes: Any) -> Path:
        """Write evaluation and scores as a comparison leaves them; changes go into the evaluation."""
        for name in scored:
            self.result(name).save(folder / SCORES / f"{name}.npz")
        replace(self.evaluation(scored), **changes).save(folder)
        return folder


@pytest.fixture(scope="session")
def make_synthetic() -> Callable[..., Synthetic]:
    return Synthetic


@pytest.fixture
def synthetic() -> Callable[..., Synthetic]:
    return Synthetic


@pytest.fixture
def comparison_folder(tmp_path: Path) -> Path:
    return Synthetic().save(tmp_path / "comparison")
