"""What `quantization` asks of the ONNX quantizer, checked against the model before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Literal

from stm32pose.config.suffixes import KERAS
from stm32pose.config.target_sections import OnnxParameters, Quantization
from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.inference.onnx_graph import constants

Method = Literal["MinMax", "MovingAverage", "Entropy", "Percentile"]

PAIRS = (("keras", "TFlite_converter"), ("keras", "onnx_quantizer"), ("onnx", "onnx_quantizer"))
"""Kinds of float models and the quantizers that take them."""
OPTIONS: dict[str, type | tuple[type, ...]] = {
    "ActivationSymmetric": bool,
    "WeightSymmetric": bool,
    "QuantizeBias": bool,
    "ActivationRestrictedAsymmetric": bool,
    "AddQDQPairToWeight": bool,
    "DedicatedQDQPair": bool,
    "ForceQuantizeNoInputCheck": bool,
    "QDQKeepRemovableActivations": bool,
    "QDQDisableWeightAdjustForInt32Bias": bool,
    "MinimumRealRange": (int, float),
    "OpTypesToExcludeOutputQuantization": list,
    "QDQOpTypePerChannelSupportToAxis": dict,
}
"""Options of ONNX Runtime's QDQ quantizer that are handed to it, and their types."""
CALIBRATION: dict[str, type | tuple[type, ...]] = {
    "CalibMovingAverage": bool,
    "CalibMovingAverageConstant": (int, float),
    "CalibTensorRangeSymmetric": bool,
    "CalibPercentile": (int, float),
}
"""Options of its calibration, which is done here."""
OVERRIDES = ("weights_tensor_override", "activations_tensor_override")
SMOOTH: dict[str, type | tuple[type, ...]] = {
    "SmoothQuant": bool,
    "SmoothQuantAlpha": (int, float),
    "SmoothQuantFolding": bool,
}
NEEDLESS = {
    "CalibMaxIntermediateOutputs": "images are calibrated one at a time as it is",
    "CalibStridedMinMax": "images are calibrated one at a time as it is",
    "UseQDQContribOps": "its nodes are ONNX Runtime's own, which ST's tools do not read; 4 and 16 bits get opset 21",
    "TensorQuantOverrides": "write weights_tensor_override or activations_tensor_override",
    "SmoothQuantOpTypes": "SmoothQuant is not offered",
}
OVERRIDE_KEYS = ("quant_type", "axis", "scale", "zero_point", "symmetric", "reduce_range", "rmin", "rmax")
BITS = {"Int4": 4, "UInt4": 4, "Int8": 8, "UInt8": 8, "Int16": 16, "UInt16": 16}
NEW_TYPES_OPSET = 21
"""The operator set from which ONNX has 4-bit and 16-bit tensors."""
LOWEST_OPSET = 13
"""QuantizeLinear with a scale a channel begins here."""
LISTED = 12
ALIKE = 0.7
"""Of the part of a node's name that a misspelt one is taken for."""


@dataclass(frozen=True)
class Recipe:
    """How a model is quantized.

    Attributes:
        weight_type, activation_type: `Int8` and the like.
        per_channel: one scale an output channel of a weight; else one a tensor.
        method: how ranges of activations are found; `percentile` and `constant` belong to two of them.
        symmetric_ranges: every range is made symmetric about 0.
        op_types: operator types to quantize; empty: all that can be.
        nodes, excluded: node names to quantize (empty: all) and to leave in float.
        options: what is handed to ONNX Runtime's quantizer.
        overrides: tensor name -> a list of one dictionary, ONNX Runtime's TensorQuantOverrides.
    """

    weight_type: str = "Int8"
    activation_type: str = "Int8"
    per_channel: bool = True
    method: Method = "MinMax"
    percentile: float = 99.999
    constant: float | None = None
    symmetric_ranges: bool = False
    op_types: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def opset(self) -> int:
        """The operator set that its types need at least."""
        types = {self.weight_type, self.activation_type}
        types |= {item["quant_type"] for items in self.overrides.values() for item in items if "quant_type" in item}
        return NEW_TYPES_OPSET if any(BITS[name] != 8 for name in types) else 1


def check_quantization(section: Quantization, kind: str, *, name: str = "") -> None:
    """Whatever is wrong with a section for a kind of model, told without opening the model or importing a converter.

    Args:
        section: `quantization` of the configuration.
        kind: of the float model: "keras" or "onnx"; nothing else can be quantized.
        name: the file's name, for messages.

    Raises:
        ConfigError: no quantizer takes such a model, or an option is unknown, impossible or not built yet.
    """
    from stm32pose.quantization.tflite import check_section

    quantizer = section.quantizer
    if (kind, quantizer) not in PAIRS:
        takes = f"quantization takes {', '.join(KERAS)} and .onnx files"
        if kind == "onnx":
            takes = "an .onnx file needs quantizer: onnx_quantizer (a .tflite file is made from .keras or .h5)"
        raise ConfigError(f"quantization.quantizer: got {quantizer} for {name or f'a file of kind {kind}'}; {takes}")
    if quantizer == "onnx_quantizer":
        check_onnx_section(section)
    else:
        check_section(section)


