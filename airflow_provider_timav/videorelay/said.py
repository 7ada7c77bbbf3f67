"""Make the service's own words fit to be quoted in a message.

Such a text may come from anything that answers: it may hold line breaks that forge a log's lines, characters that turn a
terminal's writing round, the UserSig that was sent, or a mebibyte. There is no I/O in here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

__all__ = ["LONGEST", "fit_to_quote"]

LONGEST: Final = 200
"""Characters of a text that are quoted."""

# A credential, a line of a key or an address with its query; no word of a sentence is as long.
_LONG_WORD: Final = re.compile(r"[!-~]{41,}")


def fit_to_quote(text: Any) -> str:
    """Return a text in one line of at most 200 characters, without characters that are no writing; "" if it is no text.

    Control and format characters, halves of surrogate pairs and unassigned ones become blanks, a word of more than 40 ASCII
    characters becomes ``…``, and double quotes become single ones.
    """
    if not isinstance(text, str):
        return ""
    # Most of a long text is never shown; a little more than is shown is enough to see that.
    start = text[: 20 * LONGEST]
    written = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in start).replace('"', "'")
    line = " ".join(_LONG_WORD.sub("…", written).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"
