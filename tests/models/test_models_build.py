"""The networks: ST's counts, arguments and their errors, a user's own builder, frozen layers, dropout."""

from __future__ import annotations

import numpy as np
import pytest

from stm32pose.config.model_sections import Model
from stm32pose.errors import ConfigError, UserError
from stm32pose.models.build import build_model
from stm32pose.models.custom import custom
from stm32pose.models.frozen import dropout, freeze, frozen_indices
from stm32pose.models.layers import without_softmax
from stm32pose.models.movenet_heatmaps import st_movenet_lightning_heatmaps

# alpha: all parameters, trainable parameters, for 17 keypoints (st_services.md 6.1, st_v4.md 4)
COUNTS = {
    0.35: (505_076, 489_954),
    0.5: (801_796, 782_210),
    0.75: (1_479_108, 1_451_426),
    1.0: (2_356_308, 2_321_154),
    1.3: (3_890_420, 3_845_122),
    1.4: (4_497_044, 4_448_066),
}
OWN = """
import keras
def net(input_shape, keypoints):
    image = keras.Input(input_shape)
    return keras.Model(image, keras.layers.Conv2D(keypoints, 3, strides=8, padding="same")(image))
def wide(input_shape, keypoints, *, alpha):
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(int(8 * alpha), 3, padding="same")(image)
    return keras.Model(image, keras.layers.Conv2D(keypoints, 3, padding="same")(x))
def wrong_count(input_shape, keypoints):
    return net(input_shape, keypoints + 1)
def wrong_kind(input_shape, keypoints):
    return "a model"
def broken(input_shape, keypoints):
    raise RuntimeError("first line\\nsecond line")
"""


def small(**arguments):
    return st_movenet_lightning_heatmaps((64, 64, 3), 13, alpha=0.35, **arguments)


@pytest.mark.parametrize("alpha", COUNTS)
def test_parameter_counts_are_those_of_st(alpha):
    model = st_movenet_lightning_heatmaps((192, 192, 3), 17, alpha=alpha)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert (model.count_params(), trainable) == COUNTS[alpha]


def test_thirteen_keypoints_and_custom():
    model = st_movenet_lightning_heatmaps((192, 192, 3), 13)
    assert model.count_params() == 2_355_908
    assert sum(layer.count_params() for layer in model.layers[:154]) == 2_257_984
    assert custom((192, 192, 3), 13).count_params() == 375_540


def test_layer_indices_are_those_of_st():
    model = st_movenet_lightning_heatmaps((192, 192, 3), 17)
    assert len(model.layers) == 191
    assert model.layers[153].name == "out_relu"
    assert freeze(model, "(0:154)") == 154
    assert len(model.trainable_weights) == 39
    assert not any(layer.trainable for layer in model.layers[:154])
    assert freeze(model, None) == 0
    assert len(model.trainable_weights) == 39 + 156


@pytest.mark.parametrize(
    ("size", "maps"),
    [((192, 192), (48, 48)), ((224, 224), (56, 56)), ((256, 256), (64, 64)), ((192, 256), (48, 64))],
)
def test_maps_have_a_quarter_of_the_size(size, maps):
    model = st_movenet_lightning_heatmaps((*size, 3), 5, alpha=0.35)
    assert model.output_shape == (None, *maps, 5)


def test_softmax_sums_to_one_over_the_cells_and_logits_are_what_it_was_made_of():
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    model = small(final_activation="softmax")
    maps = np.asarray(model(images))
    np.testing.assert_allclose(maps.sum((1, 2)), 1, atol=1e-5)
    logits = np.asarray(without_softmax(model)(images))
    powers = np.exp(logits - logits.max((1, 2), keepdims=True))
    np.testing.assert_allclose(powers / powers.sum((1, 2), keepdims=True), maps, atol=1e-6)
    plain = small(final_activation="empty")
    assert without_softmax(plain) is plain


def test_sigmoid_maps_start_dark():
    images = np.random.default_rng(0).uniform(-1, 1, (4, 64, 64, 3)).astype(np.float32)
    assert 0 < float(np.mean(small()(images, training=True))) < 0.06


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"input_shape": (200, 200, 3)}, "model.input_shape: got .* multiples of 32; nearest \\(192, 192, 3\\)"),
        ({"input_shape": (192, 192, 4)}, "model.input_shape: got 4 channels"),
        ({"input_shape": None}, "model.input_shape: missing"),
        ({"model_name": "st_movenet_lightning_heatmap"}, "did you mean 'st_movenet_lightning_heatmaps'"),
        ({"model_name": None}, "model.model_name: missing"),
        ({"model_name": "custom", "alpha": 0.5}, "model.alpha: got 0.5, but custom takes only final_activation"),
        ({"model_name": "absent.py:net"}, "model.model_name: no file 'absent.py'"),
        ({"model_name": "absent.py"}, "write absent.py:FUNCTION"),
        ({"pretrained": "https://example.com/a.h5"}, "model.pretrained: got https"),
    ],
)
def test_wrong_arguments_are_named(arguments, text):
    section = {"model_name": "st_movenet_lightning_heatmaps", "input_shape": (64, 64, 3), "alpha": 0.35}
    if arguments.get("model_name") == "custom":
        section.pop("alpha")
    with pytest.raises(ConfigError, match=text):
        build_model(Model.model_validate(section | arguments), keypoints=13)


