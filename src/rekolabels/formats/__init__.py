"""Labelled images from the formats that people hold, one at a time, and back.

Every reader yields :class:`~rekolabels.images.LabelledImage` and takes ``on_problem``: what is called with a
:class:`Problem` for each flaw of the data that could be passed over. By default flaws are logged as warnings;
``on_problem=problems.append`` collects them in a list, ``on_problem=raise_problem`` stops at the first.
"""

from rekolabels.formats._folder import read_folder
from rekolabels.formats._header import image_size
from rekolabels.formats._problems import OnProblem, Problem, log_problem, raise_problem

__all__ = ["OnProblem", "Problem", "image_size", "log_problem", "raise_problem", "read_folder"]
