"""What is true of the page, in a real browser."""
