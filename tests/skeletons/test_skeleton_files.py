"""The shipped skeletons agree with what the field and ST publish, and with themselves."""

from __future__ import annotations

import numpy as np
import pytest

from stm32pose.config.data_sections import Dataset
from stm32pose.errors import ConfigError
from stm32pose.skeletons.skeleton import DEFAULT_SIGMA, load_skeleton, resolve_skeleton, skeleton_for, skeleton_names

# Facts of ST's services (sections 5.3, 6.5 and 9.4 of the inventory).
ST_FLIP = {
    "coco17": [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15],
    "person13": [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11],
    "hand21": list(range(21)),
}
ST_EDGES = {
    "coco17": "0-1 0-2 1-3 2-4 3-5 4-6 5-7 6-8 7-9 8-10 5-6 5-11 6-12 11-12 11-13 12-14 13-15 14-16",
    "person13": "0-1 0-2 1-2 1-3 2-4 3-5 4-6 1-7 2-8 7-9 8-10 9-11 10-12 7-8",
    "hand21": "0-1 1-2 2-3 3-4 0-5 5-6 6-7 7-8 5-9 9-10 10-11 11-12 9-13 13-14 14-15 15-16 13-17 17-18 18-19 19-20 "
    "0-17",
}
COCO_SIGMAS = [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087]
COCO_SIGMAS += [0.089, 0.089]


def test_the_shipped_ones_are_there():
    counts = {name: load_skeleton(name).count for name in skeleton_names()}
    people = {"coco17": 17, "person13": 13, "mpii16": 16, "lsp14": 14}
    assert counts == {**people, "hand21": 21, "face68": 68, "face468": 468}


@pytest.mark.parametrize("name", skeleton_names())
def test_each_is_consistent(name):
    skeleton = load_skeleton(name)
    count = skeleton.count
    assert skeleton.name == name
    assert len(set(skeleton.keypoints)) == count
    assert sorted(skeleton.flip) == list(range(count))
    assert np.array_equal(skeleton.flip[skeleton.flip], np.arange(count))
    assert len(skeleton.colours) == len(skeleton.edges)
    assert skeleton.sigmas.shape == (count,)
    assert ((skeleton.sigmas > 0) & (skeleton.sigmas < 0.2)).all()
    # Every joint is drawn; of the mesh the contours are, and the rest are dots.
    if name != "face468":
        assert {joint for edge in skeleton.edges for joint in edge} == set(range(count))
    # A mirror maps the drawing onto itself.
    drawn = {frozenset(edge) for edge in skeleton.edges}
    assert {frozenset(skeleton.flip[list(edge)].tolist()) for edge in skeleton.edges} == drawn
    # Sigmas do not depend on the side.
    assert np.array_equal(skeleton.sigmas, skeleton.sigmas[skeleton.flip])


@pytest.mark.parametrize("name", ST_FLIP)
def test_agrees_with_st(name):
    skeleton = load_skeleton(name)
    assert skeleton.flip.tolist() == ST_FLIP[name]
    wanted = {frozenset(map(int, edge.split("-"))) for edge in ST_EDGES[name].split()}
    assert {frozenset(edge) for edge in skeleton.edges} == wanted


def test_sigmas_are_the_published_ones():
    assert load_skeleton("coco17").sigmas.tolist() == COCO_SIGMAS
    assert load_skeleton("person13").sigmas.tolist() == [0.035, *COCO_SIGMAS[5:]]
    assert {name for name in skeleton_names() if load_skeleton(name).sigmas_published} == {"coco17", "person13"}
    assert (load_skeleton("hand21").sigmas == DEFAULT_SIGMA).all()
    assert "default" in load_skeleton("face68").sigmas_source


def test_limbs_of_the_same_name_have_the_same_sigma_in_every_skeleton_of_people():
    coco = load_skeleton("coco17")
    published = dict(zip(coco.keypoints, coco.sigmas, strict=True))
    for name in ("person13", "lsp14", "mpii16"):
        skeleton = load_skeleton(name)
        for keypoint, sigma in zip(skeleton.keypoints, skeleton.sigmas, strict=True):
            assert sigma == published.get(keypoint, sigma)


@pytest.mark.parametrize("name", ["coco17", "person13", "lsp14", "mpii16"])
def test_left_and_right_limbs_have_different_colours(name):
    skeleton = load_skeleton(name)
    colours = dict(zip(map(frozenset, skeleton.edges), skeleton.colours, strict=True))
    joints = {keypoint: number for number, keypoint in enumerate(skeleton.keypoints)}
    for first, second in (("shoulder", "elbow"), ("elbow", "wrist"), ("knee", "ankle")):
        left, right = (
            colours[frozenset({joints[f"{side}_{first}"], joints[f"{side}_{second}"]})] for side in ("left", "right")
        )
        assert left != right


def test_face68_mirrors_as_300w_does():
    flip = load_skeleton("face68").flip.tolist()
    jaw, brows, nose = list(range(16, -1, -1)), list(range(26, 16, -1)), [27, 28, 29, 30, 35, 34, 33, 32, 31]
    eyes = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    mouth = [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    assert flip == jaw + brows + nose + eyes + mouth


def test_head_and_torso():
    assert load_skeleton("coco17").head_segment is None
    lsp = load_skeleton("lsp14")
    assert [lsp.keypoints[joint] for joint in lsp.head_segment] == ["neck", "head_top"]
    assert [lsp.keypoints[joint] for joint in lsp.torso_segment] == ["left_shoulder", "right_hip"]


def test_skeleton_for_counts_and_refuses():
    assert skeleton_for(13).name == "person13"
    assert skeleton_for(21, "person").name == "hand21"  # the count alone decides where it can
    with pytest.raises(ConfigError, match=r"no shipped skeleton has 5 keypoints.*person13 \(13\)"):
        skeleton_for(5)


def test_resolve_skeleton(caplog):
    assert resolve_skeleton(Dataset(keypoints=17)).name == "coco17"
    assert resolve_skeleton(Dataset(skeleton="person13", keypoints=13)).name == "person13"
    assert not caplog.records
    assert resolve_skeleton(Dataset(skeleton="lsp14")).name == "lsp14"
    assert "not published" in caplog.text
    with pytest.raises(ConfigError, match="17, but the skeleton person13 has 13"):
        resolve_skeleton(Dataset(skeleton="person13", keypoints=17))
    with pytest.raises(ConfigError, match=r"dataset\.skeleton: missing; allowed: coco17"):
        resolve_skeleton(Dataset())
    with pytest.raises(ConfigError, match="did you mean 'person13'"):
        resolve_skeleton(Dataset(skeleton="persn13"))
