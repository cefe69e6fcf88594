"""Model versions: training, evaluation, running, costs."""

from rekolabels.models._model_version import ModelVersion, RunningModel
from rekolabels.models._wait_all import wait_all

__all__ = ["ModelVersion", "RunningModel", "wait_all"]
