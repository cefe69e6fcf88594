"""Training and test images: stratified, the same for the same seed everywhere, with counts to show for it."""

from rekolabels.splits._balance import Balance, LabelBalance
from rekolabels.splits._groups import GroupBy
from rekolabels.splits._split import Split, folds, split

__all__ = ["Balance", "GroupBy", "LabelBalance", "Split", "folds", "split"]
