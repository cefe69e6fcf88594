"""Model versions: waiting, evaluation, running, copies and costs."""

from rekolabels.models._model_version import ModelVersion, RunningModel
from rekolabels.models._result_files import Validation
from rekolabels.models._wait_all import wait_all

__all__ = ["ModelVersion", "RunningModel", "Validation", "wait_all"]
