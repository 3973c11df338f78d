"""Networks joined with the material discriminator."""
