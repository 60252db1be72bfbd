"""Colours of the letters in logos, bars and pages: the one source of them."""

NUCLEOTIDES = {"A": "#009E73", "C": "#3270B8", "G": "#BD7900", "T": "#D62839", "U": "#D62839"}
"""The hues that readers of DNA logos expect, so that all four show on white and on dark paper, and bars without the
letters' shapes are told apart by colour-blind readers: the green is bluish, the yellow a dark one."""
CHEMISTRY = {
    **dict.fromkeys("GSTYC", "#008000"),  # polar
    **dict.fromkeys("QN", "#800080"),  # amides
    **dict.fromkeys("KRH", "#0000FF"),  # basic
    **dict.fromkeys("DE", "#FF0000"),  # acidic
    **dict.fromkeys("AVLIPWFM", "#000000"),  # hydrophobic
}
"""Colours of amino acids by their side chains: logomaker's scheme of that name."""
OTHER = "#6E6E6E"
"""Colour of a letter that has no conventional colour."""
ON_DARK = {
    "#008000": "#158A3D",
    "#800080": "#C77DDB",
    "#0000FF": "#7C9BFF",
    "#FF0000": "#FF6A5E",
    "#000000": "#E6E9EE",
    OTHER: "#9AA3B0",
}
"""What stands for a colour on dark paper where the colour itself is too dark; the others stay."""


def letter_colours(alphabet: str) -> dict[str, str]:
    """Return the colour of each letter of an alphabet: nucleotides, amino acids, or grey where there is no convention.

    An alphabet with A, C, G and T or U counts as one of nucleotides unless it is as large as the amino acids', so that
    it may have further letters such as those of modified bases.
    """
    letters = set(alphabet)
    bases = set("ACG") <= letters and letters & set("TU") and len(letters) < len(CHEMISTRY)
    known = NUCLEOTIDES if bases or letters <= set(NUCLEOTIDES) else CHEMISTRY
    return {letter: known.get(letter, OTHER) for letter in alphabet}
