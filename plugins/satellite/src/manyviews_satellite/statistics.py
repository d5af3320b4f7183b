"""Mean and deviation of each band, over valid pixels of training tiles."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from manyviews.errors import DataError
from manyviews_satellite.reader import TileReader

Numbers = tuple[float, ...]
AT_ONCE = 8


def statistics(reader: TileReader, index: Int[np.ndarray, "tiles"]) -> tuple[Numbers, Numbers]:
    """In physical units, in float64. A band that never varies keeps its numbers: its deviation is called 1.

    Raises:
        DataError: No valid pixel among these tiles.
    """
    count, first, second = 0, np.zeros(1), np.zeros(1)
    shift: np.ndarray | None = None
    for start in range(0, len(index), AT_ONCE):
        some = index[start : start + AT_ONCE]
        pixels, valid = reader.read(some)
        for place, number in enumerate(some.tolist()):
            for date in range(pixels.shape[1]):
                scene = reader.tiles.scene[number] if reader.dates is None else reader.dates[number, date]
                scale, offset = (np.array(part)[:, None] for part in reader.scenes[int(scene)].scaling)
                own = pixels[place, date].reshape(pixels.shape[2], -1)
                chosen = own if valid is None else own[:, valid[place, date].ravel()]
                if not chosen.size:
                    continue
                numbers = chosen.astype(np.float64) * scale + offset
                shift = numbers.mean(1, keepdims=True) if shift is None else shift  # sums of squares of small numbers are exact
                numbers -= shift
                count, first, second = count + numbers.shape[1], first + numbers.sum(1), second + np.square(numbers).sum(1)
    if shift is None:
        raise DataError("the training tiles have no valid pixel to take means and deviations of")
    mean = first / count
    deviation = np.sqrt(np.maximum(second / count - mean**2, 0))
    constant = deviation <= 1e-12 * np.maximum(np.abs(shift[:, 0]), 1)
    return tuple((mean + shift[:, 0]).tolist()), tuple(np.where(constant, 1.0, deviation).tolist())
