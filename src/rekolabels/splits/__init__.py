"""Split images into training and test images: stratified by label and reproducible."""

from rekolabels.splits._balance import Balance, LabelBalance
from rekolabels.splits._groups import GroupBy
from rekolabels.splits._split import Split, folds, split

__all__ = ["Balance", "GroupBy", "LabelBalance", "Split", "folds", "split"]
