"""Who still supports a component, until when, and who says so."""
