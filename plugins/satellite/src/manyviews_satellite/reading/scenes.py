"""From rasters to scenes: files of one scene put together, bands named, what does not fit refused with its reason."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from manyviews.errors import DataError
from manyviews_satellite.reading.find import File, find_files, scan
from manyviews_satellite.reading.header import Header
from manyviews_satellite.reading.names import MASKS, band_of, scene_of, time_of
from manyviews_satellite.reading.naming import named, sensor_told
from manyviews_satellite.reading.options import Options
from manyviews_satellite.reading.scene import Layer, Quality, Scene
from manyviews_satellite.sensors import SENSORS, alike, canonical, wavelength
from manyviews_satellite.spec import Band

FILL = 1
"""Landsat's QA: bit 0 is fill."""
CLOUDS = {"BQA": 1 << 4, "QA_PIXEL": 1 << 1 | 1 << 3 | 1 << 4}
"""Bits of cloud (and, in Collection 2, its dilation and shadow)."""
SCL = {"keep": (0,), "drop": (0, 1, 3, 8, 9, 10)}
"""Classes of Sentinel-2's scene classification that are no data; and with those saturation, shadow and clouds."""


@dataclass
class Found:
    """Scenes, and why files were left out."""

    scenes: list[Scene] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def find_scenes(path: str | Path, options: Options) -> Found:
    """The scenes at a path, all with the same bands, and a line for each file that cannot be used.

    Args:
        path: A file, a folder, a pattern or a catalogue.
        options: How they are read.
    """
    found = Found()
    parts: dict[str, list[tuple[File, Header]]] = {}
    for file, headers in scan([file for file in find_files(path) if _wanted(file, options)], options):
        if isinstance(headers, DataError):
            found.refused.append(str(headers))
            continue
        for header in headers:
            parts.setdefault(_key(file, header), []).append((file, header))
    for key, members in parts.items():
        try:
            found.scenes.append(_scene(key, members, options))
        except DataError as error:
            found.refused.append(str(error))
    return _agreeing(found)


def _wanted(file: File, options: Options) -> bool:
    folder = PurePath(file.path).parent.name
    return folder != options.masks and (not options.folders or folder in options.folders)


def _key(file: File, header: Header) -> str:
    """What files of one scene share."""
    if file.scene is not None:
        return file.scene
    if header.bands == 1 and band_of(file.path) is not None:
        return scene_of(file.path)
    return file.path if header.date is None else f"{file.path}[{header.date}]"


def _scene(key: str, members: Sequence[tuple[File, Header]], options: Options) -> Scene:
    catalogue = next((file.sensor for file, _ in members if file.sensor), None)
    told_sensor = options.sensor or catalogue or sensor_told(key)
    sensor = told_sensor or options.assumed
    layers, quality = [], None
    for file, header in members:
        said = _mask_of(file, header)
        if said is not None:
            quality = _quality(said, header, options)
            continue
        names = [canonical(file.band)] if file.band else named(header, sensor, options, len(members))
        layers += [
            _layer(file, header, number, name, sensor, options) for number, name in enumerate(names, 1) if name != "alpha"
        ]
    if not layers:
        raise DataError(f"{key}: a mask without bands to mask")
    if told_sensor is None and options.assumed is not None:
        _refuse_foreign(key, layers, options.assumed)
    layers = _chosen(key, layers, options)
    layers = [replace(layer, header=_placed(layer.header, options)) for layer in layers]
    if quality is not None:
        quality = replace(quality, header=_placed(quality.header, options))
    header = layers[0].header
    told = [text for file, each in members for text in (file.time, PurePath(file.path).name, each.when)]
    when = next((text for text in told if not math.isnan(time_of(text)[0])), None)
    return Scene(
        key if len(members) > 1 or header.date is not None else header.path,
        header.grid,
        tuple(layers),
        time_of(when),
        sensor,
        place=header.path if header.date is not None else "",
        quality=quality,
        label=Path(members[0][0].path).parent.name,
    )


def _refuse_foreign(key: str, layers: Sequence[Layer], assumed: str) -> None:
    """Numbered bands that the assumed sensor does not have are another's, and so are all the others."""
    names = [layer.band.name for layer in layers]
    foreign = [name for name in names if re.fullmatch(r"B\d+A?", name) and name not in SENSORS[assumed].wavelengths]
    if foreign:
        raise DataError(
            f"{key}: has {_bands(foreign)}, which {assumed} has not, and the encoder reads images of {assumed}\n"
            "bands of one number are other bands there: use an encoder that was trained on images of its sensor"
        )


def _bands(names: Sequence[str]) -> str:
    return f"band{'s' * (len(names) > 1)} {', '.join(names)}"


