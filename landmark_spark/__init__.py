"""Landmark recognition in millions of photos: a Spark batch job from csv files of URLs to a submission."""

__all__ = ["__version__"]

__version__ = "0.1.0"
