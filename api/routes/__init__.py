"""What there is to ask for: a router for each part of the server, included by the app."""
