"""For the tests of applications: a pytest plugin, found by pytest as soon as rekolabels is installed.

- ``rekolabels_clock``: a :class:`rekolabels.local.ManualClock`, which stands still until it is moved;
- ``rekolabels_service``: a :class:`rekolabels.local.LocalService` of the test's own, by that clock;
- ``rekolabels_client``: a :class:`rekolabels.Client` of it, with a bucket; its waits move the clock;
- ``rekolabels_images``: a folder of small pictures, one folder a label;
- ``rekolabels_train``: a :class:`Trainer`, which trains a model on images at once;
- ``rekolabels_model``: a trained :class:`rekolabels.ModelVersion`, not running;
- ``rekolabels_recorded``: a :class:`Recorded`, which makes clients that answer what was recorded.

``@pytest.mark.rekolabels(faults=..., durations=..., quotas=...)`` sets up the service of a test.
"""

from rekolabels.testing._recorded import Recorded
from rekolabels.testing._training import Trainer

__all__ = ["Recorded", "Trainer"]
