"""Phase sums to transmission, refraction, dark-field and offset images."""
