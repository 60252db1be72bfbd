"""The comparison as LaTeX: ratios for one column of an article; every figure and its footnotes for a whole page."""

from itertools import groupby

from attribution_bench.reporting.benchmark_tables import HEADER, PAPER, caption, table_lines
from attribution_bench.reporting.comparison import Comparison, mark
from attribution_bench.reporting.labels import architecture_label, framework_label
from attribution_bench.reporting.latex_text import latex_line, latex_text
from attribution_bench.reporting.ratio_tables import columns, paper_text, ratio_caption, short_texts

COLUMN_POINTS, PAGE_POINTS = 3, 4
"""Half the room between two columns of the narrow and of the wide table, in points."""


def ratio_latex(comparison: Comparison) -> str:
    r"""Write a ``table`` environment that fits one column of an article, which needs ``\usepackage{booktabs}`` only.

    Each model has a line of its own, and below it one line a framework and one of the paper. No figure has more than
    two digits, and no notes stand below: the caption says what the sign means.
    """
    shown = columns(comparison)
    headings = [latex_text(comparison.labels[method]).split(" ", 1) for method in shown]
    units = ["(s)" if method in shown.seconds else "" for method in shown]
    upper = [words[0] if len(words) > 1 or unit else "" for words, unit in zip(headings, units, strict=True)]
    lower = [unit or words[-1] for words, unit in zip(headings, units, strict=True)]
    lines = [
        r"% Needs \usepackage{booktabs}.",
        r"\begin{table}",
        r"\centering",
        r"\scriptsize",
        rf"\setlength{{\tabcolsep}}{{{COLUMN_POINTS}pt}}",
        rf"\caption{{{latex_text(ratio_caption(comparison, comparison.rows, 'below'))}}}",
        rf"\begin{{tabular}}{{@{{}}l{'r' * len(units)}@{{}}}}",
        r"\toprule",
        latex_line(["", *upper]),
        latex_line(["", *lower]),
    ]
    for (architecture, length), group in groupby(comparison.rows, key=lambda row: (row.architecture, row.length)):
        rows = list(group)
        title = latex_text(f"{architecture_label(architecture)}, {length} letters")
        lines += [r"\midrule", rf"\multicolumn{{{1 + len(units)}}}{{@{{}}l}}{{\textit{{{title}}}}} \\"]
        for row, texts in zip(rows, short_texts(comparison, rows), strict=True):
            lines.append(latex_line([latex_text(framework_label(row.framework)), *map(latex_text, texts)]))
        if rows[0].paper is not None:
            published = (paper_text(comparison, rows[0], method) for method in shown)
            lines.append(latex_line([PAPER, *map(latex_text, published)]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def latex_table(comparison: Comparison, remark: str = "") -> str:
    r"""Write a ``table*`` environment, which needs ``\usepackage{booktabs}`` only; the remark ends its caption."""
    header = [*HEADER, *comparison.headings]
    lines = [
        r"% Needs \usepackage{booktabs}.",
        r"\begin{table*}",
        r"\centering",
        r"\scriptsize",
        rf"\setlength{{\tabcolsep}}{{{PAGE_POINTS}pt}}",
        rf"\caption{{{latex_text(' '.join(filter(None, (caption(comparison), remark))))}}}",
        rf"\begin{{tabular}}{{lrl{'r' * len(comparison.methods)}}}",
        r"\toprule",
        latex_line(map(latex_text, header)),
    ]
    for line in table_lines(comparison):
        if line.first:
            lines.append(r"\midrule")
        names = map(latex_text, (line.architecture, line.length, line.source))
        figures = [
            latex_text(text) + (rf"\textsuperscript{{{marks}}}" if marks else "") for text, marks in line.figures
        ]
        lines.append(latex_line([*names, *figures]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if comparison.notes:
        notes = [
            rf"\textsuperscript{{{mark(index)}}}~{latex_text(note)}" for index, note in enumerate(comparison.notes)
        ]
        lines += ["", r"\medskip", r"\parbox{\linewidth}{\raggedright\scriptsize " + "\\\\\n".join(notes) + "}"]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"
