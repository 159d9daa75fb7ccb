"""A field of a configuration: default, rule and help; a mistake's text."""

import dataclasses
import math
import types
import typing
from collections.abc import Sequence

from attngan_tf.errors import UserError


def option(
    default,
    help_text: str,
    *,
    choices: Sequence[str] = (),
    least: float | None = None,
    most: float | None = None,
    may_change: bool = False,
):
    """A field of `Config`: its default, help text and rule.

    `may_change` marks a field that a run may go on with another value of:
    where things lie, how long to train, what to report.
    """
    rule = {"choices": choices, "least": least, "most": most}
    metadata = {"help": help_text, "may_change": may_change, **rule}
    return dataclasses.field(default=default, metadata=metadata)


def plain_type(annotation) -> tuple[type, bool]:
    """A field's type without `| None`, and whether None was allowed."""
    if isinstance(annotation, types.UnionType):
        return typing.get_args(annotation)[0], True
    return annotation, False


def check_option(field: dataclasses.Field, value) -> None:
    """Raises UserError where a value breaks its field's rule."""
    kind, optional = plain_type(field.type)
    if value is None and optional:
        return
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (
        isinstance(value, bool) and kind is not bool
    ):
        raise UserError(
            f"--{field.name} must be of type {kind.__name__}; "
            f"received {value!r}"
        )
    if kind is float and not math.isfinite(value):
        raise UserError(f"--{field.name} must be finite; received {value!r}")
    rule = field.metadata
    if rule["choices"] and value not in rule["choices"]:
        raise UserError(
            f"--{field.name} must be one of {', '.join(rule['choices'])}; "
            f"received {value!r}"
        )
    if rule["least"] is not None and not value >= rule["least"]:
        raise UserError(
            f"--{field.name} must be at least {rule['least']}; "
            f"received {value!r}"
        )
    if rule["most"] is not None and not value <= rule["most"]:
        raise UserError(
            f"--{field.name} must be at most {rule['most']}; received {value!r}"
        )
