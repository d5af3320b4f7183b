"""Speech and sound for manyviews: waveforms in, frame and clip embeddings out."""
