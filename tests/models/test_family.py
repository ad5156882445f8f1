"""The family of networks: every backbone, neck and head trains, converts to int8, and has the size it should have."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stm32pose.config.model_sections import Model
from stm32pose.config.rules import BACKBONES as NAMES
from stm32pose.config.rules import MODEL_NAMES
from stm32pose.config.target_sections import Quantization
from stm32pose.errors import ConfigError
from stm32pose.models.backbones import BACKBONES, features
from stm32pose.models.backbones.blocks import width
from stm32pose.models.build import MODELS, build_model
from stm32pose.models.family import pose_network
from stm32pose.models.heads import HEADS
from stm32pose.models.lm_single_pose_v1 import lm_single_pose_v1
from stm32pose.models.necks import NECKS

SIDE = (64, 64, 3)
SMALL = dict.fromkeys(BACKBONES, 0.25) | {"mobilenet_v2": 0.35, "vgg16": 0.125, "vgg19": 0.125, "resnet50": 0.125}
# The pyramid with nearest upsampling and heat maps comes with every backbone; softmax is in test_models_build.py.
PARTS = [
    {"neck": "pyramid", "model_type": "heatmaps_spe", "upsampling": "bilinear"},
    {"neck": "pyramid", "model_type": "heatmaps_spe", "upsampling": "transposed"},
    {"neck": "none", "model_type": "heatmaps_spe", "output_stride": 8},
    {"neck": "deconv", "model_type": "spe"},
    {"model_type": "simcc_spe"},
    {"model_type": "movenet_spe", "upsampling": "nearest"},
]


def images(shape=SIDE, count=4):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def outputs_of(model, values):
    outputs = model(values, training=True)
    return outputs if isinstance(outputs, list | tuple) else [outputs]


def check_learns(model, tensors=None):
    """Two steps of gradient descent towards random targets: every tensor has a gradient, and none stays as it was."""
    import keras
    import tensorflow as tf

    values = tf.constant(images().astype(np.float32) / 127.5 - 1)
    rng = np.random.default_rng(1)
    targets = [tf.constant(rng.random((4, *output.shape[1:]), np.float32)) for output in model.outputs]
    optimizer = keras.optimizers.Adam(1e-3)
    before = [weight.numpy().copy() for weight in model.trainable_weights]
    idle = idle_betas(model)
    assert len(before) > 2 * len(idle)
    for _ in range(2):
        with tf.GradientTape() as tape:
            outputs = outputs_of(model, values)
            # Sums, not means: a map learnt by softmax has gradients far below float's smallest steps otherwise.
            loss = tf.add_n([tf.reduce_sum(tf.square(a - b)) for a, b in zip(outputs, targets, strict=True)])
        gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
            assert gradient is not None, weight.path
            largest = float(tf.reduce_max(tf.abs(gradient)))
            assert weight.path in idle or 1e-7 < largest < np.inf, (weight.path, largest)
        optimizer.apply(gradients, model.trainable_weights)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert weight.path in idle or np.abs(weight.numpy() - old).max() > 1e-5, weight.path


def idle_betas(model):
    """Offsets that no data can teach: published networks have them wherever a normalisation without activation feeds
    nothing but 1x1 convolutions with a normalisation of their own, which takes every constant off again. Their
    gradient is rounding."""
    from keras import layers

    def taken_off(operation):
        after = [node.operation for node in operation._outbound_nodes if node.operation.name in names]
        return bool(after) and all(
            taken_off(layer)
            if isinstance(layer, layers.Add | layers.UpSampling2D)
            else isinstance(layer, layers.Conv2D)
            and not layer.use_bias
            and layer.kernel_size == (1, 1)
            and all(isinstance(node.operation, layers.BatchNormalization) for node in layer._outbound_nodes)
            for layer in after
        )

    names = {layer.name for layer in model.layers}
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    return {layer.beta.path for layer in norms if taken_off(layer)}


def check_int8(model, folder):
    """The project's own conversion, which refuses a file with a float operator; parity comes from running the file."""
    from stm32pose.benchmark.graph import read_graph
    from stm32pose.quantization.tflite import quantize_tflite

    made = quantize_tflite(
        model,
        [images()],
        section=Quantization(quantization_input_type="int8"),
        destination=folder / "m.tflite",
        rescaling=(1 / 127.5, -1.0),
        metadata={},
    )
    for entry in made.parity["outputs"]:
        # Of a network with random weights; wrong arithmetic gives errors as large as the range.
        assert entry["mean_error"] < 0.15 * entry["range"] + 0.01, entry
    graph = read_graph(made.path)
    assert {tensor.dtype for tensor in graph.tensors} == {"int8"}
    return graph


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_trains_and_converts(name, tmp_path):
    import keras

    keras.utils.set_random_seed(1)
    model = pose_network(SIDE, 5, backbone=name, alpha=SMALL[name], upsampling="nearest")
    assert model.output_shape == (None, 16, 16, 5)
    check_learns(model)
    graph = check_int8(model, tmp_path)
    # Of one operator each, as TFLite has it: nothing falls apart into reshapes, transpositions or powers.
    assert not set(graph.kinds) & {"TRANSPOSE", "POW", "GATHER", "STRIDED_SLICE", "TILE", "FLOOR_DIV", "DIV"}
    assert ("HARD_SWISH" in graph.kinds) == (name == "mobilenet_v3_small")


