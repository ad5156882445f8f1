"""app_config.h: its values by _Static_assert, in both styles, compiled with the warnings on."""

from __future__ import annotations

from pathlib import Path

import pytest
from deployment.deployed import ARM, GCC, deployable, joints, needs_arm, needs_gcc, run_checked

from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.codecs.keypoints import KeypointsCodec
from stm32pose.codecs.yolo import YoloCodec
from stm32pose.config.data_sections import Preprocessing
from stm32pose.config.model_sections import Postprocessing
from stm32pose.deployment.app_config import STYLE_3, STYLE_4, Style, app_config, cell_threshold, project_style
from stm32pose.deployment.model import Deployable
from stm32pose.errors import ConfigError
from stm32pose.inference.tensors import TensorInfo

STYLES = {"3.0": STYLE_3, "3.2": Style(stai=False, limbs="table", integer=True), "4.x": STYLE_4}
STUBS = {
    "arm_math.h": "typedef float float32_t;\n",
    "stm32_lcd.h": "/* nothing of it is used here */\n",
    "stai_network.h": "#define STAI_NETWORK_IN_1_WIDTH (1)\n",
}
WORDS = """
enum { CMW_MIRRORFLIP_NONE, DCMIPP_PIXEL_PACKER_FORMAT_RGB565_1,
       POSTPROCESS_SPE_MOVENET_UI = 204, POSTPROCESS_SPE_MOVENET_UF = 203,
       POSTPROCESS_MPE_YOLO_V8_UI = 201, POSTPROCESS_MPE_YOLO_V8_UF = 200 };
"""


def heatmap_model(activation: str = "sigmoid", **given) -> Deployable:
    """128 x 96 input, maps of 30 x 20 cells: neither square nor a quarter."""
    codec = HeatmapCodec((96, 128), (20, 30), 17, activation=activation, sigma=2.0)
    return deployable(codec.describe(), [TensorInfo("out", (20, 30, 17), "int8", 1 / 256, -128)], **given)


def yolo_model(**given) -> Deployable:
    codec = YoloCodec((256, 256), 17, confidence=0.3)
    outputs = given.pop("outputs", [TensorInfo("out", (56, 1344), "int8", 1 / 256, -128)])
    return deployable(codec.describe(), outputs, **given)