def check_onnx_section(section: Quantization) -> None:
    """ConfigError: an option of the ONNX quantizer that cannot be, whatever the model."""
    if section.quantization_type != "PTQ":
        raise ConfigError(
            f"quantization.quantization_type: {section.quantization_type!r} is not built yet, a later release brings "
            "it; use 'PTQ'"
        )
    if section.optimize:
        raise ConfigError(
            "quantization.optimize: got True with quantizer: onnx_quantizer; it is for TFlite_converter with "
            "granularity: per_tensor: use optimize: False"
        )
    if section.target_opset < LOWEST_OPSET:
        raise ConfigError(f"quantization.target_opset: got {section.target_opset}; QDQ needs {LOWEST_OPSET} or more")
    if section.operating_mode != "default" and section.iterative_quant_parameters.inspection_split == 0:
        raise ConfigError(
            "quantization.iterative_quant_parameters.inspection_split: got 0; expected a share above 0 and at most 1, "
            "or leave it out for 16 images"
        )
    make_recipe(section)


def make_recipe(section: Quantization) -> Recipe:
    """The recipe of a section, apart from names of nodes and tensors, which `check_names` looks at.

    Raises:
        ConfigError: an option that is unknown, of the wrong type, or at odds with another.
    """
    where = "quantization.onnx_extra_options"
    parameters, given = section.onnx_quant_parameters, dict(section.onnx_extra_options)
    _check_options(given, where)
    if parameters.activType == "Int8" and parameters.weightType == "UInt8":
        raise ConfigError(
            "quantization.onnx_quant_parameters.weightType: got UInt8 with activType Int8; ONNX Runtime multiplies "
            "Int8 activations by Int8 weights: use weightType Int8, or activType UInt8"
        )
    if BITS[parameters.activType] == 4:
        raise ConfigError(
            f"quantization.onnx_quant_parameters.activType: got {parameters.activType}; convolutions take activations "
            "of 8 or 16 bits, 4 bits are for weights (weightType: Int4)"
        )
    overrides = {}
    for key in OVERRIDES:
        overrides |= _overrides(given.pop(key, None), f"{where}.{key}")
    method = _method(section, given)
    return Recipe(
        weight_type=parameters.weightType,
        activation_type=parameters.activType,
        per_channel=section.granularity == "per_channel",
        method=method,
        percentile=_percentile(section, given, method),
        constant=_constant(given, method, where),
        symmetric_ranges=bool(given.get("CalibTensorRangeSymmetric", False)),
        op_types=_op_types(section),
        nodes=tuple(parameters.nodes_to_quantize or ()),
        excluded=tuple(parameters.nodes_to_exclude or ()),
        options={name: value for name, value in given.items() if name in OPTIONS},
        overrides=overrides,
    )


def check_names(recipe: Recipe, section: Quantization, model: Any) -> None:
    """ConfigError: a node, an operator type or a tensor that the model (folded, as it is quantized) does not have."""
    where = "quantization.onnx_quant_parameters"
    nodes = [node.name for node in model.graph.node]
    _known(recipe.nodes, nodes, f"{where}.nodes_to_quantize", "node")
    _known(recipe.excluded, nodes, f"{where}.nodes_to_exclude", "node")
    both = set(recipe.nodes) & set(recipe.excluded)
    if both:
        raise ConfigError(f"{where}.nodes_to_exclude: '{min(both)}' is also in nodes_to_quantize")
    types = sorted({node.op_type for node in model.graph.node})
    key = "quantization.op_types_to_quantize" if section.op_types_to_quantize else f"{where}.op_types_to_quantize"
    _known(recipe.op_types, types, key, "operator type")
    weights = constants(model)
    activations = [name for node in model.graph.node for name in (*node.input, *node.output) if name not in weights]
    for key, allowed in zip(OVERRIDES, (list(weights), activations), strict=True):
        names = [row[0] for row in section.onnx_extra_options.get(key) or []]
        _known(names, allowed, f"quantization.onnx_extra_options.{key}", "tensor")


def _known(names: Collection[str], allowed: Collection[str], where: str, what: str) -> None:
    for name in names:
        if name not in allowed:
            there = list(dict.fromkeys(item for item in allowed if item))
            shown = ", ".join(there[:LISTED]) + (f", ... ({len(there)} in all)" if len(there) > LISTED else "")
            raise ConfigError(f"{where}: no {what} '{name}' in the model{_near(name, there)}; it has {shown}")


def _near(name: str, there: Sequence[str]) -> str:
    """As `did_you_mean`, by how names begin: `bloc_1` is nearer to `block_1_expand` than to `block_15_add`."""

    def alike(candidate: str) -> float:
        ends = [index for index, sign in enumerate(candidate) if sign in "_/:."] + [len(candidate)]
        return max(SequenceMatcher(None, name.lower(), candidate[:end].lower()).ratio() for end in ends)

    scores = {candidate: alike(candidate) for candidate in there}
    best = max(scores.values(), default=0.0)
    if best < ALIKE:
        return did_you_mean(name, there)
    found = [candidate for candidate, score in scores.items() if score == best]
    return did_you_mean(name, found) or f"; did you mean '{found[0]}'?"