@pytest.mark.parametrize("parts", PARTS, ids=lambda parts: "-".join(map(str, parts.values())))
def test_every_neck_and_head_trains_and_converts(parts, tmp_path):
    import keras

    keras.utils.set_random_seed(2)
    model = pose_network(SIDE, 5, backbone="fdmobilenet", alpha=0.25, **parts)
    check_learns(model)
    check_int8(model, tmp_path)


def test_lm_single_pose_v1_trains_and_converts(tmp_path):
    model = lm_single_pose_v1(SIDE, 17)
    assert model.output_shape == (None, 8, 8, 17)
    check_learns(model)
    graph = check_int8(model, tmp_path)
    # B.2: 613 M at 160 x 160, the two laterals that nothing reads included.
    unread = 32 * 32 * (32 * 32 + 16 * 16)
    assert (graph.macs + unread) / 64**2 == pytest.approx(613e6 / 160**2, rel=1e-3)


def test_all_parts_are_covered():
    assert {parts.get("neck") for parts in PARTS} >= set(NECKS)
    assert {parts["model_type"] for parts in PARTS} == set(HEADS)
    assert set(SMALL) == set(BACKBONES)
    assert tuple(BACKBONES) == NAMES, "config/rules.py names the backbones without importing them"
    assert set(MODEL_NAMES) == set(MODELS)


def count(name, alpha=1.0, stride=32):
    import keras

    image, found = features(name, SIDE, alpha)
    return keras.Model(image, found[stride]).count_params()


def test_counts_are_those_of_keras_applications():
    """An independent implementation of the same networks."""
    from keras import applications

    plain = {"include_top": False, "weights": None, "input_shape": SIDE}
    assert count("mobilenet_v1") == applications.MobileNet(**plain).count_params() == 3_228_864
    assert count("mobilenet_v1", 0.25) == applications.MobileNet(alpha=0.25, **plain).count_params()
    assert count("mobilenet_v2") == applications.MobileNetV2(**plain).count_params() == 2_257_984
    small = applications.MobileNetV3Small(include_preprocessing=False, **plain)
    assert count("mobilenet_v3_small") == small.count_params() == 939_120
    narrow = applications.MobileNetV3Small(alpha=0.75, include_preprocessing=False, **plain)
    assert count("mobilenet_v3_small", 0.75) == narrow.count_params()
    assert count("vgg16") == applications.VGG16(**plain).count_params() == 14_714_688
    assert count("vgg19") == applications.VGG19(**plain).count_params() == 20_024_384
    # Keras' ResNet has biases before batch normalisations, which take them off again.
    resnet = applications.ResNet50(**plain)
    biases = sum(layer.bias.shape[0] for layer in resnet.layers if getattr(layer, "bias", None) is not None)
    assert count("resnet50") == resnet.count_params() - biases
    # EfficientNet-Lite0 is B0 without squeeze-and-excite.
    layers = applications.EfficientNetB0(**plain).layers
    left = sum(layer.count_params() for layer in layers if "_se_" not in layer.name and layer.name != "normalization")
    assert count("efficientnet_lite") == left


def test_counts_are_the_published_ones():
    """Trainable parameters with a classifier of 1000 classes on top, as papers and libraries count."""
    import keras

    def classifier(name, channels):
        image, found = features(name, SIDE)
        body = sum(int(np.prod(weight.shape)) for weight in keras.Model(image, found[32]).trainable_weights)
        return body + (channels + 1) * 1000

    # torchvision.models.resnet18.
    assert classifier("resnet18", 512) == 11_689_512
    # tensorflow/tpu, models/official/efficientnet/lite: 4.7 M.
    assert classifier("efficientnet_lite", 1280) == pytest.approx(4.7e6, rel=0.02)
    # Qin et al. 2018, FD-MobileNet 1x: 2.9 M.
    assert classifier("fdmobilenet", 1024) == pytest.approx(2.9e6, rel=0.02)


