"""How large an installation becomes: measured figures, and what follows from them."""
