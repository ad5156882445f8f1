"""Reading models and weights: files, damage, stored code, download, pretrained backbones, other keypoint counts."""

from __future__ import annotations

import http.server
import json
import logging
import shutil
import ssl
import subprocess
import threading
import zipfile
from functools import partial

import h5py
import numpy as np
import pytest

from stm32pose.errors import ConfigError, UserError
from stm32pose.models.adapt import adapt_keypoints
from stm32pose.models.custom import custom
from stm32pose.models.load import fetch, final_activation, load_model
from stm32pose.models.movenet_heatmaps import st_movenet_lightning_heatmaps
from stm32pose.models.pretrained import load_pretrained

IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small network with random weights, its .keras and its .h5 file."""
    folder = tmp_path_factory.mktemp("saved")
    model = st_movenet_lightning_heatmaps((32, 32, 3), 5, alpha=0.35)
    rng = np.random.default_rng(1)
    model.set_weights([np.abs(rng.normal(0.5, 0.1, weight.shape)) for weight in model.get_weights()])
    model.save(folder / "m.keras")
    model.save(folder / "m.h5")
    return model, folder / "m.keras", folder / "m.h5"


def test_both_kinds_of_file_give_the_same_model(saved):
    model, *files = saved
    for file in files:
        loaded = load_model(file)
        assert not loaded.compiled
        np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))


def test_models_of_keras_2_load(shared):
    model = load_model(shared / "models/backbones/mobilenet_v2_0.35_128_imagenet_flowers_head.h5")
    assert model.output_shape == (None, 5)


def test_wrong_and_damaged_files_are_named(saved, tmp_path):
    _, keras_file, h5_file = saved
    for name, content in [
        ("absent.keras", None),
        ("text.keras", b"hello"),
        ("text.h5", b"hello"),
        ("cut.keras", keras_file.read_bytes()[:20_000]),
        ("cut.h5", h5_file.read_bytes()[: h5_file.stat().st_size // 2]),
        ("model.tflite", b"TFL3"),
    ]:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"^model.model_path: [^\n]*{name}[^\n]*$"):
            load_model(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("other.txt", "nothing")
    with pytest.raises(UserError, match="cannot be read as a Keras model"):
        load_model(tmp_path / "empty.keras")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.attrs["layer_names"] = ["a"]
    with pytest.raises(UserError, match="weights only"):
        load_model(tmp_path / "weights.h5")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_stored_code_is_refused(tmp_path):
    import keras

    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(image))
    for name in ("lambda.keras", "lambda.h5"):
        model.save(tmp_path / name)
        with pytest.raises(UserError, match="Lambda layer, which is code"):
            load_model(tmp_path / name)

    class Mine(keras.layers.Layer):
        """A layer that this project does not know."""

        def call(self, inputs):
            """The inputs."""
            return inputs

    keras.Model(image, Mine()(image)).save(tmp_path / "mine.keras")
    with pytest.raises(UserError, match="only Keras' own layers"):
        load_model(tmp_path / "mine.keras")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.layers", "TFSMLayer"),
        ("keras.layers", "TorchModuleWrapper"),
        ("keras.layers", "JaxLayer"),
        ("keras.layers", "FlaxLayer"),
        ("keras", "layers.Lambda"),
        (None, "Keras>Lambda"),
    ],
)
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_layers_that_run_foreign_code_are_refused_however_deep(saved, tmp_path, module, name, kind):
    """A crafted file: the layer is inside a wrapper, inside a network."""
    wrapped = {"class_name": name, "config": {"name": "inner", "filepath": str(tmp_path)}, "registered_name": None}
    wrapped |= {"module": module} if module else {}
    wrapper = {"module": "keras.layers", "class_name": "TimeDistributed", "config": {"layer": wrapped}}
    inside = {"module": "keras.models", "class_name": "Sequential", "config": {"layers": [wrapper]}}
    path = tmp_path / f"crafted.{kind}"
    if kind == "keras":
        with zipfile.ZipFile(saved[1]) as source, zipfile.ZipFile(path, "w") as target:
            config = json.loads(source.read("config.json"))
            config["config"]["layers"].append(inside)
            target.writestr("config.json", json.dumps(config))
    else:
        shutil.copyfile(saved[2], path)
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            config["config"]["layers"].append(inside)
            file.attrs["model_config"] = json.dumps(config)
    layer = name.split(".")[-1].split(">")[-1]
    with pytest.raises(UserError, match=f"^[^\n]*crafted.{kind}' has a {layer} layer, which [^\n]*is not run[^\n]*$"):
        load_model(path)


def test_suffixes_in_capitals_are_read(saved, tmp_path):
    model, *files = saved
    for file in files:
        path = tmp_path / file.name.upper()
        shutil.copyfile(file, path)
        np.testing.assert_array_equal(load_model(path)(IMAGES), model(IMAGES))


@pytest.mark.parametrize(("activation", "wanted"), [("sigmoid", "sigmoid"), ("softmax", "softmax"), ("empty", None)])
def test_the_final_activation_is_seen(tmp_path, activation, wanted):
    import keras

    model = custom((32, 32, 3), 4, final_activation=activation)
    assert final_activation(model) == wanted
    model.save(tmp_path / "m.h5")
    loaded = load_model(tmp_path / "m.h5")
    assert final_activation(loaded) == wanted
    np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), atol=1e-6)  # Keras drops the axes of a softmax in .h5
    image = keras.Input((32, 32, 3))
    assert final_activation(keras.Model(image, keras.layers.Dropout(0.1)(loaded(image)))) == wanted


def test_the_final_activation_of_other_builds():
    import keras

    layers, ops = keras.layers, keras.ops
    image = keras.Input((8, 8, 3))
    cells = layers.Reshape((64, 3))(image)
    for maps, wanted in [
        (layers.Conv2D(4, 1, activation="sigmoid")(image), "sigmoid"),
        (ops.sigmoid(image), "sigmoid"),
        (ops.softmax(image, axis=(1, 2)), "softmax"),
        (layers.Reshape((8, 8, 3))(layers.Softmax(axis=1)(cells)), "softmax"),
        (layers.Softmax(axis=-1)(image), None),  # over the keypoints of a cell
        (layers.Activation("softmax")(image), None),
        (image / ops.sum(image, axis=(1, 2), keepdims=True), None),
        (layers.Conv2D(4, 1)(layers.Activation("sigmoid")(image)), None),
        (layers.ReLU()(ops.sigmoid(image)), None),
    ]:
        assert final_activation(keras.Model(image, maps)) == wanted
    assert final_activation(keras.Model(image, [ops.sigmoid(image), image])) is None


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "empty"])
def test_other_keypoint_counts_keep_all_other_weights(activation):
    model = st_movenet_lightning_heatmaps((32, 32, 3), 8, alpha=0.35, final_activation=activation)
    model.get_layer("head_conv").trainable = False
    adapted = adapt_keypoints(model, 3)
    assert adapted.output_shape == (None, 8, 8, 3)
    for old, new in zip(model.layers[1:], adapted.layers[1:], strict=True):
        assert new.name == old.name
        assert new.trainable == old.trainable
        if not new.name.startswith("keypoints_"):
            for before, after in zip(old.get_weights(), new.get_weights(), strict=True):
                np.testing.assert_array_equal(before, after)
    maps = np.asarray(adapted(IMAGES))
    if activation == "softmax":
        np.testing.assert_allclose(maps.sum((1, 2)), 1, atol=1e-5)
    assert adapt_keypoints(model, 8) is model


def test_softmax_tail_of_single_operations_is_rebuilt(tmp_path):
    """What ST's 4.x files end with; its own change of the keypoint count breaks it (st_v4.md, N2)."""
    import keras

    body = custom((32, 32, 3), 4, final_activation="empty")
    powers = keras.ops.exp(body.output - keras.layers.GlobalMaxPooling2D(keepdims=True)(body.output))
    model = keras.Model(body.input, powers / keras.ops.sum(powers, axis=(1, 2), keepdims=True))
    model.save(tmp_path / "st.keras")
    assert final_activation(load_model(tmp_path / "st.keras")) == "softmax"
    maps = np.asarray(adapt_keypoints(load_model(tmp_path / "st.keras"), 6)(IMAGES))
    assert maps.shape == (2, 8, 8, 6)
    np.testing.assert_allclose(maps.sum((1, 2)), 1, atol=1e-5)


