"""A configuration as a command's flags."""

from attngan_tf.config import Config


def flags_of(config: Config) -> list[str]:
    """A flag for each field that has a value."""
    return [
        f"--{name}={value}"
        for name, value in vars(config).items()
        if value is not None
    ]
