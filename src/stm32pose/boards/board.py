"""`Board`: what a board has, read from YAML. What fits on it is decided in `stm32pose.benchmark`."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from stm32pose.config.base import Positive, PositiveInt
from stm32pose.errors import ConfigError, did_you_mean

FOLDER = Path(__file__).parent
STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, config=STRICT)
class Pool:
    """A memory of the board: one piece of address space of one speed."""

    name: str
    """Its name in the data sheet."""
    kib: Positive
    """Size in KiB."""
    external: bool = False
    """Outside the chip."""
    activations: bool = True
    """Whether tensors may lie there; false for memory that the application needs."""


@dataclass(frozen=True, config=STRICT)
class Accelerator:
    """A neural accelerator beside the processor."""

    name: str
    """The vendor's name."""
    precision: Literal["int8"] = "int8"
    """Arithmetic."""
    operators: tuple[str, ...] = ()
    """TFLite names of the operators it runs; empty: not known, all."""
    per_tensor_only: bool = False
    """Per-channel models do not run on it."""


@dataclass(frozen=True, config=STRICT)
class Board:
    """A board. Sizes in KiB, clock in MHz."""

    name: str
    """ST's spelling."""
    device: str
    """Part number of the chip."""
    series: str
    """STM32H7 and so on."""
    core: str
    """The processor that runs the network."""
    mhz: Positive
    """Clock of the latency estimate, in MHz."""
    ram: tuple[Pool, ...]
    """RAM of the chip and of the board, fastest first."""
    flash: tuple[Pool, ...]
    """Flash of the chip and storage of the board, fastest first."""
    source: str
    """Where the facts come from; `from memory` where no document was at hand."""
    aliases: tuple[str, ...] = ()
    """Other spellings."""
    kind: Literal["mcu", "mpu"] = "mcu"
    """Microcontroller, or microprocessor under Linux."""
    cores: PositiveInt = 1
    """Processor cores used."""
    fpu: Literal["none", "single", "double"] | None = None
    """Floating-point unit of the processor, where it is not its core's usual one (M4 and M33 single, M7 double)."""
    max_mhz: float | None = None
    """Fastest clock of the chip in MHz."""
    accelerator: Accelerator | None = None
    """Neural accelerator, if there is one."""
    latency: str | None = None
    """Family of the cost model for per-channel models (docs/boards.md); null: latency is not estimated."""
    latency_per_tensor: str | None = None
    """Family for per-tensor models, where it differs."""
    note: str = ""
    """What else to know."""

    @property
    def internal_ram_kib(self) -> float:
        """RAM inside the chip where activations may lie, in KiB."""
        return sum(pool.kib for pool in self.ram if pool.activations and not pool.external)

    @property
    def external_ram_kib(self) -> float:
        """RAM outside the chip, in KiB."""
        return sum(pool.kib for pool in self.ram if pool.activations and pool.external)

    @property
    def internal_flash_kib(self) -> float:
        """Flash inside the chip, in KiB."""
        return sum(pool.kib for pool in self.flash if not pool.external)

    @property
    def external_flash_kib(self) -> float:
        """Flash or storage outside the chip, in KiB."""
        return sum(pool.kib for pool in self.flash if pool.external)


def board_names() -> list[str]:
    """Names of the boards that ship with this package, sorted."""
    return sorted(board.name for board in _shipped().values())


def load_board(name_or_path: str) -> Board:
    """A shipped board by name or alias (case and `_` for `-` do not matter), or your own by the path of its YAML.

    Raises:
        ConfigError: an unknown name, or a YAML that does not describe a board.
    """
    if name_or_path.lower().endswith((".yaml", ".yml")):
        return read_board(Path(name_or_path))
    known = {_spelling(alias): board for board in _shipped().values() for alias in (board.name, *board.aliases)}
    if (found := known.get(_spelling(name_or_path))) is not None:
        return found
    near = get_close_matches(_spelling(name_or_path), list(known), n=1, cutoff=0.6)
    guess = f"; did you mean '{known[near[0]].name}'?" if near else ""
    raise ConfigError(
        f"benchmarking.board: got '{name_or_path}'{guess}; `stm32pose boards` lists those known; "
        "for another board give the path of a YAML (docs/boards.md)"
    )


def read_board(path: Path) -> Board:
    """The board a YAML file describes. ConfigError: one line that says what is wrong with the file."""
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"benchmarking.board: {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"benchmarking.board: {path} is not valid YAML: {problem}") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"benchmarking.board: {path}: got no mapping; a board has name, device, core, ram, flash, ..."
        )
    try:
        return TypeAdapter(Board).validate_python(content)
    except ValidationError as error:
        raise ConfigError(f"benchmarking.board: {path}: {_complaints(error)}") from error


def _complaints(error: ValidationError) -> str:
    """All complaints of pydantic in one line: `ram.0.kib: input should be greater than 0, got -1`."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "missing":
            parts.append(f"{where}: missing")
        elif item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            parts.append(f"{where}: unknown key{did_you_mean(where.split('.')[-1], Board.__dataclass_fields__)}")
        else:
            parts.append(f"{where}: {item['msg'][0].lower()}{item['msg'][1:]}, got {item['input']!r}")
    return "; ".join(parts)


@cache
def _shipped() -> dict[str, Board]:
    return {path.stem: read_board(path) for path in sorted(FOLDER.glob("*.yaml"))}


def _spelling(name: str) -> str:
    return name.strip().upper().replace("_", "-").replace(" ", "-")
