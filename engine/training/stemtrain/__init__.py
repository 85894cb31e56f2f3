"""Training of the `band_gru` separation network; see ../README.md."""
