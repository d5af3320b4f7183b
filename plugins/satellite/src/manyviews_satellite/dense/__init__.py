"""A class for every pixel: segmentation, and what has changed between two dates."""
