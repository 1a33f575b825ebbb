"""The outside world: the model, the log, the environment."""
