"""Hands and faces: landmarks in pixels, in whatever order the file has its outputs."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.codecs.face_mesh import MESH_68, mesh_points
from stm32pose.codecs.hand import HandCodec, single_outputs
from stm32pose.codecs.head import HeadCodec, landmark_layout
from stm32pose.codecs.select import codec_from_description

SIZE = (192, 256)


def keypoints_of(seed: int, batch: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    keypoints = np.full((batch, 1, count, 3), 2, np.float32)
    keypoints[..., :2] = rng.uniform(0, [SIZE[1], SIZE[0]], (batch, 1, count, 2))
    return keypoints


def hand_outputs(codec: HandCodec, keypoints: np.ndarray, *, presence: float, handedness: float) -> list[np.ndarray]:
    """The four outputs of a perfect network, in ST's order."""
    targets, weights = codec.encode(keypoints)
    assert weights.all()
    batch = len(targets)
    metres = (targets - targets.mean()) / 2000
    return [np.full((batch, 1), handedness, np.float32), metres, np.full((batch, 1), presence, np.float32), targets]


@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
@settings(max_examples=25, deadline=None)
def test_a_hand_comes_back(seed, count):
    codec = HandCodec(SIZE, count)
    keypoints = keypoints_of(seed, 3, count)
    outputs = hand_outputs(codec, keypoints, presence=0.8, handedness=0.9)
    for index, found in enumerate(codec.decode_poses(outputs)):
        np.testing.assert_allclose(found.keypoints[0, :, :2], keypoints[index, 0, :, :2], atol=1e-3)
        np.testing.assert_allclose(found.keypoints[..., 2], 0.8)
        np.testing.assert_allclose(found.scores, [0.8])
        np.testing.assert_allclose(found.boxes[0, :2], keypoints[index, 0, :, :2].min(axis=0), atol=1e-3)
        assert found.names == ("right",)
    np.testing.assert_array_equal(codec.decode(outputs)[1], codec.decode_poses(outputs)[1].keypoints)


def test_the_order_of_the_outputs_does_not_matter_where_they_have_names():
    keypoints = keypoints_of(1, 2, 21)
    outputs = hand_outputs(HandCodec(SIZE, 21), keypoints, presence=0.7, handedness=0.2)
    names = ["Identity_2:0", "Identity_3:0", "Identity_1:0", "Identity:0"]
    for order in itertools.permutations(range(4)):
        shuffled = [outputs[index] for index in order]
        presence, handedness = single_outputs([o.shape[1] for o in shuffled], [names[index] for index in order])
        codec = HandCodec(SIZE, 21, presence_index=presence, handedness_index=handedness)
        found = codec.decode_poses(shuffled)[0]
        np.testing.assert_allclose(found.keypoints[0, :, :2], keypoints[0, 0, :, :2], atol=1e-3)
        assert found.scores == pytest.approx([0.7])
        assert found.names == ("left",)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), (2, 0)),  # ST's order: handedness first
        (("a", "b", "c", "d"), (2, 0)),
        (("model/conv_handflag/Sigmoid", "b", "model/conv_handedness/Sigmoid", "d"), (0, 2)),
        (("StatefulPartitionedCall/Identity_1:0", "b", "c", "d"), (0, 2)),
        (("StatefulPartitionedCall:0", "b", "StatefulPartitionedCall:1", "d"), (2, 0)),
    ],
)
def test_presence_and_handedness_are_told_apart(names, expected):
    assert single_outputs([1, 63, 1, 63], names) == expected


def test_a_hand_with_holes():
    codec = HandCodec(SIZE, 4)
    outputs = hand_outputs(codec, keypoints_of(0, 1, 4), presence=0.8, handedness=0.1)
    outputs[3][0, 3] = np.nan
    pose = codec.decode(outputs)[0, 0]
    np.testing.assert_array_equal(pose[1], [128, 96, 0])
    assert (pose[[0, 2, 3], 2] > 0.7).all()
    unlabelled = keypoints_of(0, 1, 4)
    unlabelled[0, 0, 2, 2] = 0
    targets, weights = codec.encode(unlabelled)
    assert weights.tolist() == [[1, 1, 0, 1]]
    assert (targets[0, 6:9] == 0).all()
    with pytest.raises(ValueError, match="wants two of"):
        codec.decode(outputs[:3])


