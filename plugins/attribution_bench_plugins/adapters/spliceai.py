"""SpliceAI: the five trained models of Illumina's package, as one model that averages them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attribution_bench.errors import ModelError
from attribution_bench.models.adapters import Adapter, ModelCard
from attribution_bench.models.model_files import read_keras
from attribution_bench_plugins.adapters.keras_ensembles import averaged
from attribution_bench_plugins.adapters.package_files import package_file
from attribution_bench_plugins.adapters.splice_scores import CONTEXT, DISTANCE, OPTIONS, splice_scores, window_length

if TYPE_CHECKING:
    from attribution_bench.sequences import Genes, Genome
    from attribution_bench.variants import SplicingEffects

PACKAGE = "spliceai"
MEMBERS = range(1, 6)


class SpliceAI(Adapter):
    """The five models of the package ``spliceai``, alone or averaged. The package itself is not imported."""

    def cards(self) -> Sequence[ModelCard]:
        """Return the one card."""
        return [
            ModelCard(
                name="spliceai",
                summary="probability of each letter to be a splice acceptor or donor; mean of five models",
                package=PACKAGE,
                length=window_length(DISTANCE),
                fixed=False,
                outputs=f"(letters - {CONTEXT:,}, 3): neither, acceptor, donor; of 10,101 letters 50,1 is the middle "
                "one as acceptor, 50,2 as donor",
                licence="code GPL-3.0; weights CC BY-NC 4.0, other uses licensed by Illumina",
                citation="Jaganathan et al., Cell 176, 535 (2019)",
                options={
                    "member": "one of the five models instead of their mean: 1 to 5",
                    **OPTIONS,
                    "genes": "grch37 or grch38, whose genes the package has, a file of the same form, or none for the "
                    "strand +; by default those of the package whose splice sites the genome has",
                },
            )
        ]

    def open(self, name: str, *, length: int | None = None, member: int | None = None, **of_variants: Any) -> Any:
        """Return a keras.Model, (N, length, 4) to (N, length - 10,000, 3).

        Raises
        ------
        ModelError
            There is no such member, the length leaves nothing to predict, or a file cannot be read.
        """
        if length is not None and length <= CONTEXT:
            raise ModelError(f"{name} takes more than {CONTEXT:,} letters, of which {CONTEXT:,} are context")
        if member is not None:
            if member not in MEMBERS:
                raise ModelError(f"{name} has the members 1 to {MEMBERS[-1]}, not {member}")
            return self._member(member)
        return averaged([self._member(number) for number in MEMBERS], [("sequence", (None, 4))], name)

    def effects(self, name: str, *, distance: int = DISTANCE, masked: int = 0, **options: Any) -> "SplicingEffects":
        """Return SpliceAI's scores: gain and loss of acceptor and donor within a distance."""
        return splice_scores(name, distance, masked)

    def default_length(self, name: str, *, distance: int = DISTANCE, **options: Any) -> int:
        """Return the letters that the distance needs, with the context."""
        return window_length(distance)

    def genes(self, name: str, genome: "Genome", *, genes: str | None = None, **options: Any) -> "Genes | None":
        """Return the package's genes for a genome, or those of a file; see `package_genes`."""
        from attribution_bench_plugins.adapters.package_genes import package_genes

        return package_genes(name, PACKAGE, "spliceai/annotations", genome, genes)

    def _member(self, number: int) -> Any:
        return read_keras(package_file(PACKAGE, f"spliceai/models/spliceai{number}.h5"))
