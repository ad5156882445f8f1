"""From a file of any release to the one layout of `Config`.

ST's 3.x files keep the model under `general` and `training.model`, its 4.x files under `model`; older cards and the
separate on-target file have spellings of their own. Each is moved to its place here; nothing is guessed from a
version number, so mixed files serve too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stm32pose.config.schema import MODES, STEPS
from stm32pose.config.spellings import is_null, parse_number
from stm32pose.errors import did_you_mean

KeyPath = tuple[Any, ...]
ReadFile = Callable[[str], dict[str, Any] | None]

# Moved unchanged: 3.x place -> place in Config.
MOVES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("general", "model_path"): ("model", "model_path"),
    ("general", "model_type"): ("model", "model_type"),
    ("training", "model", "name"): ("model", "model_name"),
    ("training", "model", "alpha"): ("model", "alpha"),
    ("training", "model", "input_shape"): ("model", "input_shape"),
    ("training", "model", "pretrained_weights"): ("model", "pretrained"),
    ("dataset", "name"): ("dataset", "dataset_name"),
    ("prediction", "test_files_path"): ("dataset", "prediction_path"),
    ("deployment", "label_file_path"): ("dataset", "keypoints_file_path"),
    ("tools", "stm32ai", "path_to_stm32ai"): ("tools", "stedgeai", "path_to_stedgeai"),
    ("tools", "stm32ai", "version"): ("tools", "stedgeai", "version"),
    ("tools", "stm32ai", "optimization"): ("tools", "stedgeai", "optimization"),
    ("tools", "stm32ai", "on_cloud"): ("tools", "stedgeai", "on_cloud"),
    ("benchmark",): ("benchmarking",),
}

# The separate on-target file of 3.x; `parameters.*` describes the evaluation.
ON_TARGET_MOVES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("parameters", "evaluation_target"): ("evaluation", "target"),
    ("parameters", "profile"): ("evaluation", "profile"),
    ("parameters", "input_type"): ("evaluation", "input_type"),
    ("parameters", "output_type"): ("evaluation", "output_type"),
    ("parameters", "input_chpos"): ("evaluation", "input_chpos"),
    ("parameters", "output_chpos"): ("evaluation", "output_chpos"),
    ("general", "dataset_path"): ("dataset", "test_path"),
}

# Keys that take one value or a list of them.
LISTS: tuple[tuple[str, ...], ...] = (("benchmarking", "backend"), ("dataset", "prediction_path"))

# Of another service, read and thrown away.
DROPPED: tuple[str, ...] = ("hydra", "defaults")

MODEL_NAMES = {
    "st_movenet_lightning_a100_heatmaps": ("st_movenet_lightning_heatmaps", 1.0),
    "custom_models": ("custom", None),
}
MODE_NAMES = {"benchmark": "benchmarking"}
MODE_LETTERS = {"benchmark": "b"}
ACTIVATION_NAMES = {"linear": "empty"}
SIZES_CALLBACK = ("training", "callbacks", "MultiResCallback")


@dataclass
class Layout:
    """A mapping on its way to Config.

    Attributes:
        mapping: nested plain values, in the layout of Config once `normalise` has run.
        moved: place in Config -> place in the user's file, for messages.
        problems: (place in the user's file, message).
        notes: what the user should know although nothing is wrong.
        complete: False where a file that this one leans on was not there to be read.
    """

    mapping: dict[str, Any]
    moved: dict[KeyPath, KeyPath] = field(default_factory=dict)
    problems: list[tuple[KeyPath, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = True

    def get(self, path: KeyPath) -> Any:
        """The value at `path`; None where there is none, or it says None."""
        node: Any = self.mapping
        for key in path:
            if not isinstance(node, dict):
                return None
            node = node.get(key)
        return None if is_null(node) else node

    def pop(self, path: KeyPath) -> Any:
        """Take the value at `path` out, with sections that end up empty."""
        *parents, last = path
        nodes = [self.mapping]
        for key in parents:
            node = nodes[-1].get(key)
            if not isinstance(node, dict):
                return None
            nodes.append(node)
        value = nodes[-1].pop(last, None)
        for depth in range(len(parents), 0, -1):
            if not nodes[depth] and nodes[depth - 1].get(path[depth - 1]) is nodes[depth]:
                del nodes[depth - 1][path[depth - 1]]
        return None if is_null(value) else value

    def set(self, path: KeyPath, value: Any) -> None:
        """Put `value` at `path`, making sections."""
        node = self.mapping
        for key in path[:-1]:
            if not isinstance(node.get(key), dict):
                node[key] = {}
            node = node[key]
        node[path[-1]] = value

    def move(self, old: KeyPath, new: KeyPath) -> None:
        """From its old place to its new one; two different values are a problem."""
        if not self.has(old):
            return
        value = self.pop(old)
        if value is None:
            return
        present = self.get(new)
        if present is None:
            self.set(new, value)
            self.moved[new] = old
        elif present != value:
            self.problems.append(
                (old, f"got {value!r}, but {dotted(new)} says {present!r}; they mean the same: keep one of them")
            )

    def has(self, path: KeyPath) -> bool:
        """Whether the key is written at all."""
        node: Any = self.mapping
        for key in path:
            if not isinstance(node, dict) or key not in node:
                return False
            node = node[key]
        return True


def normalise(mapping: dict[str, Any], read_file: ReadFile | None = None) -> Layout:
    """Bring a mapping of any layout into that of `Config`.

    Args:
        mapping: nested plain values as the YAML has them, interpolations resolved.
        read_file: reads another YAML file, for the on-target file that leans on one; None where it is not there.
    """
    layout = Layout(_copy(mapping))
    for key in DROPPED:
        layout.mapping.pop(key, None)
    _cut_tuples(layout, layout.mapping, ())
    leans_on = _on_target_file(layout)
    for old, new in MOVES.items():
        layout.move(old, new)
    if leans_on is not None:
        _lean(layout, leans_on, read_file)
    for section in (("training", "model"), ("tools", "stm32ai"), ("parameters",)):
        _leftovers(layout, section)
    _mode(layout)
    _model(layout)
    _training(layout)
    _one_is_a_list(layout)
    _own_augmentation(layout)
    return layout


def dotted(path: KeyPath) -> str:
    """`training.optimizer.Adam.learning_rate`, `boards[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value


def _cut_tuples(layout: Layout, node: Any, path: KeyPath) -> None:
    """`{factor: (0.1, 0.2)}` is cut by YAML at the comma, into `factor: (0.1` and a key `0.2)`."""
    pieces = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    inside = False
    for key, value in pieces:
        if inside:
            inside = not str(value if isinstance(node, list) else key).endswith(")")
            if isinstance(node, dict):
                node.pop(key)
            continue
        inside = isinstance(value, str) and value.startswith("(") and ")" not in value
        if inside:
            message = f"got {value!r}: between {{ }} or [ ] YAML cuts (a, b) at the comma; write [a, b]"
            layout.problems.append(((*path, key), message))
            if isinstance(node, dict):
                node.pop(key)
        else:
            _cut_tuples(layout, value, (*path, key))


def _on_target_file(layout: Layout) -> str | None:
    """3.x: a file with `general.config_path`, `general.dataset_path` and `parameters` evaluates on a board.

    Returns the path of the configuration that it leans on, if it names one.
    """
    if not layout.has(("parameters",)) and not layout.has(("general", "config_path")):
        return None
    config_path = layout.pop(("general", "config_path"))
    for old, new in ON_TARGET_MOVES.items():
        layout.move(old, new)
    if layout.get(("operation_mode",)) is None:
        layout.set(("operation_mode",), "evaluation")
    return None if config_path is None else str(config_path)


def _lean(layout: Layout, config_path: str, read_file: ReadFile | None) -> None:
    """Take from another configuration what the on-target file does not say itself."""
    base = read_file(config_path) if read_file else None
    if base is None:
        layout.complete = False
        layout.notes.append(f"general.config_path: {config_path} is not here, its values were not read")
        return
    # No reader: a file that leans on one that leans on the first would never end.
    under = normalise(base)
    for name in ("training_path", "validation_path", "test_path", "quantization_path"):
        under.pop(("dataset", name))
    under.pop(("operation_mode",))
    layout.problems += [((), f"{config_path}: {dotted(path)}: {message}") for path, message in under.problems]
    _merge_under(layout.mapping, under.mapping)


def _merge_under(over: dict[str, Any], under: dict[str, Any]) -> None:
    for key, value in under.items():
        if isinstance(value, dict) and isinstance(over.get(key), dict):
            _merge_under(over[key], value)
        else:
            over.setdefault(key, value)


def _leftovers(layout: Layout, section: KeyPath) -> None:
    """Drop a section of an older layout; what is left in it is a key nobody knows."""
    if not layout.has(section):
        return
    left = layout.pop(section)
    known = [old[-1] for old in (*MOVES, *ON_TARGET_MOVES) if old[:-1] == section]
    if left and not isinstance(left, dict):
        layout.problems.append((section, f"got {left!r}; a section with the keys {', '.join(known)}"))
        return
    for key in left or {}:
        layout.problems.append(
            ((*section, key), f"unknown key; known here: {', '.join(known)}{did_you_mean(key, known)}")
        )


def _equals(given: Any, number: float) -> bool:
    try:
        return float(parse_number(str(given))) == number
    except ValueError:
        return False


def _mode(layout: Layout) -> None:
    if layout.has(("steps",)):
        _step_list(layout)
    mode = layout.get(("operation_mode",))
    if isinstance(mode, str):
        mode = mode.strip().lower()
        layout.set(("operation_mode",), MODE_NAMES.get(mode, mode))


def _step_list(layout: Layout) -> None:
    """`steps: [quantize, benchmark]` is `operation_mode: chain_qb`; the services' names serve as well."""
    steps = layout.pop(("steps",))
    letters = {name: letter for letter, name in STEPS.items()}
    letters |= {name: letter[0] for name, letter in MODES.items()} | MODE_LETTERS
    words = [str(step).strip().lower() for step in steps] if isinstance(steps, list) else []
    wrong = [word for word in words if word not in letters]
    if not words or wrong:
        got = repr(wrong[0]) if wrong else repr(steps)
        near = did_you_mean(wrong[0], letters) if wrong else ""
        layout.problems.append((("steps",), f"got {got}; expected a list of {', '.join(STEPS.values())}{near}"))
        layout.set(("operation_mode",), layout.get(("operation_mode",)) or "evaluation")
        return
    mode = "chain_" + "".join(letters[word] for word in words)
    given = layout.get(("operation_mode",))
    if given is not None and str(given).strip().lower() != mode:
        layout.problems.append((("steps",), f"got {steps!r} beside operation_mode {given!r}; keep one of them"))
        return
    layout.set(("operation_mode",), mode)


def _model(layout: Layout) -> None:
    name = layout.get(("model", "model_name"))
    if isinstance(name, str) and ".py" not in name:
        name = name.strip().lower()
        new, alpha = MODEL_NAMES.get(name, (name, None))
        layout.set(("model", "model_name"), new)
        given = layout.get(("model", "alpha"))
        if alpha is not None and given is None:
            layout.set(("model", "alpha"), alpha)
        elif alpha is not None and not _equals(given, alpha):
            layout.problems.append(
                (("model", "alpha"), f"got {given!r}; {name} has alpha 1.0: take {new} for any other width")
            )
    backbone = layout.get(("model", "backbone"))
    if isinstance(backbone, str):
        layout.set(("model", "backbone"), backbone.strip().lower())
    pretrained = layout.get(("model", "pretrained"))
    if isinstance(pretrained, bool) or (isinstance(pretrained, str) and pretrained.lower() in ("true", "false")):
        layout.set(("model", "pretrained"), "imagenet" if str(pretrained).lower() == "true" else None)
    activation = layout.get(("model", "final_activation"))
    if isinstance(activation, str):
        layout.set(("model", "final_activation"), ACTIVATION_NAMES.get(activation.lower(), activation))


def _training(layout: Layout) -> None:
    for key in ("optimizer", "loss"):
        name = layout.get(("training", key))
        if isinstance(name, str):
            layout.set(("training", key), {name.strip(): {}})
    _sizes_callback(layout)


def _sizes_callback(layout: Layout) -> None:
    """4.x: a callback that changes the input's size every few batches is `random_periodic_resizing` by another name."""
    given = layout.get(SIZES_CALLBACK)
    if isinstance(given, dict):
        given.pop("name", None)
        layout.move(SIZES_CALLBACK, ("data_augmentation", "random_periodic_resizing"))
    elif layout.has(SIZES_CALLBACK):
        layout.pop(SIZES_CALLBACK)
        layout.problems.append(
            (SIZES_CALLBACK, f"got {given!r}; expected {{image_sizes: [[width, height], ...], period: batches}}")
        )


def _one_is_a_list(layout: Layout) -> None:
    for path in LISTS:
        value = layout.get(path)
        if isinstance(value, str):
            layout.set(path, [value])


def _own_augmentation(layout: Layout) -> None:
    """ST's section for a function of the user's own: `FILE.py:FUNCTION` with its arguments under data_augmentation.

    ST looked for the function in its own source; here it stands in a file that `function_name` or `file` names.
    """
    section = ("custom_data_augmentation",)
    if not layout.has(section):
        return
    given = layout.pop(section)
    if given is None:
        return
    keys = ("function_name", "file", "config")
    unknown = [key for key in given if key not in keys] if isinstance(given, dict) else []
    for key in unknown:
        layout.problems.append(
            ((*section, key), f"unknown key; known here: {', '.join(keys)}{did_you_mean(key, keys)}")
        )
    name = given.get("function_name") if isinstance(given, dict) else None
    if not isinstance(name, str) or unknown:
        if not unknown:
            layout.problems.append((section, f"got {given!r}; expected function_name: FILE.py:FUNCTION, and config"))
        return
    arguments = given.get("config")
    if arguments is not None and not isinstance(arguments, dict):
        layout.problems.append(((*section, "config"), f"got {arguments!r}; expected the function's arguments by name"))
    elif ".py" not in name and not given.get("file"):
        message = f"got {name!r}, the file is missing: write FILE.py:{name}"
        layout.problems.append(((*section, "function_name"), message))
    elif layout.get(("data_augmentation",)):
        message = "beside data_augmentation; keep one of them: functions of your own go there too, as FILE.py:FUNCTION"
        layout.problems.append((section, message))
    else:
        whole = name if ".py" in name else f"{given['file']}:{name}"
        layout.set(("data_augmentation",), {whole: arguments or {}})
        layout.moved[("data_augmentation",)] = section
