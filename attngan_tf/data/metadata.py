"""Reads metadata.csv and metadata.jsonl, as Hugging Face's imagefolder."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping

from attngan_tf.data.findings import Findings, read_text
from attngan_tf.io.text import numbered_lines

_COLUMNS = ("file_name", "text")


def rows(
    source: str, file: str, findings: Findings
) -> Iterator[tuple[str, str, list[str]]]:
    """The location, path of the image, and captions of each valid row.

    Faults of other rows, and notes of other columns, are added to `findings`.
    """
    text = read_text(source, file, findings)
    found = _csv_rows(text) if file.endswith(".csv") else _json_rows(text)
    unused = set()
    for number, row in found:
        where = f"{file} line {number}"
        if isinstance(row, str):
            findings.fault(where, row)
        elif not row.keys() >= set(_COLUMNS):
            findings.fault(
                file,
                f"must have file_name and text in each row; found "
                f"{', '.join(row) or 'none'}",
            )
        elif texts := _texts(row):
            name = row["file_name"].replace("\\", "/").removeprefix("./")
            path = os.path.join(os.path.dirname(file), name)
            yield where, path, texts
            unused |= row.keys() - set(_COLUMNS)
        else:
            findings.fault(
                where,
                "file_name must be a string, and text a caption or a list of "
                f"captions; found {str(row)[:80]}",
            )
    for column in sorted(unused):
        findings.note("columns not used", f"{file}: {column}")


def _csv_rows(text: str) -> Iterator[tuple[int, dict | str]]:
    """Numbers of lines, and their rows or what is wrong with them."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if text and not set(reader.fieldnames) >= set(_COLUMNS):
            yield 1, dict.fromkeys(reader.fieldnames)
            return
        for row in reader:
            if None in row or None in row.values():
                row = (
                    f"must have {len(reader.fieldnames)} columns, as line 1; a "
                    "caption with a comma must be in double quotes"
                )
            yield reader.line_num, row
    except csv.Error as error:
        # The line on which the row begins.
        yield reader.line_num + 1, f"must be CSV; {error}"


def _json_rows(text: str) -> Iterator[tuple[int, dict | str]]:
    """As `_csv_rows`, of lines that hold a JSON object each."""
    for number, line in numbered_lines(text):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            row = f"must be JSON; {error}"
        is_row = isinstance(row, dict | str) and line[0] == "{"
        yield (
            number,
            row if is_row else f"must be a JSON object; found {line[:80]}",
        )


def _texts(row: Mapping) -> list[str]:
    """The captions of a row, each in one line; none if a type is wrong."""
    texts = row["text"]
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(row["file_name"], str) or not isinstance(texts, list):
        return []
    if not all(isinstance(text, str) for text in texts):
        return []
    # A lone surrogate, which JSON can hold, becomes U+FFFD.
    texts = [
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        for text in texts
    ]
    return [" ".join(text.split()) for text in texts]