def compiled(text: str, claims: list[str], folder: Path, *, style: str, compiler: str | None = GCC) -> None:
    """The header inside a small program, with `claims` that must be true."""
    for name, stub in STUBS.items():
        (folder / name).write_text(stub)
    (folder / "app_config.h").write_text(text, encoding="ascii")
    # As the firmware uses it: included twice, limbs defined and read.
    limbs = {"4.x": "BINDINGS;\n", "3.2": "", "3.0": "static const int bindings[1][3] = {{0, 0, 0}};\n"}[style]
    source = '#include "app_config.h"\n#include "app_config.h"\n' + WORDS + limbs
    source += "".join(f'_Static_assert({claim}, "{claim[:60]}");\n'.replace('""', '"') for claim in claims)
    source += "const char *messages[] = { WELCOME_MSG_1, WELCOME_MSG_2 };\nint main(void) { return bindings[0][2]; }\n"
    (folder / "t.c").write_text(source, encoding="ascii")
    run_checked([compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-c", folder / "t.c", "-o", folder / "t.o"])


@needs_gcc
@pytest.mark.parametrize("style", list(STYLES))
@pytest.mark.parametrize("aspect", ["fit", "crop", "padding", "full_screen"])
def test_heat_maps(tmp_path, style, aspect):
    preprocessing = Preprocessing.model_validate({"resizing": {"aspect_ratio": aspect}, "color_mode": "bgr"})
    model = heatmap_model(preprocessing=preprocessing, postprocessing=Postprocessing(kpts_conf_thresh=0.2))
    mode = {"fit": 2, "crop": 1, "padding": 1, "full_screen": 3}[aspect]
    claims = [
        f"ASPECT_RATIO_MODE == {mode}",
        "COLOR_MODE == COLOR_BGR",
        "AI_SPE_MOVENET_POSTPROC_HEATMAP_WIDTH == 30",
        "AI_SPE_MOVENET_POSTPROC_HEATMAP_HEIGHT == 20",
        "AI_SPE_MOVENET_POSTPROC_NB_KEYPOINTS == 17",
        "AI_POSE_PP_CONF_THRESHOLD == 0.2f",
        "sizeof(AI_POSE_PP_CONF_THRESHOLD) == sizeof(float)",
        f"POSTPROCESS_TYPE == POSTPROCESS_SPE_MOVENET_{'UF' if style == '3.0' else 'UI'}",
    ]
    claims += [] if style == "4.x" else ["NN_WIDTH == 128 && NN_HEIGHT == 96 && NN_BPP == 3", "CAPTURE_BPP == 2"]
    claims += [] if style == "3.0" else ["sizeof(bindings) / sizeof(bindings[0]) == 18"]
    compiled(app_config(model, STYLES[style]), claims, tmp_path, style=style)


@needs_gcc
@pytest.mark.parametrize("style", list(STYLES))
def test_yolo(tmp_path, style):
    thresholds = Postprocessing(confidence_thresh=0.6, NMS_thresh=0.45, max_detection_boxes=7, kpts_conf_thresh=0.1)
    claims = [
        "AI_MPE_YOLOV8_PP_TOTAL_BOXES == 1344",
        "AI_MPE_YOLOV8_PP_MAX_BOXES_LIMIT == 7",
        "AI_MPE_YOLOV8_PP_CONF_THRESHOLD == 0.6f",
        "AI_MPE_YOLOV8_PP_IOU_THRESHOLD == 0.45f",
        "AI_POSE_PP_CONF_THRESHOLD == 0.1f",
        "AI_POSE_PP_POSE_KEYPOINTS_NB == 17",
        f"POSTPROCESS_TYPE == POSTPROCESS_MPE_YOLO_V8_{'UF' if style == '3.0' else 'UI'}",
    ]
    compiled(app_config(yolo_model(postprocessing=thresholds), STYLES[style]), claims, tmp_path, style=style)


@needs_gcc
@pytest.mark.parametrize("name", ['we"ird\\name?.tflite', "a*/b.tflite", "größe.tflite", "x\n#error.tflite"])
@pytest.mark.parametrize("style", list(STYLES))
def test_names_of_files_stay_text(tmp_path, name, style):
    model = heatmap_model(path=Path(name))
    compiled(app_config(model, STYLES[style]), ["sizeof(WELCOME_MSG_1) > 1"], tmp_path, style=style)


@needs_gcc
@pytest.mark.parametrize("style", list(STYLES))
def test_no_limbs(tmp_path, style):
    model = deployable(
        HeatmapCodec((64, 64), (16, 16), 1).describe(), [TensorInfo("o", (16, 16, 1), "int8", 1 / 256, -128)]
    )
    assert model.skeleton.edges == ()
    compiled(app_config(model, STYLES[style]), ["AI_POSE_PP_POSE_KEYPOINTS_NB == 1"], tmp_path, style=style)


@needs_arm
def test_arm_compiler(tmp_path):
    compiled(app_config(heatmap_model(), STYLE_4), ["BINDINGS_NB == 18"], tmp_path, style="4.x", compiler=ARM)


def test_limbs_and_colours_are_the_skeletons():
    skeleton = joints(3)
    codec = HeatmapCodec((64, 64), (16, 16), 3)
    model = deployable(codec.describe(), [TensorInfo("o", (16, 16, 3), "int8", 1 / 256, -128)], skeleton=skeleton)
    text = app_config(model, STYLE_4)
    assert "{0, 1, (int)0xFFFF0000U}" in text
    assert "{1, 2, (int)0xFFFF0100U}" in text


def test_a_softmax_threshold_is_of_the_brightest_cell():
    """A score of 1 is the peak of an ideal blob, 1 / (2 pi sigma^2), here of sigma 2."""
    assert cell_threshold(heatmap_model()) == 0.15
    assert cell_threshold(heatmap_model("softmax")) == pytest.approx(0.15 * 0.0398, rel=1e-3)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: heatmap_model("empty"), "final_activation"),
        (lambda: heatmap_model(quantized=False), "chain_qd"),
        (lambda: heatmap_model(preprocessing=Preprocessing(color_mode="grayscale")), "color_mode"),
        (
            lambda: heatmap_model(
                preprocessing=Preprocessing.model_validate({"rescaling": {"scale": 1 / 255, "offset": 0}})
            ),
            "rescaling",
        ),
        (lambda: yolo_model(outputs=[TensorInfo("o", (1344, 56), "int8", 1 / 256, -128)]), "5 \\+ 3 keypoints, boxes"),
        (
            lambda: deployable(KeypointsCodec((64, 64), 5).describe(), [TensorInfo("o", (1, 1, 5, 3), "int8", 1, 0)]),
            "got spe",
        ),
    ],
)
def test_what_the_firmware_cannot_run(model, message):
    with pytest.raises(ConfigError, match=message):
        app_config(model(), STYLE_4)


