"""An app that hears of eSIMs."""
