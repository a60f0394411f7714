"""Clean Pixel Data: what is burned into images, found by rule and painted over (PS3.15 E.3.1)."""
