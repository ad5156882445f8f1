"""stm32pose: keypoint models from labelled images to STM32 microcontrollers."""

__version__ = "0.1.0"
