"""Label folders: labels from folder names, other files reported, an error only without any image."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from label_files import jpeg, png
from rekolabels.errors import InvalidInput
from rekolabels.formats import Problem, raise_problem, read_folder, write_folder
from rekolabels.images import BoundingBox, ImageSize, LabelledImage


def write_file(path: Path, content: bytes) -> Path:
    """Write a file and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_labels_are_the_names_of_the_first_folders(tmp_path: Path) -> None:
    """The first level is the label, deeper levels have no meaning; images are sorted and have sizes."""
    write_file(tmp_path / "dog" / "b.png", png(64, 65))
    write_file(tmp_path / "dog" / "a" / "deep" / "x.jpg", jpeg(100, 200))
    write_file(tmp_path / "cat" / "1.jpeg", jpeg(66, 67, channels=1, marker=0xC2))
    images = list(read_folder(tmp_path, on_problem=raise_problem))
    assert [str(tmp_path / p) for p in ("cat/1.jpeg", "dog/a/deep/x.jpg", "dog/b.png")] == [
        image.source for image in images
    ]
    assert [image.labels for image in images] == [("cat",), ("dog",), ("dog",)]
    assert [ImageSize(66, 67, 1), ImageSize(100, 200), ImageSize(64, 65)] == [image.size for image in images]


def test_sources_begin_with_the_path_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder gives relative sources."""
    write_file(tmp_path / "set" / "cat" / "1.png", png())
    monkeypatch.chdir(tmp_path)
    assert [os.path.join("set", "cat", "1.png")] == [i.source for i in read_folder("set")]  # noqa: PTH118


def test_content_decides_not_the_extension(tmp_path: Path) -> None:
    """A PNG named .dat is an image, a text file named .jpg is not."""
    write_file(tmp_path / "cat" / "a.dat", png())
    write_file(tmp_path / "cat" / "b.jpg", b"just text")
    problems: list[Problem] = []
    images = list(read_folder(tmp_path, on_problem=problems.append))
    assert [str(tmp_path / "cat" / "a.dat")] == [image.source for image in images]
    (problem,) = problems
    assert str(tmp_path / "cat" / "b.jpg") == problem.file
    assert problem.lost == "image"
    assert problem.message == "Neither JPEG nor PNG. The service accepts no other format"


@pytest.mark.parametrize(
    "start",
    [
        b"GIF89a",
        b"RIFF\x10\0\0\0WEBP",
        b"II*\0",
        b"MM\0*",
        b"BM\x99\0\0\0\0\0\0\0",
        b"\0\0\0\x18ftypheic",
        b"\0\0\0\x1cftypavif",
    ],
)
def test_images_of_other_formats_are_kept(tmp_path: Path, start: bytes) -> None:
    """Whoever uses them can convert them, or say how: a label must not vanish because of its format."""
    write_file(tmp_path / "cat" / "a.x", start + bytes(20))
    problems: list[Problem] = []
    [image] = read_folder(tmp_path, on_problem=problems.append)
    assert (image.labels, image.size, problems) == (("cat",), None, [])
    write_file(tmp_path / "cat" / "b.txt", b"BMW and RIFF and ftyp")
    assert len(list(read_folder(tmp_path, on_problem=problems.append))) == len(problems) == 1


def test_other_files_are_reported_and_hidden_files_are_not(tmp_path: Path) -> None:
    """Damaged files and images outside label folders are reported; .hidden and Thumbs.db are not."""
    write_file(tmp_path / "cat" / "ok.png", png())
    write_file(tmp_path / "cat" / "empty.png", b"")
    write_file(tmp_path / "cat" / "cut.png", png()[:20])
    write_file(tmp_path / "cat" / "cut.jpg", jpeg()[:14])
    write_file(tmp_path / "cat" / ".DS_Store", b"x")
    write_file(tmp_path / "cat" / "Thumbs.db", b"x")
    write_file(tmp_path / ".cache" / "x.png", png())
    write_file(tmp_path / "loose.png", png())
    problems: list[Problem] = []
    assert len(list(read_folder(tmp_path, on_problem=problems.append))) == 1
    assert [Path(p.file).name for p in problems] == ["cut.jpg", "cut.png", "empty.png", tmp_path.name]
    assert "Not in a label folder" in problems[-1].message
    assert all(p.lost == "image" and p.fix for p in problems)


def test_problems_are_logged_by_default(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without on_problem, a text file is a warning in the log, and control characters are escaped."""
    write_file(tmp_path / "cat" / "ok.png", png())
    write_file(tmp_path / "cat" / "new\nline.txt", b"text")
    list(read_folder(tmp_path))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("rekolabels.formats", "WARNING")
    assert "new\\nline.txt: Neither JPEG nor PNG" in record.getMessage()


