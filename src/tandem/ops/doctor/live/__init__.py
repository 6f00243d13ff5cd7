"""A deployed instance, looked at from outside."""
