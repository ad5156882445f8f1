"""Weights of Keras Applications in the backbones: the same weights give the same features."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from stm32pose.errors import ConfigError, UserError
from stm32pose.models.backbones import BACKBONES
from stm32pose.models.family import pose_network
from stm32pose.models.imagenet import IMAGENET, imagenet_weights
from stm32pose.models.pretrained import backbone_layers, load_pretrained, transfer

SIDE = (64, 64, 3)
PLAIN = {"include_top": False, "weights": None, "input_shape": SIDE}


def published(name, alpha=1.0):
    """Keras Applications' network with random weights, every kind of them away from where it starts."""
    from keras import applications

    if name == "mobilenet_v1":
        model = applications.MobileNet(alpha=alpha, **PLAIN)
    elif name == "mobilenet_v3_small":
        model = applications.MobileNetV3Small(alpha=alpha, include_preprocessing=False, **PLAIN)
    elif name == "mobilenet_v2":
        model = applications.MobileNetV2(alpha=alpha, **PLAIN)
    else:
        model = {"resnet50": applications.ResNet50, "vgg16": applications.VGG16, "vgg19": applications.VGG19}[name](
            **PLAIN
        )
    rng = np.random.default_rng(4)
    for layer in model.layers:
        weights = layer.get_weights()
        if len(weights) == 4:  # gamma, beta, mean, variance
            layer.set_weights([rng.uniform(0.8, 1.2, weight.shape) for weight in weights])
        elif weights:
            layer.set_weights([w if w.ndim > 1 else rng.uniform(-0.2, 0.2, w.shape) for w in weights])
    return model


def deepest(model, name, alpha):
    """The backbone inside `model`, up to its feature of stride 32."""
    import keras

    names = backbone_layers(model, name, alpha)
    last = [layer for layer in model.layers if layer.name in names][-1]
    return keras.Model(model.input, last.output)


@pytest.mark.parametrize(
    ("name", "alpha"), [("mobilenet_v1", 0.25), ("mobilenet_v3_small", 0.75), ("resnet50", 1.0), ("vgg16", 1.0)]
)
def test_the_same_weights_give_the_same_features(name, alpha, caplog):
    original = published(name, alpha)
    saved = [(layer.name, layer.get_weights()) for layer in original.layers if layer.weights]
    model = pose_network(SIDE, 5, backbone=name, alpha=alpha)
    with caplog.at_level(logging.INFO):
        loaded = transfer(model, saved, "test", names=backbone_layers(model, name, alpha))
    assert f"{loaded} of {loaded} backbone tensors from test" in caplog.text
    images = np.random.default_rng(5).uniform(-1, 1, (2, *SIDE)).astype(np.float32)
    wanted = np.asarray(original(images, training=False))
    got = np.asarray(deepest(model, name, alpha)(images, training=False))
    assert wanted.std() > 0
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3 * float(np.abs(wanted).max()))


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2"])
def test_imagenet_uses_the_file_that_keras_has(name, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    alpha = {"mobilenet_v1": 0.25, "mobilenet_v2": 0.35}[name]
    file = {
        "mobilenet_v1": "mobilenet_2_5_128_tf_no_top.h5",
        "mobilenet_v2": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5",
    }[name]
    original = published(name, alpha)
    (tmp_path / "models").mkdir()
    original.save(tmp_path / "models" / file)
    model = pose_network(SIDE, 5, backbone=name, alpha=alpha)
    with caplog.at_level(logging.INFO):
        loaded = load_pretrained(model, "imagenet", alpha=alpha, backbone=name)
    assert loaded == len(original.weights)
    assert "expect: pixel / 127.5 - 1" in caplog.text
    first = next(layer for layer in model.layers if layer.weights)
    np.testing.assert_array_equal(first.get_weights()[0], original.weights[0].numpy())


def test_a_trained_network_of_the_family_gives_its_backbone_to_another_head(tmp_path, caplog):
    trained = pose_network(SIDE, 5, backbone="fdmobilenet", alpha=0.25)
    trained.set_weights([np.full(weight.shape, 0.25, np.float32) for weight in trained.get_weights()])
    trained.save(tmp_path / "trained.keras")
    model = pose_network(SIDE, 9, backbone="fdmobilenet", alpha=0.25, model_type="spe")
    body = backbone_layers(model, "fdmobilenet", 0.25)
    with caplog.at_level(logging.INFO):
        loaded = load_pretrained(model, str(tmp_path / "trained.keras"), alpha=0.25, backbone="fdmobilenet")
    tensors = [weight for layer in model.layers if layer.name in body for weight in layer.weights]
    assert loaded == len(tensors) == 23 * 5
    assert all((weight.numpy() == 0.25).all() for weight in tensors)
    assert not any((weight.numpy() == 0.25).all() for weight in model.get_layer("keypoints_conv").weights)


def test_nothing_that_fits_is_an_error_and_little_a_warning(tmp_path, caplog):
    pose_network(SIDE, 5, backbone="fdmobilenet", alpha=0.25).save(tmp_path / "fd.keras")
    other = pose_network(SIDE, 5, backbone="resnet18", alpha=0.125)
    with pytest.raises(UserError, match=r"none of the \d+ backbone tensors of resnet18_pyramid_heatmaps fits"):
        load_pretrained(other, str(tmp_path / "fd.keras"), alpha=0.125, backbone="resnet18")
    narrow = pose_network(SIDE, 5, backbone="fdmobilenet", alpha=0.2)
    before = narrow.get_weights()
    with pytest.raises(
        UserError, match=r"only \d+ of the 115 backbone tensors .* fit .*model.backbone .* and model.alpha"
    ):
        load_pretrained(narrow, str(tmp_path / "fd.keras"), alpha=0.2, backbone="fdmobilenet")
    for old, new in zip(before, narrow.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    saved = [(layer.name, layer.get_weights()) for layer in narrow.layers if layer.weights]
    saved[5] = (saved[5][0], [np.zeros(1)])
    body = backbone_layers(narrow, "fdmobilenet", 0.2)
    assert 57 < transfer(narrow, saved, "test", names=body) < 115
    assert "the others stay random" in caplog.text


def test_imagenet_weights_that_nobody_has_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert set(IMAGENET) == {name for name, row in BACKBONES.items() if row.published}
    for name in set(BACKBONES) - set(IMAGENET):
        with pytest.raises(ConfigError, match=f"there are weights for mobilenet_v1, .*, not for {name}"):
            imagenet_weights(name, 1.0, (64, 64), "model.pretrained")
    with pytest.raises(ConfigError, match=r"with alpha 0.35, there are weights for 0.25, 0.5, 0.75, 1.0"):
        imagenet_weights("mobilenet_v1", 0.35, (64, 64), "model.pretrained")
    with pytest.raises(ConfigError, match=r"with alpha 0.5, there are weights for 1.0"):
        imagenet_weights("resnet50", 0.5, (64, 64), "model.pretrained")


def test_without_a_network_the_message_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def no_network(*_arguments, **_options):
        raise UserError("model.pretrained: cannot be downloaded")

    monkeypatch.setattr("stm32pose.models.imagenet.fetch", no_network)
    with pytest.raises(UserError, match=r"without a network put that file into .*models, or set .* backbone, vgg19"):
        imagenet_weights("vgg19", 1.0, (192, 192), "model.pretrained")
