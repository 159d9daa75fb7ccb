"""Compares an exported model's outputs with those of the original model."""

import io
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image

EXACT = 1e-4  # float32: largest difference, relative to values above 1
ROUGH = 0.02  # bfloat16: mean difference, relative to the largest value


def differences(
    expected: Mapping[str, Mapping[str, np.ndarray]],
    found: Mapping[str, Mapping[str, np.ndarray]],
    exact: bool,
) -> list[str]:
    """One line for each output that differs, with the difference.

    Args:
      expected: outputs by name, by signature.
      found: the exported model's outputs.
      exact: whether floats must agree to 1e-4 and pixels to one level;
        otherwise the mean difference must be at most 0.02 of the largest
        value (for pixels, of half of their range).
    """
    lines = []
    for signature, outputs in expected.items():
        if set(found.get(signature, ())) != set(outputs):
            lines.append(f"{signature} has other outputs")
            continue
        for name, value in outputs.items():
            for fault in _faults(value, found[signature][name], exact):
                lines.append(f"{name} of {signature} {fault}")
    return lines


def _faults(expected, found, exact: bool) -> Iterator[str]:
    if expected.dtype == object and expected.flat[0].startswith(b"\x89PNG"):
        expected, found = _pixels(expected), _pixels(found)
    if expected.shape != found.shape:
        yield f"has shape {found.shape}, not {expected.shape}"
    elif expected.dtype.kind in "fu":
        difference, limit = _difference(expected, found, exact)
        if not difference <= limit:  # also true of NaN
            yield f"differs by {difference:.2g}; at most {limit:.2g} is allowed"
    elif not np.array_equal(expected, found):
        yield "differs"


def _difference(expected, found, exact: bool) -> tuple[float, float]:
    """The difference of two arrays, and the largest that is allowed."""
    errors = np.abs(expected.astype(np.float64) - found)
    if expected.dtype == np.uint8:
        return (errors.max(), 1) if exact else (errors.mean(), ROUGH * 127.5)
    largest = np.abs(expected).max()
    if exact:
        return errors.max(), EXACT * max(1.0, largest)
    return errors.mean(), ROUGH * largest


def _pixels(encoded: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(b))) for b in encoded])
