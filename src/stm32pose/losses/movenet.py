"""The loss of MoveNet's four maps: centre, heat maps, regression from the centre, offsets in a cell.

Outputs: [centre [B, h, w, 1], heatmaps [B, h, w, K], regression [B, h, w, 2K], offsets [B, h, w, 2K]], the last two
(dy, dx) a joint in cells. Targets as `MovenetCodec.encode` gives them: (centre [B, h, w, 1], heatmaps [B, h, w, K],
cells [B, K + 1, 2], (row, column) of every joint's cell and last the centre's, values [B, K, 4], regression (dy, dx)
at the centre's cell and offset (dy, dx) at the joint's).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stm32pose.losses.backend import keras_ops
from stm32pose.losses.heatmap import squared_error


def composite(
    *, centre: float = 1.0, heatmaps: float = 1.0, regression: float = 1.0, offsets: float = 1.0
) -> Callable[[Any, Any], Any]:
    """The function (targets, outputs) -> [B, K], a weighted sum of four losses.

    - centre, heatmaps: squared error as a share of the squared target (`heatmap.squared_error`); the centre's is the
      image's, and counts for each of its labelled joints.
    - regression: |dy| + |dx|, in cells, of the joint as seen from the centre's cell; read there and nowhere else.
    - offsets: |dy| + |dx|, in cells, at the joint's own cell.

    Sources: Zhou et al., Objects as Points, 2019, whose heads MoveNet has (Google's model card, 2021).
    """

    def call(y_true: Any, y_pred: Any) -> Any:
        ops = keras_ops()
        wanted_centre, wanted_maps, cells, values = y_true
        columns = int(wanted_maps.shape[2])
        places = ops.cast(cells[..., 0] * columns + cells[..., 1], "int32")
        from_centre = _at(y_pred[2], places[:, -1:])
        inside = _at(y_pred[3], places[:, :-1])
        losses = heatmaps * squared_error(wanted_maps, y_pred[1])
        losses = losses + centre * squared_error(wanted_centre, y_pred[0])
        losses = losses + regression * ops.sum(ops.abs(from_centre - values[..., :2]), axis=-1)
        return losses + offsets * ops.sum(ops.abs(inside - values[..., 2:]), axis=-1)

    return call


def _at(field: Any, places: Any) -> Any:
    """(dy, dx) [B, K, 2] of `field` [B, h, w, 2K] at the cells `places` int32 [B, K], or [B, 1] for all joints."""
    ops = keras_ops()
    joints = int(field.shape[-1]) // 2
    rows = ops.reshape(field, (-1, int(field.shape[1]) * int(field.shape[2]), joints, 2))
    index = ops.broadcast_to(places[:, None, :, None], (ops.shape(rows)[0], 1, joints, 2))
    return ops.take_along_axis(rows, index, axis=1)[:, 0]
