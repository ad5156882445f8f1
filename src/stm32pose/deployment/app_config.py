"""`app_config.h` of ST's pose application for the STM32N6, for the sources of 2025 (3.0) and those since 4.0."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm32pose.codegen.c_text import c_comment, c_define, c_float, c_list, c_string
from stm32pose.deployment.model import Deployable
from stm32pose.deployment.stored_input import stored_input
from stm32pose.errors import ConfigError
from stm32pose.inference.tensors import quantize

log = logging.getLogger(__name__)

HEADER = "app_config.h"
COLOURS = {"rgb": "COLOR_RGB", "rgba": "COLOR_RGB", "bgr": "COLOR_BGR"}
SHAPES = {
    "fit": "ASPECT_RATIO_FIT",
    "crop": "ASPECT_RATIO_CROP",
    "full_screen": "ASPECT_RATIO_FULLSCREEN",
    "padding": "ASPECT_RATIO_PADDING",
}
BUILT_IN = (13, 17)
"""Keypoints whose limbs the firmware of 3.0 knows; it takes no others."""


@dataclass(frozen=True)
class Style:
    """What the sources of a project want of the header.

    Attributes:
        stai: the network's sizes come from stai_network.h (4.x); else the header gives NN_WIDTH and so on (3.x).
        limbs: `macro` (4.x), `table` (3.1 and 3.2) or "" (3.0, whose limbs are in the firmware).
        integer: the post-processing reads int8 outputs (`_UI`); else float ones (`_UF`).
    """

    stai: bool
    limbs: str
    integer: bool

    @property
    def name(self) -> str:
        """For reports."""
        return "4.x (stai_network.h, int8 outputs)" if self.stai else f"3.x (NN_WIDTH, {self.output_type} outputs)"

    @property
    def output_type(self) -> str:
        """Type that the generated network's outputs must have, in ST's words."""
        return "int8" if self.integer else "float32"


STYLE_4 = Style(stai=True, limbs="macro", integer=True)
STYLE_3 = Style(stai=False, limbs="", integer=False)


def project_style(existing: Path, sources: Path) -> Style:
    """The style of an application's sources.

    The header that the project has tells it. Where it has none, the sources do: those that include stai_network.h are
    4.x, others 3.0.

    Args:
        existing: the project's own app_config.h, which need not exist.
        sources: folder of the application's own .c and .h files.
    """
    if existing.is_file():
        text = _without_comments(existing.read_text(encoding="utf-8", errors="replace"))
        kind = re.search(r"define\s+POSTPROCESS_TYPE\s+POSTPROCESS_\w+_(UI|UF)\b", text)
        stai = "stai_network.h" in text
        limbs = "macro" if re.search(r"define\s+BINDINGS\b", text) else "table" if "bindings[" in text else ""
        return Style(stai, limbs, kind[1] == "UI" if kind else stai)
    for path in sorted(sources.rglob("*.[ch]")) if sources.is_dir() else ():
        if "stai_network.h" in _without_comments(path.read_text(encoding="utf-8", errors="replace")):
            return STYLE_4
    return STYLE_3


def app_config(model: Deployable, style: Style) -> str:
    """The text of app_config.h.

    Raises:
        ConfigError: the firmware cannot run such a model: another kind of output, logits, greyscale, pixels that would
            mean something else to the network than in its training.
    """
    check_suits(model)
    lines = [
        "/* Settings of ST's pose application for the STM32N6.",
        f" * Network: {c_comment(model.path.name)}. Written by stm32pose; a new deployment overwrites it. */",
        "#ifndef APP_CONFIG",
        "#define APP_CONFIG",
        "",
        *(['#include "stai_network.h"'] if style.stai else []),
        '#include "arm_math.h"',
        *(['#include "stm32_lcd.h"'] if style.limbs else []),
        "",
        "#define USE_DCACHE",
        "",
        c_define("CAMERA_FLIP", "CMW_MIRRORFLIP_NONE", "or _FLIP, _MIRROR, _FLIP_MIRROR"),
        "",
        *_camera(model),
        "",
        *([] if style.stai else [*_screen(), ""]),
        *_network(model, style),
        "",
        *(_yolo(model) if model.kind == "yolo" else _heatmaps(model, style)),
        "",
        *_limbs(model, style),
        *_welcome(model, style),
        "",
        "#endif /* APP_CONFIG */",
    ]
    return "\n".join(lines) + "\n"


def check_suits(model: Deployable) -> None:
    """Raise ConfigError where ST's firmware for the STM32N6 cannot run the model."""
    if model.kind not in ("heatmaps", "yolo"):
        raise ConfigError(
            f"model.model_type: got {model.codec['model_type']}; ST's application for the STM32N6 decodes "
            "heatmaps_spe and yolo_mpe"
        )
    if not model.quantized:
        raise ConfigError(
            f"model.model_path: {model.path.name} computes in float, the STM32N6's accelerator in int8; quantize it "
            "first (operation_mode: chain_qd)"
        )
    if model.kind == "heatmaps" and model.codec["activation"] == "empty":
        raise ConfigError(
            "model.final_activation: empty (the maps are logits); ST's application compares the brightest cell with "
            "postprocessing.kpts_conf_thresh; deploy a network that ends in sigmoid or softmax"
        )
    if model.preprocessing.color_mode not in COLOURS or model.input_shape[2] != 3:
        raise ConfigError(
            f"preprocessing.color_mode: got {model.preprocessing.color_mode} and a network of {model.input_shape[2]} "
            "channels; the camera of the STM32N6 gives rgb or bgr"
        )
    if model.kind == "yolo":
        _, rows_first, ends = model.boxes()
        if rows_first or ends:
            shape = list(model.outputs[0].shape)
            raise ConfigError(
                f"model.model_path: {model.path.name} gives {shape}; ST's application reads [5 + 3 keypoints, boxes] "
                "without suppression in the network"
            )
    _check_pixels(model)


