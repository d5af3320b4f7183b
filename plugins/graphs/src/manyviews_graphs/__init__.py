"""Graphs for manyviews: one large graph, many small ones, or sampled neighbourhoods; nodes as tokens."""
