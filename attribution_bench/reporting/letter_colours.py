"""Colours of the letters in a logo."""

NUCLEOTIDES = {"A": "#109648", "C": "#255C99", "G": "#F7A600", "T": "#D62839", "U": "#D62839"}
"""The colours that readers of DNA logos expect; the letters' shapes carry the meaning without them."""
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


def letter_colours(alphabet: str) -> dict[str, str]:
    """Return the colour of each letter of an alphabet: nucleotides, amino acids, or grey where there is no convention.

    An alphabet with A, C, G and T or U counts as one of nucleotides unless it is as large as the amino acids', so that
    it may have further letters such as those of modified bases.
    """
    letters = set(alphabet)
    bases = set("ACG") <= letters and letters & set("TU") and len(letters) < len(CHEMISTRY)
    known = NUCLEOTIDES if bases or letters <= set(NUCLEOTIDES) else CHEMISTRY
    return {letter: known.get(letter, OTHER) for letter in alphabet}
