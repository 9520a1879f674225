"""Models: loading, adapters, trainable parameters, losses, sampling, devices."""
