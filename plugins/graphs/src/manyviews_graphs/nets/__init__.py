"""Nets over edges: sums over sparse matrices, attention, layers; plain tensors in, plain tensors out."""
