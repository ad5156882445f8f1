"""Reading YAML files, as Hydra composes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from stm32pose.config.marks import check_yaml
from stm32pose.config.paths import missing_file
from stm32pose.errors import ConfigError


def compose_file(path: Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The plain values of a YAML file with Hydra's `key=value` overrides; `${...}` are not resolved yet.

    Raises:
        ConfigError: no such file, no YAML, or an override that does not fit.
    """
    values = _compose(path, overrides, hydra=False)
    return {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}


def hydra_section(path: Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Hydra's own settings for a run of a YAML file, `${...}` not resolved. ConfigError: as `compose_file`."""
    values = _compose(path, overrides, hydra=True)
    return values["hydra"] if isinstance(values, dict) else {}


def _compose(path: Path, overrides: Iterable[str], *, hydra: bool) -> Any:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    check_file(path)
    overrides = open_overrides(path, overrides)
    previous = GlobalHydra.instance().hydra
    try:
        with initialize_config_dir(version_base=None, config_dir=str(path.resolve().parent)):
            config = compose(config_name=path.name, overrides=overrides, return_hydra_config=hydra)
        return OmegaConf.to_container(config, resolve=False)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(hydra_message(path, error)) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    finally:
        GlobalHydra.instance().hydra = previous


def open_overrides(path: Path, arguments: Iterable[str]) -> list[str]:
    """Hydra's `key=value` as `++key=value`, so that keys which the file leaves to their defaults need no plus.

    The schema refuses unknown keys anyway, with a better message. A file with a defaults list keeps Hydra's own rules
    (there `key=value` may choose a file), and so do `hydra.*`, flags and what has a prefix already.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    arguments = list(arguments)
    if not isinstance(content, dict) or "defaults" in content:
        return arguments
    plain = [part[:1] not in "+~-" and "=" in part and not part.startswith("hydra.") for part in arguments]
    return [f"++{part}" if is_plain else part for part, is_plain in zip(arguments, plain, strict=True)]


def check_file(path: Path) -> None:
    """Raise ConfigError where `path` is not a YAML file that Hydra can read."""
    if not path.is_file():
        raise ConfigError(f"{path}: {missing_file(path)}")
    if path.suffix != ".yaml":
        raise ConfigError(f"{path}: a configuration file ends in .yaml")
    check_yaml(path)


def read_mapping(path: Path) -> dict[str, Any] | None:
    """The plain values of a YAML file that another one leans on; None where it is not there.

    Raises:
        ConfigError: it is there and is no YAML.
    """
    if not path.is_file():
        return None
    from stm32pose.config.interpolation import resolve

    check_yaml(path)
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values.pop("hydra", None)
    resolved, problems = resolve(values)
    if problems:
        raise ConfigError("\n".join(f"{path}: {message}" for _, message in problems))
    return resolved


def hydra_message(path: Path, error: Exception) -> str:
    """Hydra's message on one line, with the file in front."""
    if type(error).__name__ == "OverrideParseException":
        first = str(error).split("\n")[0].replace("'++", "'")
        return f"command line: {first}; write key=value, with quotes around blanks: 'key=\"a b\"'"
    parts = [" ".join(str(error).split())]
    if error.__cause__ is not None:
        first = str(error.__cause__).strip().split("\n")[0]
        if first and first not in parts[0]:
            parts.append(first)
    return f"{path}: {'; '.join(part for part in parts if part)}"
