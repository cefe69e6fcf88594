"""The rules of the service one by one, for ``check_manifest`` and for the embedded service.

``text_start`` tells text from what is none, ``check_line`` judges a line, ``DatasetStatistics`` counts lines
and finds images that occur twice, ``check_dataset`` and ``check_content`` judge the counts,
``validation_line`` and ``dataset_entry`` write what was found into a line as the service gives it back.
"""

from rekolabels.manifest._annotated import dataset_entry, validation_line
from rekolabels.manifest._dataset_rules import (
    ContentFinding,
    Side,
    UseCase,
    check_content,
    check_dataset,
    use_case_of,
)
from rekolabels.manifest._findings import Finding
from rekolabels.manifest._rules import LineCheck, check_line
from rekolabels.manifest._sources import text_start
from rekolabels.manifest._statistics import DatasetStatistics

__all__ = [
    "ContentFinding",
    "DatasetStatistics",
    "Finding",
    "LineCheck",
    "Side",
    "UseCase",
    "check_content",
    "check_dataset",
    "check_line",
    "dataset_entry",
    "text_start",
    "use_case_of",
    "validation_line",
]
