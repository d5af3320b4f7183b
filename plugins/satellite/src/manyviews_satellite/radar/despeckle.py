"""Whole scenes despeckled by a run of MERLIN, window by window:

python -m manyviews_satellite.radar.despeckle RUN SCENE -o despeckled.tif
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import rasterio
import torch
from jaxtyping import Float
from torch import Tensor

from manyviews.engine.load import load_trained
from manyviews.errors import UserError
from manyviews.view import View
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.radar.judge import Judge, beside_clean
from manyviews_satellite.radar.merlin import reflectivity
from manyviews_satellite.radar.parts import MerlinParts, OtherPart
from manyviews_satellite.reading.header import read_header
from manyviews_satellite.reading.pixels import Window, read_pixels
from manyviews_satellite.reading.scene import Pixels, Scene
from manyviews_satellite.reading.scenes import find_scenes
from manyviews_satellite.spec import TileSpec
from manyviews_satellite.unet import UNet

Intensity = Float[np.ndarray, "polarisations rows cols"]
WINDOW, MARGIN = 256, 32
"""Rows and columns that are despeckled at once, and how much of their edges is left to their neighbours."""

KEPT = 0.8, 1.25
"""Means of the ratio image between which brightness is called kept."""


def windows_of(rows: int, cols: int, size: int) -> Iterator[Window]:
    """Side by side, as large as there is ground for."""
    for row in range(0, rows, size):
        for col in range(0, cols, size):
            yield row, col, min(size, rows - row), min(size, cols - col)


class Despeckler:
    """A trained net at work on scenes.

    The reflectivity is the mean of what is told from the real part and from the imaginary one, times the mean of the ratio
    image that training saw (`radar.merlin.ratio`), which makes it right on average; `calibrate=False` leaves that out.

    Args:
        encoder: Trained by `satellite/merlin`.
        centre: Centre the spectrum of each window, as in training.
        window: Rows and columns despeckled at once; a multiple of 2^pools less the margins' is taken.
        margin: Pixels beyond a window that the net is shown, too.
        calibrate: Multiply by the ratio that training saw.
    """

    def __init__(
        self, encoder: UNet, *, centre: bool = True, window: int = WINDOW, margin: int = MARGIN, calibrate: bool = True
    ) -> None:
        self.encoder, self.window, self.margin, self.calibrate = encoder.eval(), window, margin, calibrate
        self.views = MerlinParts(encoder.spec, centre=centre)
        self.views.bind(encoder.layout)

    def __call__(self, scene: Scene, window: Window) -> Intensity:
        """The intensity of a window; NaN where nothing was seen."""
        return self.beside(scene, window)[1]

    def beside(self, scene: Scene, window: Window) -> tuple[Intensity, Intensity]:
        """The intensity of a window as it was measured, and despeckled, out of one reading."""
        row, col, height, width = window
        step = 2**self.encoder.pools
        top, left = row - self.margin, col - self.margin
        rows, cols = (-(-(size + 2 * self.margin) // step) * step for size in (height, width))
        pixels, valid = scene.read((top, left, rows, cols))
        found = self._intensity(batch_of(scene, pixels, valid))
        inside = slice(self.margin, self.margin + height), slice(self.margin, self.margin + width)
        kept: np.ndarray = np.where(valid[inside], found[:, inside[0], inside[1]], np.nan)
        return _measured(scene, pixels[:, inside[0], inside[1]]), kept.astype(np.float32)

    def _intensity(self, batch: TileBatch) -> Intensity:
        """Of what the real part and the imaginary part tell."""
        found = torch.stack([reflectivity for _, reflectivity in self.parts(batch)]).mean(0)
        if self.calibrate:
            found = found * self.encoder.get_buffer("ratio")
        numbers: np.ndarray = found.reshape(-1, *batch.pixels.shape[-2:]).cpu().numpy()
        return numbers

    @torch.inference_mode()
    def parts(self, batch: TileBatch) -> list[tuple[OtherPart, Float[Tensor, "pixels"]]]:
        """Of each part in turn: what it and the other are, and the reflectivity that is told from it."""
        device = next(self.encoder.parameters()).device
        moved = batch.to(device)
        return [self._one(view) for view in self.views(moved, self.encoder.layout(moved), torch.Generator(device))]

    def _one(self, view: View) -> tuple[OtherPart, Tensor]:
        answer = view.target
        assert isinstance(answer, OtherPart)
        return answer, reflectivity(answer.own, self.encoder.noise(self.encoder(view).tokens).squeeze(1))

    def scene(self, scene: Scene) -> Iterator[tuple[Window, Intensity, Intensity]]:
        """All of a scene, window by window: where, as measured, despeckled."""
        for window in windows_of(scene.grid.rows, scene.grid.cols, self.window):
            yield window, *self.beside(scene, window)


def batch_of(scene: Scene, pixels: np.ndarray, valid: np.ndarray) -> TileBatch:
    """A window of a scene as the encoder takes it."""
    scale = torch.tensor(scene.scaling[0], dtype=torch.float32)[None, None]
    return TileBatch(
        torch.from_numpy(pixels)[None, None],
        scale,
        torch.zeros_like(scale),
        torch.tensor(scene.time)[None, None],
        torch.tensor([scene.grid.metres]),
        tuple(range(len(pixels))),
        None if valid.all() else torch.from_numpy(valid)[None, None],
    )


def despeckle(
    run: Path, scene: str, output: Path, *, clean: Path | None = None, calibrate: bool = True, device: str = "auto"
) -> dict[str, dict[str, float]]:
    """A scene's amplitude without speckle, one band a polarisation, as a GeoTIFF on the scene's grid.

    Returns the measures of each polarisation (`judge.Judge`, and `beside_clean` where there is one).

    Args:
        run: A run or checkpoint folder of `satellite/merlin`.
        scene: A single-look complex image.
        output: Where the GeoTIFF goes.
        clean: A raster of the amplitude without speckle, a band for each polarisation, where it is known (simulations).
        calibrate: See `Despeckler`.
        device: Where the net works.

    Raises:
        UserError: No run of MERLIN, or not one such scene, or a clean one of another size, or no folder to write into.
    """
    trained = load_trained(run, device=device)  # type: ignore[arg-type]
    encoder, spec = trained.encoder, trained.spec
    if not isinstance(encoder, UNet) or not encoder.spec.complex or not isinstance(spec, TileSpec):
        raise UserError(f"{run}: trained {type(encoder).__name__}; despeckling needs a run of recipe satellite/merlin")
    found = find_scenes(scene, spec.reading)
    if len(found.scenes) != 1:
        raise UserError(found.refused[0] if found.refused else f"{scene}: holds {len(found.scenes)} scenes; name one of them")
    one = found.scenes[0]
    if plain := [band.label for band in one.bands if band.part == "whole"]:
        raise UserError(
            f"{one.name}: {', '.join(plain)}: no complex numbers; despeckling needs a single-look complex image (SLC)"
        )
    if not output.parent.is_dir():
        raise UserError(f"--output: there is no folder {output.parent}")
    names = [band.name for band in one.bands[::2]]
    truth = None if clean is None else _clean(clean, one, len(names))
    measured = None if truth is None else np.empty(truth.shape)
    judges = {name: Judge() for name in names}
    profile = {
        "driver": "GTiff", "height": one.grid.rows, "width": one.grid.cols, "count": len(names), "dtype": "float32",
        "nodata": float("nan"), "tiled": True, "compress": "deflate", "BIGTIFF": "IF_SAFER",
        "crs": one.grid.crs, "transform": one.grid.affine,
    }  # fmt: skip
    beside = output.with_name(f".{output.name}.part")
    with rasterio.open(beside, "w", **profile) as file:
        file.descriptions = tuple(f"{name} amplitude, despeckled" for name in names)
        for (row, col, height, width), before, after in Despeckler(encoder, calibrate=calibrate).scene(one):
            file.write(np.sqrt(after), window=rasterio.windows.Window(col, row, width, height))
            for judge, *pair in zip(judges.values(), before, after, strict=True):
                judge.take(*pair)
            if measured is not None:
                measured[:, row : row + height, col : col + width] = np.sqrt(before)
    beside.replace(output)
    told = {name: judge.told() for name, judge in judges.items()}
    if truth is not None and measured is not None:
        with rasterio.open(output) as file:
            found_amplitude = file.read().astype(np.float64)
        for number, name in enumerate(names):
            told[name] |= beside_clean(measured[number], found_amplitude[number], truth[number])
    return told


def _measured(scene: Scene, pixels: Pixels) -> Intensity:
    """Of the single-look image itself."""
    parts = pixels.astype(np.float64) * np.array(scene.scaling[0])[:, None, None]
    found: np.ndarray = parts[::2] ** 2 + parts[1::2] ** 2
    return found


def _clean(path: Path, scene: Scene, polarisations: int) -> Float[np.ndarray, "polarisations rows cols"]:
    header = read_header(str(path))
    size = (header.bands, header.grid.rows, header.grid.cols)
    if size != (polarisations, scene.grid.rows, scene.grid.cols):
        wanted = (polarisations, scene.grid.rows, scene.grid.cols)
        raise UserError(f"{path}: holds {' x '.join(map(str, size))} numbers, and the scene {' x '.join(map(str, wanted))}")
    return read_pixels(header, list(range(1, polarisations + 1)), (0, 0, *size[1:])).astype(np.float64)


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Despeckle a single-look complex scene by a run of satellite/merlin.")
    parser.add_argument("run", type=Path, help="a run or checkpoint folder")
    parser.add_argument("scene", help="a single-look complex image")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the GeoTIFF of amplitudes to be written")
    parser.add_argument("--clean", type=Path, help="the amplitude without speckle, where it is known: PSNR and SSIM are told")
    parser.add_argument("--uncalibrated", action="store_true", help="as the paper has it: without the ratio that training saw")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args(words)
    try:
        told = despeckle(
            given.run, given.scene, given.output, clean=given.clean, calibrate=not given.uncalibrated, device=given.device
        )
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(given.output)
    for name, measures in told.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in measures.items()))
        if not KEPT[0] < measures["ratio_mean"] < KEPT[1]:
            print(
                f"{name}: its brightness is not kept: the mean of the ratio image should be near 1, and is "
                f"{measures['ratio_mean']:.3g}. Train longer, or on scenes as bright as this one",
                file=sys.stderr,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