def _check_options(given: Mapping[str, Any], where: str) -> None:
    known = {**OPTIONS, **CALIBRATION, **SMOOTH, **dict.fromkeys(OVERRIDES, list)}
    for name, value in given.items():
        if name in NEEDLESS:
            raise ConfigError(f"{where}.{name}: leave it out; {NEEDLESS[name]}")
        if name not in known:
            raise ConfigError(f"{where}.{name}: unknown option{did_you_mean(name, known)}; known: {', '.join(known)}")
        kinds = known[name] if isinstance(known[name], tuple) else (known[name],)
        wanted = " or ".join(kind.__name__ for kind in kinds)
        if value is None and name in OVERRIDES:
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ConfigError(f"{where}.{name}: got {value!r}; expected {wanted}")
    if given.get("SmoothQuant"):
        raise ConfigError(
            f"{where}.SmoothQuant: needs Intel's neural-compressor, which is not part of this project; use "
            "granularity: per_channel, calibrate_method: Percentile or operating_mode: full_auto"
        )


def _method(section: Quantization, given: Mapping[str, Any]) -> Method:
    method = section.onnx_quant_parameters.calibrate_method
    old = section.extra_options
    if old not in (None, "calib_moving_average"):
        raise ConfigError(f"quantization.extra_options: got {old!r}; allowed: calib_moving_average, null")
    if old is None and not given.get("CalibMovingAverage", False):
        return method
    if method not in ("MinMax", "MovingAverage"):
        key = "extra_options: calib_moving_average" if old else "onnx_extra_options.CalibMovingAverage"
        raise ConfigError(
            f"quantization.onnx_quant_parameters.calibrate_method: got {method} beside {key}; keep one of them"
        )
    return "MovingAverage"


def _percentile(section: Quantization, given: Mapping[str, Any], method: Method) -> float:
    percentile, own = given.get("CalibPercentile"), section.onnx_quant_parameters.percentile
    if percentile is None:
        if method != "Percentile" and own != OnnxParameters.model_fields["percentile"].default:
            raise ConfigError(
                f"quantization.onnx_quant_parameters.percentile: got {own:g} with calibrate_method {method}; it needs "
                "calibrate_method: Percentile"
            )
        return own
    if method != "Percentile" or not 50 < percentile <= 100:
        raise ConfigError(
            f"quantization.onnx_extra_options.CalibPercentile: got {percentile!r} with calibrate_method {method}; a "
            "number above 50 and at most 100, with calibrate_method: Percentile"
        )
    return float(percentile)


def _constant(given: Mapping[str, Any], method: Method, where: str) -> float | None:
    constant = given.get("CalibMovingAverageConstant")
    if constant is None:
        return None
    if method != "MovingAverage" or not 0 < constant <= 1:
        raise ConfigError(
            f"{where}.CalibMovingAverageConstant: got {constant!r} with calibrate_method {method}; a number above 0 "
            "and at most 1, with calibrate_method: MovingAverage"
        )
    return float(constant)


def _op_types(section: Quantization) -> tuple[str, ...]:
    old, new = section.op_types_to_quantize, section.onnx_quant_parameters.op_types_to_quantize
    if old and new and set(old) != set(new):
        raise ConfigError(
            f"quantization.op_types_to_quantize: got {old}, but onnx_quant_parameters.op_types_to_quantize is {new}; "
            "they mean the same: keep one of them"
        )
    return tuple(old or new or ())


def _overrides(rows: Any, where: str) -> dict[str, list[dict[str, Any]]]:
    """`[[tensor, {quant_type, axis, scale, zero_point}], ...]` as ONNX Runtime's dictionary."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows or []:
        if not (isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], dict)):
            raise ConfigError(f"{where}: got {row!r}; a row is [tensor name, {{quant_type: Int4, axis: 0, ...}}]")
        name, entry = row[0], dict(row[1])
        for key in entry:
            if key not in OVERRIDE_KEYS:
                near = did_you_mean(key, OVERRIDE_KEYS)
                raise ConfigError(f"{where}: '{name}' has {key!r}; known: {', '.join(OVERRIDE_KEYS)}{near}")
        if "quant_type" in entry:
            kind = str(entry["quant_type"]).removeprefix("Q")
            if kind not in BITS:
                raise ConfigError(
                    f"{where}: '{name}' has quant_type {entry['quant_type']!r}; expected {', '.join(BITS)}"
                    f"{did_you_mean(kind, BITS)}"
                )
            entry["quant_type"] = kind
        if ("scale" in entry) != ("zero_point" in entry):
            raise ConfigError(f"{where}: '{name}' has scale or zero_point alone; they go together")
        if name in found:
            raise ConfigError(f"{where}: '{name}' is named twice")
        found[name] = [entry]
    return found
