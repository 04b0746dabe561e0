"""Where images lie: in pixels and in features of networks; what is near, what is told apart."""
