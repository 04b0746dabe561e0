"""Generators of images: how they are trained, asked and measured."""
