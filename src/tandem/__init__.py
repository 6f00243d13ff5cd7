"""Two backends on one frame: Momentum, a todo API, and (to come) Market AI, a marketing API."""
