"""Images to an assessment of threat."""
