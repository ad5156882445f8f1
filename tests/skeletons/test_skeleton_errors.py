"""A user's own YAML: what it may say, and the one line that answers a fault."""

from __future__ import annotations

import pytest
import yaml

from stm32pose.errors import ConfigError
from stm32pose.skeletons.skeleton import DEFAULT_SIGMA, load_skeleton

GOOD = {
    "name": "mouse",
    "category": "mouse",
    "keypoints": ["nose", "left_ear", "right_ear", "tail"],
    "edges": [["nose", "left_ear"], ["nose", "right_ear"], ["nose", "tail"]],
}


def load(tmp_path, **changes):
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump({key: value for key, value in {**GOOD, **changes}.items() if value != "absent"}, sort_keys=False)
    )
    return load_skeleton(str(path))


def test_the_least_a_file_must_say(tmp_path):
    mouse = load(tmp_path)
    assert mouse.pairs == ((1, 2),)  # left_ and right_ show it
    assert mouse.flip.tolist() == [0, 2, 1, 3]
    assert mouse.sigmas.tolist() == [DEFAULT_SIGMA] * 4
    assert not mouse.sigmas_published
    left, right, centre = mouse.colours
    assert len({left, right, centre}) == 3


def test_relative_paths_start_in_the_current_folder(tmp_path, monkeypatch):
    load(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_skeleton("mine.yaml").name == "mouse"
    assert load_skeleton("./mine.yaml").count == 4


def test_a_file_that_says_everything(tmp_path):
    mouse = load(
        tmp_path,
        edges={"head": [["left_ear", "nose", "right_ear"]], "body": [["nose", "tail"]]},
        colours={"head": [1, 2, 3], "body": [4, 5, 6]},
        pairs=[["left_ear", "right_ear"]],
        sigmas={"nose": 0.02, "left_ear": 0.03, "right_ear": 0.03, "tail": 0.1},
        head_segment=["left_ear", "right_ear"],
        head_factor=0.6,
        torso_segment=["nose", "tail"],
        upper_body=["right_ear", "nose", "left_ear"],
        derive={"nose": ["snout", "whiskers"], "tail": {"all": ["tail_root", "tail_tip"]}},
    )
    assert mouse.edges == ((1, 0), (0, 2), (0, 3))
    assert mouse.colours == ((1, 2, 3), (1, 2, 3), (4, 5, 6))
    assert mouse.sigmas.tolist() == [0.02, 0.03, 0.03, 0.1]
    assert mouse.sigmas_published
    assert (mouse.head_segment, mouse.head_factor, mouse.torso_segment) == ((1, 2), 0.6, (0, 3))
    assert mouse.derive == {"nose": ("snout", "whiskers"), "tail": ("tail_root", "tail_tip")}
    assert mouse.derive_all == {"tail"}
    assert mouse.upper_body == (0, 1, 2)


@pytest.mark.parametrize(
    ("upper", "message"),
    [
        (["nose", "noes"], "upper_body: no keypoint named 'noes'; did you mean 'nose'"),
        (["nose", "left_ear"], r"upper_body: has one of \[left_ear, right_ear\]; name both or neither"),
        (["nose", "left_ear", "right_ear", "tail"], "upper_body: names all keypoints, which leaves no lower body"),
        ("nose", "upper_body: got str 'nose'; wanted a list of keypoint names"),
    ],
)
def test_a_wrong_upper_body_is_named(tmp_path, upper, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, upper_body=upper)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": [["nose", "left_eat"]]}, "edges: no keypoint named 'left_eat'; did you mean 'left_ear'?"),
        ({"edges": [["nose"]]}, "edges: got list .* wanted two or more keypoint names"),
        ({"edges": [["nose", "nose"]]}, "edges: joins 'nose' to itself"),
        ({"edges": [["nose", "tail"], ["tail", "nose"]]}, r"edges: \[nose, tail\] is listed twice"),
        ({"keypoints": ["nose", "tail", "nose"]}, "keypoints: 'nose' is listed twice"),
        ({"keypoints": "nose"}, "keypoints: got str 'nose'; wanted a list of names"),
        ({"keypoints": ["nose", 5]}, "keypoints: got int '5'; wanted a list of names"),
        ({"keypoints": []}, "keypoints: got list"),
        ({"pairs": [["left_ear", "tail"]]}, "pairs: 'left_ear' is paired with 'tail'; its other side is 'right_ear'"),
        ({"pairs": [["right_ear", "left_ear"]]}, "has the left one second"),
        ({"pairs": [["left_ear", "right_ear"], ["nose", "right_ear"]]}, "'right_ear' is in two pairs"),
        ({"pairs": [["nose", "tail"]]}, r"\[left_ear, right_ear\] is missing"),
        ({"sigmas": [0.1, 0.1]}, "sigmas: got 2 numbers; wanted 4"),
        ({"sigmas": [0.1, 0.1, -0.1, 0.1]}, "sigmas: right_ear: got float '-0.1'; wanted a number above 0"),
        ({"sigmas": {"nose": 0.1}}, "sigmas: none for left_ear, right_ear, tail"),
        ({"sigmas": {"nos": 0.1}}, "no keypoint named 'nos'; did you mean 'nose'"),
        ({"colours": [[0, 0, 0]]}, "colours: got 1 colours; wanted 3"),
        ({"colours": {"left": [0, 0, 300]}}, "colours.left: got list .* each 0 to 255"),
        ({"colours": {"lefft": [0, 0, 0]}}, "no group 'lefft'; allowed: centre, left, right; did you mean 'left'"),
        ({"head_segment": ["nose"]}, "head_segment: .*wanted two keypoint names"),
        ({"derive": {"nose": "snout"}}, "derive.nose: got str 'snout'"),
        ({"name": "absent"}, "name: got nothing; wanted a word"),
        ({"keypoint": ["a"]}, "unknown key 'keypoint'; .*did you mean 'keypoints'"),
    ],
)
def test_faults_are_one_line_with_the_file_and_the_key(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, **changes)
    assert str(tmp_path / "mine.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_yaml_no_mapping_no_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: [unclosed")
    with pytest.raises(ConfigError, match=r"mine\.yaml:\d+: not a YAML file"):
        load_skeleton(str(path))
    path.write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match="wanted a mapping"):
        load_skeleton(str(path))
    path.write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="not a YAML file"):
        load_skeleton(str(path))
    with pytest.raises(ConfigError, match=r"other\.yaml does not exist"):
        load_skeleton(str(tmp_path / "other.yaml"))
