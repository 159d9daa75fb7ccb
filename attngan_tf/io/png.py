"""PNG files that say what they show."""

from collections.abc import Sequence

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from attngan_tf import __version__


def save(
    image: Image.Image, path: str, **texts: str | float | Sequence[str | float]
) -> None:
    """Writes a picture with text chunks, which PIL's `image.text` gives back.

    Args:
      image: to write.
      path: of the file.
      texts: by keyword. Of a sequence, each value becomes a line, and its own
        white space single spaces. They are written as iTXt, which holds any
        language; what is no valid Unicode becomes "?".
    """
    info = PngInfo()
    # A keyword that the PNG standard defines.
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
