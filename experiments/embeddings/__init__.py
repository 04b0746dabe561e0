"""Where images lie: in pixels and in the features of networks, what is near, and what is told apart."""
