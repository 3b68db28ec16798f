"""Genkan: sign-in through the app's own screens, decided on the server."""

__version__ = "0.1.0"
