"""The truth at many inputs: sampled, on disk, resumable."""
