"""Renders training material: short songs of four stems that share tempo, key and chords."""
