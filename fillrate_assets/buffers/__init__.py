"""Buffers: signals -> operational units -> recommendations -> alerts -> feedback."""
