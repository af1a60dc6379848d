"""The one place that states the version; packaging, the user agent and the command line read it."""

__version__ = "0.1.0"
