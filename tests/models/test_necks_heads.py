"""Necks and heads: shapes, what learns, int8 and ONNX files that give the same poses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
import tensorflow as tf

from stm32pose.codecs.movenet import ROLES, MovenetCodec
from stm32pose.codecs.select import codec_from_description, make_codec
from stm32pose.config.target_sections import Quantization
from stm32pose.errors import ConfigError, UserError
from stm32pose.inference.keras_onnx import export_onnx
from stm32pose.inference.runner import load_runner
from stm32pose.models.adapt import adapt_keypoints
from stm32pose.models.heads import HEADS
from stm32pose.models.load import final_activation, load_model
from stm32pose.models.movenet_heatmaps import st_movenet_lightning_heatmaps
from stm32pose.models.necks import NECKS

SHAPE = (64, 96, 3)
COLOURS = np.array([(230, 40, 40), (40, 220, 60), (60, 80, 240)], np.float32)
RESCALING = (1 / 127.5, -1.0)
KINDS = tuple(HEADS)
NECK_OF = {"heatmaps_spe": "pyramid", "movenet_spe": "pyramid", "simcc_spe": "none", "spe": "none"}


def backbone(deepest: int = 16, widths: tuple[int, ...] = (8, 12, 16, 24, 24)) -> tuple[Any, dict[int, Any]]:
    """A small one: an input and features at stride 2 to `deepest`."""
    x = image = keras.Input(SHAPE, name="image")
    found = {}
    for level, width in enumerate(widths, start=1):
        if 2**level > deepest:
            break
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False, name=f"body_{level}")(x)
        x = keras.layers.ReLU(name=f"relu_{level}")(keras.layers.BatchNormalization(name=f"norm_{level}")(x))
        found[2**level] = x
    return image, found


def network(kind: str, keypoints: int = 3, *, neck: str = "", stride: int | None = None, **options: Any) -> Any:
    keras.utils.set_random_seed(3)
    image, found = backbone()
    x = NECKS[neck or NECK_OF[kind]](found, stride=stride, **options)
    outputs = HEADS[kind](x, input_shape=SHAPE, keypoints=keypoints, final_activation="sigmoid")
    return keras.Model(image, outputs if len(outputs) > 1 else outputs[0], name=f"tiny_{kind}")


def shapes_of(model: Any) -> list[tuple[int, ...]]:
    return [tuple(output.shape[1:]) for output in model.outputs]


def codec_of(kind: str, model: Any, keypoints: int = 3) -> Any:
    return make_codec(kind, input_shape=SHAPE, output_shapes=shapes_of(model), keypoints=keypoints)


def dots(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [B, H, W, 3] with a triangle of soft dots of three colours, and keypoints [B, 1, 3, 3]."""
    rng = np.random.default_rng(seed)
    height, width, _ = SHAPE
    triangle = np.array([[-12, 8], [0, -12], [12, 8]], np.float32)
    middle = rng.uniform([18, 18], [width - 18, height - 18], (count, 1, 2))
    points = (middle + triangle + rng.uniform(-4, 4, (count, 3, 2))).astype(np.float32)
    rows, columns = np.mgrid[:height, :width] + 0.5
    images = np.full((count, height, width, 3), 120, np.float32)
    for joint, colour in enumerate(COLOURS):
        away = (columns - points[:, joint, 0, None, None]) ** 2 + (rows - points[:, joint, 1, None, None]) ** 2
        share = np.exp(-away / (2 * 4.0**2))[..., None]
        images = images * (1 - share) + colour * share
    keypoints = np.concatenate([points, np.full((count, 3, 1), 2, np.float32)], axis=-1)
    return images.astype(np.uint8), keypoints[:, None]