def test_vgg_tiny_is_that_of_hyperpose():
    widths = [3, 32, 64, 128, 128, 200, 200, 200, 384, 384, 384, 384, 384]
    wanted = sum(9 * a * b + 4 * b for a, b in itertools.pairwise(widths))
    assert count("vgg_tiny") == wanted
    assert count("vgg_tiny", stride=8) == sum(9 * a * b + 4 * b for a, b in itertools.pairwise(widths[:10]))


@pytest.mark.parametrize(("stride", "millions"), [(2, 4.482), (8, 4.445), (16, 4.426)])
def test_lm_single_pose_v1_has_the_size_of_blueoils(stride, millions):
    """hyperpose_blueoil_poseig.md B.2: 4.426 to 4.482 M. There, laterals that nothing reads are counted as well."""
    model = lm_single_pose_v1((160, 160, 3), 17, output_stride=stride)
    channels = {2: 32, 4: 32, 8: 64, 16: 128}
    unread = sum(32 * channels[finer] + 4 * 32 for finer in (2, 4, 8) if finer < stride)
    assert round((model.count_params() + unread) / 1e6, 3) == millions
    assert model.output_shape == (None, 160 // stride, 160 // stride, 17)


def test_a_space_to_depth_and_a_3x3_convolution_are_one_6x6_convolution_of_stride_2():
    """What stands in lm_single_pose, against the operators that Blueoil names."""
    import tensorflow as tf

    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 16, 12, 5)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 4 * 5, 7)).astype(np.float32)
    wanted = tf.nn.conv2d(tf.nn.space_to_depth(x, 2), kernel, 1, "SAME")
    # Channel order of space_to_depth: row in the block, column in the block, channel.
    wide = kernel.reshape(3, 3, 2, 2, 5, 7).transpose(0, 2, 1, 3, 4, 5).reshape(6, 6, 5, 7)
    np.testing.assert_allclose(tf.nn.conv2d(x, wide, 2, "SAME"), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_features_have_the_sizes_of_their_strides(name):
    image, found = features(name, (96, 64, 1), SMALL[name])
    assert tuple(image.shape) == (None, 96, 64, 1)
    assert sorted(found) == [2, 4, 8, 16, 32]
    for stride, feature in found.items():
        assert tuple(feature.shape[1:3]) == (96 // stride, 64 // stride)
        assert feature.shape[3] % 8 == 0, "channels are multiples of 8"


@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in ("resnet50", "vgg19")])
def test_a_wider_backbone_has_more_parameters(name):
    assert count(name, 0.25) < count(name, 0.5)


def test_widths():
    assert [width(32, alpha) for alpha in (0.1, 0.25, 0.35, 0.5, 1, 1.4)] == [8, 8, 16, 16, 32, 48]
    for channels, alpha in itertools.product((16, 24, 64, 200, 1280), (0.2, 0.35, 0.6, 1.0, 1.3)):
        got = width(channels, alpha)
        assert got % 8 == 0
        assert got >= max(8, 0.9 * channels * alpha)
        assert got <= channels * alpha + 8


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"backbone": "mobilenet_v9"}, "model.backbone: got 'mobilenet_v9', allowed are .*did you mean 'mobilenet_v"),
        ({"backbone": "resnet18", "model_name": "custom"}, "model.backbone: got resnet18 beside model_name custom"),
        ({"backbone": "resnet18", "input_shape": (72, 64, 3)}, "model.input_shape: got .* multiples of 32"),
        ({"backbone": "resnet18", "input_shape": None}, "model.input_shape: missing"),
        ({"backbone": "fdmobilenet", "neck": "none", "upsampling": "nearest"}, "neck none has no upsampling"),
        ({"backbone": "fdmobilenet", "neck": "deconv", "upsampling": "nearest"}, "always learns its upsampling"),
        ({"backbone": "fdmobilenet", "model_type": "spe", "upsampling": "nearest"}, "neck none has no upsampling"),
        ({"backbone": "fdmobilenet", "model_type": "hand_spe"}, "model.model_type: got 'hand_spe', a backbone can be"),
        ({"backbone": "fdmobilenet", "model_type": "spe", "final_activation": "softmax"}, "model.final_activation"),
        ({"model_name": "custom", "neck": "pyramid"}, "model.neck: got pyramid, but custom takes only final_act"),
        ({"model_name": "custom", "output_stride": 8}, "model.output_stride: got 8, but custom takes only"),
        ({"model_name": "custom", "model_type": "spe"}, "model.model_type: got spe, but custom gives heat maps"),
        ({"model_name": "lm_single_pose_v1", "alpha": 0.5}, "model.alpha: got 0.5, but lm_single_pose_v1 takes only"),
        (
            {"model_name": "st_movenet_lightning_heatmaps", "upsampling": "transposed"},
            "model.upsampling: got 'transposed', allowed are bilinear, nearest",
        ),
        ({"model_name": None}, "model.model_name: missing, .*; or model.backbone"),
    ],
)
def test_what_does_not_go_together_is_named(section, text):
    with pytest.raises(ConfigError, match=text):
        build_model(Model.model_validate({"input_shape": SIDE} | section), keypoints=5)