def test_own_builder(tmp_path, caplog):
    file = tmp_path / "mine.py"
    file.write_text(OWN, encoding="utf-8")

    def build(function, **more):
        section = {"model_name": f"{file}:{function}", "input_shape": (48, 32, 1), **more}
        return build_model(Model.model_validate(section), keypoints=7)

    assert build("net").output_shape == (None, 6, 4, 7)
    assert any("trusted" in record.message and record.levelname == "WARNING" for record in caplog.records)
    assert build("wide", alpha=2).layers[1].filters == 16
    with pytest.raises(ConfigError, match="takes no option; leave"):
        build("net", alpha=2)
    with pytest.raises(ConfigError, match=r"no function 'nett', it has .*did you mean 'net'"):
        build("nett")
    with pytest.raises(UserError, match=r"output \(6, 4, 8\), it must be \(h, w, 7\)"):
        build("wrong_count")
    with pytest.raises(UserError, match="returned str"):
        build("wrong_kind")
    with pytest.raises(UserError, match=r"RuntimeError: first line second line$"):
        build("broken")
    file.write_text("import not_there", encoding="utf-8")
    with pytest.raises(UserError, match="fails when it is run: ModuleNotFoundError"):
        build("net")


@pytest.mark.parametrize(
    ("expression", "indices"),
    [
        ("(0:4)", [0, 1, 2, 3]),
        ("(2)", [2]),
        ("2", [2]),
        ("(2,)", [2]),
        ("(1:3, 4, -1)", [1, 2, 4, 5]),
        ("(0:-1)", [0, 1, 2, 3, 4]),
        ("(0:999)", [0, 1, 2, 3, 4, 5]),
        ("(::2)", [0, 2, 4]),
        ("-2:", [4, 5]),
    ],
)
def test_frozen_syntax_is_that_of_st(expression, indices):
    assert frozen_indices(expression, 6) == indices


@pytest.mark.parametrize(
    "expression", ["(99)", "-7", "[1]", "all", "(1 2)", "(1:2:0)", "__import__('os')", "()", "1..2"]
)
def test_nonsense_is_refused(expression):
    with pytest.raises(ConfigError, match=r"^training.frozen_layers: got "):
        frozen_indices(expression, 6)


def test_freezing_everything_that_learns_is_an_error():
    model = custom((32, 32, 3), 4)
    for expression in ("(0:-1)", "(:)"):
        with pytest.raises(ConfigError, match="nothing would be learnt"):
            freeze(model, expression)
    freeze(model, "None")
    assert model.trainable_weights


def test_dropout():
    import keras

    layers = keras.layers
    model = keras.Sequential([keras.Input((8,)), layers.Dropout(0.0), layers.Dense(4), layers.Dropout(0.2)])
    assert dropout(model, 0.5) == 2
    assert [layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)] == [0.5, 0.5]
    dropped = np.asarray(model.layers[0](np.ones((50, 8), np.float32), training=True))
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert dropout(model, None) == 0
    with pytest.raises(ConfigError, match=r"training.dropout: got 0.5, but the model custom has no Dropout"):
        dropout(custom((32, 32, 3), 4), 0.5)


def test_sigmoid_maps_convert_to_int8_without_float_ops():
    check_int8(st_movenet_lightning_heatmaps((32, 32, 3), 5, alpha=0.35))


def test_nearest_upsampling_and_softmax_convert_to_int8_without_float_ops():
    check_int8(
        st_movenet_lightning_heatmaps((32, 32, 1), 5, alpha=0.35, upsampling="nearest", final_activation="softmax")
    )


def test_custom_converts_to_int8_without_float_ops():
    check_int8(custom((16, 16, 1), 5))


def check_int8(model):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    images = np.random.default_rng(0).uniform(-1, 1, (4, 1, *model.input_shape[1:])).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    interpreter = Interpreter(model_content=converter.convert())
    kinds = {detail["dtype"] for detail in interpreter.get_tensor_details()}
    assert np.int8 in kinds
    assert not kinds & {np.float32, np.float16, np.float64}