def test_necks_end_where_they_are_told():
    _, found = backbone(deepest=32)
    for neck, widths in (("pyramid", {2: 96, 4: 96, 8: 96}), ("deconv", {2: 256, 4: 256, 8: 256})):
        for stride, width in widths.items():
            x = NECKS[neck](found, stride=stride)
            assert tuple(x.shape[1:]) == (SHAPE[0] // stride, SHAPE[1] // stride, width), (neck, stride)
        assert tuple(NECKS[neck](found).shape[1:3]) == (16, 24), neck
    assert NECKS["none"](found) is found[32]
    assert NECKS["none"](found, stride=8) is found[8]
    assert NECKS["deconv"](found, channels=16).shape[-1] == 16
    shallow = {stride: found[stride] for stride in (2, 4)}
    assert tuple(NECKS["pyramid"](shallow).shape[1:]) == (16, 24, 96)
    assert tuple(NECKS["pyramid"](shallow, stride=2).shape[1:]) == (32, 48, 96)
    assert NECKS["deconv"](shallow) is shallow[4]
    gaps = {stride: found[stride] for stride in (4, 16)}
    assert tuple(NECKS["pyramid"](gaps).shape[1:]) == (16, 24, 96)


@pytest.mark.parametrize(
    ("neck", "options", "message"),
    [
        ("pyramid", {"stride": 32}, "output_stride: got 32, allowed with this backbone are 2, 4, 8, 16"),
        ("deconv", {"stride": 3}, "output_stride: got 3, allowed"),
        ("none", {"stride": 32}, "output_stride: got 32, without a neck the strides .* are 2, 4, 8, 16"),
        ("pyramid", {"upsampling": "bilinar"}, "did you mean 'bilinear'"),
    ],
)
def test_what_a_neck_cannot_do(neck, options, message):
    with pytest.raises(ConfigError, match=message):
        NECKS[neck](backbone()[1], **options)


def test_sizes_that_do_not_meet_are_said():
    image = keras.Input((40, 40, 3))
    found = {4: keras.layers.MaxPooling2D(4)(image), 8: keras.layers.MaxPooling2D(8)(image)}
    found[16] = keras.layers.Conv2D(4, 3, strides=2, padding="same")(found[8])
    with pytest.raises(ConfigError, match=r"model\.input_shape: maps of \(6, 6\) and \(5, 5\) cells"):
        NECKS["pyramid"](found)


def test_pyramid_and_heat_maps_are_sts_network():
    """Same layers, names and sizes as the network that ST ships, so that its files fit by name."""
    from stm32pose.models.backbones.mobilenet_v2 import mobilenet_v2, taps

    body = mobilenet_v2(SHAPE, 0.35)
    found = dict(zip((4, 8, 16, 32), taps(body), strict=True))
    head = HEADS["heatmaps_spe"](NECKS["pyramid"](found), input_shape=SHAPE, keypoints=5, final_activation="sigmoid")
    ours, sts = keras.Model(body.input, head[0]), st_movenet_lightning_heatmaps(SHAPE, 5, alpha=0.35)
    assert [layer.name for layer in ours.layers[1:]] == [layer.name for layer in sts.layers[1:]]
    assert [weight.shape for weight in ours.weights] == [weight.shape for weight in sts.weights]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("neck", ["pyramid", "deconv", "none"])
def test_every_head_on_every_neck_is_decoded(kind, neck):
    model = network(kind, 5, neck=neck)
    codec = codec_of(kind, model, 5)
    outputs = model(np.random.default_rng(0).uniform(-1, 1, (2, *SHAPE)).astype(np.float32))
    outputs = [np.asarray(output) for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]
    poses = codec.decode(outputs)
    assert poses.shape == (2, 1, 5, 3)
    assert (poses >= 0).all()
    assert (poses <= [SHAPE[1], SHAPE[0], 1]).all()
    if kind == "movenet_spe":
        assert model.output_names == list(ROLES)
        assert isinstance(codec, MovenetCodec)


@pytest.mark.parametrize(
    ("kind", "activation"),
    [
        ("simcc_spe", "softmax"),
        ("spe", "softmax"),
        ("spe", "empty"),
        ("movenet_spe", "empty"),
        ("heatmaps_spe", "relu"),
    ],
)
def test_an_activation_that_a_head_has_not_is_refused(kind, activation):
    _, found = backbone()
    with pytest.raises(ConfigError, match=rf"model\.final_activation: got '{activation}'"):
        HEADS[kind](found[16], input_shape=SHAPE, keypoints=3, final_activation=activation)


def test_the_last_layer_tells_the_activation():
    assert {kind: final_activation(network(kind)) for kind in KINDS} == {
        "heatmaps_spe": "sigmoid",
        "simcc_spe": None,
        "spe": "sigmoid",
        "movenet_spe": None,
    }


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(kind, folder with net.keras, net.tflite of int8 and net.onnx) of a network that has learnt the dots somewhat."""
    from stm32pose.losses import make_loss
    from stm32pose.quantization.tflite import quantize_tflite
    from stm32pose.training.network import quicken_statistics
    from stm32pose.training.trainer import Trainer

    kind = request.param
    folder = tmp_path_factory.mktemp(kind)
    model = network(kind, upsampling="nearest" if kind == "movenet_spe" else "bilinear")
    codec = codec_of(kind, model)
    described = codec.describe()
    loss = make_loss(
        "auto",
        kind=described["kind"],
        activation=described.get("activation", "sigmoid"),
        keypoints=3,
        input_shape=SHAPE[:2],
    )
    quicken_statistics(model, 8)
    trainer = Trainer(model, loss)
    trainer.compile(optimizer=keras.optimizers.Adam(1e-2))
    images, keypoints = dots(256, 0)
    targets, weights = codec.encode(keypoints)
    inputs = images.astype(np.float32) * RESCALING[0] + RESCALING[1]
    before = [np.asarray(weight) for weight in model.trainable_variables]
    data = tf.data.Dataset.from_tensor_slices((inputs, targets, weights)).shuffle(256, seed=1).batch(32)
    trainer.fit(data, epochs=8, verbose=0)  # pyright: ignore[reportArgumentType]
    for old, weight in zip(before, model.trainable_variables, strict=True):
        assert np.abs(np.asarray(weight) - old).max() > 0, weight.path  # every tensor learns
    model.save(folder / "net.keras")
    calibration = images[:16].copy()
    calibration[0, 0, 0], calibration[0, 0, 1] = 0, 255  # the whole range of pixels, for the input's scale
    quantize_tflite(
        model,
        [calibration],
        section=Quantization(),
        destination=folder / "net.tflite",
        rescaling=RESCALING,
        metadata={"codec": described},
    )
    export_onnx(model, folder / "net.onnx")
    return kind, folder


def decoded(kind: str, path: Path, images: np.ndarray) -> np.ndarray:
    """[B, 3, 3] as an evaluation decodes a file."""
    runner = load_runner(path, rescaling=RESCALING)
    shapes, names = [output.shape for output in runner.outputs], [output.name for output in runner.outputs]
    codec = make_codec(kind, input_shape=runner.input_shape, output_shapes=shapes, keypoints=3, output_names=names)
    return codec.decode(runner.predict(images))[:, 0]


def test_files_of_every_kind_give_the_same_poses(trained):
    """Float Keras, int8 TFLite and ONNX; the network has learnt something, so that agreement means something."""
    kind, folder = trained
    images, keypoints = dots(24, 9)
    poses = decoded(kind, folder / "net.keras", images)
    away = np.linalg.norm(poses[..., :2] - keypoints[:, 0, :, :2], axis=-1)
    guess = np.linalg.norm(keypoints[:, 0, :, :2] - [SHAPE[1] / 2, SHAPE[0] / 2], axis=-1)
    assert np.median(away) < 0.25 * np.median(guess), (np.median(away), np.median(guess))
    exported = decoded(kind, folder / "net.onnx", images)
    np.testing.assert_allclose(exported, poses, atol=0.02)
    integer = decoded(kind, folder / "net.tflite", images)
    moved = np.linalg.norm(integer[..., :2] - poses[..., :2], axis=-1)
    assert np.median(moved) < 1.5
    assert np.mean(moved > 6) < 0.1
    assert np.abs(integer[..., 2] - poses[..., 2]).mean() < 0.08


def test_int8_files_compute_in_integers_and_their_sidecar_decodes_them(trained):
    from stm32pose.inference.tflite_file import read_raw

    kind, folder = trained
    path = folder / "net.tflite"
    raw = read_raw(path.read_bytes(), path)
    edges = {raw.tensors[index].name for index in (*raw.inputs, *raw.outputs)}
    floats = [tensor.name for tensor in raw.tensors if tensor.dtype == "float32" and tensor.name not in edges]
    assert not floats
    described = json.loads((folder / "net.json").read_text())["codec"]
    runner = load_runner(path, rescaling=RESCALING)
    images = dots(4, 5)[0]
    codec = codec_from_description(described, output_shapes=[output.shape for output in runner.outputs])
    np.testing.assert_allclose(codec.decode(runner.predict(images))[:, 0], decoded(kind, path, images), atol=1e-4)
    assert described["model_type"] == kind


def test_the_sidecar_is_believed_before_shapes(trained):
    """The step's own way to a codec: described, and refused where the configuration says another kind."""
    from stm32pose.config.schema import Config
    from stm32pose.operations.codec import codec_of as codec_of_file

    kind, folder = trained
    runner: Any = load_runner(folder / "net.tflite", rescaling=RESCALING)
    skeleton: Any = SimpleNamespace(count=3)
    section = {"model_path": str(runner.path), "model_type": kind}
    rescaling = {"rescaling": {"scale": RESCALING[0], "offset": RESCALING[1]}}
    config = Config.model_validate({"operation_mode": "evaluation", "model": section, "preprocessing": rescaling})
    described = json.loads((folder / "net.json").read_text())["codec"]
    assert codec_of_file(config, runner, skeleton).describe() == described
    other = next(name for name in KINDS if name != kind)
    config = config.model_copy(update={"model": config.model.model_copy(update={"model_type": other})})
    with pytest.raises(ConfigError, match=f"was made as {kind}, as net.json beside it says.*set model_type: {kind}"):
        codec_of_file(config, runner, skeleton)


@pytest.mark.parametrize("keypoints", [2, 7])
def test_a_trained_network_takes_another_number_of_keypoints(trained, keypoints):
    kind, folder = trained
    model = load_model(folder / "net.keras")
    assert adapt_keypoints(model, 3, model_type=kind) is model
    adapted = adapt_keypoints(model, keypoints, model_type=kind)
    codec = make_codec(kind, input_shape=SHAPE, output_shapes=shapes_of(adapted), keypoints=keypoints)
    assert codec.keypoints == keypoints
    assert adapted.output_names == model.output_names
    kept = [
        layer.name
        for layer, old in zip(adapted.layers, model.layers, strict=True)
        if old.weights
        and all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), old.get_weights(), strict=True))
    ]
    new = {layer.name for layer in model.layers if layer.weights} - set(kept)
    assert (
        new
        == {
            "heatmaps_spe": {"keypoints_conv", "keypoints_bn"},
            "simcc_spe": {"keypoints_conv", "keypoints_bn"},
            "spe": {"keypoints_conv"},
            "movenet_spe": {"heatmaps_conv", "heatmaps_bn", "regression", "offsets"},
        }[kind]
    )


def test_a_hand_cannot_be_adapted():
    image = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(image)
    hand = keras.Model(image, [keras.layers.Dense(size)(flat) for size in (63, 1, 1, 63)])
    with pytest.raises(UserError, match=r"only heat maps .* can be adapted"):
        adapt_keypoints(hand, 20)
