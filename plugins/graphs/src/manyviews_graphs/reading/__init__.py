"""Readers: from every form in which graphs are kept to `RawGraphs`. `find.py` chooses the reader."""