def _placed(header: Header, options: Options) -> Header:
    return replace(header, grid=replace(header.grid, crs=_crs(header, options)))


def _mask_of(file: File, header: Header) -> str | None:
    """The kind of a file that says what pixels are."""
    told = (file.band or band_of(file.path) or "").upper()
    return told if told in MASKS and header.bands == 1 else None


def _quality(kind: str, header: Header, options: Options) -> Quality:
    if kind == "SCL":
        return Quality(header, classes=SCL[options.clouds])
    return Quality(header, FILL | (CLOUDS[kind] if options.clouds == "drop" else 0))


def _layer(file: File, header: Header, number: int, name: str, sensor: str | None, options: Options) -> Layer:
    place = number - 1
    known = SENSORS.get(sensor or "")
    own = file.nodata if file.nodata is not None else header.nodata[place]
    nodata = options.nodata if options.nodata is not None else own
    if nodata is None and known is not None and name in known.wavelengths and header.dtypes[place] in INTEGERS:
        nodata = known.nodata
    return Layer(
        header,
        number,
        Band(name=name, sensor=sensor, wavelength=wavelength(name, sensor)),
        _first(options.scale, file.scale, header.scales[place]),
        _first(options.offset, file.offset, header.offsets[place]),
        nodata,
    )


INTEGERS = frozenset({"uint8", "uint16", "int16", "complex_int16"})


def _first(*values: float | None) -> float:
    return next(float(value) for value in values if value is not None)


def _chosen(key: str, layers: list[Layer], options: Options) -> list[Layer]:
    """The bands to use, in the order of the recipe or of the sensor; the others' files need not even agree with them."""
    own: dict[str, Layer] = {}
    for layer in layers:
        if layer.band.name in own:
            raise DataError(
                f"{key}: band {layer.band.name} is there twice: {own[layer.band.name].header.path}, {layer.header.path}"
            )
        own[layer.band.name] = layer
    if options.use is None:
        known = SENSORS.get(layers[0].band.sensor or "")
        order = [] if known is None else list(known.wavelengths)
        one_each = len({layer.header.path for layer in layers}) == len(layers) > 1
        return sorted(layers, key=lambda layer: _rank(order, layer.band.name)) if one_each else layers
    lacking = [name for name in options.use if name not in own]
    if lacking and (not options.partial or len(lacking) == len(options.use)):
        raise DataError(f"{key}: lacks {_bands(lacking)}; it has {', '.join(own)}")
    return [own[name] for name in options.use if name in own]


def _rank(order: list[str], name: str) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order)), name


def _crs(header: Header, options: Options) -> str | None:
    """Of a scene on the ground.

    Raises:
        DataError: The file has none, and the recipe does not say what becomes of it.
    """
    if options.crs == "none" or header.complex:
        return None
    if header.grid.crs is not None:
        return header.grid.crs
    if header.axes or header.gcps:
        return None  # radar's own geometry, and arrays, lie nowhere
    if options.crs is not None:
        return options.crs
    raise DataError(
        f"{header.path}: has no coordinate system (CRS)\n"
        "say data.crs=EPSG:<number> if you know it, or data.crs=none to take its pixels as they lie"
    )


def _agreeing(found: Found) -> Found:
    """All scenes have the bands that most have: a batch is of one kind."""
    if not found.scenes:
        return found
    own = [tuple(band.label for band in scene.bands) for scene in found.scenes]
    common = Counter(own).most_common(1)[0][0]
    alikes = [scene for scene, bands in zip(found.scenes, own, strict=True) if bands == common]
    sensor = Counter(scene.sensor for scene in alikes).most_common(1)[0][0]
    first = next(scene for scene in alikes if scene.sensor == sensor)
    kept = []
    for scene, bands in zip(found.scenes, own, strict=True):
        if bands != common:
            found.refused.append(
                f"{scene.name}: its bands are {', '.join(bands)}, those of the other scenes {', '.join(common)}; "
                "choose common ones by data.use"
            )
        elif (other := unlike(scene.bands, first.bands)) is not None:
            found.refused.append(f"{scene.name}: {other} of the other scenes; images of these sensors are not read together")
        else:
            kept.append(scene)
    return Found(kept, found.refused)


def unlike(bands: Sequence[Band], others: Sequence[Band]) -> str | None:
    """In words the first band that lies elsewhere in the spectrum than the other of its name; None where all may be one."""
    known = {band.label: band for band in others}
    for band in bands:
        other = known.get(band.label)
        if other is not None and not alike(band.wavelength, other.wavelength):
            return f"its {band.name} lies at {_place(band)}, and at {_place(other)} that"
    return None


def _place(band: Band) -> str:
    return f"{band.wavelength:g} µm ({band.sensor})" if band.sensor else f"{band.wavelength:g} µm"
