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
        text = str(value)
        if isinstance(value, Sequence) and not isinstance(value, str):
            text = "\n".join(" ".join(str(line).split()) for line in value)
        info.add_itxt(keyword, text.encode("utf-8", "replace").decode())
    image.save(path, pnginfo=info)
