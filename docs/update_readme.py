"""Put the table of reports/reproduce-paper into README.md, between its two comments: ``make readme``."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(?<=<!-- table1 -->\n).*?(?=\n<!-- /table1 -->)", re.DOTALL)
MISSING = "Not measured yet: `make reproduce-paper`, then `make readme`."


def table() -> str:
    """Return what belongs between the comments: the measured table, or what to do to have one."""
    path = ROOT / "reports" / "reproduce-paper" / "table.md"
    return path.read_text(encoding="utf-8").strip() if path.exists() else MISSING


if __name__ == "__main__":
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(BLOCK.sub(lambda _: table(), text), encoding="utf-8")