def _check_pixels(model: Deployable) -> None:
    """The firmware feeds camera bytes as they are, so that stored uint8 inputs must be the pixel values."""
    tensor = stored_input(model.input, model.path)
    if tensor is None:
        return
    scale, offset = model.rescaling
    limits = np.iinfo(tensor.dtype)
    pixels = np.arange(256)
    stored = quantize(scale * pixels + offset, tensor.scale, tensor.zero_point, tensor.dtype).astype(int)
    worst = int(np.abs(stored - limits.min - pixels).max())
    if worst > 8:
        raise ConfigError(
            f"preprocessing.rescaling: scale {scale:.6g}, offset {offset:g} stores a pixel up to {worst} levels beside "
            f"its value in {model.path.name}; the STM32N6 feeds camera bytes as they are, so calibrate the network on "
            "the whole range of pixels"
        )
    if worst > 2:
        log.warning(
            "%s stores a pixel up to %d levels beside its value; the STM32N6 feeds camera bytes as they are, and the "
            "poses will be a little worse than on the host",
            *(model.path.name, worst),
        )


def _camera(model: Deployable) -> Iterator[str]:
    yield c_define("ASPECT_RATIO_CROP", "(1)", "the middle of the picture, aspect ratio kept")
    yield c_define("ASPECT_RATIO_FIT", "(2)", "the whole picture, stretched to the network's input")
    yield c_define("ASPECT_RATIO_FULLSCREEN", "(3)", "as FIT, and shown on the whole screen")
    yield "/* The camera's hardware draws no bars: of what it has, CROP keeps people undistorted as bars would. */"
    yield c_define("ASPECT_RATIO_PADDING", "(ASPECT_RATIO_CROP)")
    yield c_define("ASPECT_RATIO_MODE", SHAPES[model.preprocessing.resizing.aspect_ratio])


def _screen() -> Iterator[str]:
    yield c_define("CAPTURE_FORMAT", "DCMIPP_PIXEL_PACKER_FORMAT_RGB565_1")
    yield c_define("CAPTURE_BPP", "(2)")
    yield c_define("CAMERA_WIDTH", "(0)", "0: the driver's own resolution")
    yield c_define("CAMERA_HEIGHT", "(0)")
    yield c_define("LCD_FG_WIDTH", "(800)")
    yield c_define("LCD_FG_HEIGHT", "(480)")
    yield c_define("LCD_FG_FRAMEBUFFER_SIZE", "(LCD_FG_WIDTH * LCD_FG_HEIGHT * 2)")


def _network(model: Deployable, style: Style) -> Iterator[str]:
    kind = "MPE_YOLO_V8" if model.kind == "yolo" else "SPE_MOVENET"
    yield c_define("POSTPROCESS_TYPE", f"POSTPROCESS_{kind}_{'UI' if style.integer else 'UF'}")
    if not style.stai:
        height, width, channels = model.input_shape
        yield c_define("NN_HEIGHT", f"({height})")
        yield c_define("NN_WIDTH", f"({width})")
        yield c_define("NN_BPP", f"({channels})")
    yield c_define("COLOR_BGR", "(0)")
    yield c_define("COLOR_RGB", "(1)")
    yield c_define("COLOR_MODE", COLOURS[model.preprocessing.color_mode])


