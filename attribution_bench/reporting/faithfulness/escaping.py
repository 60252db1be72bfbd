"""Text as HTML: names come from outside, and are never markup."""

import html


def text(content: str) -> str:
    """Escape text, also for an attribute's value in double quotes."""
    return html.escape(content, quote=True)
