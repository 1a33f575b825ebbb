"""Static files, each compressed once: to do it for every request would keep a core busy."""

import gzip
import os
from functools import lru_cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

# Bytes. What is smaller fits into one packet anyway.
WORTH_IT = 1000


class Files(StaticFiles):
    """The files of a folder, compressed for whoever takes that."""

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
        content = compressed(str(full_path), stat_result.st_mtime_ns)
        headers = {name: response.headers[name] for name in ("etag", "last-modified", "vary")}
        headers["Content-Encoding"] = "gzip"
        return Response(content, status_code, headers, response.media_type)


@lru_cache
def compressed(path: str, changed_at: int) -> bytes:
    """A file's content as it was at that time."""
    return gzip.compress(Path(path).read_bytes(), mtime=0)
