"""MediaPipe's face mesh and the 68 points of iBUG 300-W: which of the 468 stands for which."""

from __future__ import annotations

MESH_SIZES = (468, 478)
"""Points of the mesh, without and with the irises; the first 468 are the same."""

# In the order of the skeleton face68. Eyes and lips are the correspondence in general use; jaw, outer brows and nose
# were compared with labelled faces and moved, in pairs of left and right, where a neighbour fits better
# (docs/codecs.md).
MESH_68 = (
    *(
        127,
        234,
        132,
        58,
        172,
        136,
        149,
        176,
        152,
        400,
        378,
        365,
        397,
        288,
        361,
        454,
        356,
    ),  # jaw, from right ear to left
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(6, 197, 5, 1, 99, 97, 2, 326, 328),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # lips, outside
    *(78, 82, 13, 312, 308, 317, 14, 87),  # lips, inside
)


def mesh_points(landmarks: int, keypoints: int) -> tuple[int, ...] | None:
    """Which of a network's `landmarks` are the `keypoints` of a skeleton; None where nobody knows.

    All of them where the numbers agree; of a mesh the 68 of 300-W, or the first 468 of 478.
    """
    if landmarks == keypoints:
        return tuple(range(keypoints))
    if landmarks in MESH_SIZES and keypoints == len(MESH_68):
        return MESH_68
    if (landmarks, keypoints) == (478, 468):
        return tuple(range(468))
    return None
