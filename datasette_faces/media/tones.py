"""Samples of any depth to 8 bits: white stays white, and grey grey. Pillow would clip them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SampleArray = npt.NDArray[Any]
"""Samples as a file has them: (rows, columns) or (rows, columns, samples)."""
_WHITES = (255, 1023, 4095, 65_535)
"""Scanners and cameras put 8, 10 or 12 bits into 16."""
_OVERSHOOT, _RARE = 16.0, 0.02
"""Floating-point highlights may go beyond a white of 1: so far, and in such a part of a picture."""
_FAINT = 1 / 16
CHUNK_ROWS = 256


def to_8_bits(
    values: SampleArray, *, bits: int = 16, white: int = 0, inverted: bool = False
) -> npt.NDArray[np.uint8]:
    """Samples scaled to 0..255.

    bits: of a whole number. white: the value of white, where the file says it; 0: unknown. inverted: 0 is
    white.
    """
    if values.size == 0 or values.dtype == np.uint8:
        done = values.astype(np.uint8)
        return 255 - done if inverted else done
    low, high = _find_range(values, bits, white)
    if inverted:
        low, high = high, low
    out = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), CHUNK_ROWS):
        part = np.nan_to_num(
            values[row : row + CHUNK_ROWS].astype(np.float32), posinf=high, neginf=low
        )
        scaled = (part - low) * (255.0 / (high - low))
        out[row : row + CHUNK_ROWS] = np.clip(scaled + 0.5, 0, 255)
    return out


def _find_range(values: SampleArray, bits: int, white: int) -> tuple[float, float]:
    """The values of black and white."""
    if np.issubdtype(values.dtype, np.floating):
        finite = values[np.isfinite(values)]
        return 0.0, _find_float_white(finite) if finite.size else 1.0
    bottom, top = int(values.min()), int(values.max())
    if np.issubdtype(values.dtype, np.signedinteger) and bottom < 0:
        return float(-(2 ** (bits - 1))), float(2 ** (bits - 1) - 1)
    if top <= white < 2**bits:
        return 0.0, float(white)
    if bits < 16:
        return 0.0, float(2**bits - 1)
    return 0.0, float(next((it for it in _WHITES if top <= it), top))


def _find_float_white(values: SampleArray) -> float:
    top = float(values.max())
    if top <= 1:
        return 1.0 if top > _FAINT else max(top, 1e-9)
    if top <= _OVERSHOOT and float((values > 1).mean()) < _RARE:
        return 1.0
    return next((float(it) for it in (255, 65_535) if top <= it), top)
