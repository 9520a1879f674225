"""What mkdocs does beside building the pages: the pictures of the project become part of the site."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).resolve().parent.parent
IMAGES = (
    "assets/icon.svg",
    "assets/favicon.png",
    "assets/influence.png",
    "assets/examples.png",
    "assets/compare.png",
    "benchmarks/accuracy/agreement.png",
)


def on_files(files: Files, config: Any) -> Files:
    """Add the pictures, which lie outside ``docs``, under ``images``."""
    for name in IMAGES:
        path = PROJECT / name
        files.append(File.generated(config, f"images/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to the pictures, which in the repository go out of ``docs``, to where the site has them."""
    for name in IMAGES:
        markdown = markdown.replace(f"](../{name})", f"](images/{Path(name).name})")
    return markdown