def test_models_of_another_kind_are_not_adapted():
    import keras

    image = keras.Input((8, 8, 3))
    dense = keras.Model(image, keras.layers.Dense(10)(keras.layers.Flatten()(image)))
    with pytest.raises(UserError, match="only heat maps"):
        adapt_keypoints(dense, 5)
    pooled = keras.Model(image, keras.layers.MaxPooling2D()(image))
    with pytest.raises(UserError, match="not one convolution"):
        adapt_keypoints(pooled, 5)


def test_imagenet_backbone_by_order(shared, caplog):
    file = shared / "models/backbones/mobilenet_v2_0.35_128_imagenet_flowers_head.h5"
    model = st_movenet_lightning_heatmaps((32, 32, 3), 5, alpha=0.35)
    with caplog.at_level(logging.INFO):
        assert load_pretrained(model, str(file)) == 260
    assert f"260 of 260 backbone tensors from {file}" in caplog.text
    grey = st_movenet_lightning_heatmaps((32, 32, 1), 5, alpha=0.35)
    assert load_pretrained(grey, str(file)) == 260
    one = IMAGES[..., :1]
    layer = "Conv_1_bn"
    features = [run(network, layer, images) for network, images in ((model, np.repeat(one, 3, -1)), (grey, one))]
    np.testing.assert_allclose(*features, atol=1e-3)
    assert np.std(features[0]) > 0.1


