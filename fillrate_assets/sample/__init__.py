"""The sample network: a deterministic world that fills the embedded systems."""
