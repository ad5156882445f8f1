"""What all sections of the configuration share: frozen, no unknown keys, descriptions read from the class."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """A section of the configuration: immutable once read; an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, protected_namespaces=()
    )


Fraction = Annotated[float, Field(ge=0, le=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


def _switch_or_numbers(value: Any) -> Any:
    """One message for both; pydantic has one for each type of a union."""
    items = value if isinstance(value, list) else [value]
    numbers = all(isinstance(item, int | float) and not isinstance(item, bool) and item >= 0 for item in items)
    if not isinstance(value, bool) and not (isinstance(value, list) and numbers):
        raise ValueError("expected true, false or a list of numbers >= 0")
    return value


SwitchOrNumbers = Annotated[bool | list[float], BeforeValidator(_switch_or_numbers)]
Path = str