def run(model, layer, images):
    import keras

    return np.asarray(keras.Model(model.input, model.get_layer(layer).output)(images))


def test_a_whole_model_of_ours_gives_backbone_and_head(saved, caplog):
    model, *files = saved
    for file in files:
        for keypoints, loaded in ((5, 325), (7, 320)):
            fresh = st_movenet_lightning_heatmaps((64, 32, 3), keypoints, alpha=0.35)
            assert load_pretrained(fresh, str(file)) == loaded
            np.testing.assert_array_equal(
                fresh.get_layer("head_conv").get_weights()[0], model.get_layer("head_conv").get_weights()[0]
            )
    same = custom((32, 32, 3), 5)
    same.save(files[0].parent / "custom.h5")
    assert load_pretrained(custom((64, 64, 3), 5), str(files[0].parent / "custom.h5")) == 20


def test_a_backbone_inside_a_model_is_found(tmp_path):
    """Transfer-learning classifiers hold the backbone as one layer, whose weights the .h5 lists kernels first."""
    import keras

    backbone = keras.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, include_top=False, weights=None)
    backbone.set_weights([np.random.default_rng(3).uniform(0.1, 1, w.shape) for w in backbone.get_weights()])
    classifier = keras.Sequential([backbone, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)])
    for name in ("c.h5", "c.keras"):
        classifier.save(tmp_path / name)
        model = st_movenet_lightning_heatmaps((32, 32, 3), 5, alpha=0.35)
        assert load_pretrained(model, str(tmp_path / name)) == 260
        for layer in backbone.layers[1:]:
            for before, after in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(before, after)


def test_what_does_not_fit_is_said(saved, tmp_path):
    _, keras_file, _ = saved
    other = st_movenet_lightning_heatmaps((32, 32, 3), 5, alpha=0.5)
    with pytest.raises(UserError, match=r"only \d+ of the 260 backbone tensors .* model.alpha as that file was made"):
        load_pretrained(other, str(keras_file))
    with pytest.raises(UserError, match="none of the 20 backbone tensors of custom fits"):
        load_pretrained(custom((32, 32, 3), 5), str(keras_file))
    with pytest.raises(UserError, match="no file"):
        load_pretrained(other, str(tmp_path / "absent.h5"))
    other.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(UserError, match="does not tell their order"):
        load_pretrained(other, str(tmp_path / "w.weights.h5"))


def test_imagenet_needs_a_known_width_and_uses_what_keras_has(tmp_path, monkeypatch):
    import keras

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    model = st_movenet_lightning_heatmaps((96, 96, 3), 5, alpha=0.35)
    with pytest.raises(ConfigError, match=r"with alpha 0.4, there are weights for 0.35, 0.5"):
        load_pretrained(model, "imagenet", alpha=0.4)
    with pytest.raises(ConfigError, match=r"there are weights for mobilenet_v1, .*, not for this network"):
        load_pretrained(custom((32, 32, 3), 5), "imagenet")
    backbone = keras.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, include_top=False, weights=None)
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    (tmp_path / "models").mkdir()
    backbone.save_weights(tmp_path / "weights.weights.h5")
    backbone.save(tmp_path / "models" / name)
    assert load_pretrained(model, "imagenet", alpha=0.35) == 260
    np.testing.assert_array_equal(model.get_layer("Conv1").get_weights()[0], backbone.get_weights()[0])


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a log."""

    def log_message(self, *_arguments):
        """Say nothing."""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An https server of this machine with a certificate that is trusted for the test; its address and folder."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make a certificate")
    key, certificate, folder = tmp_path / "key.pem", tmp_path / "cert.pem", tmp_path / "www"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    alternative = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(request + alternative, check=True, capture_output=True)
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("localhost", 0), partial(Quiet, directory=str(folder)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    yield f"https://localhost:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def test_download(site, tmp_path, caplog, monkeypatch):
    address, folder = site
    (folder / "m.keras").write_bytes(b"x" * 123_456)
    with caplog.at_level(logging.INFO):
        file = fetch(f"{address}/m.keras?raw=true", tmp_path / "got")
    assert file.read_bytes() == b"x" * 123_456
    assert "0.1 MB" in caplog.text
    assert "sha256 " in caplog.text
    with pytest.raises(UserError, match="cannot be downloaded: HTTP Error 404"):
        fetch(f"{address}/absent.keras", tmp_path / "got")
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["m.keras"]
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UserError, match="certificate"):
        fetch(f"{address}/m.keras", tmp_path / "got")


@pytest.mark.parametrize("url", ["http://localhost/m.keras", "file:///etc/passwd", "https://localhost"])
def test_other_addresses_are_refused(url, tmp_path):
    with pytest.raises(UserError, match=r"only https|names no file"):
        fetch(url, tmp_path)