def test_the_first_problem_stops_a_strict_reader(tmp_path: Path) -> None:
    """The function raise_problem turns a text file into an InvalidInput."""
    write_file(tmp_path / "cat" / "ok.png", png())
    write_file(tmp_path / "cat" / "readme.txt", b"text")
    with pytest.raises(InvalidInput, match=r"readme\.txt: Neither JPEG nor PNG"):
        list(read_folder(tmp_path, on_problem=raise_problem))


@pytest.mark.parametrize("make", ["nothing", "empty", "file", "flat", "texts", "nul"])
def test_a_folder_without_images_is_an_error_that_shows_the_layout(tmp_path: Path, make: str) -> None:
    """A missing, empty or flat folder, a file, and a folder of text files raise and show the layout."""
    path = tmp_path / "set"
    match make:
        case "empty":
            path.mkdir()
        case "file":
            write_file(path, b"x")
        case "flat":
            write_file(path / "a.png", png())
        case "texts":
            write_file(path / "cat" / "a.txt", b"x")
        case "nul":
            path = tmp_path / "a\0b"
        case _:
            pass
    with pytest.raises(InvalidInput, match=r"path is .*x00b|<label>/<image>\.jpg"):
        list(read_folder(path))


def test_a_missing_folder_is_reported_at_once(tmp_path: Path) -> None:
    """The call raises, not the first iteration."""
    with pytest.raises(InvalidInput, match="The folder does not exist"):
        read_folder(tmp_path / "nowhere")


def test_loops_of_links_are_not_followed(tmp_path: Path) -> None:
    """Links to a folder above, to themselves and to missing files are reported."""
    write_file(tmp_path / "cat" / "a.png", png())
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "cat" / "self").symlink_to(tmp_path / "cat" / "self")
    (tmp_path / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    problems: list[Problem] = []
    assert len(list(read_folder(tmp_path, on_problem=problems.append))) == 1
    assert {"up", "self", "gone.png"} == {Path(p.file).name for p in problems}


def test_links_to_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    """Label folders are often links into a shared folder."""
    write_file(tmp_path / "store" / "a.png", png())
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "store")
    assert [i.labels for i in read_folder(tmp_path / "set", on_problem=raise_problem)] == [("cat",)]


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    """Opening a named pipe would wait forever, so it is reported without being opened."""
    write_file(tmp_path / "cat" / "a.png", png())
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    problems: list[Problem] = []
    list(read_folder(tmp_path, on_problem=problems.append))
    assert [p.message for p in problems] == ["Not a regular file"]


def test_a_name_that_is_not_utf8_is_left_out(tmp_path: Path) -> None:
    """A manifest is UTF-8, so it cannot hold a file name in another encoding."""
    write_file(tmp_path / "cat" / "a.png", png())
    try:
        write_file(tmp_path / "cat" / os.fsdecode(b"\xff.png"), png())
    except OSError:
        pytest.skip("This file system accepts only UTF-8 names.")
    problems: list[Problem] = []
    assert len(list(read_folder(tmp_path, on_problem=problems.append))) == 1
    assert "not valid UTF-8" in problems[0].message


def test_folders_that_look_like_a_split_are_reported(tmp_path: Path) -> None:
    """Otherwise train/cat/1.png would silently get the label "train"."""
    write_file(tmp_path / "train" / "cat" / "a.png", png())
    write_file(tmp_path / "test" / "cat" / "b.png", png())
    problems: list[Problem] = []
    assert [i.labels for i in read_folder(tmp_path, on_problem=problems.append)] == [("test",), ("train",)]
    assert "look like the parts of a split" in problems[0].message


def test_label_folders_are_written_and_read(tmp_path: Path) -> None:
    """A folder is written as it was read; what label folders cannot hold is reported and left out."""
    for name in ("cat/1.png", "dog/2.png"):
        write_file(tmp_path / "in" / name, png())
    images = list(read_folder(tmp_path / "in"))
    box = BoundingBox("x", 1, 1, 5, 5)
    one = images[0].source
    strange = [
        LabelledImage(one, ["a", "b"]), LabelledImage(one),
        LabelledImage(one, ["../up"]), LabelledImage(one, [".x"]), LabelledImage("s3://b/k.png", ["cat"]),
        LabelledImage(one, ["cat"]), LabelledImage(one, ["new"], [box]),
    ]  # fmt: skip
    problems: list[Problem] = []
    assert write_folder([*images, *strange], tmp_path / "out", on_problem=problems.append) == 3
    assert [problem.lost for problem in problems] == ["image"] * 6 + ["box"]
    found = [(image.source.rsplit("/", 1)[-1], image.labels) for image in read_folder(tmp_path / "out")]
    assert found == [("1.png", ("cat",)), ("2.png", ("dog",)), ("1.png", ("new",))]
    with pytest.raises(InvalidInput, match="Cannot be written"):
        write_folder(images, one)
