"""One thin Spark adapter a stage."""
