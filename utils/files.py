"""Static files, each compressed once: to do it for every request would keep a core busy."""

import gzip
import os
import re
from functools import lru_cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

# Bytes. Of what is smaller, the headers are the larger part.
WORTH_IT = 300

# Comments and types are a third of what our modules would weigh. Only whole lines: a text in the
# code may look like a comment.
COMMENTS = re.compile(rb"^[ \t]*(?://.*|/\*(?s:.*?)\*/)$", re.MULTILINE)
COMMENTED = (".js", ".css")


class Files(StaticFiles):
    """The files of a folder, compressed for whoever takes that.

    `ours`: whether they are our own modules and style sheets, whose comments then stay behind.
    """

    def __init__(self, directory: Path, *, ours: bool = False) -> None:
        super().__init__(directory=directory)
        self._ours = ours

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Vary"] = "Accept-Encoding"
        takes_gzip = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        if not isinstance(response, FileResponse) or not takes_gzip or stat_result.st_size < WORTH_IT:
            return response
        is_commented = self._ours and str(full_path).endswith(COMMENTED)
        content = compressed(str(full_path), stat_result.st_mtime_ns, is_commented)
        headers = {name: response.headers[name] for name in ("etag", "last-modified", "vary")}
        headers["Content-Encoding"] = "gzip"
        return Response(content, status_code, headers, response.media_type)


@lru_cache
def compressed(path: str, changed_at: int, without_comments: bool) -> bytes:
    """A file's content as it was at that time."""
    content = Path(path).read_bytes()
    if without_comments:
        content = COMMENTS.sub(ends_of_lines, content)
    return gzip.compress(content, mtime=0)


def ends_of_lines(comment: re.Match[bytes]) -> bytes:
    """What is left of a comment, so that the lines below it keep their numbers."""
    return b"\n" * comment[0].count(b"\n")
