"""Losses: a value a joint, so that unlabelled joints can be left out exactly. `make_loss` is the way in."""

from stm32pose.losses.select import make_loss, resolve_loss

__all__ = ["make_loss", "resolve_loss"]
