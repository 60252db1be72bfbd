"""Identity of a table of effects: the settings that its numbers depend on, in a file beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attribution_bench.errors import InvalidInputError
from attribution_bench.files import write_whole
from attribution_bench.jobs.differences import differences


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
    shown = differences(before, settings, "table")
    if shown:
        raise InvalidInputError(
            f"{table} is of other settings: {shown}. Give those, choose another --output, or --restart to begin anew, "
            "which removes the table"
        )
