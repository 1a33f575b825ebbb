"""A slow disk: a library for LD_PRELOAD in which every fsync takes a while, compiled when it is needed."""

import shutil
import subprocess
from pathlib import Path

# A checkpoint syncs the write-ahead log and then the file: half a second together.
SYNC_MS = 250

SOURCE = f"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

static int slowly(const char *name, int fd) {{
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, name);
    usleep({SYNC_MS} * 1000);
    return real(fd);
}}

int fsync(int fd) {{ return slowly("fsync", fd); }}
int fdatasync(int fd) {{ return slowly("fdatasync", fd); }}
"""


def library(folder: Path) -> Path | None:
    """The compiled library; None where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        return None
    source = folder / "slow.c"
    source.write_text(SOURCE)
    path = folder / "slow.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True)
    return path
