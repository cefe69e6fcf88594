"""The S3 directory beyond what every S3 does: files on disk, restarts, checksums, Regions."""

from __future__ import annotations

import base64
import hashlib
import os
import sqlite3
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from s3_clients import MIB, NOW, make_client

from rekolabels.errors import InvalidInput
from rekolabels.local._s3 import S3Directory

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client
    from s3_clients import Clock


def _code(raised: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response: Any = raised.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def _listed(s3: S3Client) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket="dogs").get("Contents", [])]


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# -- files on disk -------------------------------------------------------------------------------------------


def test_objects_are_plain_files(s3: S3Client, tmp_path: Path) -> None:
    """Users find their images under the names that they gave them, with the latest content."""
    s3.put_object(Bucket="dogs", Key="train/poodle/rex.jpg", Body=b"1")
    s3.put_object(Bucket="dogs", Key="train/poodle/rex.jpg", Body=b"2")
    s3.put_object(Bucket="dogs", Key="é 1+1=2.txt", Body=b"3")

    assert _files(tmp_path / "root" / "dogs") == ["train/poodle/rex.jpg", "é 1+1=2.txt"]
    assert (tmp_path / "root" / "dogs" / "train" / "poodle" / "rex.jpg").read_bytes() == b"2"


def test_plain_files_are_removed_with_their_objects(s3: S3Client, tmp_path: Path) -> None:
    """A deleted object leaves no file and no empty folder; a deleted bucket leaves nothing."""
    s3.put_object(Bucket="dogs", Key="a/b/c.jpg", Body=b"1")
    s3.put_object(Bucket="dogs", Key="a/d.jpg", Body=b"1")

    s3.delete_object(Bucket="dogs", Key="a/b/c.jpg")
    assert [path.name for path in (tmp_path / "root" / "dogs" / "a").iterdir()] == ["d.jpg"]

    s3.delete_object(Bucket="dogs", Key="a/d.jpg")
    s3.delete_bucket(Bucket="dogs")
    assert [path.name for path in (tmp_path / "root").iterdir()] == [".rekolabels"]
    assert [name for name in _files(tmp_path / "root") if "bodies" in name and "lock" not in name] == []


@pytest.mark.parametrize(
    "key",
    [
        "../outside",
        "../../outside",
        "/outside",
        "//outside",
        "a/../../outside",
        "a/./b",
        "a//b",
        "a/",
        "/",
        "..",
        ".",
        "a\0b",
        "a\\..\\b",
        "a\nb\r\tc",
        "x" * 300,
        "a/" * 512,
        ".rekolabels/index.sqlite",
        "\U0001f436" * 256,
    ],
)
def test_keys_that_cannot_be_file_names_stay_inside(tmp_path: Path, s3: S3Client, key: str) -> None:
    """Any key can be stored, and none creates a file outside of the root folder."""
    assert len(key.encode()) <= 1024
    outside = _files(tmp_path.parent)

    s3.put_object(Bucket="dogs", Key=key, Body=b"woof")

    assert _listed(s3) == [key]
    assert s3.get_object(Bucket="dogs", Key=key)["Body"].read() == b"woof"
    new = set(_files(tmp_path.parent)) - set(outside)
    assert [name for name in new if not name.startswith(f"{tmp_path.name}/root/")] == []
    s3.delete_object(Bucket="dogs", Key=key)
    assert _listed(s3) == []


def test_a_key_that_is_also_a_folder(s3: S3Client, tmp_path: Path) -> None:
    """In S3 ``a`` and ``a/b`` are two objects; on disk the one stored first has its path."""
    for key in ("a", "a/b", "c/d", "c"):
        s3.put_object(Bucket="dogs", Key=key, Body=key.encode())

    for key in ("a", "a/b", "c", "c/d"):
        assert s3.get_object(Bucket="dogs", Key=key)["Body"].read() == key.encode()
    assert _files(tmp_path / "root" / "dogs") == ["a", "c/d"]
    s3.delete_object(Bucket="dogs", Key="a")
    s3.put_object(Bucket="dogs", Key="a/b", Body=b"again")
    assert _files(tmp_path / "root" / "dogs") == ["a/b", "c/d"]


