"""What the demo writes: plain lines, coloured for eyes only."""

import os
import sys
from dataclasses import dataclass
from typing import Final, TextIO

_CODES: Final = {"bold": "1", "dim": "2", "green": "32", "red": "31"}


@dataclass(frozen=True, slots=True)
class Terminal:
    """Writes lines to *stream*, which may be a file or a terminal that can't write every sign."""

    stream: TextIO
    coloured: bool

    @classmethod
    def stdout(cls) -> "Terminal":
        """Return standard output; coloured on a terminal, unless NO_COLOR says otherwise."""
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return cls(sys.stdout, coloured=sys.stdout.isatty() and not plain)

    def line(self, text: str) -> None:
        """Write a line at once, with "?" for what the stream's encoding has no sign for."""
        encoding = self.stream.encoding or "utf-8"
        self.stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
        self.stream.flush()

    def rows(self, *rows: tuple[str, ...]) -> None:
        """Write lines whose columns stand below one another; the last column is a remark."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for *columns, remark in rows:
            padded = [f"{text:<{width}}" for text, width in zip(columns, widths, strict=False)]
            self.line(f"  {'  '.join(padded)}  {self.paint(remark, 'dim')}".rstrip())

    def paint(self, text: str, colour: str) -> str:
        """Return *text* in that colour, or as it is."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.coloured and text else text
