"""A small language: compiler and machine."""
