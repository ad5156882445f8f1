"""A teacher: its outputs are learnt without labels; one of another kind is refused in one line; a resume keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_dots as dots

from stm32pose.codecs.heatmap import HeatmapCodec
from stm32pose.codecs.keypoints import KeypointsCodec
from stm32pose.codecs.movenet import MovenetCodec
from stm32pose.codecs.simcc import SimccCodec
from stm32pose.config.data_sections import Rescaling
from stm32pose.config.model_sections import Distillation
from stm32pose.errors import ConfigError, UserError
from stm32pose.inference.sidecar import write_sidecar
from stm32pose.training.distillation import difference, interpolation, load_teacher, resize_maps
from stm32pose.training.resume import load_resume

K = 3
SHAPE = (64, 64, 3)
HEATMAPS = HeatmapCodec((64, 64), (16, 16), K)


def keras_model(shapes: list[tuple[int, ...]], side: int = 64, channels: int = 3, seed: int = 1) -> Any:
    """Any network with outputs of these shapes."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((side, side, channels))
    pooled = layers.Flatten()(layers.AveragePooling2D(side // 4)(inputs))
    outputs = [layers.Reshape(shape)(layers.Dense(int(np.prod(shape)), "sigmoid")(pooled)) for shape in shapes]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])


def saved(model: Any, path: Path, **told: Any) -> str:
    model.save(path)
    if told:
        write_sidecar(path, told, bound=False)
    return str(path)


def loaded(path: str, codec: Any = HEATMAPS, **settings: Any) -> Any:
    return load_teacher(Distillation(teacher=path, **settings), codec, SHAPE, Rescaling())


def maps(codec: HeatmapCodec, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).uniform(10, 54, (2, 1, K, 3)).astype(np.float32)
    points[..., 2] = 2
    return codec.encode(points)[0]


def distance(codec: Any, given: list[np.ndarray], outputs: list[np.ndarray], teacher: Any = None, **options: Any):
    measure = difference(teacher or codec, codec, options.get("temperature", 1.0))
    return np.asarray(measure(list(given), list(outputs)))