def test_a_backbone_of_the_configuration_is_built():
    section = {"backbone": "mobilenet_v1", "alpha": 0.25, "input_shape": (64, 96, 1)}
    model = build_model(Model.model_validate(section | {"output_stride": 8}), keypoints=7)
    assert model.output_shape == (None, 8, 12, 7)
    assert model.name == "mobilenet_v1_pyramid_heatmaps"
    model = build_model(Model.model_validate(section | {"model_type": "simcc_spe"}), keypoints=7)
    assert model.output_shape == (None, 7, 2 * (64 + 96))
    shallow = build_model(Model.model_validate(section | {"neck": "none", "output_stride": 8}), keypoints=7)
    assert shallow.output_shape == (None, 8, 12, 7)
    assert len(shallow.layers) < len(model.layers), "the backbone ends where its feature is read"


OWN = """
import keras
def bins(input_shape, keypoints):
    image = keras.Input(input_shape)
    bins = 2 * (input_shape[0] + input_shape[1])
    x = keras.layers.Dense(keypoints * bins)(keras.layers.GlobalAveragePooling2D()(image))
    return keras.Model(image, keras.layers.Reshape((keypoints, bins))(x))
def points(input_shape, keypoints):
    image = keras.Input(input_shape)
    x = keras.layers.Dense(3 * keypoints)(keras.layers.GlobalAveragePooling2D()(image))
    return keras.Model(image, keras.layers.Reshape((1, 1, keypoints, 3))(x))
def four(input_shape, keypoints):
    image = keras.Input(input_shape)
    maps = [keras.layers.Conv2D(n, 3, 4, "same")(image) for n in (1, keypoints, 2 * keypoints, 2 * keypoints)]
    return keras.Model(image, maps)
def strided(input_shape, keypoints, *, output_stride):
    image = keras.Input(input_shape)
    return keras.Model(image, keras.layers.Conv2D(keypoints, 3, output_stride, "same")(image))
"""


def test_own_builders_of_every_kind(tmp_path):
    from stm32pose.errors import UserError

    file = tmp_path / "mine.py"
    file.write_text(OWN, encoding="utf-8")

    def build(function, model_type, **more):
        section = {"model_name": f"{file}:{function}", "input_shape": (32, 48, 1), "model_type": model_type, **more}
        return build_model(Model.model_validate(section), keypoints=6)

    right = {"bins": "simcc_spe", "points": "spe", "four": "movenet_spe"}
    for function, wanted in right.items():
        for model_type in ("heatmaps_spe", *right.values()):
            if model_type == wanted:
                assert build(function, model_type).outputs
            else:
                with pytest.raises(UserError, match=rf"mine.py:{function} returned a model with output .* it must be"):
                    build(function, model_type)
    assert build("strided", "heatmaps_spe", output_stride=16).output_shape == (None, 2, 3, 6)


def configured(**model):
    from stm32pose.config.load import load_config

    mapping = {
        "operation_mode": "training",
        "model": {"input_shape": list(SIDE), **model},
        "dataset": {"training_path": "poses", "skeleton": "person13"},
    }
    return load_config(mapping, check_paths=False)


def test_the_configuration_knows_the_family():
    model = configured(backbone="ResNet18", neck="none", output_stride="8").model
    assert (model.backbone, model.neck, model.output_stride) == ("resnet18", "none", 8), "`none` is a neck, not a null"
    assert configured(backbone="resnet18", neck=None).model.neck == "auto"


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ({"backbone": "resnet"}, r"^model.backbone: got 'resnet'; expected .*; did you mean 'resnet"),
        ({"model_name": "resnet18"}, r"^model.model_name: got 'resnet18'; expected .*; write model.backbone: resnet18"),
        ({"backbone": "vgg16", "model_name": "custom"}, r"^model.backbone: .* model.model_name and model.backbone"),
        ({"backbone": "vgg16", "model_path": "m.h5"}, r"^model.model_path: .* model.backbone and model.model_path"),
        ({"backbone": "vgg16", "input_shape": None}, r"^model.input_shape: missing"),
        ({"backbone": "vgg16", "neck": "pyramd"}, r"^model.neck: got 'pyramd'; .*did you mean 'pyramid'"),
        ({"backbone": "vgg16", "output_stride": 3}, r"^model.output_stride: got 3; expected 2, 4, 8"),
        ({}, r"^model.model_name: missing; training needs model.model_name .*, model.backbone "),
    ],
)
def test_the_configuration_takes_exactly_one_network(model, text):
    with pytest.raises(ConfigError, match=text):
        configured(**model)
