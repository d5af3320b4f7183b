"""From a path to scenes: headers, names, grids, pixels."""
