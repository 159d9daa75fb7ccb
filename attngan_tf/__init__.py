"""AttnGAN in TensorFlow: images from captions.

`attngan_tf.load(workdir)` returns a trained model: `text_to_image.TextToImage`.
"""

from attngan_tf.cli.startup import start_command, use_onednn

__version__ = "0.1.0"

use_onednn()
start_command()  # before any module of a command imports TensorFlow


def __getattr__(name: str):
    # TensorFlow takes seconds to import, so only `load` imports it.
    if name == "load":
        from attngan_tf.text_to_image import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
