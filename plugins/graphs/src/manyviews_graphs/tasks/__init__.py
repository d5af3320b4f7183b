"""Evaluation tasks as the literature on graphs runs them."""
