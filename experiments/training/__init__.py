"""Training of one row: what its images, targets, rate and end are, and how it goes on."""
