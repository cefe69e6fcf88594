"""Datasets: the training and test images of a project."""

from rekolabels.datasets._dataset import Dataset

__all__ = ["Dataset"]