@given(st.integers(0, 2**32 - 1), st.sampled_from([(468, 2), (478, 3), (20, 2), (33, 3)]), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_face_comes_back(seed, layout, told):
    landmarks, values = layout
    codec = HeadCodec(SIZE, landmarks, landmarks=landmarks, values=values)
    keypoints = keypoints_of(seed, 2, landmarks)
    targets, weights = codec.encode(keypoints)
    assert targets.shape == (2, 1, 1, landmarks * values)
    assert weights.all()
    outputs = [np.full((2, 1), 0.6, np.float32), targets] if told else [targets]
    for index, found in enumerate(codec.decode_poses(outputs)):
        np.testing.assert_allclose(found.keypoints[..., :2], keypoints[index, ..., :2], atol=1e-3)
        assert found.scores == pytest.approx([0.6 if told else 1.0])
        assert found.names == ()


def test_the_68_points_are_picked_from_the_mesh():
    mesh = keypoints_of(4, 1, 468)
    output, _ = HeadCodec(SIZE, 468, landmarks=468).encode(mesh)
    picking = HeadCodec(SIZE, 68, landmarks=468)
    np.testing.assert_allclose(picking.decode([output])[0, 0, :, :2], mesh[0, 0, MESH_68, :2], atol=1e-3)
    targets, _ = picking.encode(mesh[:, :, MESH_68])
    np.testing.assert_array_equal(picking.decode([targets]), picking.decode([output]))
    assert len(set(MESH_68)) == 68
    assert mesh_points(478, 468) == tuple(range(468))
    assert mesh_points(468, 17) is None
    with pytest.raises(ValueError, match="impossible codec"):
        HeadCodec(SIZE, 17, landmarks=468)


@pytest.mark.parametrize(
    ("values", "layout"),
    [(936, (468, 2)), (1404, (468, 3)), (956, (478, 2)), (1434, (478, 3)), (40, (20, 2)), (63, None)],
)
def test_the_numbers_of_a_face(values, layout):
    assert landmark_layout(values) == layout


@pytest.mark.parametrize(
    "codec", [HandCodec(SIZE, 21, presence_index=0, handedness_index=3), HeadCodec(SIZE, 68, landmarks=478, values=3)]
)
def test_they_come_back_from_their_description(codec):
    again = codec_from_description(json.loads(json.dumps(codec.describe())))
    assert type(again) is type(codec)
    first, second = vars(codec) | {"_points": None}, vars(again) | {"_points": None}
    assert first == second


def test_the_real_hand_file_finds_the_joints(shared: Path):
    from stm32pose.codecs.select import make_codec
    from stm32pose.config.data_sections import Preprocessing
    from stm32pose.data.pipeline import Pipeline
    from stm32pose.data.readers import read_samples
    from stm32pose.inference.runner import load_runner
    from stm32pose.skeletons.skeleton import load_skeleton

    data = shared / "data" / "hands_120"
    samples = read_samples(data / "images", load_skeleton("hand21"), annotations=data / "keypoints_coco.json")[:10]
    runner = load_runner(shared / "models" / "pose" / "hand_landmark_full_224_int8_pc.tflite", rescaling=(1 / 255, 0))
    codec = make_codec(
        "hand_spe",
        input_shape=runner.input_shape,
        output_shapes=[output.shape for output in runner.outputs],
        output_names=[output.name for output in runner.outputs],
        keypoints=21,
    )
    assert isinstance(codec, HandCodec)
    assert (codec.presence_index, codec.handedness_index) == (2, 0)
    (batch,) = Pipeline(samples, input_shape=runner.input_shape, preprocessing=Preprocessing()).epoch(0)
    poses = codec.decode(runner.predict(batch.images))[:, 0]
    apart = np.linalg.norm(poses[..., :2] - batch.keypoints_input[:, 0, :, :2], axis=-1)
    assert np.median(apart) < 0.04 * 224
    # Its calibration saw no hands: presence saturates at a half.
    assert poses[..., 2].max() == pytest.approx(0.5)


def test_the_real_face_file_agrees_with_68_labelled_points(shared: Path, tmp_path: Path):
    import cv2

    from stm32pose.inference.runner import load_runner

    folder = shared / "data" / "youtube_faces_150"
    with (folder / "test_frames_keypoints.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:11]
    runner = load_runner(shared / "models" / "pose" / "face_landmarks_v1_192_int8_pc.onnx", rescaling=(1 / 255, 0))
    side = runner.input_shape[0]
    images, truth = [], []
    for name, *numbers in rows:
        points = np.array(numbers, np.float64).reshape(68, 2)
        low, high = points.min(axis=0), points.max(axis=0)
        scale = side / (1.5 * (high - low).max())
        matrix = np.array([[scale, 0, 0], [0, scale, 0]])
        matrix[:, 2] = side / 2 - scale * (low + high) / 2
        image = cv2.cvtColor(cv2.imread(str(folder / "test" / name)), cv2.COLOR_BGR2RGB)
        images.append(cv2.warpAffine(image, matrix, (side, side)))
        truth.append(points * scale + matrix[:, 2])
    codec = HeadCodec((side, side), 68, landmarks=468)
    poses = codec.decode(runner.predict(np.stack(images)))[:, 0, :, :2]
    truth = np.array(truth)
    eyes = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1)
    error = np.linalg.norm(poses - truth, axis=-1) / eyes[:, None]
    assert np.median(error) < 0.08
    assert (np.median(error, axis=0) < 0.25).all()  # no point is somebody else's
