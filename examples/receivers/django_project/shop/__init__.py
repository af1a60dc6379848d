"""An app that receives eSIM events."""
