"""Before the first step: model file, skeleton and sets of images, so that what is missing is said at once."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.config.rules import calibrates_on_random_images
from stm32pose.config.schema import Config
from stm32pose.config.suffixes import model_kind
from stm32pose.errors import ConfigError
from stm32pose.operations.artifacts import Artifacts
from stm32pose.reporting.run import Run

if TYPE_CHECKING:
    from stm32pose.data.filter import Filtered
    from stm32pose.data.sample import Sample
    from stm32pose.data.splits import Splits
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

# The sets that a step reads.
NEEDS = {"train": {"training", "validation"}, "evaluate": {"evaluation"}, "quantize": {"quantization"}}


def prepare(config: Config, run: Run) -> Artifacts:
    """Fetch the model, read the labels, split them, and record both in the run folder.

    Raises:
        ConfigError: a path or a set that a step needs is missing.
        UserError: labels are broken, or no image was found.
    """
    log.info("seed: %s", config.general.global_seed)
    artifacts = Artifacts()
    trains = config.steps[0] == "train"
    if config.model.model_path and not trains:
        artifacts = artifacts.with_model(model_file(config.model.model_path, run))
    if trains or any(model_kind(path) == "keras" for path in (*artifacts.models, *config.evaluation.models)):
        from stm32pose.training.runtime import prepare_runtime

        prepare_runtime(config)
    needs = set().union(*(NEEDS.get(step, set()) for step in config.steps))
    if calibrates_on_random_images(config):
        needs -= NEEDS["quantize"]
    if needs:
        return _with_data(config, run, artifacts, needs)
    if config.dataset.skeleton or config.dataset.keypoints:
        # Prediction and deployment name joints; without these keys they ask the model.
        from stm32pose.skeletons.skeleton import resolve_skeleton

        artifacts = replace(artifacts, skeleton=resolve_skeleton(config.dataset))
    return artifacts


def model_file(path: str, run: Run) -> Path:
    """The model's file; an https address is fetched into the run folder."""
    if "://" in path:
        from stm32pose.models.load import fetch

        return fetch(path, run.path("pretrained_model", "x").parent)
    if not Path(path).is_file():
        raise ConfigError(f"model.model_path: {path} does not exist")
    return Path(path)


def _with_data(config: Config, run: Run, artifacts: Artifacts, needs: set[str]) -> Artifacts:
    from stm32pose.data.splits import make_splits, splits_manifest, unlabelled_splits
    from stm32pose.skeletons.skeleton import resolve_skeleton

    labels = needs != {"quantization"} or config.dataset.skeleton or config.dataset.keypoints
    skeleton = resolve_skeleton(config.dataset) if labels else None
    splits = make_splits(config.dataset, skeleton, needs) if skeleton else unlabelled_splits(config.dataset)
    resumed = config.training.resume_training_from if config.training else None
    if resumed and "train" in config.steps:
        from stm32pose.training.resume import load_resume, resumed_splits

        splits = resumed_splits(load_resume(Path(resumed)), splits)
    manifest = splits_manifest(splits)
    run.write_json("splits.json", manifest)
    run.add("dataset", dataset_summary(config, skeleton, splits))
    for name, entry in run.results["dataset"]["sets"].items():
        people = f", {entry['instances']} instances" if entry["instances"] else ""
        log.info("%s: %d images%s (%s)", name, entry["images"], people, entry["source"])
    for row in run.results["dataset"].get("sources", ()):
        if row["source"].startswith("dataset.mix"):
            log.info("training: %d images x %g of %s (%s)", row["images"], row["repeat"], row["path"], row["source"])
    return replace(artifacts, skeleton=skeleton, splits=splits)


def dataset_summary(config: Config, skeleton: Skeleton | None, splits: Splits) -> dict[str, Any]:
    """What the report says of the data."""
    sets = {}
    for name in ("training", "validation", "test", "quantization"):
        samples = getattr(splits, name)
        mixed = ", dataset.mix" if name == "training" and splits.mixed else ""
        if samples:
            sets[name] = {
                "images": len(samples),
                "instances": int(sum(sample.instances for sample in samples)),
                "source": splits.sources.get(name, "") + mixed,
            }
    sources = source_rows(config, splits)
    return {
        "name": config.dataset.dataset_name,
        "skeleton": skeleton.name if skeleton else None,
        "keypoints": skeleton.count if skeleton else None,
        "sigmas": skeleton.sigmas_source if skeleton else None,
        "sigmas_published": skeleton.sigmas_published if skeleton else None,
        "sets": sets,
        "seed": splits.seed,
        **({"sources": sources} if sources else {}),
    }


def source_rows(config: Config, splits: Splits) -> list[dict[str, Any]]:
    """A row each source of images, where several are mixed or people filtered: how many, how often, what is left out.

    Empty where each set is its folder and no more.
    """
    if not (splits.mixed or splits.filters):
        return []
    rows = []
    for name in ("training", "validation", "test"):
        samples, source = getattr(splits.unmixed(), name), splits.sources.get(name, "")
        if samples:
            filtered = splits.filters.get(source)
            rows.append(
                _source(name, source, getattr(config.dataset, source.rpartition(".")[2], ""), samples, filtered)
            )
    for one in splits.mixed:
        row = _source("training", one.where, one.path, one.used, one.filtered)
        rows.append(row | {"repeat": one.repeat, "held_out": len(one.left_out)})
    return rows


def _source(set_name: str, key: str, path: str, samples: list[Sample], filtered: Filtered | None) -> dict[str, Any]:
    return {
        "set": set_name,
        "source": key,
        "path": path,
        "images": len({sample.image for sample in samples}),
        "instances": sum(int((~sample.crowd).sum()) for sample in samples),
        "repeat": 1.0,
        "held_out": 0,
        "filtered": filtered.record() if filtered else None,
    }
