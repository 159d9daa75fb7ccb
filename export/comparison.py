"""Are the answers of an exported model those of the model it came from?"""

import io
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image

EXACT = 1e-4  # of the [-1, 1] range, in float32
ROUGH = 0.02  # of the largest value, on average, in bfloat16


def differences(
    expected: Mapping[str, Mapping[str, np.ndarray]],
    found: Mapping[str, Mapping[str, np.ndarray]],
    exact: bool,
) -> list[str]:
    """Lines that say which outputs differ, and by how much.

    Args:
      expected: outputs by name, by signature.
      found: the same of the exported model.
      exact: whether floats agree to 1e-4 and pixels to a level; otherwise
        they agree on average, to 0.02 of the largest (pixels: of [-1, 1]).
    """
    lines = []
    for signature, outputs in expected.items():
        if set(found.get(signature, ())) != set(outputs):
            lines.append(f"{signature} gives other outputs")
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
        size, most = _distance(expected, found, exact)
        if not size <= most:  # NaN is a difference, too
            yield f"differs by {size:.2g}; at most {most:.2g} is allowed"
    elif not np.array_equal(expected, found):
        yield "differs"


def _distance(expected, found, exact: bool) -> tuple[float, float]:
    """How far numbers are apart, and how far they may be."""
    apart = np.abs(expected.astype(np.float64) - found)
    if expected.dtype == np.uint8:
        return (apart.max(), 1) if exact else (apart.mean(), ROUGH * 127.5)
    largest = np.abs(expected).max()
    if exact:
        return apart.max(), EXACT * max(1.0, largest)
    return apart.mean(), ROUGH * largest


def _pixels(encoded: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(b))) for b in encoded])
