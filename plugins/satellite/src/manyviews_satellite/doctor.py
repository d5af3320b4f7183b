"""What is wrong with images, said before anything is trained on them: every file's header, and some of its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from glob import escape
from pathlib import Path

import numpy as np

from manyviews.errors import DataError
from manyviews.plugins.note import Note
from manyviews_satellite.reading.arrays import read_array
from manyviews_satellite.reading.find import SUFFIXES
from manyviews_satellite.reading.grid import Grid
from manyviews_satellite.reading.header import read_header
from manyviews_satellite.reading.options import Options
from manyviews_satellite.reading.pixels import Window, read_pixels
from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.reading.scenes import find_scenes
from manyviews_satellite.reading.stac import is_stac

WINDOW = 512
"""Rows and columns that are looked at in each of five places of a scene."""
OFTEN = 0.02
"""Share of pixels from which a number that marks no data elsewhere is suspected of doing so here."""
SUSPECTS = (-9999.0, -32768.0, -999.0, -3.4028234663852886e38)


def examine(path: Path) -> list[str] | None:
    """One line for each finding; an empty list where all is well; None where `path` holds no images."""
    if not _is_ours(path):
        return None
    masks = _mask_folders(path)
    try:
        # Arrays alone do not say what their axes and bands are: that is for a recipe to tell, and nothing wrong.
        found = find_scenes(path, Options(masks=masks[0].name if masks else None))
    except DataError as error:
        return [_line(str(error))]
    of_masks = {str(file) for folder in masks for file in _images_in(folder)}
    told = [(reason.partition(": ")[0], reason) for reason in found.refused]
    arrays = [file for file, _ in told if file.endswith(".npy") and _array(file) is not None]
    lines = [_line(reason) for file, reason in told if file not in arrays and file not in of_masks]
    lines += [_unread(path, arrays)] if arrays else []
    lines += [f"{scene.name}: {finding}" for scene in found.scenes if scene.name not in of_masks for finding in _scene(scene)]
    return lines + [line for folder in masks for line in _masks(folder)]


def _unread(path: Path, arrays: list[str]) -> Note:
    """Arrays, of which nobody but a recipe tells what they hold."""
    which = arrays[0] if len(arrays) == 1 else f"{path}: {len(arrays)} .npy files"
    return Note(f"{which}: not looked at; what axes and bands are, a recipe says: data.axes=tyxb data.bands=…")


def _mask_folders(path: Path) -> list[Path]:
    """Folders below one that hold nothing but what segmentation and change learn from."""
    if not path.is_dir():
        return []
    folders = sorted(folder for folder in path.rglob("*") if folder.is_dir())
    return [folder for folder in folders if _holds_masks(_images_in(folder))]


def _holds_masks(files: list[Path]) -> bool:
    """Whether all that can be read are masks."""
    found = False
    for file in files:
        kind = _is_mask(file)
        if kind is False:
            return False  # most folders hold images: their first file says so
        found |= kind is True
    return found


def _images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES - {".npy"})


def _image_of(mask: Path) -> Path | None:
    """An image of the same name in a folder beside: one of several bands, or of numbers that are not whole."""
    for other in sorted(mask.parent.parent.glob(f"*/{escape(mask.stem)}.*")):
        if other.parent != mask.parent and other.suffix.lower() in SUFFIXES and not _is_map(other):
            return other
    return None


def _is_mask(file: Path) -> bool | None:
    one = _is_map(file)
    return one and _image_of(file) is not None


def _is_map(file: Path) -> bool | None:
    """Whole numbers in one band; None: it cannot be read."""
    try:
        dtypes = read_header(str(file)).dtypes
    except DataError:
        return None
    return len(dtypes) == 1 and np.dtype(dtypes[0]).kind in "ui"


def _masks(folder: Path) -> Iterator[str]:
    """What is wrong with each mask, and how they were taken."""
    files = _images_in(folder)
    for file in files:
        image = _image_of(file)
        try:
            header = read_header(str(file))
            for window in _windows(header.grid):
                read_pixels(header, [1], window)
            if image is None or image.suffix.lower() == ".npy":
                continue
            grid = read_header(str(image)).grid
        except DataError as error:
            yield _line(str(error))
            continue
        if (grid.rows, grid.cols) != (header.grid.rows, header.grid.cols):
            yield (
                f"{file}: a mask of {header.grid.rows} x {header.grid.cols} pixels, and {image} has {grid.rows} x {grid.cols}; "
                "draw it anew on the image's grid"
            )
    yield Note(
        f"{folder}: {len(files):,} file{'s' * (len(files) > 1)} of whole numbers in one band, named as images in a folder "
        f"beside: taken for masks (data.dense=true data.target={folder.name}) and not looked at as images"
    )


def _array(file: str) -> np.ndarray | None:
    """What a .npy file holds; None where it cannot be read."""
    try:
        return read_array(file)
    except DataError:
        return None


def _is_ours(path: Path) -> bool:
    if path.suffix.lower() == ".npy" and path.is_file():
        array = _array(str(path))
        return array is None or array.ndim in (3, 4)  # of two axes, tables and series are more common
    images = SUFFIXES - {".npy"}
    if path.is_dir():
        return any(file.suffix.lower() in images for file in path.rglob("*"))
    return path.suffix.lower() in images or is_stac(path)


def _scene(scene: Scene) -> Iterator[str]:
    try:
        parts = [scene.read(window) for window in _windows(scene.grid)]
    except DataError as error:
        yield _line(str(error).partition(": ")[2])
        return
    seen = np.concatenate([valid.ravel() for _, valid in parts])
    if not seen.any():
        yield "holds nothing where it was looked at: its pixels are no data or NaN"
        return
    for number, band in enumerate(scene.bands):
        values = np.concatenate([pixels[number][valid] for pixels, valid in parts])
        yield from (f"band {band.label}: {finding}" for finding in _band(values, scene.checked))


def _windows(grid: Grid) -> list[Window]:
    """The corners and the middle; all of a small scene."""
    rows, cols = grid.rows, grid.cols
    height, width = min(rows, WINDOW), min(cols, WINDOW)
    if (height, width) == (rows, cols):
        return [(0, 0, rows, cols)]
    middle = ((rows - height) // 2, (cols - width) // 2)
    corners = {(0, 0), (0, cols - width), (rows - height, 0), (rows - height, cols - width), middle}
    return [(row, col, height, width) for row, col in sorted(corners)]


def _band(values: np.ndarray, checked: bool) -> Iterator[str]:
    least, largest = float(values.min()), float(values.max())
    if least == largest:
        yield f"holds the one number {least:g}"
        return
    if least in SUSPECTS and float((values == values.min()).mean()) > OFTEN:
        share = float((values == values.min()).mean())
        yield f"{share:.0%} of its pixels are {least:g}, which seems to mean no data; set data.nodata={least:g}"
    if values.dtype.kind == "u":
        top = np.iinfo(values.dtype).max
        if (full := float((values == top).mean())) > OFTEN:
            yield f"{full:.0%} of its pixels are at {top}, the largest number it can hold: saturated"
        zero = float((values == 0).mean())
        if not checked and zero > 10 * OFTEN:
            yield f"{zero:.0%} of its pixels are 0, which seems to mean no data; set data.nodata=0"


def _line(text: str) -> str:
    """What is wrong; and in a line of its own what to do."""
    return "; ".join(" ".join(line.split()) for line in text.splitlines())
