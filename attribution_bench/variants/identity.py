"""Identity of a table of effects: the settings that its numbers depend on, in a file beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attribution_bench._version import __version__
from attribution_bench.described import described
from attribution_bench.errors import InvalidInputError
from attribution_bench.files import write_whole
from attribution_bench.jobs.differences import differences
from attribution_bench.jobs.elsewhere import SAME_CODE, here
from attribution_bench.models.digest import structure_digest, weights_digest
from attribution_bench.sequences.genome import Genome
from attribution_bench.variants.effects import ScalarEffects
from attribution_bench.variants.further_inputs import further_inputs
from attribution_bench.variants.options import ScoringOptions
from attribution_bench.variants.score import VariantScorer

NAMED = ("genome", "genes")
"""Settings that are names of files whose digests stand beside them."""


def identity_of(scorer: VariantScorer) -> dict[str, Any]:
    """Return what the numbers of a scorer depend on, JSON-able: digests of models, genome and inputs, and options.

    Names of the genome and of the genes are told, too; what counts are their digests, see `check_settings`.

    Raises
    ------
    SequenceError
        The genome or a track cannot be read.
    """
    options, models = scorer.options, [member.predictor.model for member in scorer.members]
    return {
        "weights_sha256": [weights_digest(model) for model in models],
        "structure_sha256": [structure_digest(model) for model in models],
        "methods": [member.method for member in scorer.members],
        "genome": scorer.genome.path.name,
        "genome_sha256": scorer.genome.digest,
        "effects": described(options.effects or ScalarEffects(options.target)),
        "length": options.length,
        "strand": options.strand or "+" if options.genes is None else "of the gene",
        **({"alleles": "as written"} if options.as_written else {}),
        "share_within": options.share_within,
        "overhang": options.overhang,
        "largest_unknown_share": options.largest_unknown_share,
        "batch_size": options.batch_size,
        "each_model": options.each_model,
        "further_inputs": scorer.inputs.description,
        **({} if options.genes is None else {"genes": options.genes.name, "genes_sha256": options.genes.digest}),
        "framework": models[0].framework,
        "layout": models[0].layout,
        "sequence_input": models[0].sequence_input,
        "device": models[0].device,
        "dtype": str(models[0].numpy_dtype),
        "precision": {"level": models[0].precision, **models[0].precision_state()},
        "versions": {"attribution-bench": __version__, **models[0].versions()},
    }


def found_by_each(genome: Genome, options: ScoringOptions) -> dict[str, Any]:
    """Return the part of an identity that each process reads or imports for itself; the rest travels to it as it is.

    Raises
    ------
    SequenceError
        The genome or a track cannot be read.
    """
    return {
        "genome_sha256": genome.digest,
        "effects": described(options.effects or ScalarEffects(options.target)),
        "further_inputs": further_inputs(options.additional_forward_args).description,
    }


def check_found(identity: Mapping[str, Any], there: Mapping[str, Any], genome: Genome) -> None:
    """Check that this process found what the one did that started the job, as far as it is known.

    Raises
    ------
    InvalidInputError
        It found something else; the message says what, and on which machine.
    """
    other = [name for name in there if there[name] != identity[name]]
    if not other:
        return
    if "genome_sha256" in other:
        what, advice = f"the genome {genome.path} is another file", "have the same file everywhere"
    elif "further_inputs" in other:
        shown = differences(there["further_inputs"], identity["further_inputs"], "job")
        what, advice = f"further inputs are other ones ({shown})", "have the same files everywhere"
    else:
        what, advice = "the effects are made of other code or settings", SAME_CODE
    raise InvalidInputError(f"{what} {here()} than where the job was started; {advice}")


def settings_path(table: Path) -> Path:
    """Return the file beside a table that holds its settings."""
    return table.with_name(table.name + ".json")


def write_settings(table: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a table that is about to be begun; raises OutputError."""
    write_whole(settings_path(table), json.dumps(settings, indent=2) + "\n")


def read_settings(table: Path) -> dict[str, Any] | None:
    """Return the settings of a table; None where they are missing or cannot be read."""
    try:
        found = json.loads(settings_path(table).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def check_settings(table: Path, settings: Mapping[str, Any]) -> None:
    """Check that a table, complete or not, is of the settings asked for.

    Raises
    ------
    InvalidInputError
        It is of others, which the message shows, or it is not known of which.
    """
    before = read_settings(table)
    if before is None:
        raise InvalidInputError(
            f"{table} is begun, but {settings_path(table).name}, which tells its settings, is missing or damaged; "
            "choose another --output, or --restart to begin anew"
        )
    same = {name for name in NAMED if before.get(f"{name}_sha256") == settings.get(f"{name}_sha256")}
    there, here = ({k: v for k, v in one.items() if k not in same} for one in (before, settings))
    shown = differences(there, here, "table")
    if shown:
        raise InvalidInputError(
            f"{table} is of other settings: {shown}. Give those, choose another --output, or --restart to begin anew, "
            "which removes the table"
        )
