"""STAC item collections (local JSON): items as scenes, assets as files of bands. Remote ones are GDAL's to open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from manyviews.errors import DataError

PLATFORMS = {"sentinel-2": "sentinel2", "sentinel-1": "sentinel1", "landsat-5": "landsat5", "landsat-7": "landsat7",
             "landsat-8": "landsat8", "landsat-9": "landsat9"}  # fmt: skip
IMAGES = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff")


def is_stac(path: Path) -> bool:
    """Whether a file is a STAC item or a collection of items."""
    if path.suffix.lower() not in (".json", ".geojson"):
        return False
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(told, dict) and any("assets" in item for item in _items(told))


def _items(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [told] if told.get("type") == "Feature" else [item for item in told.get("features", []) if isinstance(item, dict)]


def stac_files(path: Path) -> list[dict[str, Any]]:
    """The images of all items, with what the items say of them.

    Raises:
        DataError: No item has an image of bands.
    """
    items = _items(json.loads(path.read_text(encoding="utf-8")))
    found = [told for item in items for told in _assets(path, item)]
    if not found:
        raise DataError(
            f"{path}: none of its {len(items)} items has an asset that is an image with bands (eo:bands, roles: [data])"
        )
    return found


def _assets(path: Path, item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    properties = item.get("properties", {})
    platform = str(properties.get("platform", "")).lower()
    sensor = next((known for start, known in PLATFORMS.items() if platform.startswith(start)), None)
    for key, asset in item["assets"].items():
        bands = asset.get("bands") or asset.get("eo:bands") or []
        if not _is_data(asset, bands):
            continue
        raster = (asset.get("raster:bands") or bands or [{}])[0]
        yield {
            "path": _place(path, str(asset["href"])),
            "scene": str(item.get("id", path.stem)),
            "band": str(bands[0].get("name", key)) if len(bands) == 1 else key if not bands else None,
            "time": properties.get("datetime") or properties.get("start_datetime"),
            "scale": raster.get("scale", raster.get("raster:scale")),
            "offset": raster.get("offset", raster.get("raster:offset")),
            "nodata": _number(raster.get("nodata")),
            "sensor": sensor,
        }


def _is_data(asset: Mapping[str, Any], bands: list[Any]) -> bool:
    roles, kind = asset.get("roles", []), str(asset.get("type", ""))
    if {"thumbnail", "overview", "metadata", "visual"} & set(roles):
        return False
    return (bool(bands) or "data" in roles) and (not kind or kind.startswith(IMAGES))


def _place(path: Path, href: str) -> str:
    """As GDAL opens it: beside the JSON, absolute, or remote."""
    if href.startswith("s3://"):
        return f"/vsis3/{href.removeprefix('s3://')}"
    if href.startswith(("http://", "https://")):
        return f"/vsicurl/{href}"
    href = href.removeprefix("file://")
    return href if Path(href).is_absolute() else str(path.parent / href)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
