"""PNG files with text chunks: captions, seeds, step."""

from collections.abc import Sequence

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from attngan_tf import __version__


def save(
    image: Image.Image, path: str, **texts: str | float | Sequence[str | float]
) -> None:
    """Writes an image with text chunks, which PIL reads as `image.text`.

    Args:
      image: the image.
      path: path of the file.
      texts: texts by keyword. Each value of a sequence becomes a line, with
        its white space collapsed. They are written as iTXt, which holds any
        language; invalid Unicode becomes "?".
    """
    info = PngInfo()
    # A keyword of the PNG standard.
    info.add_itxt("Software", f"attngan_tf {__version__}")
    for keyword, value in texts.items():
        info.add_itxt(keyword, _valid(_lines(value)))
    image.save(path, pnginfo=info)


def _lines(value: str | float | Sequence[str | float]) -> str:
    if isinstance(value, str | float | int):
        return str(value)
    return "\n".join(" ".join(str(line).split()) for line in value)


def _valid(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
