"""Scores of generated images beside those of real ones."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Value(NamedTuple):
    """A score, its number of images N, and its spread if it has one."""

    mean: float
    n: int
    std: float | None = None

    def text(self) -> str:
        """Such as 35.20 +- 1.31; three significant digits below 1."""
        decimals = _decimals(max(abs(self.mean), self.std or 0.0))
        text = f"{self.mean:.{decimals}f}"
        if self.std is not None:
            text += f" +- {self.std:.{decimals}f}"
        return text

    def numbers(self, name: str) -> dict[str, float]:
        """Mean, N and spread by their names in metrics.jsonl."""
        numbers = {name: self.mean, f"{name}_n": self.n}
        if self.std is not None:
            numbers[f"{name}_std"] = self.std
        return numbers


class Row(NamedTuple):
    """A score of generated images, and the same score of real images."""

    name: str
    label: str
    generated: Value | None
    real: Value | None = None

    def numbers(self) -> dict[str, float]:
        """The numbers of both; names of real scores begin with real_."""
        found = self.generated.numbers(self.name) if self.generated else {}
        if self.real:
            found |= self.real.numbers(f"real_{self.name}")
        return found


def _decimals(size: float) -> int:
    """Number of decimals: a KID is often below 0.001."""
    if not 0 < size < 1:  # NaN as well
        return 2
    return max(4, 2 - math.floor(math.log10(size)))


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text, under a line of headings."""
    cells = [["", "N", "generated", "N", "real"]]
    for row in rows:
        cells.append([row.label])
        for value in (row.generated, row.real):
            cells[-1] += [f"{value.n:,}", value.text()] if value else ["", ""]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for label, *values in cells:
        padded = [v.rjust(w) for v, w in zip(values, widths[1:], strict=True)]
        lines.append("  ".join([label.ljust(widths[0]), *padded]))
    return "\n".join(lines)
