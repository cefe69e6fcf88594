"""Readers and writers of label formats: folders, CSV, COCO, Pascal VOC, YOLO, Ground Truth, data frames.

Every reader yields :class:`~rekolabels.images.LabelledImage` values and takes ``on_problem``, a function that
is called with a :class:`Problem` for each flaw that the reader can skip. By default problems are logged as
warnings; ``on_problem=problems.append`` collects them, ``on_problem=raise_problem`` stops at the first.
"""

from rekolabels.formats._coco import read_coco, write_coco
from rekolabels.formats._csv import read_csv, write_csv
from rekolabels.formats._files import image_size
from rekolabels.formats._folder import read_folder, write_folder
from rekolabels.formats._ground_truth import read_ground_truth
from rekolabels.formats._in_memory import from_dataframe, from_fiftyone, from_huggingface, from_supervision
from rekolabels.formats._problems import OnProblem, Problem, log_problem, raise_problem
from rekolabels.formats._voc import read_voc, write_voc
from rekolabels.formats._yolo import read_yolo, write_yolo

__all__ = [
    "OnProblem",
    "Problem",
    "from_dataframe",
    "from_fiftyone",
    "from_huggingface",
    "from_supervision",
    "image_size",
    "log_problem",
    "raise_problem",
    "read_coco",
    "read_csv",
    "read_folder",
    "read_ground_truth",
    "read_voc",
    "read_yolo",
    "write_coco",
    "write_csv",
    "write_folder",
    "write_voc",
    "write_yolo",
]