def test_foreign_files_are_left_alone(s3: S3Client, tmp_path: Path) -> None:
    """A file that the user put there is neither read as an object nor overwritten nor removed."""
    mine = tmp_path / "root" / "dogs" / "rex.jpg"
    mine.write_bytes(b"mine")

    s3.put_object(Bucket="dogs", Key="rex.jpg", Body=b"object")
    assert s3.get_object(Bucket="dogs", Key="rex.jpg")["Body"].read() == b"object"
    s3.delete_object(Bucket="dogs", Key="rex.jpg")

    assert mine.read_bytes() == b"mine"


@pytest.mark.skipif(os.name == "nt", reason="creating symbolic links needs a privilege on Windows")
def test_symbolic_links_are_not_followed(s3: S3Client, tmp_path: Path) -> None:
    """A symbolic link in the folder of a bucket is followed neither for writing nor for removing."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "rex.jpg").write_bytes(b"mine")
    (tmp_path / "root" / "dogs" / "link").symlink_to(outside)

    s3.put_object(Bucket="dogs", Key="link/rex.jpg", Body=b"object")
    s3.put_object(Bucket="dogs", Key="link/new.jpg", Body=b"object")
    s3.delete_object(Bucket="dogs", Key="link/rex.jpg")

    assert _files(outside) == ["rex.jpg"]
    assert (outside / "rex.jpg").read_bytes() == b"mine"


def test_a_body_that_was_removed_from_outside(s3: S3Client, tmp_path: Path) -> None:
    """The object cannot be read any more, and the response is an error, not other bytes."""
    s3.put_object(Bucket="dogs", Key="rex.jpg", Body=b"1")
    for body in (tmp_path / "root" / ".rekolabels" / "bodies").rglob("*"):
        if body.is_file() and body.name != "lock":
            body.unlink()

    with pytest.raises(ClientError) as raised:
        s3.get_object(Bucket="dogs", Key="rex.jpg")

    assert _code(raised) == ("InternalError", 500)


# -- restarts ------------------------------------------------------------------------------------------------


def test_everything_survives_a_restart(app: S3Directory, s3: S3Client, tmp_path: Path) -> None:
    """Objects, metadata, buckets and unfinished uploads survive."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1", Metadata={"n": "1"})
    upload = s3.create_multipart_upload(Bucket="dogs", Key="big")["UploadId"]
    etag = s3.upload_part(Bucket="dogs", Key="big", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    app.close()

    again = S3Directory(tmp_path / "root")
    s3 = make_client(again)
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(Bucket="dogs", Key="big", UploadId=upload, MultipartUpload=parts)

    assert s3.get_object(Bucket="dogs", Key="rex")["Metadata"] == {"n": "1"}
    assert s3.get_object(Bucket="dogs", Key="big")["Body"].read() == b"part"
    again.close()


def test_leftovers_are_removed_at_the_next_start(app: S3Directory, s3: S3Client, tmp_path: Path) -> None:
    """A body that the index does not refer to, as a crash leaves, is removed; bodies of objects stay."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1")
    bodies = tmp_path / "root" / ".rekolabels" / "bodies"
    (known,) = (path for path in bodies.rglob("*") if path.is_file() and path.name != "lock")
    leftover = known.with_name("leftover")
    leftover.write_bytes(b"half")

    beside = S3Directory(tmp_path / "root")
    assert leftover.exists(), "a running process may be writing it"
    beside.close()
    app.close()
    again = S3Directory(tmp_path / "root")

    assert not leftover.exists()
    assert make_client(again).get_object(Bucket="dogs", Key="rex")["Body"].read() == b"1"
    again.close()


def test_two_applications_on_one_directory(s3: S3Client, tmp_path: Path) -> None:
    """What one application writes, the other reads immediately."""
    other = S3Directory(tmp_path / "root")

    s3.put_object(Bucket="dogs", Key="rex", Body=b"1")
    other_s3 = make_client(other)
    assert other_s3.get_object(Bucket="dogs", Key="rex")["Body"].read() == b"1"
    other_s3.put_object(Bucket="dogs", Key="rex", Body=b"2")

    assert s3.get_object(Bucket="dogs", Key="rex")["Body"].read() == b"2"
    assert (tmp_path / "root" / "dogs" / "rex").read_bytes() == b"2"
    other.close()


def test_a_closed_application_is_unavailable(app: S3Directory, s3: S3Client) -> None:
    """Requests after close() are refused with ServiceUnavailable."""
    app.close()

    with pytest.raises(ClientError) as raised:
        s3.list_buckets()

    assert _code(raised) == ("ServiceUnavailable", 503)


def test_a_directory_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """The user gets an error, and the index stays as it is."""
    S3Directory(tmp_path).close()
    with sqlite3.connect(tmp_path / ".rekolabels" / "index.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(InvalidInput, match=r"newer version.*version 99.*Update rekolabels"):
        S3Directory(tmp_path)


def test_directories_that_cannot_be_used(tmp_path: Path) -> None:
    """A file in place of the folder, and an index that is not a database, are refused."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"Cannot store S3 objects in .*LocalService\("):
        S3Directory(tmp_path / "file")
    (tmp_path / "root" / ".rekolabels").mkdir(parents=True)
    (tmp_path / "root" / ".rekolabels" / "index.sqlite").write_bytes(b"no database, but long enough" * 100)
    with pytest.raises(InvalidInput, match=r"Cannot use the database .*index\.sqlite"):
        S3Directory(tmp_path / "root")


def test_writes_that_are_flushed_to_the_disk(tmp_path: Path) -> None:
    """The application works the same with fsync."""
    app = S3Directory(tmp_path, fsync=True)
    s3 = make_client(app)
    s3.create_bucket(Bucket="dogs")
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1")

    assert s3.get_object(Bucket="dogs", Key="rex")["Body"].read() == b"1"
    app.close()


# -- bodies --------------------------------------------------------------------------------------------------


def test_bodies_are_streamed_both_ways(s3: S3Client, tmp_path: Path) -> None:
    """48 MiB are written and read in less than 8 MiB of memory: nothing holds a whole body."""
    source = tmp_path / "source.bin"
    with source.open("wb") as file:
        file.truncate(48 * MIB)
    tracemalloc.start()
    with source.open("rb") as file:
        s3.put_object(Bucket="dogs", Key="big", Body=file)
    read = 0
    for block in s3.get_object(Bucket="dogs", Key="big")["Body"].iter_chunks(MIB):
        read += len(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert read == 48 * MIB
    assert peak < 8 * MIB


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_come_back(s3: S3Client, algorithm: Any) -> None:
    """HEAD and GET return the checksum of the PUT."""
    name = f"Checksum{algorithm}"
    put: Any = s3.put_object(Bucket="dogs", Key="rex", Body=b"woof", ChecksumAlgorithm=algorithm)
    head: Any = s3.head_object(Bucket="dogs", Key="rex", ChecksumMode="ENABLED")
    got: Any = s3.get_object(Bucket="dogs", Key="rex", ChecksumMode="ENABLED")

    assert put[name] == head[name] == got[name]
    assert got["Body"].read() == b"woof"


# -- multipart uploads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "suffix"), [("COMPOSITE", "-2"), ("FULL_OBJECT", "")])
def test_checksums_of_uploads(s3: S3Client, kind: Any, suffix: str) -> None:
    """The checksum is that of the parts' checksums, or that of the whole object."""
    bodies = [b"a" * 5 * MIB, b"b"]
    upload = s3.create_multipart_upload(
        Bucket="dogs", Key="big", ChecksumAlgorithm="CRC32", ChecksumType=kind
    )["UploadId"]
    where: Any = {"Bucket": "dogs", "Key": "big", "UploadId": upload}
    parts: list[Any] = [
        {"PartNumber": number, "ETag": s3.upload_part(**where, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate(bodies, 1)
    ]

    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})

    crcs = [zlib.crc32(body).to_bytes(4, "big") for body in bodies]
    of = b"".join(crcs) if kind == "COMPOSITE" else b"".join(bodies)
    expected = base64.b64encode(zlib.crc32(of).to_bytes(4, "big")).decode() + suffix
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (expected, kind)
    head = s3.head_object(Bucket="dogs", Key="big", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC32"], head["ChecksumType"]) == (expected, kind)
    part = s3.get_object(Bucket="dogs", Key="big", PartNumber=2)
    assert (part["Body"].read(), part["PartsCount"]) == (b"b", 2)
    copied = s3.copy_object(Bucket="dogs", Key="copy", CopySource="dogs/big")["CopyObjectResult"]["ETag"]
    assert copied == f'"{hashlib.md5(b"".join(bodies), usedforsecurity=False).hexdigest()}"'


def test_an_upload_that_must_not_overwrite(s3: S3Client) -> None:
    """The condition is checked when the upload is completed; after a failure the parts stay."""
    upload = s3.create_multipart_upload(Bucket="dogs", Key="rex")["UploadId"]
    where: Any = {"Bucket": "dogs", "Key": "rex", "UploadId": upload}
    etag = s3.upload_part(**where, PartNumber=1, Body=b"2")["ETag"]
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1")
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": etag}]}

    with pytest.raises(ClientError) as raised:
        s3.complete_multipart_upload(**where, MultipartUpload=parts, IfNoneMatch="*")

    assert _code(raised) == ("PreconditionFailed", 412)
    s3.complete_multipart_upload(**where, MultipartUpload=parts)
    assert s3.get_object(Bucket="dogs", Key="rex")["Body"].read() == b"2"


def test_parts_and_uploads_in_pages(s3: S3Client) -> None:
    """boto3's paginators return each part and each upload once."""
    uploads = [s3.create_multipart_upload(Bucket="dogs", Key=key)["UploadId"] for key in ("a", "a", "b")]
    for number in (1, 2, 5):
        s3.upload_part(Bucket="dogs", Key="b", UploadId=uploads[2], PartNumber=number, Body=b"x")

    small: Any = {"PageSize": 1}
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket="dogs", PaginationConfig=small)
    listed = [upload["UploadId"] for page in pages for upload in page.get("Uploads", [])]
    found = s3.get_paginator("list_parts").paginate(
        Bucket="dogs", Key="b", UploadId=uploads[2], PaginationConfig=small
    )

    assert sorted(listed) == sorted(uploads)
    assert [part["PartNumber"] for page in found for part in page.get("Parts", [])] == [1, 2, 5]


# -- other ---------------------------------------------------------------------------------------------------


def test_buckets_of_other_regions(app: S3Directory) -> None:
    """A bucket is created in the Region of the client, which must send it as LocationConstraint."""
    ireland = make_client(app, region="eu-west-1")
    with pytest.raises(ClientError) as raised:
        ireland.create_bucket(Bucket="cats")
    assert _code(raised) == ("IllegalLocationConstraintException", 400)
    with pytest.raises(ClientError) as raised:
        ireland.create_bucket(Bucket="cats", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    assert _code(raised) == ("IllegalLocationConstraintException", 400)

    ireland.create_bucket(Bucket="cats", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

    assert ireland.head_bucket(Bucket="cats")["BucketRegion"] == "eu-west-1"


def test_metadata_names_with_underscores(s3: S3Client) -> None:
    """Underscores survive when the host passes the raw headers; WSGI alone turns them into hyphens."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1", Metadata={"my_name": "a", "my-name": "b"})

    assert s3.head_object(Bucket="dogs", Key="rex")["Metadata"] == {"my_name": "a", "my-name": "b"}


def test_headers_with_any_character(app: S3Directory, s3: S3Client) -> None:
    """A header outside Latin-1 is stored as its UTF-8 bytes decoded as Latin-1, which is WSGI's form."""
    name = 'attachment; filename="犬.jpg"'
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1", ContentDisposition=name)

    assert app._store.find("dogs", "rex").headers["content-disposition"].encode("latin-1").decode() == name


def test_times_are_those_of_the_clock(s3: S3Client, clock: Clock) -> None:
    """Every time comes from the injected clock."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1")
    clock.now += 3600
    s3.put_object(Bucket="dogs", Key="max", Body=b"1")

    listed = s3.list_objects_v2(Bucket="dogs")["Contents"]
    assert [entry["LastModified"].timestamp() for entry in listed] == [NOW + 3600, NOW]
    assert s3.head_object(Bucket="dogs", Key="rex")["LastModified"].timestamp() == NOW


def test_settings_end_with_their_bucket(s3: S3Client) -> None:
    """A new bucket of the same name has none of them."""
    s3.put_bucket_tagging(Bucket="dogs", Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    s3.put_bucket_acl(Bucket="dogs", ACL="public-read")
    s3.delete_bucket(Bucket="dogs")
    s3.create_bucket(Bucket="dogs")

    with pytest.raises(ClientError) as raised:
        s3.get_bucket_tagging(Bucket="dogs")
    assert _code(raised) == ("NoSuchTagSet", 404)
    assert len(s3.get_bucket_acl(Bucket="dogs")["Grants"]) == 1


def test_tags_leave_the_object_as_it_is(s3: S3Client, clock: Clock) -> None:
    """Setting tags or an ACL changes neither date nor ETag."""
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1", Metadata={"n": "1"})
    before: Any = s3.head_object(Bucket="dogs", Key="rex")
    clock.now += 60

    s3.put_object_tagging(Bucket="dogs", Key="rex", Tagging={"TagSet": [{"Key": "größe", "Value": "ß"}]})
    s3.put_object_acl(Bucket="dogs", Key="rex", ACL="public-read")

    after: Any = s3.head_object(Bucket="dogs", Key="rex")
    for name in ("LastModified", "ETag", "Metadata", "ContentType"):
        assert before[name] == after[name]
    assert s3.get_object_tagging(Bucket="dogs", Key="rex")["TagSet"] == [{"Key": "größe", "Value": "ß"}]


def test_acls_as_documents(s3: S3Client) -> None:
    """Grants that a canned ACL stands for are accepted, as `s3cmd setacl` sends them; others are not."""
    s3.put_bucket_acl(Bucket="dogs", ACL="public-read")
    found: Any = s3.get_bucket_acl(Bucket="dogs")
    policy: Any = {"Owner": found["Owner"], "Grants": found["Grants"]}
    s3.put_object(Bucket="dogs", Key="rex", Body=b"1")

    s3.put_object_acl(Bucket="dogs", Key="rex", AccessControlPolicy=policy)
    assert s3.get_object_acl(Bucket="dogs", Key="rex")["Grants"] == found["Grants"]

    for grants, code in (
        ([*found["Grants"], {**found["Grants"][1], "Permission": "READ_ACP"}], ("NotImplemented", 501)),
        ([], ("NotImplemented", 501)),
    ):
        other: Any = {**policy, "Grants": grants}
        with pytest.raises(ClientError) as raised:
            s3.put_object_acl(Bucket="dogs", Key="rex", AccessControlPolicy=other)
        assert _code(raised) == code
    with pytest.raises(ClientError) as raised:
        s3.put_object_acl(Bucket="dogs", Key="rex")
    assert _code(raised) == ("MissingSecurityHeader", 400)
    with pytest.raises(ClientError) as raised:
        s3.put_object_acl(Bucket="dogs", Key="rex", AccessControlPolicy=policy, ACL="private")
    assert _code(raised) == ("UnexpectedContent", 400)


def test_an_index_of_the_first_version(app: S3Directory, s3: S3Client, tmp_path: Path) -> None:
    """The sizes of the parts of its objects are kept."""
    upload = s3.create_multipart_upload(Bucket="dogs", Key="big")["UploadId"]
    etag = s3.upload_part(Bucket="dogs", Key="big", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(Bucket="dogs", Key="big", UploadId=upload, MultipartUpload=parts)
    app.close()
    with sqlite3.connect(tmp_path / "root" / ".rekolabels" / "index.sqlite") as db:
        db.executescript(
            "DROP TABLE settings; DROP TABLE completed; UPDATE objects SET parts = '[4]';"
            "PRAGMA user_version = 1"
        )
    db.close()

    again = S3Directory(tmp_path / "root")
    part = make_client(again).get_object(Bucket="dogs", Key="big", PartNumber=1)

    assert (part["Body"].read(), part["PartsCount"]) == (b"part", 1)
    again.close()


def test_completed_uploads_are_forgotten(s3: S3Client, clock: Clock) -> None:
    """A week later, another completed upload removes what was kept for repeated requests."""

    def complete(key: str) -> dict[str, Any]:
        upload = s3.create_multipart_upload(Bucket="dogs", Key=key)["UploadId"]
        etag = s3.upload_part(Bucket="dogs", Key=key, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
        request: dict[str, Any] = {
            "Bucket": "dogs",
            "Key": key,
            "UploadId": upload,
            "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]},
        }
        s3.complete_multipart_upload(**request)
        return request

    old = complete("a")
    s3.complete_multipart_upload(**old)
    clock.now += 7 * 24 * 3600 + 1
    complete("b")

    with pytest.raises(ClientError) as raised:
        s3.complete_multipart_upload(**old)
    assert _code(raised) == ("NoSuchUpload", 404)


def test_buckets_are_listed_in_pages(s3: S3Client) -> None:
    """ListBuckets filters by prefix and honours the page size."""
    for name in ("cats", "dogs-2", "dogs-3"):
        s3.create_bucket(Bucket=name)

    pages = s3.get_paginator("list_buckets").paginate(Prefix="dogs", PaginationConfig={"PageSize": 2})

    assert [[bucket["Name"] for bucket in page["Buckets"]] for page in pages] == [
        ["dogs", "dogs-2"],
        ["dogs-3"],
    ]
