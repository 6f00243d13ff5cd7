"""`tandem doctor`: everything that stands between a service and a quiet night, each with its exact fix."""
