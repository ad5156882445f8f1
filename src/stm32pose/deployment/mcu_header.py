"""`ai_model_config.h`: what a microcontroller's C code knows of the network, in the manner of ST's applications."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from stm32pose.codecs import peaks
from stm32pose.codecs.face_mesh import mesh_points
from stm32pose.codegen.c_text import c_comment, c_define, c_double, c_float, c_list, c_string
from stm32pose.deployment.model import Deployable
from stm32pose.errors import ConfigError
from stm32pose.inference.tensors import input_table

FORMATS = {"uint8": "UINT8_FORMAT", "int8": "INT8_FORMAT", "float32": "FLOAT32_FORMAT"}
COLOURS = {"rgb": "RGB_FORMAT", "rgba": "RGB_FORMAT", "bgr": "BGR_FORMAT", "grayscale": "GRAYSCALE_FORMAT"}
SHAPES = {
    "fit": "ASPECT_RATIO_FIT",
    "full_screen": "ASPECT_RATIO_FULLSCREEN",
    "crop": "ASPECT_RATIO_CROP",
    "padding": "ASPECT_RATIO_PADDING",
}


def model_header(model: Deployable) -> str:
    """The text of ai_model_config.h.

    Raises:
        ConfigError: a tensor type that the C code does not read.
    """
    lines = [
        f"/* The network {c_comment(model.path.name)} as the application has to know it.",
        " * Written by stm32pose; a new deployment overwrites it. */",
        "#ifndef AI_MODEL_CONFIG_H",
        "#define AI_MODEL_CONFIG_H",
        "",
        *_formats(),
        "",
        *_input(model),
        "",
        *_outputs(model),
        "",
        *_joints(model),
        "",
        *DECODERS[model.kind](model),
        "",
        "#endif /* AI_MODEL_CONFIG_H */",
    ]
    return "\n".join(lines) + "\n"


def _formats() -> Iterator[str]:
    yield "/* Words for what follows. */"
    for number, name in enumerate(FORMATS.values(), start=1):
        yield c_define(name, f"({number})")
    for number, name in enumerate(dict.fromkeys(COLOURS.values()), start=1):
        yield c_define(name, f"({number})")
    yield c_define("ASPECT_RATIO_CROP", "(1)", "fill the input and cut, centred")
    yield c_define("ASPECT_RATIO_FIT", "(2)", "stretch to the input")
    yield c_define("ASPECT_RATIO_FULLSCREEN", "(3)", "stretch to the input")
    yield c_define("ASPECT_RATIO_PADDING", "(4)", "fit inside the input, centred, black bars around")
    yield c_define("POSE_ACTIVATION_SIGMOID", "(1)")
    yield c_define("POSE_ACTIVATION_SOFTMAX", "(2)")
    yield c_define("POSE_ACTIVATION_EMPTY", "(3)")
    yield c_define("POSE_DECODE_ARGMAX", "(1)")
    yield c_define("POSE_DECODE_QUARTER", "(2)")
    yield c_define("POSE_DECODE_DARK", "(3)")
    yield c_define("POSE_COORDINATES_PIXELS", "(1)")
    yield c_define("POSE_COORDINATES_SHARES", "(2)")
    yield c_define("POSE_COORDINATES_LOOK", "(3)")


def _input(model: Deployable) -> Iterator[str]:
    height, width, channels = model.input_shape
    scale, offset = model.rescaling
    yield "/* The picture: rows from the top, channels last, one byte a channel. */"
    yield c_define("POSE_MODEL_NAME", c_string(model.path.name))
    yield c_define("INPUT_HEIGHT", f"({height})", "pixels")
    yield c_define("INPUT_WIDTH", f"({width})", "pixels")
    yield c_define("INPUT_CHANNELS", f"({channels})")
    yield c_define("PP_COLOR_MODE", COLOURS[model.preprocessing.color_mode], "order of the channels")
    yield c_define("ASPECT_RATIO_MODE", SHAPES[model.preprocessing.resizing.aspect_ratio], "camera to input")
    yield ""
    yield "/* From a pixel 0..255 to the network: real input = PP_SCALE * pixel + PP_OFFSET, and what is stored:"
    yield " * real = scale * (stored - zero point). POSE_INPUT_TABLE has both done for each pixel value. */"
    yield c_define("PP_SCALE", f"({c_float(scale)})")
    yield c_define("PP_OFFSET", f"({c_float(offset)})")
    yield c_define("QUANT_INPUT_TYPE", _format(model.input.dtype, model))
    yield c_define("POSE_INPUT_SCALE", f"({c_float(model.input.scale)})", "0: not quantized")
    yield c_define("POSE_INPUT_ZERO_POINT", f"({model.input.zero_point})")
    if model.input.dtype in ("uint8", "int8"):
        stored = input_table(model.input, model.rescaling, model.path).view(np.uint8)
        yield c_define("POSE_INPUT_TABLE", c_list(f"{int(value)}" for value in stored))


def _outputs(model: Deployable) -> Iterator[str]:
    outputs = model.outputs
    yield "/* The outputs, in the network's order: elements, types, and real = scale * (stored - zero point). */"
    yield c_define("POSE_OUTPUTS_NB", f"({len(outputs)})")
    sizes = [math.prod(output.shape) for output in outputs]
    yield c_define("POSE_OUTPUT_SIZES", c_list(map(str, sizes)))
    yield c_define("POSE_OUTPUT_LARGEST", f"({max(sizes)})")
    yield c_define("QUANT_OUTPUT_TYPE", _format(outputs[0].dtype, model), "of the first one")
    yield c_define("POSE_OUTPUT_TYPES", c_list(_format(output.dtype, model) for output in outputs))
    # An integer tensor without a scale holds whole numbers: scale 1.
    yield c_define("POSE_OUTPUT_SCALES", c_list(c_float(output.scale or 1.0) for output in outputs))
    yield c_define("POSE_OUTPUT_ZERO_POINTS", c_list(str(output.zero_point) for output in outputs))


def _joints(model: Deployable) -> Iterator[str]:
    skeleton = model.skeleton
    edges = skeleton.edges or ((0, 0),)  # C has no empty table; a limb from a joint to itself shows nothing
    yield "/* The keypoints, in the network's order, and the limbs between them. */"
    yield c_define("POSE_KEYPOINTS_NB", f"({skeleton.count})")
    yield c_define("POSE_KEYPOINT_NAMES", c_list(map(c_string, skeleton.keypoints)))
    yield c_define("POSE_EDGES_NB", f"({len(edges)})", "" if skeleton.edges else "none: one without length")
    yield c_define("POSE_EDGES", c_list(f"{{{start}, {end}}}" for start, end in edges))
    yield c_define("POSE_KPTS_CONF_THRESH", f"({c_float(model.postprocessing.kpts_conf_thresh)})", "below: doubtful")
    yield c_define("POSE_MAX_POSES", f"({model.most_poses})", "most poses of an image")


def _heatmaps(model: Deployable) -> Iterator[str]:
    codec = model.codec
    rows, columns = model.map_shape
    sigma = float(codec["sigma_cells"])
    blur, radius = peaks.dark_blur(sigma)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / blur) ** 2)
    reach = math.ceil(2 * sigma)
    ideal = math.erf((reach + 0.5) / (sigma * math.sqrt(2))) ** 2 if codec["target"] == "gaussian" else 1.0
    yield "/* Heat maps: one a keypoint; the brightest cell is where it lies. */"
    yield c_define("POSE_MAP_HEIGHT", f"({rows})", "cells")
    yield c_define("POSE_MAP_WIDTH", f"({columns})", "cells")
    yield c_define("POSE_ACTIVATION", f"POSE_ACTIVATION_{codec['activation'].upper()}", "of the maps")
    yield c_define("POSE_DECODE", f"POSE_DECODE_{codec['decode'].upper()}", "how the place inside a cell is found")
    yield c_define("POSE_SCORE_RADIUS", f"({reach})", "cells around a peak whose mass is its score (not sigmoid)")
    yield c_define("POSE_IDEAL_MASS", f"({c_double(ideal)})", "what an ideal blob has there")
    yield c_define("POSE_DARK_RADIUS", f"({radius})", "DARK's blur reaches this far, in cells")
    yield c_define("POSE_DARK_KERNEL", c_list(map(c_double, taps / taps.sum())))


def _keypoints(model: Deployable) -> Iterator[str]:
    del model
    yield "/* The output is (y, x, score) a keypoint, y and x as shares of the input: nothing else to know. */"


def _yolo(model: Deployable) -> Iterator[str]:
    boxes, rows_first, ends = model.boxes()
    known = {None: "LOOK", True: "SHARES", False: "PIXELS"}[model.codec.get("normalised")]
    yield "/* Candidates: a box, a score and keypoints each. */"
    yield c_define("POSE_BOXES_NB", f"({boxes})", "candidates")
    yield c_define("POSE_BOXES_ROWS_FIRST", f"({int(rows_first)})", "1: all values of a candidate lie together")
    yield c_define("POSE_BOXES_END_TO_END", f"({int(ends)})", "1: the network suppresses overlaps itself")
    yield c_define("POSE_COORDINATES", f"POSE_COORDINATES_{known}", "LOOK: pixels where a box goes beyond 2")
    yield c_define("POSE_CONFIDENCE", f"({c_float(model.confidence)})", "candidates below are dropped")
    yield c_define("POSE_NMS", f"({c_float(model.nms)})", "overlap above which the weaker goes")


def _hand(model: Deployable) -> Iterator[str]:
    long = [i for i, output in enumerate(model.outputs) if math.prod(output.shape) == 3 * model.skeleton.count]
    yield "/* Which output is which. */"
    yield c_define("POSE_HAND_PRESENCE", f"({model.codec['presence_index']})")
    yield c_define("POSE_HAND_HANDEDNESS", f"({model.codec['handedness_index']})")
    yield c_define("POSE_HAND_LANDMARKS", c_list(map(str, long)), "the larger numbers are pixels")


def _head(model: Deployable) -> Iterator[str]:
    landmarks, values, count = int(model.codec["landmarks"]), int(model.codec["values"]), model.skeleton.count
    sizes = [math.prod(output.shape) for output in model.outputs]
    yield "/* Landmarks of the network, and those of them that are keypoints. */"
    yield c_define("POSE_HEAD_OUTPUT", f"({sizes.index(landmarks * values)})", "which output has the landmarks")
    yield c_define(
        "POSE_HEAD_PRESENCE", f"({sizes.index(1) if 1 in sizes else -1})", "and which the presence; -1: none"
    )
    yield c_define("POSE_HEAD_VALUES", f"({values})", "numbers a landmark")
    yield c_define("POSE_HEAD_POINTS", c_list(map(str, mesh_points(landmarks, count) or range(count))))


DECODERS = {"heatmaps": _heatmaps, "keypoints": _keypoints, "yolo": _yolo, "hand": _hand, "head": _head}
"""Kind of a codec -> what its decoder in C has to know."""
IN_C = ("heatmaps_spe", "spe", "yolo_mpe", "hand_spe", "head_spe")
"""Model types with a decoder in C, for messages."""


def _format(dtype: str, model: Deployable) -> str:
    if dtype not in FORMATS:
        allowed = ", ".join(FORMATS)
        raise ConfigError(f"model.model_path: {model.path.name} has a tensor of {dtype}; C code reads {allowed}")
    return FORMATS[dtype]