def _heatmaps(model: Deployable, style: Style) -> Iterator[str]:
    rows, columns = model.map_shape
    if style == STYLE_3 and model.skeleton.count not in BUILT_IN:
        log.warning(
            "the application of 3.0 draws limbs of 13 or 17 keypoints; %d keypoints are shown as points or not at all",
            model.skeleton.count,
        )
    yield c_define("AI_POSE_PP_CONF_THRESHOLD", f"({c_float(cell_threshold(model))})", "of the brightest cell")
    yield c_define("AI_POSE_PP_POSE_KEYPOINTS_NB", f"({model.skeleton.count})")
    yield c_define("AI_SPE_MOVENET_POSTPROC_HEATMAP_WIDTH", f"({columns})", "cells, of the network's output")
    yield c_define("AI_SPE_MOVENET_POSTPROC_HEATMAP_HEIGHT", f"({rows})")
    yield c_define("AI_SPE_MOVENET_POSTPROC_NB_KEYPOINTS", "(AI_POSE_PP_POSE_KEYPOINTS_NB)")


def cell_threshold(model: Deployable) -> float:
    """`kpts_conf_thresh` in the firmware's unit, the value of the brightest cell.

    Sigmoid maps are 1 at a perfect peak. A softmax map sums to 1, so that the peak of an ideal blob is 1 / (2 pi
    sigma^2), and a score of 1 here is that value there.
    """
    given = model.postprocessing.kpts_conf_thresh
    if model.codec["activation"] == "softmax" and model.codec["target"] == "gaussian":
        return given / (2 * math.pi * float(model.codec["sigma_cells"]) ** 2)
    return given


def _yolo(model: Deployable) -> Iterator[str]:
    yield c_define("AI_MPE_YOLOV8_PP_NB_CLASSES", "(1)")
    yield c_define("AI_MPE_YOLOV8_PP_TOTAL_BOXES", f"({model.boxes()[0]})", "of the network's output")
    yield c_define("AI_MPE_YOLOV8_PP_MAX_BOXES_LIMIT", f"({model.most_poses})")
    yield c_define("AI_MPE_YOLOV8_PP_IOU_THRESHOLD", f"({c_float(model.nms)})")
    yield c_define("AI_MPE_YOLOV8_PP_CONF_THRESHOLD", f"({c_float(model.confidence)})", "of a box")
    yield c_define("AI_POSE_PP_CONF_THRESHOLD", f"({c_float(model.postprocessing.kpts_conf_thresh)})", "of a keypoint")
    yield c_define("AI_POSE_PP_POSE_KEYPOINTS_NB", f"({model.skeleton.count})")
    yield c_define("AI_MPE_YOLOV8_PP_KEYPOINTS_NB", "(AI_POSE_PP_POSE_KEYPOINTS_NB)")


def _limbs(model: Deployable, style: Style) -> Iterator[str]:
    """Limbs with their colours, ARGB8888 as the display library takes them."""
    if not style.limbs:
        return
    edges, colours = model.skeleton.edges, model.skeleton.colours
    rows = [
        f"{{{start}, {end}, (int)0xFF{red:02X}{green:02X}{blue:02X}U}}"
        for (start, end), (red, green, blue) in zip(edges, colours, strict=True)
    ] or ["{0, 0, 0}"]  # C has no empty table; a limb from a joint to itself shows nothing
    yield "/* Limbs: first and last keypoint, colour. */"
    if style.limbs == "table":
        yield f"static const int bindings[][3] = {c_list(rows)};".replace(" \\\n", "\n")
    else:
        yield "#define USE_BINDINGS"
        yield c_define("BINDINGS_NB", f"({len(rows)})")
        yield f"#define BINDINGS const int bindings[BINDINGS_NB][3] = {c_list(rows)}"
        yield "extern const int bindings[BINDINGS_NB][3];"
    yield ""


def _welcome(model: Deployable, style: Style) -> Iterator[str]:
    yield "/* Shown at start. */"
    if not style.stai:
        yield c_define("WELCOME_MSG_0", c_string("Pose estimation"))
    yield c_define("WELCOME_MSG_1", c_string(model.path.name))
    yield c_define("WELCOME_MSG_2", c_string("Network running in the internal memory"))


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