@pytest.fixture(scope="module")
def float_borders(tmp_path_factory) -> Path:
    """A .tflite of float input and output that computes in int8, calibrated on pixels in [-1, 1]."""
    keras = pytest.importorskip("keras")
    import numpy as np

    from stm32pose.config.target_sections import Quantization
    from stm32pose.quantization.calibration import fake_images
    from stm32pose.quantization.tflite import quantize_tflite

    image = keras.Input((96, 128, 3))
    model = keras.Model(image, keras.layers.Conv2D(17, 3, strides=4, padding="same", activation="sigmoid")(image))
    types = {"quantization_input_type": "float", "quantization_output_type": "float"}
    path = tmp_path_factory.mktemp("float") / "float_borders.tflite"
    quantize_tflite(
        model,
        [np.ascontiguousarray(fake_images((96, 128, 3), count=4))],
        section=Quantization.model_validate(types),
        destination=path,
        rescaling=(1 / 127.5, -1.0),
        metadata={},
    )
    return path


@pytest.mark.parametrize(("scale", "offset", "suits"), [(1 / 127.5, -1, True), (1, 0, False), (1 / 255, 0, False)])
def test_pixels_are_checked_behind_a_float_input(float_borders, scale, offset, suits):
    """The firmware feeds bytes, whatever the file's own input is: the QUANTIZE behind it tells what they mean."""
    given = {
        "path": float_borders,
        "input": TensorInfo("in", (96, 128, 3), "float32"),
        "preprocessing": Preprocessing.model_validate({"rescaling": {"scale": scale, "offset": offset}}),
    }
    if suits:
        assert "AI_POSE_PP_CONF_THRESHOLD" in app_config(heatmap_model(**given), STYLE_4)
        return
    with pytest.raises(ConfigError, match=r"levels beside its value in float_borders\.tflite"):
        app_config(heatmap_model(**given), STYLE_4)


@pytest.mark.parametrize("style", list(STYLES))
def test_the_projects_own_header_tells_the_style(tmp_path, style):
    """What we wrote in one style is recognised as that style."""
    header = tmp_path / "app_config.h"
    header.write_text(app_config(heatmap_model(), STYLES[style]), encoding="ascii")
    assert project_style(header, tmp_path / "none") == STYLES[style]


def test_sources_tell_the_style_where_there_is_no_header(tmp_path):
    (tmp_path / "main.c").write_text('/* #include "stai_network.h" */\n#include "network.h"\n')
    assert project_style(tmp_path / "app_config.h", tmp_path) == STYLE_3
    (tmp_path / "run.c").write_text('#include "stai_network.h"\n')
    assert project_style(tmp_path / "app_config.h", tmp_path) == STYLE_4
