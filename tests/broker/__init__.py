"""Each seam against a real broker, which is started once for all of them."""
