"""Fields of a configuration: default, rule, help text and validation."""

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
    minimum: float | None = None,
    maximum: float | None = None,
    may_change: bool = False,
):
    """A field of `Config`: its default, help text and rule.

    `may_change` marks a field whose value may change when a run is resumed:
    folders, the length of the training, reports.
    """
    rule = {"choices": choices, "minimum": minimum, "maximum": maximum}
    metadata = {"help": help_text, "may_change": may_change, **rule}
    return dataclasses.field(default=default, metadata=metadata)


def plain_type(annotation) -> tuple[type, bool]:
    """The type of a field without `| None`, and whether None is allowed."""
    if isinstance(annotation, types.UnionType):
        return typing.get_args(annotation)[0], True
    return annotation, False


def check_option(field: dataclasses.Field, value) -> None:
    """Raises UserError if a value breaks the rule of its field."""
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
    if rule["minimum"] is not None and not value >= rule["minimum"]:
        raise UserError(
            f"--{field.name} must be at least {rule['minimum']}; "
            f"received {value!r}"
        )
    if rule["maximum"] is not None and not value <= rule["maximum"]:
        raise UserError(
            f"--{field.name} must be at most {rule['maximum']}; "
            f"received {value!r}"
        )
