"""Models of other people as surrogates: PyTorch, ONNX, scikit-learn, Equinox, Flax."""
