"""Medical volumes for manyviews: 3D MRI and CT (and their slices). What it brings stands in `plugin.py`."""
