"""The record of a split: what was in which set, and whether it still is, so that a resumed run sees the same data."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stm32pose.data.digests import WHOLE_FILES, file_digests, label_digest
from stm32pose.data.mixing import MixedSet
from stm32pose.data.sample import Sample
from stm32pose.data.splits import SETS, Splits
from stm32pose.errors import UserError

VERSION = 1
_DIGITS = 16  # of each SHA-256: 64 bits, far more than needed to notice a change
_WHERE = "training.resume_training_from"


def write_manifest(splits: Splits) -> dict[str, Any]:
    """A JSON-able record of `splits`.

    `sets` holds, for each set that is not empty, the number of samples, one digest over all, and for each sample its
    name, the digest of its file and that of its labels. A set equal to another one names it instead (`same_as`).
    `mix` holds the same for each set that is mixed in, with its repeat and the names of what was left out; the digest
    of the training set covers these too. `filters` says what was taken out, and of what.
    """
    everything, splits = splits, splits.unmixed()
    pools = _pools(splits)
    images = {sample.image for pool in pools.values() for sample in pool}
    images |= {sample.image for one in everything.mixed for sample in one.samples}
    whole = len(images) <= WHOLE_FILES
    mix = [_mixed(one, whole) for one in everything.mixed]
    entries = {source: _entries(pool, whole) for source, pool in pools.items()}
    sets: dict[str, Any] = {}
    for name in SETS:
        samples = getattr(splits, name)
        if not samples:
            continue
        if name == "quantization" and splits.sources.get(name) == splits.sources.get("training"):
            sets[name] = {"samples": len(samples), "same_as": "training"}
            continue
        table = [entries[splits.sources[name]][id(sample)] for sample in samples]
        sets[name] = {"samples": len(samples), "digest": _digest(table), "entries": table}
    if mix:
        parts = [["", "", sets["training"]["digest"]], *([one["source"], one["repeat"], one["digest"]] for one in mix)]
        sets["training"] |= {"samples": len(everything.training), "digest": _digest(parts)}
    filters = {where: item.record() for where, item in everything.filters.items()}
    return {
        "version": VERSION,
        "seed": splits.seed,
        "file_digests": "whole files" if whole else "size, first and last 64 KiB",
        "sources": dict(splits.sources),
        "folders": {source: str(_root(pool)) for source, pool in pools.items()},
        "sets": sets,
        **({"mix": mix} if mix else {}),
        **({"filters": filters} if filters else {}),
    }


def read_manifest(splits: Splits | Sequence[Sample], manifest: dict[str, Any]) -> Splits:
    """The samples of `splits` dealt as `manifest` says, whatever seed or share the configuration has now.

    Folders may have moved; names, bytes and labels must be the same. Sets that only one of the two has are kept as
    they are now.

    Raises:
        UserError: images or labels were added, removed or changed; the message counts them and names one.
    """
    if manifest.get("version") != VERSION or not isinstance(manifest.get("sets"), dict):
        raise UserError(f"{_WHERE}: the record of the split is not of this program (version {manifest.get('version')})")
    given = splits.unmixed() if isinstance(splits, Splits) else None
    mixed = splits.mixed if isinstance(splits, Splits) else []
    if isinstance(splits, Splits):
        splits = splits.unmixed()
        _same_reading(splits, mixed, manifest)
    pools = _pools(splits) if isinstance(splits, Splits) else {"": list(splits)}
    whole = manifest.get("file_digests") == "whole files"
    entries = {source: _entries(pool, whole) for source, pool in pools.items()}
    result = replace(given) if given else Splits()
    result.seed, result.sources = manifest.get("seed"), dict(given.sources if given else manifest["sources"])
    recorded: dict[str, list[list[str]]] = {}
    for name, part in manifest["sets"].items():
        if "entries" in part:
            source = manifest["sources"][name] if given else ""
            if source in pools:
                recorded.setdefault(source, []).extend(part["entries"])
            elif name in ("training", "validation"):
                raise UserError(f"{_WHERE}: its {name} set came from {source}, which is not given now")
    for source, rows in recorded.items():
        _compare(rows, list(entries[source].values()), manifest["folders"].get(source, "the data set"))
    for name, part in manifest["sets"].items():
        source = manifest["sources"][name] if given else ""
        if "entries" in part and source in pools:
            by_name = {entries[source][id(sample)][0]: sample for sample in pools[source]}
            setattr(result, name, [by_name[row[0]] for row in part["entries"]])
            result.sources[name] = manifest["sources"][name]
    for name, part in manifest["sets"].items():
        if part.get("same_as") and (given is None or getattr(given, name)):
            setattr(result, name, list(getattr(result, part["same_as"])))
    return result.with_mixed(
        [_as_recorded(*pair, whole) for pair in zip(mixed, manifest["mix"], strict=True)] if mixed else []
    )


def _mixed(one: MixedSet, whole: bool) -> dict[str, Any]:
    """The record of a set that is mixed in."""
    table = list(_entries(one.samples, whole).values())
    return {
        "source": one.where,
        "folder": str(_root(one.samples)),
        "repeat": one.repeat,
        "samples": len(one.samples),
        "left_out": [table[index][0] for index in sorted(one.left_out)],
        **({"filter": one.filtered.record()} if one.filtered else {}),
        "digest": _digest(table),
        "entries": table,
    }


def _as_recorded(one: MixedSet, record: dict[str, Any], whole: bool) -> MixedSet:
    """The set with what was left out then. UserError: its images or labels have changed."""
    table = list(_entries(one.samples, whole).values())
    _compare(record["entries"], table, record["folder"])
    left_out = set(record["left_out"])
    return replace(one, left_out={index for index, row in enumerate(table) if row[0] in left_out})


def _same_reading(splits: Splits, mixed: Sequence[MixedSet], manifest: dict[str, Any]) -> None:
    """UserError where sets are mixed or filtered in another way than then: said before images are compared."""
    recorded = manifest.get("mix", [])
    before = [f"{Path(item['folder']).name} x {item['repeat']:g}" for item in recorded]
    now = [f"{_root(one.samples).name} x {one.repeat:g}" for one in mixed]
    if splits.training and [item["repeat"] for item in recorded] != [one.repeat for one in mixed]:
        raise UserError(
            f"{_WHERE}: it was trained with dataset.mix of {', '.join(before) or 'nothing'}, now it is of "
            f"{', '.join(now) or 'nothing'}; set it back to continue"
        )
    then = {where: item["filter"] for where, item in manifest.get("filters", {}).items()}
    then |= {item["source"]: item["filter"]["filter"] for item in recorded if "filter" in item}
    used = {where: item.expression for where, item in splits.filters.items()}
    used |= {one.where: one.filtered.expression for one in mixed if one.filtered}
    sources = {splits.sources.get(name) for name in ("training", "validation")} | {one.where for one in mixed}
    for where in sorted(source for source in sources if source):
        if then.get(where) != used.get(where):
            key = f"{where}.filter" if "[" in where else "dataset.filter"
            old, new = (f"'{text}'" if text else "none" for text in (then.get(where), used.get(where)))
            raise UserError(f"{_WHERE}: it was trained with {key} {old}, now it is {new}; set it back to continue")


def _digest(table: Iterable[Iterable[Any]]) -> str:
    return hashlib.sha256("\n".join(" ".join(map(str, row)) for row in table).encode()).hexdigest()


def _pools(splits: Splits) -> dict[str, list[Sample]]:
    """Source -> all samples that come from it, in the order of names, each once."""
    pools: dict[str, dict[int, Sample]] = {}
    for name in SETS:
        for sample in getattr(splits, name):
            pools.setdefault(splits.sources.get(name, ""), {})[id(sample)] = sample
    return {source: sorted(pool.values(), key=lambda sample: sample.image.as_posix()) for source, pool in pools.items()}


def _root(samples: Iterable[Sample]) -> Path:
    return Path(os.path.commonpath({str(sample.image.parent) for sample in samples}))


def _entries(samples: Sequence[Sample], whole: bool) -> dict[int, list[str]]:
    """id(sample) -> [name, digest of the file, digest of the labels]; crops of one image are numbered."""
    root = _root(samples)
    digests = file_digests([sample.image for sample in samples], whole=whole)
    seen: Counter[str] = Counter()
    entries = {}
    for sample in samples:
        name = sample.image.relative_to(root).as_posix()
        label = name if not seen[name] else f"{name}#{seen[name]}"
        seen[name] += 1
        entries[id(sample)] = [label, digests[sample.image][:_DIGITS], label_digest(sample)[:_DIGITS]]
    return entries


def _compare(recorded: list[list[str]], present: list[list[str]], folder: str) -> None:
    before = {name: (image, label) for name, image, label in recorded}
    now = {name: (image, label) for name, image, label in present}
    common = sorted(before.keys() & now.keys())
    found = {
        "removed": sorted(before.keys() - now.keys()),
        "added": sorted(now.keys() - before.keys()),
        "with other pixels": [name for name in common if before[name][0] != now[name][0]],
        "with other labels": [name for name in common if before[name][1] != now[name][1]],
    }
    text = ", ".join(f"{len(names)} {what} (e.g. {names[0]})" for what, names in found.items() if names)
    if text:
        raise UserError(
            f"{_WHERE}: the data are not those of the run to resume: in {folder}, images {text}; "
            "bring them back, or start a new training from the saved weights with model.model_path"
        )
