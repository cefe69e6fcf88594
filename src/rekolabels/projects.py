"""``Project``: datasets, model versions and policies of a Custom Labels project."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

import attrs

from rekolabels import _progress
from rekolabels._arguments import (
    check_callable,
    check_choice,
    check_flag,
    check_limit,
    check_optional_text,
    check_seconds,
    check_seed,
    check_text,
    is_url,
)
from rekolabels._aws._arns import arn_of, check_name, check_tags, parse_project_arn
from rekolabels._aws._connection import Connection, made_by_client
from rekolabels._aws._s3 import check_location
from rekolabels._aws._tags import TaggedResource
from rekolabels._aws._waiting import wait_until
from rekolabels.costs import estimate_training
from rekolabels.datasets import Dataset
from rekolabels.datasets._dataset import KIND_WORDS, check_conversion, dataset_exists_message
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
from rekolabels.models._training import find_version, start_training

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from rekolabels.costs import TrainingEstimate
    from rekolabels.datasets._ingest import PreparedImages
    from rekolabels.images import Conversion, LabelledImage
    from rekolabels.splits import Split


__all__ = ["Project"]

_KINDS: tuple[DatasetKind, DatasetKind] = ("train", "test")
_OTHER_KINDS: Mapping[str, DatasetKind] = {"validation": "test", "valid": "test", "val": "test"}
_POLICY_NAME_LENGTH = 128

_log = logging.getLogger("rekolabels")


@attrs.frozen
class Project(TaggedResource):
    """A project of Custom Labels; get one from a :class:`Client`.

    A handle holds a connection and an ARN. Its methods call the service; :meth:`describe` returns a snapshot.
    """

    _connection: Connection = attrs.field(validator=made_by_client)
    arn: str = attrs.field(validator=arn_of(parse_project_arn))
    """ARN of the project."""

    def __repr__(self) -> str:
        return f"client.project({self.arn!r})"

    @property
    def name(self) -> str:
        """Name of the project, from its ARN."""
        return parse_project_arn(self.arn)

    def describe(self) -> ProjectDescription:
        """Return a snapshot of status and datasets (DescribeProjects).

        Raises:
            ResourceNotFound: The project does not exist.
        """
        found = self._describe_or_none()
        if found is None:
            raise ResourceNotFound(
                f"Project {self.name!r} does not exist or was deleted: {self.arn}.",
                operation="DescribeProjects",
                code="ResourceNotFoundException",
            )
        return found

    def datasets(self) -> list[Dataset]:
        """Return the datasets of the project: at most one for training and one for testing."""
        return [Dataset(self._connection, found.arn) for found in self.describe().datasets]

    @property
    def train_dataset(self) -> Dataset | None:
        """The training dataset; None if there is none. Each access calls the service (DescribeProjects)."""
        return self._dataset("train")

    @property
    def test_dataset(self) -> Dataset | None:
        """The test dataset; None if there is none. Each access calls the service (DescribeProjects)."""
        return self._dataset("test")

    def create_dataset(
        self,
        kind: DatasetKind,
        images: Iterable[LabelledImage] | str | S3Location | Dataset | None = None,
        *,
        convert: bool = False,
        on_conversion: Callable[[Conversion], object] | None = None,
        tags: Mapping[str, str] | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> Dataset:
        """Create the training or the test dataset (CreateDataset).

        Checks the images as :meth:`create_datasets` does, uploads local ones to the client's bucket, and
        writes a manifest beside them. To resume after an interruption, run the same code again.

        Args:
            kind: ``"train"`` or ``"test"``.
            images: Labelled images, local or in S3; or the ``s3://`` URI of a manifest; or a dataset to copy;
                or None for an empty dataset.
            convert: Convert images that the service does not take, as for :meth:`create_datasets`.
            on_conversion: Called with each conversion; by default, conversions are logged.
            tags: Tags of the dataset. The tags of a copied dataset are not copied.
            wait: Wait until the dataset is ready.
            timeout: Seconds to wait; by default 72 hours.

        Raises:
            InvalidImage: The service would reject some of the images, which are in ``error.sources``. Nothing
                was uploaded.
            InvalidInput: Labels and boxes are mixed, or a picture has different labels. Nothing was uploaded.
            ResourceAlreadyExists: The project has a dataset of this kind, made from other images.
            DatasetFailed: The service could not create the dataset.
        """
        check_choice("kind", kind, _KINDS, _OTHER_KINDS)
        check_conversion(convert=convert, on_conversion=on_conversion)
        check_flag("wait", wait)
        check_seconds("timeout", timeout)
        tags = check_tags(tags)
        if isinstance(images, Dataset):
            return self._create(kind, tags=tags, wait=wait, timeout=timeout, copy_of=images.arn)
        if images is None:
            return self._create(kind, tags=tags, wait=wait, timeout=timeout)
        if isinstance(images, str) and not is_url(images):
            from rekolabels.datasets._uploads import path_error

            raise path_error(images)
        if isinstance(images, (str, S3Location)):
            location = check_location("images", images, needs_key=True)
            return self._create(kind, tags=tags, wait=wait, timeout=timeout, manifest=location)
        from rekolabels.datasets._ingest import PreparedImages

        prepared = PreparedImages.prepare(
            images,
            f"Cannot create dataset {kind!r}",
            stage="dataset",
            convert=convert,
            on_conversion=on_conversion,
        )
        dataset = self._create_from(prepared, {kind: prepared.images}, tags=tags)[kind]
        if wait:
            _wait_until_created(dataset, timeout)
        return dataset

    def create_datasets(
        self,
        images: Iterable[LabelledImage] | Split,
        *,
        test: float = 0.2,
        seed: int = 0,
        group_by: Callable[[LabelledImage], Hashable] | None = None,
        near_duplicates: bool = False,
        allow_rare: bool = False,
        convert: bool = False,
        on_conversion: Callable[[Conversion], object] | None = None,
        replace: bool = False,
        tags: Mapping[str, str] | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> tuple[Dataset, Dataset]:
        """Create both datasets from one collection of images.

        Checks the images, splits them by label into a training and a test set, uploads them to the client's
        bucket, which is created if it does not exist, and writes two manifests. The same images and seed give
        the same split. Run the same code again to resume after an interruption, or to get the datasets that
        it has created: no image is uploaded twice.

        Each local image is opened: it must be a JPEG or PNG within the limits of the service
        (``rekolabels.manifest.limits``), and be decoded to its end. One error lists everything that is wrong.
        Without Pillow (extra ``images``), files are checked for their ends, but not decoded.

        Args:
            images: Labelled images, local or in S3; or a :class:`~rekolabels.splits.Split`, whose parts
                become the datasets. The options of splitting are not allowed then.
            test: Share of the images for testing, between 0 and 1.
            seed: Seed of the random split.
            group_by: Returns a key for an image. Images with the same key stay in the same dataset; by
                default files with the same content do.
            near_duplicates: Also keep images that look alike in the same dataset; needs the extra ``dedupe``.
            allow_rare: Use all images of a label for training if it has too few for both datasets, instead of
                raising an error.
            convert: Convert images of other formats (WebP, TIFF, BMP, GIF, AVIF, and with the extra ``heic``
                HEIC), in CMYK, with 16 bits per channel, with more than 4096 pixels a side or 15 MB. They
                are uploaded as JPEG or PNG; boxes are scaled with them, and the files are not changed.
                Requires the extra ``images``.
            on_conversion: Called with each :class:`~rekolabels.Conversion`, such as ``conversions.append``;
                by default, conversions are logged.
            replace: Delete datasets of the project that were made from other images, instead of raising an
                error. Model versions that were trained with them stay.
            tags: Tags of both datasets.
            wait: Wait until both datasets are ready.
            timeout: Seconds to wait for each dataset; by default 72 hours.

        Returns:
            The training and the test dataset.

        Raises:
            InvalidInput: There are no images, they are a path, labels and boxes are mixed, a picture has
                different labels, or an option is given that a split excludes. Nothing was uploaded.
            InvalidImage: The service would reject some of the images, which are in ``error.sources``. Nothing
                was uploaded.
            InvalidManifest: The service could not train with the images. Nothing was uploaded.
            CannotSplit: A label has too few images, or there are fewer than two labels.
            ResourceAlreadyExists: The project has datasets that were made from other images.
            ResourceInUse: A dataset that is to be replaced is busy, or a training uses it.
            DatasetFailed: The service could not create a dataset.
        """
        from rekolabels.datasets._ingest import prepare_parts
        from rekolabels.splits._split import check_share

        # Before the images are read.
        check_share(test)
        check_seed("seed", seed)
        if group_by is not None:
            check_callable("group_by", group_by, "a function that returns a key for an image, or None")
        check_flag("near_duplicates", near_duplicates)
        check_flag("allow_rare", allow_rare)
        check_conversion(convert=convert, on_conversion=on_conversion)
        check_flag("replace", replace)
        check_flag("wait", wait)
        check_seconds("timeout", timeout)
        tags = check_tags(tags)
        prepared, parts = prepare_parts(
            images,
            test=test,
            seed=seed,
            group_by=group_by,
            near_duplicates=near_duplicates,
            allow_rare=allow_rare,
            convert=convert,
            on_conversion=on_conversion,
        )
        created = self._create_from(prepared, parts, tags=tags, replace=replace)
        if wait:
            for dataset in created.values():
                _wait_until_created(dataset, timeout)
        return created["train"], created["test"]

    def distribute_datasets(
        self, *, wait: bool = True, timeout: float | None = None
    ) -> tuple[Dataset, Dataset]:
        """Let the service move a fifth of the training dataset to an empty test dataset.

        This is the service's own split (DistributeDatasetEntries). Unlike it, :meth:`create_datasets` gives
        the same split each time.

        Args:
            wait: Wait until both datasets are ready.
            timeout: Seconds to wait for each dataset; by default 72 hours.

        Returns:
            The training and the test dataset.

        Raises:
            InvalidInput: The project lacks a dataset.
            InvalidRequest: The test dataset is not empty.
        """
        check_flag("wait", wait)
        check_seconds("timeout", timeout)
        train, test = self.train_dataset, self.test_dataset
        if train is None or test is None:
            raise InvalidInput(
                f"Cannot distribute entries: project {self.name!r} has no "
                f"{'training' if train is None else 'test'} dataset. Create the training dataset, and an "
                "empty test dataset with `project.create_dataset('test')`."
            )
        self._connection.rekognition.distribute_dataset_entries(train.arn, test.arn)
        if wait:
            for dataset in (train, test):
                dataset.wait_until_ready(timeout=timeout)
        return train, test

    def train(
        self,
        version_name: str | None = None,
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
        """Start the training of a new model version, without waiting for it (CreateProjectVersion).

        Args:
            version_name: 1 to 255 letters, digits, ``_``, ``.`` and ``-``; unique in the project. By default
                the next free one of ``v1``, ``v2`` and so on.
            output: Where the service writes the result files, ``s3://bucket/prefix``; by default below the
                client's bucket.
            kms_key_id: KMS key for the service's copies of the images and for the results.
            tags: Tags of the version.
            training_manifest: Train with this manifest instead of the project's datasets. The project must
                not have datasets then.
            testing_manifest: The test manifest that goes with ``training_manifest``.
            auto_split: Instead of ``testing_manifest``, let the service test with a fifth of
                ``training_manifest``.
            description: Description of the version.
            exist_ok: Return the version if one with this name is training or trained, whatever it was trained
                with. One that failed or was interrupted is deleted and trained again under its name. So a
                script that is run again continues with the training that it has started. Requires
                ``version_name``.

        Raises:
            InvalidInput: The project lacks a dataset, or a manifest lacks its counterpart.
            WrongRegion: The bucket of the results or of a manifest is in another Region than the client.
            ResourceInUse: A version with this name exists, or a dataset is busy.
            LimitExceeded: The account has too many trainings or the project too many versions.
        """
        if version_name is not None:
            check_name("version_name", version_name)
        check_flag("auto_split", auto_split)
        check_flag("exist_ok", exist_ok)
        check_optional_text("kms_key_id", kms_key_id, "the id or the ARN of a KMS key")
        check_optional_text("description", description)
        tags = check_tags(tags)
        if exist_ok and version_name is None:
            raise InvalidInput(
                "exist_ok=True requires the name of the version: `project.train('v1', exist_ok=True)`. "
                "Without a name, `project.train()` trains a new version."
            )
        training = _location("training_manifest", training_manifest, needs_key=True)
        testing = _location("testing_manifest", testing_manifest, needs_key=True)
        if training is None and (testing is not None or auto_split):
            raise InvalidInput("testing_manifest and auto_split require a training_manifest.")
        if training is not None and (testing is None) is not auto_split:
            raise InvalidInput("training_manifest requires either a testing_manifest or auto_split=True.")
        target = _location("output", output)
        bucket = self._connection.require_bucket() if target is None else target.bucket
        manifests = [place.bucket for place in (training, testing) if place is not None]
        self._connection.check_buckets(bucket, *manifests)

        def create(name: str) -> str:
            try:
                return self._connection.rekognition.create_project_version(
                    self.arn,
                    name,
                    output=target or S3Location(bucket, f"{self._connection.prefix}{self.name}/{name}"),
                    training=training,
                    testing=testing,
                    auto_split=auto_split,
                    kms_key_id=kms_key_id,
                    tags=tags,
                    description=description,
                )
            except InvalidRequest as error:
                missing = self._missing_datasets() if training is None else []
                if not missing:
                    raise
                raise InvalidInput(
                    f"Cannot train: project {self.name!r} has no {' and no '.join(missing)} dataset. Create "
                    "both with `project.create_datasets(images)`."
                ) from error

        return start_training(self._connection, self.arn, version_name, create, exist_ok=exist_ok)

    def models(self, *, limit: int | None = None) -> Iterator[ModelVersion]:
        """Yield the model versions, newest first; pages are fetched as needed (DescribeProjectVersions).

        Args:
            limit: Yield at most this many.
        """
        found = self._connection.rekognition.describe_project_versions(self.arn)
        return (
            ModelVersion(self._connection, version.arn, self.arn)
            for version in itertools.islice(found, check_limit("limit", limit))
        )

    def training_estimate(self) -> TrainingEstimate:
        """Estimate the cost of the next training from the billed times of earlier ones of this project.

        Raises:
            InvalidInput: No prices are known for the Region.
        """
        found = self._connection.rekognition.describe_project_versions(self.arn)
        billed = [version.billable_training_seconds for version in found]
        return estimate_training(
            prices=self._connection.prices(), earlier=[seconds for seconds in billed if seconds is not None]
        )

    def model(self, version_name: str) -> ModelVersion:
        """Return the model version with this name (DescribeProjectVersions).

        Raises:
            ResourceNotFound: No version has this name.
        """
        check_name("version_name", version_name)
        found = find_version(self._connection, self.arn, version_name)
        if found is None:
            raise ResourceNotFound(
                f"Project {self.name!r} has no model version {version_name!r}. Train it with "
                f"project.train({version_name!r}).",
                operation="DescribeProjectVersions",
                code="ResourceNotFoundException",
            )
        return ModelVersion(self._connection, found.arn, self.arn)

    def policies(self) -> Iterator[ProjectPolicy]:
        """Yield the policies that let other accounts copy model versions (ListProjectPolicies)."""
        return self._connection.rekognition.list_project_policies(self.arn)

    def put_policy(self, name: str, document: str, *, revision_id: str | None = None) -> str:
        """Attach a policy, or replace one (PutProjectPolicy).

        Args:
            name: 1 to 128 letters, digits, ``_``, ``.`` and ``-``.
            document: The policy as JSON, up to 2,000 characters; its action is
                ``rekognition:CopyProjectVersion``.
            revision_id: Current revision id of the policy that is replaced.

        Returns:
            The new revision id.

        Raises:
            ResourceAlreadyExists: The policy exists, and no revision id was given.
            PolicyRejected: The document is invalid, or the revision id is not the current one.
            LimitExceeded: The project cannot have another policy.
        """
        check_name("name", name, length=_POLICY_NAME_LENGTH)
        check_text("document", document, "the policy as JSON text", "For a dict, use `json.dumps(document)`.")
        check_optional_text("revision_id", revision_id, "the revision id of the policy")
        return self._connection.rekognition.put_project_policy(
            self.arn, name, document, revision_id=revision_id
        )

    def delete_policy(self, name: str, *, revision_id: str | None = None) -> None:
        """Detach a policy (DeleteProjectPolicy).

        Raises:
            ResourceNotFound: The policy does not exist.
            PolicyRejected: The revision id is not the current one.
        """
        check_name("name", name, length=_POLICY_NAME_LENGTH)
        check_optional_text("revision_id", revision_id, "the revision id of the policy")
        self._connection.rekognition.delete_project_policy(self.arn, name, revision_id=revision_id)

    def delete(self, *, cascade: bool = False, wait: bool = True, timeout: float | None = None) -> None:
        """Delete the project (DeleteProject). This cannot be undone.

        Images, manifests and result files in S3 are not deleted.

        Args:
            cascade: First delete its model versions and datasets. Running models are stopped, and trainings
                are waited for, because the service cannot cancel one.
            wait: Wait until the project is gone. With ``cascade``, its content is waited for in any case.
            timeout: Seconds for each of the waits.

        Raises:
            ResourceInUse: The project has versions or datasets, and ``cascade`` is not set.
        """
        check_flag("wait", wait)
        check_seconds("timeout", timeout)
        if check_flag("cascade", cascade):
            self._delete_models(timeout)
            for dataset in self.datasets():
                _wait_until_deletable(dataset, timeout)
                dataset.delete(timeout=timeout)
        try:
            self._connection.rekognition.delete_project(self.arn)
        except ResourceInUse as error:
            raise error.explained(
                f"Cannot delete project {self.name!r}: it still has model versions or datasets. Delete them "
                "too with `project.delete(cascade=True)`."
            ) from error
        if wait:
            self._wait_until_gone(timeout)

    def _wait_until_gone(self, timeout: float | None) -> None:
        wait_until(
            self._describe_or_none,
            lambda found: found is None,
            policy=self._connection.retry,
            timeout=timeout,
            timed_out=lambda last, waited: WaitTimedOut(
                f"Project {self.name!r} was not deleted within {waited:.0f} s; the service continues. Call "
                "`project.delete()` again to wait for it.",
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

    def _describe_or_none(self) -> ProjectDescription | None:
        found = self._connection.rekognition.describe_projects([self.name])
        return next((project for project in found if project.arn == self.arn), None)

    def _dataset(self, kind: DatasetKind) -> Dataset | None:
        found = next((dataset for dataset in self.describe().datasets if dataset.kind == kind), None)
        return Dataset(self._connection, found.arn) if found else None

    def _missing_datasets(self) -> list[str]:
        kinds = {dataset.kind for dataset in self.describe().datasets}
        return [word for kind, word in KIND_WORDS.items() if kind not in kinds]

    def _create_from(
        self,
        prepared: PreparedImages,
        parts: Mapping[DatasetKind, Sequence[LabelledImage]],
        *,
        tags: Mapping[str, str] | None,
        replace: bool = False,
    ) -> dict[DatasetKind, Dataset]:
        existing = self.describe().datasets
        return prepared.create(self._connection, self.arn, existing, parts, tags=tags, replace=replace)

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
        if manifest is not None:
            self._connection.check_buckets(manifest.bucket)
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


def _location(
    argument: str, location: str | S3Location | None, *, needs_key: bool = False
) -> S3Location | None:
    return None if location is None else check_location(argument, location, needs_key=needs_key)


def _wait_until_deletable(dataset: Dataset, timeout: float | None) -> None:
    try:
        dataset.wait_until_ready(timeout=timeout)
    except (DatasetFailed, UnexpectedStatus) as error:
        _log.debug("Deleting dataset %s in spite of its status: %s", dataset.arn, error)


def _wait_until_created(dataset: Dataset, timeout: float | None) -> None:
    """Wait for a dataset that may have existed before. An update of it that failed has changed nothing."""
    try:
        dataset.wait_until_ready(timeout=timeout)
    except DatasetFailed as error:
        if error.status != "UPDATE_FAILED":
            raise
        _log.info("Using the content from before the failed update. %s", error)
