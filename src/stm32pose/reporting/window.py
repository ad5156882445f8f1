"""A window that shows images while they are predicted. Nothing else in the program needs a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from stm32pose.errors import UserError, first_line

TITLE = "stm32pose: Esc or q ends"
ENDS = (27, ord("q"), ord("Q"))


class Window:
    """An open window; `open_window` makes one."""

    def show(self, image: np.ndarray) -> bool:
        """Show a uint8 [H, W, 3] RGB image; False when the user wants to end (Esc, q, or the window was closed)."""
        cv2.imshow(TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(1) & 0xFF
        return key not in ENDS and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1


@contextmanager
def open_window(wanted: bool) -> Iterator[Window | None]:
    """A window while the block runs; None where none is wanted. UserError: as `check_window`."""
    if not wanted:
        yield None
        return
    check_window()
    try:
        yield Window()
    finally:
        cv2.destroyAllWindows()
        cv2.waitKey(1)


def check_window() -> None:
    """Raise UserError where no window can be opened: OpenCV without windows, or no screen."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        # OpenCV's Qt ends the whole process here, so it must not be asked.
        raise UserError("prediction.show: there is no screen (DISPLAY is not set); leave prediction.show out")
    try:
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
    except cv2.error as error:
        text = str(error)
        if "not implemented" in text:
            raise UserError(
                "prediction.show: this OpenCV is built without windows; "
                "pip uninstall opencv-python-headless, then pip install opencv-python; or leave prediction.show out"
            ) from error
        raise UserError(f"prediction.show: no window can be opened ({first_line(error)})") from error
