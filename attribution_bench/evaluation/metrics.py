"""The metrics of a comparison: what each means, which way is better, and where it comes from."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One number a sequence and method."""

    name: str
    label: str
    better: Literal["higher", "lower"]
    definition: str
    """One sentence or two for a reader of the report."""
    citation: str
    group: Literal["agreement", "completeness", "curves", "perturbation", "stability", "recovery"]
    undefined: str
    """Where there is no value, in words that follow "undefined where"."""
    between: str = ""
    """What it says of two methods of which neither is the truth; of agreement alone."""


_METRICS = (
    Metric(
        "pearson", "Pearson r", "higher",
        "Linear correlation with exact ISM of the scores of the reference letters.",
        "Pearson, Proc. R. Soc. Lond. 58:240, 1895", "agreement",
        undefined="all scores of one of the two are equal within rounding",
        between="Linear correlation of the scores that two methods give the reference letters.",
    ),
    Metric(
        "spearman", "Spearman ρ", "higher",
        "Correlation with exact ISM of the ranks of the scores of the reference letters.",
        "Spearman, Am. J. Psychol. 15:72, 1904", "agreement",
        undefined="all scores of one of the two are equal within rounding",
        between="Correlation of the ranks of the scores that two methods give the reference letters.",
    ),
    Metric(
        "cosine", "Cosine", "higher",
        "Cosine of the angle to exact ISM of the scores of the reference letters.",
        "Salton & McGill, Introduction to Modern Information Retrieval, 1983", "agreement",
        undefined="all scores of one of the two are 0",
        between="Cosine of the angle between the scores that two methods give the reference letters.",
    ),
    Metric(
        "top_k", "Top-k overlap", "higher",
        "Share of the k positions with the highest scores that are also among the k highest of exact ISM.",
        "After the feature agreement of Krishna et al., TMLR 2024, there of absolute scores", "agreement",
        undefined="the k-th and the next highest score, or all scores, of one of the two are equal within rounding",
        between=(
            "Share of the k positions with the highest scores of one method that are also among the k highest of "
            "the other."
        ),
    ),
    Metric(
        "sign", "Sign agreement", "higher",
        "Share of the k positions with the largest absolute scores of exact ISM, and of those that equal the last of "
        "them, at which both scores have one sign; a score of 0 has none, and where exact ISM is 0 the position does "
        "not count.",
        "After the sign agreement of Krishna et al., TMLR 2024, there of positions among the k of both", "agreement",
        undefined="exact ISM, or one of two methods, says the same of every position within rounding",
        between=(
            "Share of the k positions with the largest absolute scores of one method at which both scores have "
            "one sign, where a score of 0 has none; mean of either method choosing the positions."
        ),
    ),
    Metric(
        "completeness", "Completeness error", "lower",
        "|sum of attributions - (f(x) - f(baseline))| / |f(x) - f(baseline)|, for methods with a baseline; of several "
        "references the mean counts as f(baseline).",
        "Sundararajan et al., ICML 2017; Shrikumar et al., ICML 2017 (summation to delta)", "completeness",
        undefined="f(x) - f(baseline) is rounding of the predictions",
    ),
    Metric(
        "deletion", "Deletion area", "lower",
        "Area between what the model still predicts while the letters are replaced, highest score first, and what it "
        "predicts of the replaced sequence; 1 is the median over sequences of how far the two predictions lie apart.",
        "Petsiuk et al., BMVC 2018", "curves",
        undefined=(
            "all scores are equal within rounding, so that letters have no order, or half of the predictions lie "
            "no further from those of the replaced sequences than rounding"
        ),
    ),
    Metric(
        "insertion", "Insertion area", "higher",
        "Area between what the model predicts while the letters are put back into the replaced sequence, highest score "
        "first, and what it predicts of the replaced sequence, in the same unit.",
        "Petsiuk et al., BMVC 2018", "curves",
        undefined=(
            "all scores are equal within rounding, so that letters have no order, or half of the predictions lie "
            "no further from those of the replaced sequences than rounding"
        ),
    ),
    Metric(
        "infidelity", "Infidelity", "lower",
        "Mean squared difference between what the scores say that random mutations do and what they do to the "
        "prediction, after the best common scale of at least 0, as a share of the mean square of what they do: 0 is "
        "perfect, 1 no better than no scores.",
        "Yeh et al., NeurIPS 2019, with the scale of its authors' code (Captum's normalize=True)", "perturbation",
        undefined="no mutation changes the prediction by more than rounding",
    ),
    Metric(
        "sensitivity", "Sensitivity", "lower",
        "Largest change of the scores under random mutations of few letters, as a share of the scores, in the "
        "Euclidean norm. It asks whether scores hold still, not whether they are right.",
        "Yeh et al., NeurIPS 2019 (max-sensitivity), relative as in its authors' code and Captum", "perturbation",
        undefined="all scores are 0 within rounding",
    ),
    Metric(
        "stability", "Stability", "higher",
        "Mean Pearson r between the scores of runs that differ in the seed, and with it the shuffled references.",
        "Own definition; on how scores vary with their references, Sturmfels et al., Distill 2020", "stability",
        undefined="all scores of a run are equal within rounding",
    ),
    Metric(
        "auroc", "Motif AUROC", "higher",
        "Probability that a letter of a known site scores higher than one outside all sites, with the sign of the "
        "site's effect, equal scores counted half; mean of raising and lowering sites. 0.5 is chance.",
        "Hanley & McNeil, Radiology 143:29, 1982", "recovery",
        undefined="all scores are equal within rounding, or every letter or none is in a site",
    ),
    Metric(
        "auprc", "Motif AUPRC", "higher",
        "Average precision of the letters of known sites among the letters outside, with the sign of the site's "
        "effect; mean of raising and lowering sites. Chance is the share of letters that are in sites.",
        "Davis & Goadrich, ICML 2006, without interpolation, as scikit-learn's average_precision_score", "recovery",
        undefined="all scores are equal within rounding, or every letter or none is in a site",
    ),
    Metric(
        "signal_to_noise", "Signal to noise", "higher",
        "Mean score in known sites, with the sign of their effect, over the root mean square of the scores outside.",
        "Own definition; on motifs against background, Prakash et al., MLCB 2022", "recovery",
        undefined=(
            "all scores are equal within rounding, or every letter or none is in a site, or all scores outside of "
            "sites are 0"
        ),
    ),
)  # fmt: skip
METRICS = {metric.name: metric for metric in _METRICS}
