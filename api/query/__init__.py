"""Views out: one device, listings, quarantine, health."""
