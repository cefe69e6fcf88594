"""Amazon Rekognition Custom Labels from Python: labelled images in, a trained, tested, running model out."""

__version__ = "0.1.0.dev0"
