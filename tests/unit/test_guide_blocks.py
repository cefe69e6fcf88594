"""Reader of AWS's developer guide: which blocks of a page are Python samples and AWS CLI commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guide_blocks import Block, read_guide

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """# Making a project

#### [ AWS CLI ]

   ```
   aws rekognition create-project \\
     --project-name my_project
   ```     A fence may have text after it.

   ```
   import boto3

   boto3.client("rekognition")
   ```

   ```
   import software.amazon.awssdk.services.rekognition.RekognitionClient;
   ```

   ```
   {"ProjectArn": "from JSON import nothing"}
   ```

   ```
   aws s3 ls
   ```
"""


def test_blocks_of_a_page(tmp_path: Path) -> None:
    """Commands and Python are found, without their indentation; Java and JSON are left out."""
    (tmp_path / "doc_source").mkdir()
    (tmp_path / "doc_source" / "mp-create.md").write_text(PAGE, encoding="utf-8")
    command = "aws rekognition create-project \\\n  --project-name my_project"
    assert read_guide(tmp_path) == [
        Block("mp-create", "AWS CLI", 1, 5, command),
        Block("mp-create", "Python", 1, 10, 'import boto3\n\nboto3.client("rekognition")'),
        Block("mp-create", "AWS CLI", 2, 24, "aws s3 ls"),
    ]


def test_a_checkout_without_pages(tmp_path: Path) -> None:
    """The last commit of the guide has no pages."""
    (tmp_path / "README.md").write_text("```\naws s3 ls\n```\n", encoding="utf-8")
    assert read_guide(tmp_path) == []