@pytest.mark.parametrize(("new", "old"), [(16, 16), (16, 32), (32, 16), (12, 7), (5, 48)])
def test_places_stay_where_they_are_when_maps_are_resized(new: int, old: int):
    """A ramp over the map, measured from its edge in shares, is a ramp in any size, half a cell from the edges."""
    weights = interpolation(new, old).numpy()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    ramp = weights @ ((np.arange(old) + 0.5) / old)
    inner = slice(max(1, -(-new // old)), -max(1, -(-new // old)))
    np.testing.assert_allclose(ramp[inner], ((np.arange(new) + 0.5) / new)[inner], atol=0.1 / min(new, old))
    if new == old:
        np.testing.assert_array_equal(weights, np.eye(new))


def test_resized_as_tensorflow_does():
    import tensorflow as tf

    image = np.random.default_rng(0).uniform(0, 1, (2, 12, 9, 4)).astype(np.float32)
    for size in ((24, 20), (6, 4), (12, 9)):
        expected = tf.image.resize(image, size, antialias=True).numpy()
        np.testing.assert_allclose(resize_maps(tf.constant(image), *size).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_a_map_of_twice_the_size_says_the_same(activation: str):
    small = HeatmapCodec((64, 64), (16, 16), K, activation=activation, sigma=2.0)
    large = HeatmapCodec((64, 64), (32, 32), K, activation=activation, sigma=4.0)
    near = distance(small, [maps(large)], [maps(small)], large)
    assert near.shape == (2, K)
    assert near.max() < 0.02 * distance(small, [maps(large)], [maps(small, 1)], large).min()


def test_equal_outputs_cost_nothing_and_others_do():
    rng = np.random.default_rng(1)
    cases = {
        HEATMAPS: [(16, 16, K)],
        HeatmapCodec((64, 64), (16, 16), K, activation="softmax"): [(16, 16, K)],
        HeatmapCodec((64, 64), (16, 16), K, activation="empty"): [(16, 16, K)],
        SimccCodec((64, 64), K): [(K, 256)],
        KeypointsCodec((64, 64), K): [(1, 1, K, 3)],
        MovenetCodec((64, 64), (16, 16), K): [(16, 16, 1), (16, 16, K), (16, 16, 2 * K), (16, 16, 2 * K)],
    }
    for codec, shapes in cases.items():
        given = [rng.uniform(0.01, 1, (2, *shape)).astype(np.float32) for shape in shapes]
        other = [rng.uniform(0.01, 1, (2, *shape)).astype(np.float32) for shape in shapes]
        np.testing.assert_allclose(distance(codec, given, given, temperature=2.0), 0, atol=1e-5)
        differs = distance(codec, given, other, temperature=2.0)
        assert differs.shape == (2, K)
        assert (differs > 1e-3).all()


def test_divergence_and_temperature():
    """T^2 KL of softened distributions, against NumPy; a softmax teacher and a student of logits."""
    soft = HeatmapCodec((64, 64), (16, 16), K, activation="softmax")
    logits = HeatmapCodec((64, 64), (16, 16), K, activation="empty")
    rng = np.random.default_rng(2)
    ours, theirs = rng.normal(0, 2, (2, 2, 16, 16, K)).astype(np.float32)
    shares = np.exp(theirs) / np.exp(theirs).sum(axis=(1, 2), keepdims=True)

    def softened(values, temperature):
        powers = np.exp(values.astype(np.float64) / temperature)
        return powers / powers.sum(axis=(1, 2), keepdims=True)

    for temperature in (1.0, 3.0):
        p, q = softened(theirs, temperature), softened(ours, temperature)
        expected = temperature**2 * (p * np.log(p / q)).sum(axis=(1, 2))
        got = distance(logits, [shares], [ours], soft, temperature=temperature)
        np.testing.assert_allclose(got, expected, rtol=1e-3)


def test_simcc_of_another_size():
    small, large = SimccCodec((64, 64), K, sigma=4.0), SimccCodec((96, 96), K, sigma=6.0)
    points = np.random.default_rng(3).uniform(10, 54, (2, 1, K, 3)).astype(np.float32)
    points[..., 2] = 2
    ours = np.log(np.maximum(small.encode(points)[0], 1e-12))
    theirs = np.log(np.maximum(large.encode(points * [1.5, 1.5, 1])[0], 1e-12))
    near = distance(small, [theirs], [ours], large)
    far = distance(small, [theirs], [np.roll(ours, 1, axis=1)], large)
    assert near.max() < 0.02
    assert far.min() > 0.5


def test_keypoints_are_compared_in_input_pixels():
    codec = KeypointsCodec((64, 128), K)
    given = np.full((1, 1, 1, K, 3), 0.5, np.float32)
    output = given + np.array([3 / 64, -5 / 128, 0.25], np.float32)
    np.testing.assert_allclose(distance(codec, [given], [output]), (3 + 5) / 2 + 0.25, rtol=1e-5)


def test_a_joint_that_the_teacher_does_not_see_does_not_weigh_more_than_others():
    given = maps(HEATMAPS)
    given[..., 1] = 1e-6
    output = np.full_like(given, 0.1)
    assert distance(HEATMAPS, [given], [output])[:, 1].max() <= 16 * 16 * 0.01 + 1e-3


def test_maps_are_learnt_without_labels(tmp_path: Path):
    """Weight 1, weights of joints all 0: the student's maps become the teacher's, on a map of another size."""
    import keras

    from stm32pose.losses import make_loss
    from stm32pose.training.trainer import Trainer

    teacher = keras_model([(32, 32, K)], side=96, seed=5)
    student = keras_model([(16, 16, K)], seed=6)
    images = np.random.default_rng(0).uniform(-1, 1, (16, *SHAPE)).astype(np.float32)
    found = loaded(saved(teacher, tmp_path / "t.keras"), weight=1.0)
    before = [variable.numpy() for variable in found.model.variables]
    trainer = Trainer(student, make_loss("mse"), found)
    assert len(trainer.variables) == len(student.variables)
    assert trainer.trainable_variables == student.trainable_variables
    trainer.compile(optimizer=keras.optimizers.Adam(0.02), jit_compile=False)
    targets, weights = np.zeros((16, 16, 16, K), np.float32), np.zeros((16, K), np.float32)
    history = trainer.fit(images, targets, sample_weight=weights, epochs=40, batch_size=16, verbose=0).history
    assert history["loss"] == pytest.approx(history["distillation"], rel=1e-5)
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    wanted = resize_maps(found.model(resize_maps(images, 96, 96)), 16, 16).numpy()
    assert np.abs(student.predict(images, verbose=0) - wanted).mean() < 0.03
    for variable, value in zip(found.model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_sizes_that_change_from_batch_to_batch(tmp_path: Path):
    """As with `random_periodic_resizing`: neither images nor maps have a size while the graph is made."""
    import tensorflow as tf

    teacher = loaded(saved(keras_model([(16, 16, K)], seed=5), tmp_path / "t.keras"))
    signature = [tf.TensorSpec((None, None, None, channels), tf.float32) for channels in (3, K)]
    traced = tf.function(lambda images, maps: teacher(images, maps), input_signature=signature)
    rng = np.random.default_rng(0)
    for side in (64, 96):
        images = rng.uniform(-1, 1, (2, side, side, 3)).astype(np.float32)
        maps = rng.uniform(0, 1, (2, side // 4, side // 4, K)).astype(np.float32)
        assert float(traced(images, maps)) == pytest.approx(float(teacher(images, maps)), rel=1e-5)


def test_shares_of_labels_and_teacher(tmp_path: Path):
    from stm32pose.losses import make_loss
    from stm32pose.training.trainer import Trainer

    teacher, student = keras_model([(16, 16, K)], seed=5), keras_model([(16, 16, K)], seed=6)
    images = np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE)).astype(np.float32)
    path = saved(teacher, tmp_path / "t.keras")
    targets, weights = np.tile(maps(HEATMAPS), (2, 1, 1, 1)), np.ones((4, K), np.float32)
    loss, outputs = make_loss("mse"), student(images)
    labels = float(loss(targets, outputs, sample_weight=weights))
    taught = float(loaded(path)(images, outputs))
    got = Trainer(student, loss, loaded(path, weight=0.3)).compute_loss(images, targets, outputs, weights)
    assert float(got) == pytest.approx(0.7 * labels + 0.3 * taught, rel=1e-5)


@pytest.mark.parametrize(
    ("shapes", "side", "channels", "message"),
    [
        ([(16, 16, 5)], 64, 3, r"gives \[16, 16, 5\], which is not heatmaps_spe of 3 keypoints"),
        ([(1, 1, K, 3)], 64, 3, r"gives \[1, 1, 3, 3\], which is not heatmaps_spe of 3 keypoints"),
        ([(16, 16, K)], 64, 1, "takes .*; one image of 3 channels is needed"),
    ],
)
def test_a_teacher_of_another_kind(tmp_path: Path, shapes: Any, side: int, channels: int, message: str):
    path = saved(keras_model(shapes, side, channels), tmp_path / "t.keras")
    with pytest.raises(ConfigError, match=message) as caught:
        loaded(path)
    assert str(caught.value).startswith("training.distillation.teacher: ")
    assert "\n" not in str(caught.value)


def test_what_the_sidecar_says_is_believed(tmp_path: Path):
    model = keras_model([(16, 16, K)])
    rescaling = {"scale": 1 / 127.5, "offset": -1.0}
    softmax = HeatmapCodec((64, 64), (16, 16), K, activation="softmax").describe()
    with pytest.raises(ConfigError, match="ends in softmax, this network in sigmoid"):
        loaded(saved(model, tmp_path / "a.keras", codec=softmax, rescaling=rescaling))
    other = SimccCodec((64, 64), K).describe()
    with pytest.raises(ConfigError, match="gives simcc of 3 keypoints; this network gives heatmaps of 3"):
        loaded(saved(model, tmp_path / "b.keras", codec=other))
    unit = {"scale": 1 / 255, "offset": 0.0}
    with pytest.raises(ConfigError, match=r"was trained with .*preprocessing\.rescaling says"):
        loaded(saved(model, tmp_path / "c.keras", codec=HEATMAPS.describe(), rescaling=unit))
    assert loaded(saved(model, tmp_path / "d.keras", codec=HEATMAPS.describe(), rescaling=rescaling)).weight == 0.5


def test_no_teacher_there(tmp_path: Path):
    with pytest.raises(UserError, match=r"training\.distillation\.teacher: no file"):
        loaded(str(tmp_path / "none.keras"))


def test_a_resumed_training_has_the_same_teacher(tmp_path: Path):
    """The curve of the teacher too is that of a training that nobody stopped; the teacher is in no file."""
    import keras

    splits = dots.dots_splits(tmp_path / "data", 12, 4)
    teacher = saved(dots.dots_model(seed=9), tmp_path / "t.keras")
    settings = {"epochs": 4, "distillation": {"teacher": teacher, "weight": 0.5}}
    config = dots.dots_config(training=settings)
    expected = dots.dots_train(config, tmp_path / "straight", splits)
    assert all(row["distillation"] > 0 for row in expected.history)
    size = keras.models.load_model(expected.last, compile=False).count_params()
    assert size == dots.dots_model().count_params()

    def interrupt(event: dict[str, Any]) -> None:
        if event["kind"] == "step" and event["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dots.dots_train(config, tmp_path / "run", splits, progress=interrupt)
    resume = load_resume(tmp_path / "run")
    model = keras.models.load_model(resume.model, compile=False)
    result = dots.dots_train(config, tmp_path / "run", splits, resume=resume, model=model)
    for name in ("loss", "distillation", "val_loss"):
        got, wanted = ([row[name] for row in history] for history in (result.history, expected.history))
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
    changed = dots.dots_config(training={**settings, "distillation": {"teacher": teacher, "weight": 0.4}})
    with pytest.raises(ConfigError, match=r"training\.distillation"):
        dots.dots_train(changed, tmp_path / "run", splits, resume=load_resume(tmp_path / "run"))
