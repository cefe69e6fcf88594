"""pytest plugin for applications that use rekolabels; pytest loads it when rekolabels is installed.

Fixtures:

- ``rekolabels_clock``: a :class:`rekolabels.local.ManualClock`, which stands still until it is advanced;
- ``rekolabels_service``: a :class:`rekolabels.local.LocalService` for one test, which uses that clock;
- ``rekolabels_client``: a :class:`rekolabels.Client` of it, with a bucket; its waits advance the clock;
- ``rekolabels_images``: a folder of small images, with a subfolder for each label;
- ``rekolabels_train``: a :class:`Trainer`, which trains a model without advancing the clock;
- ``rekolabels_model``: a trained :class:`rekolabels.ModelVersion` that is not running;
- ``rekolabels_recorded``: a :class:`Recorded`, which creates clients that replay recorded responses.

Each but the last also exists for a module and for the session: ``module_rekolabels_model``,
``session_rekolabels_client``.

``@pytest.mark.rekolabels(faults=..., durations=..., quotas=...)`` configures the service of a test.
"""

from rekolabels.testing._recorded import Recorded
from rekolabels.testing._trainer import Trainer

__all__ = ["Recorded", "Trainer"]
