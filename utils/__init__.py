"""The outside world: the model, the environment, the web server."""
