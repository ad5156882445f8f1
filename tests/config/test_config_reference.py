"""The reference holds every key, is YAML, and the page of the documentation is up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from stm32pose.config.base import Section
from stm32pose.config.load import load_config
from stm32pose.config.reference import reference, reference_markdown
from stm32pose.config.schema import Config

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference.md"


def sections(section: type[Section], path: str = ""):
    yield path, section
    for name, field in section.model_fields.items():
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, Section):
                yield from sections(candidate, f"{path}.{name}".lstrip("."))


def test_every_key_is_there():
    content = yaml.safe_load(reference())
    for path, section in sections(Config):
        node = content
        for key in filter(None, path.split(".")):
            node = node[key]
        if isinstance(node, list):  # of sections: the keys of an item stand below it, commented out
            found = re.findall(
                r"^ +#   (\w+): ", reference().partition(f" {path.rpartition('.')[2]}: [")[2], re.MULTILINE
            )
            assert found[: len(section.model_fields)] == list(section.model_fields), path
            continue
        assert list(node) == list(section.model_fields), path


@pytest.mark.parametrize(("path", "section"), list(sections(Config)), ids=lambda value: str(value))
def test_every_key_is_described(path, section):
    assert section.__doc__
    for name, field in section.model_fields.items():
        assert field.description, f"{path}.{name} has no description"


def test_the_defaults_shown_are_the_defaults():
    content = yaml.safe_load(reference().replace(": ???", ": x"))
    content["operation_mode"] = "evaluation"
    content["model"]["model_path"] = "m.keras"
    content["dataset"] |= {"test_path": "x", "keypoints": 17}
    minimal = {
        "operation_mode": "evaluation",
        "model": {"model_path": "m.keras"},
        "dataset": {"test_path": "x", "keypoints": 17},
    }
    full, short = load_config(content, check_paths=False), load_config(minimal, check_paths=False)
    optional = {"training", "quantization", "benchmarking", "deployment", "mlflow", "clearml"}
    assert full.model_dump(exclude=optional) == short.model_dump(exclude=optional)


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference_markdown(), (
        "run: stm32pose schema --markdown > docs/reference.md"
    )


def test_no_line_is_too_long():
    assert max(len(line) for line in reference().splitlines()) <= 125
    assert not re.search(r"\s+$", reference().replace("\n", "|"), re.MULTILINE)
