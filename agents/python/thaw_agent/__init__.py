"""thaw's agent for Python programs: stdlib only, lives inside the user's interpreter."""
