"""Projects: a training dataset, a test dataset, and the model versions that came of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from rekolabels import _progress
from rekolabels._aws._arns import parse_project_arn
from rekolabels._aws._connection import Connection
from rekolabels._aws._waiting import wait_until
from rekolabels._tags import TaggedResource
from rekolabels.costs import estimate_training
from rekolabels.datasets import Dataset
from rekolabels.datasets._dataset import dataset_exists_message
from rekolabels.descriptions import DatasetKind, ProjectDescription, ProjectPolicy, S3Location
from rekolabels.errors import (
    DatasetFailed,
    InvalidInput,
    InvalidRequest,
    ResourceAlreadyExists,
    ResourceInUse,
    ResourceNotFound,
    UnexpectedStatus,
    WaitTimedOut,
)
from rekolabels.models._model_version import ModelVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from rekolabels.costs import TrainingEstimate
    from rekolabels.datasets._ingest import Intake
    from rekolabels.images import LabelledImage


__all__ = ["Project"]

_KINDS: tuple[DatasetKind, DatasetKind] = ("train", "test")

_log = logging.getLogger("rekolabels")


@attrs.frozen
class Project(TaggedResource):
    """A project: a handle that holds client and ARN, and asks the service for the rest."""

    _connection: Connection
    arn: str
    """ARN of the project."""

    def __repr__(self) -> str:
        return f"client.project({self.arn!r})"

    @property
    def name(self) -> str:
        """Name of the project; part of the ARN."""
        return parse_project_arn(self.arn)

    def describe(self) -> ProjectDescription:
        """Return a new snapshot of status and datasets (DescribeProjects).

        Raises:
            ResourceNotFound: The project no longer exists.
        """
        found = self._describe_or_none()
        if found is None:
            raise ResourceNotFound(
                f"The project {self.name!r} does not exist (any more): {self.arn}",
                operation="DescribeProjects",
                code="ResourceNotFoundException",
            )
        return found

    # datasets

    def datasets(self) -> list[Dataset]:
        """Return the datasets of the project: at most one for training and one for testing."""
        return [Dataset(self._connection, found.arn) for found in self.describe().datasets]

    @property
    def train_dataset(self) -> Dataset | None:
        """The training dataset; None when there is none. Asks the service each time."""
        return self._dataset("train")

    @property
    def test_dataset(self) -> Dataset | None:
        """The test dataset; None when there is none. Asks the service each time."""
        return self._dataset("test")

    def create_dataset(
        self,
        kind: DatasetKind,
        images: Iterable[LabelledImage] | str | S3Location | Dataset | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> Dataset:
        """Create the training or the test dataset (CreateDataset).

        Local images are checked, uploaded to the client's bucket, and a manifest is written beside them. What
        was done before a run was broken off is found again: run the same lines once more.

        Args:
            kind: ``"train"`` or ``"test"``.
            images: Labelled images, local or in S3; or the ``s3://`` URI of a manifest; or a dataset to copy;
                None makes an empty dataset.
            tags: Tags of the dataset; those of a dataset that is copied are not copied.
            wait: Return when the dataset is ready, rather than when its creation has begun.
            timeout: Seconds to wait at most; by default 26 hours.

        Raises:
            InvalidImage: Images that the service would refuse; nothing was uploaded.
            ResourceAlreadyExists: The project has such a dataset, made from other images.
            DatasetFailed: The service could not create it.
        """
        if isinstance(images, Dataset):
            return self._create(kind, tags=tags, wait=wait, timeout=timeout, copy_of=images.arn)
        if images is None:
            return self._create(kind, tags=tags, wait=wait, timeout=timeout)
        if isinstance(images, str) and not images.lower().startswith("s3://"):
            raise InvalidInput(
                f"{images!r} is no s3:// URI. A manifest on this machine is read first: "
                f"project.create_dataset({kind!r}, read_manifest({images!r}))."
            )
        if isinstance(images, (str, S3Location)):
            location = S3Location.parse(images) if isinstance(images, str) else images
            return self._create(kind, tags=tags, wait=wait, timeout=timeout, manifest=location)
        from rekolabels.datasets._ingest import Intake

        intake = Intake.of(images)
        dataset = self._create_from(intake, {kind: intake.images}, tags=tags)[kind]
        if wait:
            dataset.wait_until_ready(timeout=timeout)
        return dataset

    def create_datasets(
        self,
        images: Iterable[LabelledImage],
        *,
        test: float = 0.2,
        seed: int = 0,
        group_by: Callable[[LabelledImage], Hashable] | None = None,
        near_duplicates: bool = False,
        allow_rare: bool = False,
        tags: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> tuple[Dataset, Dataset]:
        """Create both datasets from one collection of images, and wait until they are ready.

        The images are checked, split so that each label has its share on both sides, uploaded to the client's
        bucket, and listed in two manifests. The same images and seed give the same split, so that the same
        lines run again continue what was broken off, and send no image twice.

        Args:
            images: Labelled images, local or in S3.
            test: Share of the images that is held back for testing, between 0 and 1.
            seed: Another seed, another split.
            group_by: Images with the same value stay on the same side; by default copies of one picture do.
            near_duplicates: Keep pictures that look the same on one side as well; needs the extra ``dedupe``.
            allow_rare: Keep images of a label that cannot be on both sides in training, instead of refusing.
            tags: Tags of both datasets.
            timeout: Seconds to wait at most; by default 26 hours.

        Returns:
            The training and the test dataset.

        Raises:
            InvalidInput: There are no images.
            InvalidImage: Images that the service would refuse; nothing was uploaded.
            CannotSplit: A label with too few images, or fewer than two labels.
            ResourceAlreadyExists: The project has datasets that were made from other images.
            DatasetFailed: The service could not create a dataset.
        """
        from rekolabels.datasets._ingest import Intake

        intake = Intake.of(images)
        made = self._create_from(
            intake,
            intake.split(
                test=test,
                seed=seed,
                group_by=group_by,
                near_duplicates=near_duplicates,
                allow_rare=allow_rare,
            ),
            tags=tags,
        )
        for dataset in made.values():
            dataset.wait_until_ready(timeout=timeout)
        return made["train"], made["test"]

    def distribute_datasets(self, *, timeout: float | None = None) -> tuple[Dataset, Dataset]:
        """Let the service move a fifth of the training dataset to an empty test dataset, and wait.

        The service's own split (DistributeDatasetEntries); :meth:`create_datasets` makes ours, which is the
        same each time and can be looked at before.

        Returns:
            The training and the test dataset.

        Raises:
            InvalidInput: A dataset is missing.
            InvalidRequest: The test dataset is not empty.
        """
        train, test = self.train_dataset, self.test_dataset
        if train is None or test is None:
            raise InvalidInput(
                f"The project {self.name!r} has no {'training' if train is None else 'test'} dataset: to "
                "distribute, create the training dataset and an empty test dataset, "
                "project.create_dataset('test')."
            )
        self._connection.rekognition.distribute_dataset_entries(train.arn, test.arn)
        for dataset in (train, test):
            dataset.wait_until_ready(timeout=timeout)
        return train, test

    # model versions

    def train(
        self,
        version_name: str,
        *,
        output: str | S3Location | None = None,
        kms_key_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        training_manifest: str | S3Location | None = None,
        testing_manifest: str | S3Location | None = None,
        auto_split: bool = False,
        description: str | None = None,
        exist_ok: bool = False,
    ) -> ModelVersion:
        """Start the training of a new model version; returns at once (CreateProjectVersion).

        Args:
            version_name: 1 to 255 letters, digits, ``_``, ``.`` and ``-``; unique in the project.
            output: Where the result files go, ``s3://bucket/prefix``; by default below the client's bucket.
            kms_key_id: Key that encrypts the service's copies and the results.
            tags: Tags of the version.
            training_manifest: Train with this manifest instead of the project's datasets; the project must
                then have none.
            testing_manifest: The test manifest that belongs to it.
            auto_split: Let the service hold back a fifth of ``training_manifest`` instead.
            description: A text about this version.
            exist_ok: Return the version of that name when there is one, whatever it was trained with: so a
                script that is run again goes on with the training that it has started.

        Raises:
            InvalidInput: No datasets, or a manifest without its counterpart.
            ResourceInUse: A version of that name exists, or a dataset is busy.
            LimitExceeded: Too many trainings or versions.
        """
        training = _location(training_manifest)
        testing = _location(testing_manifest)
        if training is None and (testing is not None or auto_split):
            raise InvalidInput("testing_manifest and auto_split need a training_manifest")
        if training is not None and (testing is None) is not auto_split:
            raise InvalidInput("training_manifest needs either a testing_manifest or auto_split=True")
        if output is None:
            bucket, prefix = self._connection.require_bucket(), self._connection.prefix
            target = S3Location(bucket, f"{prefix}{self.name}/{version_name}")
        else:
            target = S3Location.parse(output) if isinstance(output, str) else output
        try:
            arn = self._connection.rekognition.create_project_version(
                self.arn,
                version_name,
                output=target,
                training=training,
                testing=testing,
                auto_split=auto_split,
                kms_key_id=kms_key_id,
                tags=tags,
                description=description,
            )
        except ResourceInUse as error:
            found = self._version(version_name)
            if found is None:
                raise
            if exist_ok:
                return found
            raise error.explained(
                f"The project {self.name!r} has a model version {version_name!r}, it is {found.status}: "
                f"take it with project.model({version_name!r}) or train(..., exist_ok=True), or choose "
                "another name."
            ) from error
        except InvalidRequest as error:
            missing = self._missing_datasets() if training is None else []
            if not missing:
                raise
            raise InvalidInput(
                f"The project {self.name!r} has no {' and no '.join(missing)} dataset to train with: "
                "project.create_datasets(images) makes both."
            ) from error
        return ModelVersion(self._connection, arn, self.arn)

    def models(self) -> Iterator[ModelVersion]:
        """Yield all model versions, newest first, fetched page by page (DescribeProjectVersions)."""
        for found in self._connection.rekognition.describe_project_versions(self.arn):
            yield ModelVersion(self._connection, found.arn, self.arn)

    def training_estimate(self) -> TrainingEstimate:
        """Estimate what the next training will cost, by what earlier ones of this project were billed.

        Raises:
            InvalidInput: No prices are known for the Region.
        """
        found = self._connection.rekognition.describe_project_versions(self.arn)
        billed = [version.billable_training_seconds for version in found]
        return estimate_training(
            prices=self._connection.prices(), earlier=[seconds for seconds in billed if seconds is not None]
        )

    def model(self, version_name: str) -> ModelVersion:
        """Return the model version of a name (DescribeProjectVersions).

        Raises:
            ResourceNotFound: There is no version of that name.
        """
        found = self._version(version_name)
        if found is None:
            raise ResourceNotFound(
                f"The project {self.name!r} has no model version {version_name!r}; "
                f"project.train({version_name!r}) makes it.",
                operation="DescribeProjectVersions",
                code="ResourceNotFoundException",
            )
        return found

    # policies

    def policies(self) -> Iterator[ProjectPolicy]:
        """Yield the policies that allow other accounts to copy model versions (ListProjectPolicies)."""
        return self._connection.rekognition.list_project_policies(self.arn)

    def put_policy(self, name: str, document: str, *, revision_id: str | None = None) -> str:
        """Attach a policy, or replace one (PutProjectPolicy).

        Args:
            name: 1 to 128 letters, digits, ``_``, ``.`` and ``-``.
            document: JSON text, up to 2,000 characters; its action is ``rekognition:CopyProjectVersion``.
            revision_id: The current revision, where the policy exists and is replaced.

        Returns:
            The new revision id.

        Raises:
            ResourceAlreadyExists: The policy exists, and no revision id was given.
            PolicyRejected: The document breaks the rules, or the revision id is not the current one.
            LimitExceeded: The project has no room for another policy.
        """
        return self._connection.rekognition.put_project_policy(
            self.arn, name, document, revision_id=revision_id
        )

    def delete_policy(self, name: str, *, revision_id: str | None = None) -> None:
        """Detach a policy (DeleteProjectPolicy).

        Raises:
            ResourceNotFound: There is no such policy.
            PolicyRejected: The revision id is not the current one.
        """
        self._connection.rekognition.delete_project_policy(self.arn, name, revision_id=revision_id)

    # the end

    def delete(self, *, cascade: bool = False, timeout: float | None = None) -> None:
        """Delete the project, and wait until it is gone (DeleteProject). This cannot be undone.

        Nothing in S3 is deleted: images, manifests and result files stay.

        Args:
            cascade: Delete what is in it too, in the service's order: running models are stopped, trainings
                waited for (the service cannot cancel one), versions and datasets deleted.
            timeout: Seconds for each of the waits.

        Raises:
            ResourceInUse: Versions or datasets are left, and ``cascade`` is not set.
        """
        if cascade:
            self._delete_models(timeout)
            for dataset in self.datasets():
                _settle(dataset, timeout)
                dataset.delete(timeout=timeout)
        try:
            self._connection.rekognition.delete_project(self.arn)
        except ResourceInUse as error:
            raise error.explained(
                f"The project {self.name!r} still has model versions or datasets; "
                "project.delete(cascade=True) deletes them too."
            ) from error
        wait_until(
            self._describe_or_none,
            lambda found: found is None,
            policy=self._connection.retry,
            timeout=timeout,
            timed_out=lambda last, waited: WaitTimedOut(
                f"The project {self.name!r} is not gone after {waited:.0f} s; the service goes on.",
                arn=self.arn,
                status=last.status if last else None,
                waited=waited,
            ),
        )

    def _delete_models(self, timeout: float | None) -> None:
        models = list(self.models())
        with _progress.bar(f"{self.name}: deleting model versions", total=len(models), unit="model") as bar:
            for model in models:
                model.delete(stop=True, timeout=timeout)
                bar.update(1)

    # below the surface

    def _describe_or_none(self) -> ProjectDescription | None:
        found = self._connection.rekognition.describe_projects([self.name])
        return next((project for project in found if project.arn == self.arn), None)

    def _dataset(self, kind: DatasetKind) -> Dataset | None:
        found = next((dataset for dataset in self.describe().datasets if dataset.kind == kind), None)
        return Dataset(self._connection, found.arn) if found else None

    def _missing_datasets(self) -> list[str]:
        kinds = {dataset.kind for dataset in self.describe().datasets}
        return [word for kind, word in (("train", "training"), ("test", "test")) if kind not in kinds]

    def _version(self, version_name: str) -> ModelVersion | None:
        found = next(self._connection.rekognition.describe_project_versions(self.arn, [version_name]), None)
        return ModelVersion(self._connection, found.arn, self.arn) if found else None

    def _create_from(
        self,
        intake: Intake,
        parts: Mapping[DatasetKind, Sequence[LabelledImage]],
        *,
        tags: Mapping[str, str] | None,
    ) -> dict[DatasetKind, Dataset]:
        return intake.create(self._connection, self.arn, self.describe().datasets, parts, tags=tags)

    def _create(
        self,
        kind: DatasetKind,
        *,
        tags: Mapping[str, str] | None,
        wait: bool,
        timeout: float | None,
        manifest: S3Location | None = None,
        copy_of: str | None = None,
    ) -> Dataset:
        if kind not in _KINDS:
            raise InvalidInput(f"A dataset is of kind 'train' or 'test', not {kind!r}.")
        try:
            arn = self._connection.rekognition.create_dataset(
                self.arn, kind, manifest=manifest, copy_of=copy_of, tags=tags
            )
        except ResourceAlreadyExists as error:
            raise error.explained(dataset_exists_message(self.name, kind)) from error
        dataset = Dataset(self._connection, arn)
        if wait:
            dataset.wait_until_ready(timeout=timeout)
        return dataset


def _location(manifest: str | S3Location | None) -> S3Location | None:
    return S3Location.parse(manifest) if isinstance(manifest, str) else manifest


def _settle(dataset: Dataset, timeout: float | None) -> None:
    """Wait until a dataset can be deleted."""
    try:
        dataset.wait_until_ready(timeout=timeout)
    except (DatasetFailed, UnexpectedStatus) as error:
        _log.debug("deleting all the same: %s", error)
